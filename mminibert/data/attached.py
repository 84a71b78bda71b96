"""Text of a treebank that has a blank between any two tokens, as it would be written."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from .segmented import Segmented

__all__ = ["as_written"]

CLOSING = frozenset({"Pe", "Pf"})
OPENING = frozenset({"Ps", "Pi"})
"""Categories of Unicode."""
STOPS = frozenset(".,;:!?…")
MOST_ATTACHED = 0.1
"""Of the stops after another token, in a treebank whose text is tokens with blanks between."""


def as_written(sentences: Sequence[Segmented]) -> list[Segmented]:
    """The sentences, and where they are those of a treebank whose stops stand apart, also each without a
    blank before stops and closing brackets or quotation marks, and after opening ones: a segmenter that never
    sees them attached leaves ``pihalla.`` as it is. That both are there keeps such a treebank's own way."""
    before = [end < start for one in sentences for (_, end), (start, _) in _before_stops(one)]
    if not before or sum(before) < (1 - MOST_ATTACHED) * len(before):
        return list(sentences)
    return [*sentences, *(_attached(one) for one in sentences)]


def _before_stops(sentence: Segmented) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    pairs = zip(pairwise(sentence.tokens), sentence.forms[1:], strict=True)
    return [pair for pair, form in pairs if form in STOPS]


def _attached(sentence: Segmented) -> Segmented:
    forms = sentence.forms
    blanks = [
        blank and not (after in STOPS or _is(after, CLOSING) or _is(form, OPENING))
        for form, after, blank in zip(forms, forms[1:], sentence.blanks, strict=False)
    ]
    return sentence.with_blanks(blanks)


def _is(form: str, categories: frozenset[str]) -> bool:
    return len(form) == 1 and unicodedata.category(form) in categories
