"""Characters that stand for the same, as treebanks and the vocabulary write them; a Doc's text stays as it
is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NormalText", "composed", "normal_form", "normal_text"]

# Latin and Armenian ligatures, Arabic presentation forms, mathematical letters and digits.
_FORMS = "\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufdfb\ufe70-\ufefc\U0001d400-\U0001d7ff"
_FORM = re.compile(f"[{_FORMS}]")
# These and full-width digits and letters, which Japanese treebanks have too.
_COMPATIBLE = re.compile(f"[{_FORMS}\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
_JAMO = range(0x1160, 0x1200)
"""Korean vowels and finals, which make a syllable with what is before them."""


class NormalText(NamedTuple):
    """places: int64 ``(len(text) + 1,)``, where each character of the text, and its end, is in what was
    given."""

    text: str
    places: npt.NDArray[np.int64]


def composed(word: str) -> str:
    """With letters and their marks as single characters, by Normalization Form C (Unicode Standard Annex 15);
    what that form takes apart (of Hindi, Hebrew) treebanks have as it is."""
    if word.isascii():
        return word
    found = unicodedata.normalize("NFC", word)
    return found if len(found) < len(word) else word


def normal_form(word: str) -> str:
    """`composed`, and compatible forms of letters and digits as plain ones."""
    plain = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match.group()), word)
    return composed(plain)


def normal_text(text: str) -> NormalText | None:
    """Text with each character and its marks in normal form, unless that is longer, of full width or a blank;
    None if it is so already. What is one character can't be cut."""
    if text.isascii() or (composed(text) is text and _FORM.search(text) is None):
        return None
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for cluster in _clusters(text):
        form = normal_form(cluster) if len(cluster) > 1 or _FORM.match(cluster) else cluster
        if len(form) > len(cluster) or any(map(str.isspace, form)):
            form = cluster
        parts.append(form)
        places += range(at, at + len(form))
        at += len(cluster)
    return NormalText("".join(parts), np.asarray([*places, at], dtype=np.int64))


def _clusters(text: str) -> Iterator[str]:
    """Characters with the marks that follow each."""
    start = 0
    for i, char in enumerate(text):
        if i > start and not (char > "\u02ff" and _joins(char)):
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _joins(char: str) -> bool:
    return unicodedata.category(char)[0] == "M" or ord(char) in _JAMO
