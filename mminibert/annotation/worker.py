"""What a process does: load the pipeline once, then tag shards and write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..files import atomic_path, folder_sha256, sha256
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from ..runtime.segmenter import Segmenter
from .documents import Document
from .outputs import Format, write_docs
from .sentences import doc_of_sentence, in_languages
from .settings import Settings

__all__ = ["Described", "Written", "describe", "pipeline_of", "write_shard"]


@dataclass(frozen=True)
class Described:
    """A pipeline. digest: of all that its annotations depend on. longest: characters that a text may have."""

    digest: str
    longest: int


@dataclass(frozen=True)
class Written:
    """A shard. documents: those that are in it, with so many words."""

    sha256: str
    documents: int
    words: int


def describe(settings: Settings) -> Described:
    """Raises ValueError for settings that the pipeline does not know, OSError if it is not there."""
    nlp = pipeline_of(settings)
    if settings.format is Format.parquet:
        import pyarrow  # noqa: F401  so that it is missed now
    code = folder_sha256(Path(__file__).parents[1])
    model = folder_sha256(nlp.path) if nlp.path else ""
    return Described(f"{spacy.about.__version__} {code} {model}", nlp.max_length)


def write_shard(settings: Settings, path: Path, documents: Sequence[Document]) -> Written:
    """The documents in order, whole or not at all."""
    nlp = pipeline_of(settings)
    counts = [0, 0]
    with nlp.memory_zone(), atomic_path(path) as temporary:
        docs = _counted(_tagged(nlp, settings, documents), counts)
        write_docs(temporary, settings.format, docs, flat=settings.flat)
        found = sha256(temporary)
    return Written(found, *counts)


@lru_cache(maxsize=1)
def pipeline_of(settings: Settings) -> Language:
    """The pipeline that does what the settings say. Raises ValueError for those that it does not know,
    OSError if it is not there."""
    nlp = spacy.load(settings.model)
    pipe = tagger(nlp)
    if settings.confidences:
        pipe.confidences = True
    wanted = settings.convention or settings.language
    if settings.convention and settings.language not in (None, language_of(settings.convention)):
        raise ValueError(
            f"got the language {settings.language!r} and the convention {settings.convention!r}, which is of "
            "another; leave one of them out"
        )
    if settings.convention or (wanted and pipe.conventions is not None):
        pipe.convention = wanted
    if wanted and isinstance(nlp.tokenizer, Segmenter):
        known = wanted in nlp.tokenizer.languages or settings.convention is None
        nlp.tokenizer.language = wanted if known else language_of(wanted)
    if settings.only_languages:
        has = pipe.conventions.languages if pipe.conventions is not None else ()
        if lacking := [lang for lang in settings.only_languages if lang not in has]:
            known_ones = ", ".join(has) or "none at all"
            raise ValueError(f"got --only-languages {','.join(lacking)}, the pipeline knows {known_ones}")
    return nlp


def _tagged(
    nlp: Language, settings: Settings, documents: Sequence[Document]
) -> Iterator[tuple[Document, Doc]]:
    given: Iterator[tuple[Any, Document]] = (
        (
            content if isinstance(content := document.content, str) else doc_of_sentence(nlp.vocab, content),
            document,
        )
        for document in documents
    )
    for doc, document in nlp.pipe(given, as_tuples=True):
        found: Doc | None = doc
        if settings.only_languages:
            found = in_languages(doc, settings.only_languages, keep_others=settings.keep_others)
        if found is not None:
            yield document, found


def _counted(docs: Iterator[tuple[Document, Doc]], counts: list[int]) -> Iterator[tuple[Document, Doc]]:
    for document, doc in docs:
        counts[0] += 1
        counts[1] += sum(not token.is_space for token in doc)
        yield document, doc
