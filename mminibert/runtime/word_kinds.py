"""What a word's characters say of its part of speech, whatever a network says."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .form_cache import FormCache

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["LETTERS", "OTHER", "PUNCTUATION", "SYMBOL", "kind_of", "possible_upos", "word_kinds"]

OTHER, LETTERS, SYMBOL, PUNCTUATION = range(4)
"""A word with two letters or more is no punctuation; one of symbols (emoji, arrows, ©) is a symbol; one of
punctuation is that, or a symbol such as `:-)`."""
SAID = frozenset("#%&*@_§¶‰")
"""Punctuation by its category that is read aloud: some treebanks have nouns or conjunctions of it."""


def kind_of(word: str) -> int:
    """By general categories (Unicode Standard, section 4.5): letters that are no modifiers; `So`, with what
    may follow it in an emoji; punctuation, `P`, but for what is `SAID`."""
    categories = [unicodedata.category(char) for char in word]
    if sum(category in ("Lu", "Ll", "Lt", "Lo") for category in categories) > 1:
        return LETTERS
    if "So" in categories and set(categories) <= {"So", "Sk", "Mn", "Me", "Cf"}:
        return SYMBOL
    if all(category[0] == "P" for category in categories):
        return OTHER if SAID.intersection(unicodedata.normalize("NFKC", word)) else PUNCTUATION
    return OTHER


def possible_upos(upos: Sequence[str]) -> npt.NDArray[np.bool_]:
    """bool ``(kinds, len(upos))``: which of these may be that of a word of each kind. All of them where
    a kind would have none left, as in a treebank without `SYM`."""
    names = np.asarray(upos)
    kinds = np.ones((4, len(upos)), dtype=bool)
    kinds[LETTERS] = names != "PUNCT"
    kinds[SYMBOL] = names == "SYM"
    kinds[PUNCTUATION] = (names == "PUNCT") | (names == "SYM")
    return kinds | ~kinds.any(axis=1, keepdims=True)


def word_kinds(doc: Doc, keys: Sequence[int], start: int) -> npt.NDArray[np.uint8]:
    """uint8 ``(len(keys),)``: of ``doc[start : start + len(keys)]``, whose hashes of spaCy's are the keys."""
    return np.frombuffer(bytes(_KINDS.of_doc(doc, keys, start)), dtype=np.uint8)


_KINDS = FormCache(kind_of)
