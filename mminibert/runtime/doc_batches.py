"""Docs, and texts, by the batch, so that a pipeline holds so many words and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T", bound=Sized)

__all__ = ["WORDS_IN_BATCH", "doc_batches"]

WORDS_IN_BATCH = 32_768
"""Words from which on a batch is full: a thousand sentences have fewer. A word takes a kilobyte of
``doc.tensor`` as long as its Doc lives, and as much again while the batch is computed."""


def doc_batches(docs: Iterable[T], size: int, most: int | None = None) -> Iterator[list[T]]:
    """At most ``size`` Docs at a time, fewer if they have ``most`` words, by default `WORDS_IN_BATCH`;
    a Doc is never cut. Of texts it counts characters."""
    most = WORDS_IN_BATCH if most is None else most
    batch: list[T] = []
    length = 0
    for doc in docs:
        batch.append(doc)
        length += len(doc)
        if len(batch) >= size or length >= most:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch
