"""Text as units, what the segmenter decides between: a run of characters without a blank, or one character
where a script writes no blanks."""

from __future__ import annotations

import re
import unicodedata
import zlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .types import Ints

__all__ = [
    "LONGEST_UNIT",
    "NOTHING",
    "SENTENCE",
    "TOKEN",
    "UNIT",
    "UNSPACED",
    "WORD",
    "Gap",
    "UnitsOfText",
    "gap_of",
    "hash_unit",
    "is_unspaced",
    "pair_rows",
    "units_of",
]

NOTHING, TOKEN, SENTENCE, WORD = range(4)
"""What ends after a character; a word: within a multiword token."""
LONGEST_UNIT = 40
"""Characters; a longer run is several units."""

# Han with iteration marks, Hiragana, and their punctuation, as no blank parts it from what follows, of
# whatever script; Katakana, mostly one word a run; Thai, Lao, Burmese and Khmer letters, which take their
# marks along.
_SINGLE = (
    "\u3001-\u3003\u3005-\u3011\u3014-\u301f\u3041-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\U00020000-\U0003ffff"
)
_KATAKANA = "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_LETTERS = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff"
_MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u1056-\u1059\u17b4-\u17d3"
)
UNSPACED = f"{_SINGLE}{_KATAKANA}{_LETTERS}"
"""Characters of scripts that write no blanks between words, for a regular expression's brackets."""
# Quotation marks, which are of many scripts, are single ones after the characters of these.
_QUOTES = "\"'\u2018-\u201f"
UNIT = re.compile(
    rf"[{_SINGLE}]|(?<=[{_SINGLE}{_KATAKANA}])[{_QUOTES}]"
    rf"|[{_KATAKANA}]{{1,{LONGEST_UNIT}}}|[{_LETTERS}][{_MARKS}]{{0,{LONGEST_UNIT - 1}}}"
    rf"|[^\s{UNSPACED}]{{1,{LONGEST_UNIT}}}"
)
_UNIT_BY_UNIT = re.compile(f"({UNIT.pattern})")
_UNSPACED = re.compile(f"[{UNSPACED}]")


class Gap(IntEnum):
    """What stands between a unit and the next."""

    NONE = 0
    BLANK = 1
    """One blank, as wide as it may be: a character of the category Zs."""
    OTHER = 2
    """Other white space without a line break."""
    LINE = 3
    """White space with one line break."""
    PARAGRAPH = 4
    """White space with several."""


def gap_of(white_space: str) -> Gap:
    """Line breaks are those of `str.splitlines`."""
    if not white_space:
        return Gap.NONE
    if len(white_space) == 1 and unicodedata.category(white_space) == "Zs":
        return Gap.BLANK
    breaks = len(f"{white_space}.".splitlines()) - 1
    return Gap.PARAGRAPH if breaks > 1 else Gap.LINE if breaks else Gap.OTHER


class UnitsOfText(NamedTuple):
    """The units of a text; starts and ends: int64 ``(n_units,)``, their places in it; gaps: int32
    ``(n_units,)``, the `Gap` after each."""

    units: list[str]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    gaps: Ints


def units_of(text: str) -> UnitsOfText:
    parts = _UNIT_BY_UNIT.split(text)  # white space, unit, white space, ..., white space
    bounds = np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)))
    gaps = [0 if not gap else 1 if gap == " " else gap_of(gap) for gap in parts[2::2]]
    return UnitsOfText(parts[1::2], bounds[:-1:2], bounds[1::2], np.asarray(gaps, dtype=np.int32))


def is_unspaced(unit: str) -> bool:
    """Whether it is of a script that writes no blanks between words."""
    return _UNSPACED.match(unit) is not None


def hash_unit(unit: str) -> int:
    """32 bits, the same on all machines."""
    return zlib.crc32(unit.encode("utf-8", "surrogatepass"))


def pair_rows(
    hashes: npt.NDArray[np.uint64], unspaced: npt.NDArray[np.bool_], gaps: Ints, n_rows: int
) -> npt.NDArray[np.int64]:
    """Of each unit the row, from 1, of a table of pairs of neighbours, that of the pair with the next unit; 0
    where there is none.

    Pairs are of two characters of a script without blanks that nothing parts. hashes uint64, unspaced bool,
    gaps int, each ``(..., n)``.
    """
    rows = np.zeros(hashes.shape, dtype=np.int64)
    if hashes.shape[-1] < 2 or not unspaced.any():
        return rows
    mixed = hashes[..., :-1] * np.uint64(0x9E3779B1) + hashes[..., 1:] * np.uint64(0x85EBCA77)
    found = 1 + ((mixed >> np.uint64(7)) % np.uint64(n_rows - 1)).astype(np.int64)
    near = gaps[..., :-1] == Gap.NONE
    rows[..., :-1] = np.where(unspaced[..., :-1] & unspaced[..., 1:] & near, found, 0)
    return rows
