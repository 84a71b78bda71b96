"""Characters that stand for the same, as treebanks and the vocabulary write them; a Doc's text stays as it
is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["NormalText", "composed", "normal_form", "normal_text", "spelling", "unpointed"]

# Latin and Armenian ligatures, Arabic presentation forms, mathematical letters and digits.
_FORMS = "\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufdfb\ufe70-\ufefc\U0001d400-\U0001d7ff"
_FORM = re.compile(f"[{_FORMS}]")
# These and full-width digits and letters, which Japanese treebanks have too.
_COMPATIBLE = re.compile(f"[{_FORMS}\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
# What pointed text has beside its letters: vowel signs, and the stroke that makes a word longer. Nunation
# stays, as text without the others has it; some put it before the alef.
_ARABIC, _SIGNS = "\u0620-\u063f\u0641-\u064a\u066e\u066f\u0671-\u06d3\u06d5", "\u064e-\u0652\u0670"
_POINTS = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_POINTING = re.compile(
    f"(?<=[\u05d0-\u05ea])[{_POINTS}]+"
    f"|(?<=[{_ARABIC}\u0640\u064b-\u064d])[{_SIGNS}]+"
    f"|(?<=[{_ARABIC}\u064b-\u064d{_SIGNS}])\u0640+[{_SIGNS}]*(?=[{_ARABIC}])"
)
_NUNATION = re.compile("\u064b(\u0627)")
_APOSTROPHES = "\u2019\u02bc"
_INNER_APOSTROPHE = re.compile(rf"(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])")
_APOSTROPHE = re.compile(rf"(?<=[^\W\d_])[{_APOSTROPHES}]|[{_APOSTROPHES}](?=[^\W\d_])")
# Treebanks hardly have contractions after other quotes than the typewriter's, so that segmenters cut these.
_QUOTED = re.compile(r"(?<!\S)[“„«](?=[^\W\d_]+'[^\W\d_])")
# Punctuation that a vocabulary may lack.
_TYPEWRITTEN = str.maketrans(
    {"‘": "'", "’": "'", "´": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."}
)
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


def unpointed(word: str) -> str:
    """`composed`, without vowel signs and elongation (Arabic, Hebrew)."""
    return word if word.isascii() else _nunation_last(_POINTING.sub("", composed(word)))


def spelling(word: str) -> str:
    """`unpointed`, with the apostrophe of typewriters beside letters."""
    return word if word.isascii() else _APOSTROPHE.sub("'", unpointed(word))


def normal_form(word: str) -> str:
    """`spelling`, with compatible forms of letters and digits as plain ones, and quotes, dashes and dots as
    typewriters have them."""
    plain = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match.group()), word)
    return spelling(plain).translate(_TYPEWRITTEN)


def normal_text(text: str) -> NormalText | None:
    """Text with each character and its marks in normal form, unless that is longer, of full width or a blank,
    without vowel signs and elongation, with the apostrophe of typewriters between letters, and with their
    quote before a word that has one; None if it is so already. What is one character can't be cut."""
    if text.isascii():
        return None
    kept = np.ones(len(text) + 1, dtype=np.bool_)
    for match in _POINTING.finditer(text):
        kept[match.start() : match.end()] = False
    read = _INNER_APOSTROPHE.sub("'", _nunation_last(_POINTING.sub("", text)))
    read = _QUOTED.sub('"', read)
    if read == text and composed(text) is text and _FORM.search(text) is None:
        return None
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for cluster in _clusters(read):
        form = normal_form(cluster) if len(cluster) > 1 or _FORM.match(cluster) else cluster
        if len(form) > len(cluster) or any(map(str.isspace, form)):
            form = cluster
        parts.append(form)
        places += range(at, at + len(form))
        at += len(cluster)
    return NormalText("".join(parts), kept.nonzero()[0][[*places, at]])


def _nunation_last(text: str) -> str:
    return _NUNATION.sub("\\1\u064b", text)


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
