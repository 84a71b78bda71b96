"""Sentences with other word forms in them, for the teacher to label: how a student meets rare forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

LONGEST_ENDING = 3


class Replacement:
    """Puts known forms in the place of words that end alike, so that most sentences stay grammatical.

    Jiao et al. 2020, *TinyBERT*, section 4.1, enlarge the data of distillation by replaced words too; there a
    language model proposes them.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        """forms: words of the language; those with anything but letters and marks are passed over."""
        alike: dict[tuple[str, int, bool], list[str]] = {}
        for form in sorted(set(forms)):
            if is_written(form):
                alike.setdefault(_kind(form), []).append(form)
        self._alike = alike

    def __call__(self, words: Sequence[str], share: float, random: np.random.Generator) -> list[str]:
        """The sentence with this share of its words replaced, but for the first, whose case says little, and
        for those that no other form is like."""
        chosen = random.random(len(words)) < share
        return [
            self._other(word, random) if i and chosen[i] and is_written(word) else word
            for i, word in enumerate(words)
        ]

    def _other(self, word: str, random: np.random.Generator) -> str:
        found = self._alike.get(_kind(word), [word])
        return found[int(random.integers(len(found)))]


def kinds(forms: Sequence[str]) -> list[int]:
    """A number for each form, the same for those that are alike, -1 for those that are never replaced."""
    numbers: dict[tuple[str, int, bool], int] = {}
    return [numbers.setdefault(_kind(form), len(numbers)) if is_written(form) else -1 for form in forms]


def is_written(word: str) -> bool:
    """Whether a word has letters and marks alone (no digits, no punctuation)."""
    return bool(word) and all(unicodedata.category(character)[0] in "LM" for character in word)


def _kind(word: str) -> tuple[str, int, bool]:
    """Its ending, at most half of it; that ending's length; whether it begins with a capital."""
    length = min(len(word) // 2, LONGEST_ENDING)
    return word[len(word) - length :].lower(), length, word[0].isupper()
