"""What a request says: the parameters of UDPipe's REST service, and what is to be done."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pydantic import BaseModel, Field

from ..annotation.documents import Document
from ..annotation.outputs import Format
from ..data.conllu import REMEDY, ConlluError, read_conllu, row
from .models import ANY, Models

__all__ = ["Job", "Parameters", "form_of"]

INPUTS = ("conllu", "horizontal", "vertical")
OUTPUTS = (Format.conllu, Format.jsonl, Format.tsv)
MEDIA_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class Parameters(BaseModel):
    """As https://lindat.mff.cuni.cz/services/udpipe/api-reference.php describes them."""

    data: str = Field(description="the text, in UTF-8")
    model: str = Field(
        default=ANY,
        description="a language or a convention, such as fi, fi_tdt or finnish-tdt-ud-2.12; else it is found",
    )
    tokenizer: str | None = Field(
        default=None,
        description="there, even if empty: data is raw text; `presegmented`: each line is a sentence",
    )
    tagger: str | None = Field(default=None, description="there, even if empty: words are tagged")
    parser: str | None = Field(default=None, description="ignored, there is no parser")
    input: str = Field(default="conllu", description="without tokenizer: " + ", ".join(INPUTS))
    output: str = Field(default="conllu", description=", ".join(OUTPUTS))


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of the pipeline. code: the language or convention of all documents, None finds it. tag:
    or tokens alone. presegmented: each document is one sentence. format: None for a page."""

    documents: tuple[Document, ...]
    code: str | None
    tag: bool = True
    presegmented: bool = False
    format: Format | None = None

    @classmethod
    def of(cls, asked: Parameters, models: Models) -> Job:
        """Raises ValueError for what nobody can do."""
        code = models.find(asked.model)
        if asked.output not in OUTPUTS:
            raise ValueError(f"got the output {asked.output!r}, expected {', '.join(OUTPUTS)}")
        presegmented = "presegmented" in _options(asked.tokenizer)
        if asked.tokenizer is None:
            documents = tuple(_sentences(asked.data, asked.input))
        elif presegmented:
            lines = filter(None, map(str.strip, asked.data.split("\n")))
            documents = tuple(Document(f"line{i}", line) for i, line in enumerate(lines, 1))
        else:
            documents = (Document("text", asked.data),)
        return cls(documents, code, asked.tagger is not None, presegmented, Format(asked.output))

    @property
    def characters(self) -> int:
        return sum(len(document.source) for document in self.documents)


def notes(asked: Parameters) -> list[str]:
    """What of the parameters has no effect."""
    found = [] if asked.parser is None else ["parser: there is none, HEAD and DEPREL are as they were"]
    others = sorted(_options(asked.tokenizer) - {"presegmented"})
    return found + [f"tokenizer: the option {option!r} has no effect" for option in others]


def form_of(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form, files among them. Raises ValueError for a body that is none, or not in UTF-8."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if media_type == MEDIA_TYPES[0]:
            fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict")
            return dict(fields)
        if media_type == MEDIA_TYPES[1]:
            return dict(_parts(body, content_type))
    except UnicodeError as error:
        raise ValueError(f"got a form that is not in UTF-8 ({error}); convert it") from None
    raise ValueError(f"got the Content-Type {media_type!r}, expected {' or '.join(MEDIA_TYPES)}")


def _parts(body: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = email.message_from_bytes(head + body, policy=email.policy.compat32)
    if not message.is_multipart() or message.defects:
        raise ValueError("got a multipart/form-data body that ends early or lacks its boundary")
    for part in message.walk():
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            yield name, content.decode("utf-8")


def _options(tokenizer: str | None) -> set[str]:
    return set(filter(None, (tokenizer or "").split(";")))


def _sentences(data: str, kind: str) -> Iterator[Document]:
    if kind not in INPUTS:
        expected = ", ".join(INPUTS)
        raise ValueError(
            f"got the input {kind!r}, expected {expected}, or the parameter tokenizer for raw text"
        )
    if not data.strip():
        return
    if kind != "conllu":
        data = "".join(_rows(forms) for forms in _forms(data, kind))
    lines = data.encode("utf-8").splitlines(keepends=True)
    try:
        for number, sentence in enumerate(read_conllu("data", lines=lines), 1):
            yield Document(str(number), sentence)
    except ConlluError as error:
        fault = f"got no CoNLL-U in line {error.line}: {error.message.removesuffix(REMEDY).strip()}"
        raise ValueError(f"{fault} For raw text give the parameter tokenizer") from None


def _forms(data: str, kind: str) -> Iterator[list[str]]:
    """Of each sentence, from tokens in a line or from lines with a token."""
    if kind == "horizontal":
        yield from filter(None, (line.split() for line in data.split("\n")))
        return
    sentence: list[str] = []
    for line in (*data.split("\n"), ""):
        if form := line.partition("\t")[0].strip():
            sentence.append(form)
        elif sentence:
            yield sentence
            sentence = []


def _rows(forms: list[str]) -> str:
    return "".join(f"{row(str(i), form)}\n" for i, form in enumerate(forms, 1)) + "\n"
