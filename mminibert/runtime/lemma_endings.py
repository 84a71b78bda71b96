"""The suffix and the end of an edit script as numbers: to which words it applies, and what is known of the
lemma's end."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .lemma_scripts import WILDCARD
from .lemma_words import TAIL, char_hash, power, text_hash

__all__ = ["FACTORS", "SEEN", "Ending", "ending", "pattern", "salt"]

SEEN = 5
"""Characters of a lemma that are looked at, from the last one on."""
FACTORS = np.asarray(
    [0x9E3779B97F4A7C15 * (2 * i + 1) % (1 << 64) | 1 for i in range(1, TAIL + 1)], dtype=np.uint64
)
"""Of the hashes of a form's last characters, from the last one on, in the value of a pattern."""
_FACTOR_LIST: list[int] = FACTORS.tolist()


def pattern(suffix: str) -> tuple[bool, ...]:
    """Which of the last characters of a form a script with this suffix asks for, from the last one on."""
    return tuple(char != WILDCARD for char in reversed(suffix))


class Ending(NamedTuple):
    """What follows from the suffix and the end of a script. kind: its `pattern`; asked: the value of that
    which it asks for; spelled: of the end, see `spelled`, without wildcards; first, first_offset,
    literals, offsets: see `ScriptArrays`; wild: of each wildcard of the end its place, and the offset of
    what it stands for from the form's end."""

    kind: tuple[bool, ...]
    asked: int
    spelled: int
    first: int
    first_offset: int
    literals: list[int]
    offsets: list[int]
    wild: list[tuple[int, int]]


@lru_cache(maxsize=1 << 15)
def ending(suffix: str, end: str) -> Ending:
    """Scripts of many languages have the same."""
    kind = pattern(suffix)
    literal = sum(
        char_hash(char) * factor
        for char, factor in zip(reversed(suffix), _FACTOR_LIST, strict=False)
        if char != WILDCARD
    )
    kept = iter([len(suffix) - 1 - i for i, char in enumerate(suffix) if char == WILDCARD])
    # Of each character its hash, 0 for a wildcard, and the offset of what that stands for, else 0.
    chars = [(0, next(kept)) if char == WILDCARD else (char_hash(char), 0) for char in end]
    seen = [*chars[: -SEEN - 1 : -1], *((0, len(suffix) + i) for i in range(max(SEEN - len(end), 0)))]
    first, first_offset = chars[0] if chars else (0, 0)
    return Ending(
        kind,
        (literal + salt(kind)) % (1 << 64),
        sum(own * power(place) for place, (own, _) in enumerate(chars)) % (1 << 32),
        first,
        first_offset,
        [own for own, _ in seen],
        [offset for _, offset in seen],
        [(place, offset) for place, (own, offset) in enumerate(chars) if not own],
    )


@lru_cache(maxsize=1 << 10)
def salt(kind: tuple[bool, ...]) -> int:
    return text_hash("".join(map(str, map(int, kind)))) * 0xD1B54A32D192ED03 % (1 << 64)
