"""Sentences in capitals and in title case, as headlines are: their words are read in lower case, which the
encoder has seen more of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from spacy.attrs import IS_LOWER, IS_TITLE, IS_UPPER

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from .pieces import Pieces

__all__ = ["lowered", "without_lower_case"]

LEAST_CAPITALS = 3
"""Words in capitals that a sentence in capitals has at least: fewer may be abbreviations."""
LEAST_TITLES, SHORT, LEAST_SHARE = 4, 3, 0.15
"""A sentence in title case has at least so many words with a capital first. One after the first speaks for
lower case if it has at most three letters or fewer pieces in it, as common words do, and against it if it has
more, as names do; those for it are more, by this share of all."""
DOTLESS = {ord("I"): "ı", ord("İ"): "i"}


def without_lower_case(
    doc: Doc, bounds: Sequence[int], pieces: Pieces
) -> Iterator[tuple[int, int, list[str]]]:
    """The stretches between bounds, each not empty, that are in capitals or in title case, and their words in
    lower case."""
    if len(doc) < LEAST_CAPITALS:
        return
    without = (np.add.reduceat(doc.to_array(IS_LOWER), bounds[:-1]) == 0).nonzero()[0]
    if not len(without):
        return
    upper, title = doc.to_array([IS_UPPER, IS_TITLE]).astype(np.bool_).T
    title &= ~upper  # as a letter alone is both
    for i in without.tolist():
        start, end = bounds[i], bounds[i + 1]
        titles = np.flatnonzero(title[start:end]).tolist()
        if titles and len(titles) < LEAST_TITLES:
            continue
        if not titles and np.count_nonzero(upper[start:end]) < LEAST_CAPITALS:
            continue
        words = [token.text for token in doc[start:end]]
        lower = lowered(words)
        votes = [_vote(words[at], lower[at], pieces) for at in titles[1:]]
        if sum(votes) >= LEAST_SHARE * len(titles):  # as in capitals, where there are no titles
            yield start, end, lower


def _vote(word: str, lower: str, pieces: Pieces) -> int:
    """1 for lower case, -1 against it, 0 for neither."""
    fewer = len(pieces.pieces(word)) - len(pieces.pieces(lower))
    return (fewer > 0 or len(word) <= SHORT) - (fewer < 0)


def lowered(words: Sequence[str]) -> list[str]:
    """The words of a sentence in lower case, Turkish ones as Turkish has it (Unicode's SpecialCasing.txt):
    where there is a dotted capital I, the other one has no dot."""
    dotted = any("İ" in word for word in words)
    return [(word.translate(DOTLESS) if dotted else word).lower() for word in words]
