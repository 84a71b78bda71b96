"""Sentences in capitals and in title case, as headlines are: their words are read in lower case, which the
encoder has seen more of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from spacy.attrs import IS_LOWER, IS_TITLE, IS_UPPER

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["lowered", "without_lower_case"]

LEAST_CAPITALS = 3
"""Words in capitals that a sentence in capitals has at least: fewer may be abbreviations."""
LEAST_TITLES, SHORT, SHORT_SHARE = 4, 3, 0.15
"""A sentence in title case has at least so many words with a capital first, and of these at least that share
have at most three letters and are not the first: those of a list of names rarely do."""
DOTLESS = {ord("I"): "ı", ord("İ"): "i"}


def without_lower_case(doc: Doc, bounds: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stretches between bounds, each not empty, that are in capitals or in title case."""
    if len(doc) < LEAST_CAPITALS:
        return
    upper, lower, title = doc.to_array([IS_UPPER, IS_LOWER, IS_TITLE]).astype(np.bool_).T
    title &= ~upper  # as a letter alone is both
    n_lower = np.add.reduceat(lower, bounds[:-1], dtype=np.int64)
    for i in np.flatnonzero(n_lower == 0).tolist():
        start, end = bounds[i], bounds[i + 1]
        titles = np.flatnonzero(title[start:end])
        n_short = sum(len(doc[start + at]) <= SHORT for at in titles[1:].tolist())
        in_capitals = len(titles) == 0 and np.count_nonzero(upper[start:end]) >= LEAST_CAPITALS
        if in_capitals or (len(titles) >= LEAST_TITLES and n_short >= SHORT_SHARE * len(titles)):
            yield start, end


def lowered(words: Sequence[str]) -> list[str]:
    """The words of a sentence in lower case, Turkish ones as Turkish has it (Unicode's SpecialCasing.txt):
    where there is a dotted capital I, the other one has no dot."""
    dotted = any("İ" in word for word in words)
    return [(word.translate(DOTLESS) if dotted else word).lower() for word in words]
