"""Docs by the batch, so that a pipeline holds so many words and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spacy.tokens import Doc

__all__ = ["WORDS_IN_BATCH", "doc_batches"]

WORDS_IN_BATCH = 32_768
"""Words from which on a batch is full: a thousand sentences have fewer. A word takes a kilobyte of
``doc.tensor`` as long as its Doc lives, and as much again while the batch is computed."""


def doc_batches(docs: Iterable[Doc], size: int) -> Iterator[list[Doc]]:
    """At most ``size`` Docs at a time, fewer if they have `WORDS_IN_BATCH` words; a Doc is never cut."""
    batch: list[Doc] = []
    words = 0
    for doc in docs:
        batch.append(doc)
        words += len(doc)
        if len(batch) >= size or words >= WORDS_IN_BATCH:
            yield batch
            batch, words = [], 0
    if batch:
        yield batch
