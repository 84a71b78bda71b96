"""What share of a pipeline's time its lemmas take, on text that it has not met."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import spacy

from .. import markdown
from ..data.conllu import read_conllu
from ..runtime.lemmatizer import LEMMATIZER

__all__ = ["speed", "table", "texts_of"]

SENTENCES = 20
"""In a text."""
LOADED = 3
"""Times that each pipeline is loaded anew; the fastest counts."""


def texts_of(path: Path) -> list[str]:
    """The sentences of a CoNLL-U file, `SENTENCES` a text."""
    sentences = [
        "".join(form + " " * space for form, space, _ in sentence.tokens()).strip()
        for sentence in read_conllu(path)
    ]
    return [" ".join(sentences[i : i + SENTENCES]) for i in range(0, len(sentences), SENTENCES)]


def speed(pipeline: str, met: Sequence[str], new: Sequence[str]) -> dict[str, float]:
    """Words a second of processor time on the new texts, `with_lemmas` and `without`, by a pipeline that has
    met the others before; `share`: of the time, that the lemmas take; `words`."""
    best: dict[str, float] = {}
    words = 0
    for _ in range(LOADED):
        for name, disabled in (("with_lemmas", []), ("without", [LEMMATIZER])):
            nlp = spacy.load(pipeline, disable=disabled)
            for _ in nlp.pipe(met):
                pass
            start = time.process_time()
            words = sum(map(len, nlp.pipe(new)))
            seconds = time.process_time() - start
            best[name] = min(best.get(name, seconds), seconds)
    rates = {name: words / seconds for name, seconds in best.items()}
    return {"words": words, **rates, "share": 1 - best["without"] / best["with_lemmas"]}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: a row a treebank."""
    rows = [
        (code, *(f"{row[name]:,.0f}" for name in ("words", "with_lemmas", "without")), f"{row['share']:.1%}")
        for code, row in found.items()
    ]
    head = ("treebank", "words", "words/s with lemmas", "without", "share of the time")
    return markdown.table(head, rows, "lrrrr") + "\n"
