"""Text written otherwise: without its capitals, in capitals, in simplified Chinese characters.

Treebanks have little of it and users have much. What ends where stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ..runtime.languages import language_of
from .segmenter_data import Running, Units

__all__ = ["WRITINGS", "Writing", "simplified", "writings"]

MAINLAND = str.maketrans("「」『』", "“”‘’")
"""Quotation marks as they are where characters are simplified."""


@dataclass(frozen=True)
class Writing:
    """change: of a unit. share: of the text that is written so. language: the only one that is, if not
    all."""

    change: Callable[[str], str]
    share: float
    language: str | None = None


def simplified(text: str) -> str:
    """Chinese in simplified characters, by OpenCC's table of single ones, and with the quotation marks that
    go with them."""
    return "".join(_simplified(char) for char in text).translate(MAINLAND)


@cache
def _simplified(char: str) -> str:
    return str(_converter().convert(char))


@cache
def _converter() -> Any:
    from opencc import OpenCC  # the only one that needs it is Chinese

    return OpenCC("t2s")


WRITINGS = (Writing(str.lower, 0.04), Writing(str.upper, 0.02), Writing(simplified, 0.4, "zh"))


def writings(code: str, text: Running, units: Units) -> Iterator[tuple[Running, float]]:
    """A treebank's text as it is and as it may be written otherwise, with the share of each. A unit whose
    length would change stays as it is."""
    own = 1.0
    for writing in WRITINGS:
        if writing.language not in (None, language_of(code)):
            continue
        changed = _written(text, units, writing.change)
        if changed is not None:
            own -= writing.share
            yield changed, writing.share
    yield text, own


def _written(text: Running, units: Units, change: Callable[[str], str]) -> Running | None:
    """None if nothing changes."""
    different, which = np.unique(text.units, return_inverse=True)
    of_different = []
    for unit in different.tolist():
        before = units.texts[unit]
        after = change(before)
        of_different.append(units.add(after) if len(after) == len(before) else unit)
    changed = np.asarray(of_different, dtype=np.int32)
    if np.array_equal(changed, different):
        return None
    return replace(text, units=changed[which])
