"""Characters as numbers."""

from __future__ import annotations

import unicodedata

import numpy as np

from .types import Ints

__all__ = ["CATEGORIES", "Alphabet"]

# fmt: off
CATEGORIES = (
    "Cc", "Cf", "Cn", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc",
    "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs",
)
# fmt: on
"""Unicode's general categories. A character that the alphabet lacks has the number of its category."""


class Alphabet:
    """Numbers of characters: 0 is none, then come `CATEGORIES`, then the characters of `known`, in this
    order."""

    def __init__(self, known: str) -> None:
        self.known = known
        first = 1 + len(CATEGORIES)
        self._categories = {name: i for i, name in enumerate(CATEGORIES, start=1)}
        self._numbers = {char: i for i, char in enumerate(known, start=first)}
        self.categories: Ints = np.asarray(
            [*range(first), *(self._categories[unicodedata.category(char)] for char in known)], dtype=np.int32
        )
        """Of each number, int32 ``(n,)``."""

    def __len__(self) -> int:
        return len(self.categories)

    def numbers(self, text: str) -> Ints:
        """int32 ``(n_characters,)``."""
        known, categories = self._numbers, self._categories
        found = [known.get(char) or categories[unicodedata.category(char)] for char in text]
        return np.asarray(found, dtype=np.int32)
