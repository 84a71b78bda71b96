"""Forms as arrays: hashes of their ends, beginnings and middles, of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from .lemma_scripts import lowered, shape

__all__ = [
    "BEYOND",
    "LONGEST",
    "TAIL",
    "Hashes",
    "Words",
    "char_hash",
    "char_hashes",
    "mixed",
    "power",
    "powers",
    "spelled",
    "text_hash",
]

Hashes = npt.NDArray[np.uint32]
"""A uint32 array of hashes, computed modulo 2^32."""

TAIL, HEAD = 16, 5
"""Characters that are looked at from the end, and from the beginning."""
BEYOND = 1
"""In the place of a character before the first one."""
BASE = 0x9E3779B1
"""The base of the polynomials that strings are hashed by; odd, so that it has an inverse."""
INVERSE = pow(BASE, -1, 1 << 32)
LONGEST = 512
"""Characters of a form that are read; a longer one is its own lemma."""
FURTHEST = 2 * LONGEST
"""The largest exponent that there is a power for."""


def mixed(values: Hashes) -> Hashes:
    """Each bit depends on all others (the finalizer of MurmurHash3, Appleby 2011)."""
    values = values ^ (values >> np.uint32(16))
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def text_hash(text: str) -> int:
    """CRC-32 of its UTF-8."""
    return crc32(text.encode("utf-8", "surrogatepass"))


def char_hashes(text: str) -> Hashes:
    """uint32 ``(n_chars,)``."""
    return mixed(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy())


@lru_cache(maxsize=1 << 14)
def char_hash(char: str) -> int:
    """That of one character."""
    return int(char_hashes(char)[0])


def power(exponent: int) -> int:
    """`BASE` to an exponent of 0 to `FURTHEST`."""
    return _POWER_LIST[FURTHEST + exponent]


def powers(exponents: npt.NDArray[np.int64]) -> Hashes:
    """`BASE` to exponents of -`FURTHEST` to `FURTHEST`."""
    return _POWERS[exponents + FURTHEST]


def _all_powers() -> Hashes:
    found = [1]
    for _ in range(FURTHEST):
        found.append(found[-1] * BASE % (1 << 32))
    below = [1]
    for _ in range(FURTHEST):
        below.append(below[-1] * INVERSE % (1 << 32))
    return np.asarray(below[:0:-1] + found, dtype=np.uint32)


_POWERS = _all_powers()
_POWER_LIST: list[int] = _POWERS.tolist()


@lru_cache(maxsize=1 << 14)
def spelled(text: str) -> int:
    """The polynomial of a string: the sum of its characters' hashes times `BASE` to their places."""
    return sum(char_hash(char) * power(i) for i, char in enumerate(text)) % (1 << 32)


@dataclass(frozen=True)
class Words:
    """n forms, in lower case, of which all arrays have a row each. shapes: uint32 ``(n,)``, see `shape`.

    lengths: int64 ``(n,)``. chars: uint32, the hashes of all characters, one form after the other; starts:
    int64 ``(n,)``, the first one of each."""

    shapes: Hashes
    lengths: npt.NDArray[np.int64]
    chars: Hashes
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, forms: Sequence[str]) -> Words:
        low = [lowered(form[:LONGEST]) for form in forms]
        shapes = [0 if text == form else shape(form) for text, form in zip(low, forms, strict=True)]
        lengths = np.fromiter(map(len, low), dtype=np.int64, count=len(low))
        return cls(
            np.asarray(shapes, dtype=np.uint32),
            lengths,
            char_hashes("".join(low)),
            np.cumsum(lengths) - lengths,
        )

    @cached_property
    def tails(self) -> Hashes:
        """uint32 ``(n, TAIL)``: the hashes of characters from the last one on."""
        places = self.starts[:, None] + self.lengths[:, None] - 1 - np.arange(TAIL)
        return self.at(places, places >= self.starts[:, None])

    @cached_property
    def heads(self) -> Hashes:
        """uint32 ``(n, HEAD)``: those from the first one on."""
        places = self.starts[:, None] + np.arange(HEAD)
        return self.at(places, places < (self.starts + self.lengths)[:, None])

    @cached_property
    def sums(self) -> Hashes:
        """uint32 ``(n_chars + 1,)``: of the characters before, each times the power of its place in its
        form."""
        places = np.arange(len(self.chars)) - np.repeat(self.starts, self.lengths)
        found = np.zeros(len(self.chars) + 1, dtype=np.uint32)
        np.cumsum(self.chars * powers(places), dtype=np.uint32, out=found[1:])
        return found

    def parts(
        self, rows: npt.NDArray[np.int64], first: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> Hashes:
        """uint32 ``(n_rows,)``: what the characters from one up to another add to the polynomial of each
        form."""
        starts = self.starts[rows]
        return self.sums[starts + end] - self.sums[starts + first]

    def at(self, places: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]) -> Hashes:
        """The hashes of all forms' characters at these places, `BEYOND` where there is none."""
        if not len(self.chars):
            return np.full(places.shape, BEYOND, dtype=np.uint32)
        return np.where(there, self.chars[np.where(there, places, 0)], np.uint32(BEYOND))
