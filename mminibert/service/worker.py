"""One thread that tags what is waiting, several requests at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, Queue
from threading import Thread
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..annotation.documents import Document
from ..annotation.outputs import Format, text_of
from ..annotation.sentences import doc_of_sentence
from ..display.page import fragment
from ..runtime.doc_languages import set_languages
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from ..runtime.segmenter import Segmenter
from .parameters import Job

__all__ = ["Worker"]

BATCH_CHARACTERS = 50_000
"""That are tagged together, or one request: no request waits for much longer than this takes."""
WAITING = 256
"""Requests that wait at most."""


class Worker:
    """Owns the pipeline: from its beginning to `close` nobody else may use it."""

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self._pipe = tagger(nlp)
        told = nlp.tokenizer.language if isinstance(nlp.tokenizer, Segmenter) else None
        # Of requests that name none. It is told with each text, as what the tagger has comes before that.
        self._default = self._pipe.convention or told
        self._pipe.convention = None
        self._waiting: Queue[tuple[Job, Future[str]] | None] = Queue(WAITING)
        self._thread = Thread(target=self._work, name="tagging", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, job: Job) -> Future[str]:
        """Raises queue.Full if too many are waiting. One that is cancelled before its turn is left out."""
        future: Future[str] = Future()
        self._waiting.put_nowait((job, future))
        return future

    def close(self) -> None:
        """Do what was submitted, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._batch()
            running = [(job, future) for job, future in batch if future.set_running_or_notify_cancel()]
            self._answer(running)

    def _batch(self) -> tuple[list[tuple[Job, Future[str]]], bool]:
        """What is waiting, and whether anything may come after it."""
        batch: list[tuple[Job, Future[str]]] = []
        item = self._waiting.get()
        characters = 0
        while item is not None:
            batch.append(item)
            characters += item[0].characters
            if characters >= BATCH_CHARACTERS:
                return batch, True
            try:
                item = self._waiting.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _answer(self, batch: Sequence[tuple[Job, Future[str]]]) -> None:
        try:
            results = self._results([job for job, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for item in batch:  # so that one alone fails
                self._answer([item])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)

    def _results(self, jobs: Sequence[Job]) -> list[str]:
        with self._nlp.memory_zone():
            made = iter(self._docs([(document, job) for job in jobs for document in job.documents]))
            docs = [[next(made) for _ in job.documents] for job in jobs]
            self._pipe.confidences = any(job.format is not Format.conllu for job in jobs)
            tagged = iter(
                self._nlp.pipe(doc for job, own in zip(jobs, docs, strict=True) if job.tag for doc in own)
            )
            found = [
                [next(tagged) if job.tag else doc for doc in own] for job, own in zip(jobs, docs, strict=True)
            ]
            return [_written(job, own) for job, own in zip(jobs, found, strict=True)]

    def _docs(self, wanted: Sequence[tuple[Document, Job]]) -> list[Doc]:
        """Of each document; texts of one language are read together."""
        docs: dict[int, Doc] = {}
        texts: defaultdict[str | None, dict[int, str]] = defaultdict(dict)
        for i, (document, job) in enumerate(wanted):
            if isinstance(document.content, str):
                texts[job.code or self._default][i] = document.content
            else:
                docs[i] = doc_of_sentence(self._nlp.vocab, document.content)
        for code, of_code in texts.items():
            self._tell(code)
            tokenizer: Any = self._nlp.tokenizer
            docs.update(zip(of_code, tokenizer.pipe(of_code.values()), strict=True))
        for i, (_, job) in enumerate(wanted):
            if job.presegmented:
                for token in docs[i]:
                    token.is_sent_start = token.i == 0
            if (code := job.code or self._default) is not None:
                set_languages(docs[i], [(0, code)], given=True)
        return [docs[i] for i in range(len(wanted))]

    def _tell(self, code: str | None) -> None:
        """The tokenizer may know the language of a convention alone."""
        tokenizer = self._nlp.tokenizer
        if isinstance(tokenizer, Segmenter):
            known = code is None or code in tokenizer.languages
            tokenizer.language = code if known else language_of(str(code))


def _written(job: Job, docs: Sequence[Doc]) -> str:
    pairs = list(zip(job.documents, docs, strict=True))
    if job.format is None:
        return fragment(docs)
    return "".join(text_of(job.format, pairs))
