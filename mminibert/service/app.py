"""The service: UDPipe's REST interface, and a page."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import ValidationError
from spacy.language import Language
from starlette.exceptions import HTTPException as AnyHTTPException

from ..display.page import page
from .models import ANY, Models
from .parameters import MEDIA_TYPES, Job, Parameters, form_of, notes
from .worker import Worker

__all__ = ["make_app"]

ENCODED = 12
"""Bytes of a character in a form, at most."""
ROOM = 1 << 16
"""Bytes of a form besides its text."""
SCHEMA = Parameters.model_json_schema()
FORM = {"requestBody": {"content": {media: {"schema": SCHEMA} for media in MEDIA_TYPES}, "required": True}}
QUERY = {
    "parameters": [
        {"name": name, "in": "query", "required": name in SCHEMA["required"], "schema": schema}
        for name, schema in SCHEMA["properties"].items()
    ]
}
T = TypeVar("T")


def make_app(nlp: Language, *, longest: int, seconds: float) -> FastAPI:
    """longest: characters that a text may have. seconds: until a request is given up."""
    models = Models.of(nlp)
    name = f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"
    thanks = [" ".join(filter(None, (name, nlp.meta.get("license"), nlp.meta.get("url"))))]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.worker = Worker(nlp)
        yield
        await asyncio.to_thread(app.state.worker.close)

    # The pages of FastAPI that show openapi.json load scripts from elsewhere.
    app = FastAPI(title="mMiniBERT", version=name, lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(AnyHTTPException)
    async def say(request: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    async def parameters_of(request: Request) -> dict[str, str]:
        """Of the address and of the form."""
        found = dict(request.query_params)
        if request.method == "POST":
            body = await _in_time(_body(request, longest * ENCODED + ROOM), seconds, 408)
            if body:
                found |= form_of(body, request.headers.get("content-type", ""))
        if len(found.get("data", "")) > longest:
            raise HTTPException(413, _too_long(f"{len(found['data']):,} characters", longest))
        return found

    async def result_of(job: Job) -> str:
        try:
            future = app.state.worker.submit(job)
        except queue.Full:
            raise _later("too many requests are waiting") from None
        return await _in_time(asyncio.wrap_future(future), seconds, 503)

    async def process(request: Request) -> dict[str, Any]:
        try:
            asked = Parameters.model_validate(await parameters_of(request))
            job = Job.of(asked, models)
        except ValidationError as error:
            lacking = ", ".join(str(fault["loc"][0]) for fault in error.errors())
            raise HTTPException(400, f"the parameter {lacking} is required") from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        result = await result_of(job)
        answer = {"model": asked.model, "acknowledgements": thanks, "result": result}
        return {**answer, "notes": notes(asked)} if notes(asked) else answer

    app.get("/process", summary="Tag a text", operation_id="get_process", openapi_extra=QUERY)(process)
    app.post("/process", summary="Tag a text", operation_id="process", openapi_extra=FORM)(process)

    @app.get("/models", summary="What `model` may be")
    async def list_models() -> dict[str, Any]:
        return {"models": {model: ["tokenizer", "tagger"] for model in models.codes}, "default_model": ANY}

    @app.get("/health", summary="Whether texts are tagged")
    async def health() -> dict[str, str]:
        if not app.state.worker.alive:
            raise HTTPException(503, "the thread that tags has ended; start the service again")
        return {"status": "ok", "pipeline": name}

    @app.api_route("/", methods=["GET", "POST"], response_class=HTMLResponse, include_in_schema=False)
    async def show(request: Request) -> str:
        try:
            found = await parameters_of(request)
            text, model = found.get("data", ""), found.get("model", ANY)
            asked = Parameters(data=text, model=model, tokenizer="", tagger="")
            job = replace(Job.of(asked, models), format=None)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        shown = await result_of(job) if "data" in found else None
        return page(title="mMiniBERT", models=models.codes, model=model, text=text, shown=shown)

    return app


async def _body(request: Request, most: int) -> bytes:
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > most:
            raise HTTPException(413, _too_long(f"a form of more than {most:,} bytes", most // ENCODED))
    return bytes(found)


async def _in_time(work: Awaitable[T], seconds: float, status: int) -> T:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError:
        if status == 408:
            raise HTTPException(408, f"the form did not come within {seconds:g} s") from None
        raise _later(f"no result within {seconds:g} s") from None


def _later(reason: str) -> HTTPException:
    return HTTPException(503, f"{reason}; try again later", {"Retry-After": "10"})


def _too_long(got: str, longest: int) -> str:
    return f"got {got}, expected at most {longest:,} characters; split the text"
