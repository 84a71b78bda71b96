"""The syntactic words of multiword tokens, such as ``de`` and ``el`` of ``del``: where a Doc has them, their
tags, and the Doc in which each word is a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import IDX, LENGTH, SENT_START
from spacy.tokens import Doc, Token

from .labels import Label

__all__ = [
    "UD_WORDS",
    "UdWords",
    "Words",
    "head_word",
    "multiword_tokens",
    "set_lemmas",
    "set_tags",
    "set_words",
    "ud_lemmas",
    "ud_words",
    "word_lemmas",
]

UD_WORDS = "mminibert_ud_words"
"""The name under which a Doc's user data have the words of multiword tokens, and that nobody else has. A user
sees them in ``token._.ud_words``, unless that is an extension of the user's own."""

UD_LEMMAS = "mminibert_ud_lemmas"
"""The same of their lemmas, which a user sees in ``token._.ud_lemmas``."""

CONTENT = frozenset({"ADJ", "ADV", "INTJ", "NOUN", "NUM", "PROPN", "SYM", "VERB", "X"})
"""UPOS of content words."""

UdWords: TypeAlias = tuple[tuple[str, str, str], ...]
"""Form, UPOS and FEATS of each word, ``_`` for none."""


def set_words(token: Token, forms: Sequence[str]) -> None:
    """Make this a multiword token, of words of these forms, which have no tags yet.

    The words survive what keeps user data: ``DocBin(store_user_data=True)``, bytes, ``doc.copy()``,
    ``Doc.from_docs``, ``span.as_doc(copy_user_data=True)``. A token that is merged or split has none.
    Raises ValueError if there is no form, or an empty one.
    """
    store_words(token, tuple((form, "_", "_") for form in forms))


def store_words(token: Token, words: UdWords) -> None:
    """The same with tags. Raises ValueError if there is no word, or one without a form."""
    if not words or not all(form for form, _, _ in words):
        raise ValueError(
            f"got the words {[form for form, _, _ in words]} for the token {token.text!r}, expected one or "
            "more, each with a form"
        )
    _user_data(token.doc)[_key(token)] = words


def ud_words(token: Token) -> UdWords | None:
    """The words of a multiword token as ``(form, upos, feats)``, None for any other token."""
    words = _user_data(token.doc).get(_key(token))
    return None if words is None else _as_tuples(words)


def set_lemmas(token: Token, lemmas: Sequence[str]) -> None:
    """Give the words of a multiword token these lemmas, kept as the words are."""
    _user_data(token.doc)[_key(token, UD_LEMMAS)] = tuple(lemmas)


def ud_lemmas(token: Token) -> tuple[str, ...] | None:
    """The lemmas of the words of a multiword token, None for any other token and where no lemmas are
    known."""
    lemmas = _user_data(token.doc).get(_key(token, UD_LEMMAS))
    return None if lemmas is None else tuple(lemmas)


def word_lemmas(token: Token) -> tuple[str, ...]:
    """The lemma of each word of a token, which is one word unless it is a multiword token; empty ones where
    none are
    known."""
    words = ud_words(token)
    return (token.lemma_,) if words is None else ud_lemmas(token) or ("",) * len(words)


for _name, _getter in (("ud_words", ud_words), ("ud_lemmas", ud_lemmas)):
    if not Token.has_extension(_name):
        Token.set_extension(_name, getter=_getter)


def _key(token: Token, name: str = UD_WORDS) -> tuple[str, str, int, int]:
    # As of an extension of Spans: spaCy moves its characters along with the text, and a token that got other
    # ones has no words any more.
    return ("._.", name, token.idx, token.idx + len(token))


def _user_data(doc: Doc) -> dict[Any, Any]:
    return cast("dict[Any, Any]", doc.user_data)


def _as_tuples(words: Sequence[Sequence[str]]) -> UdWords:
    """Lists, as bytes give them, and tuples alike."""
    return tuple((form, upos, feats) for form, upos, feats in words)


def multiword_tokens(doc: Doc) -> dict[int, UdWords]:
    """The words of each multiword token by its number, in order.

    Costs nothing for a Doc without user data, and a look at each of these otherwise.
    """
    found = {
        key[2:]: words
        for key, words in _user_data(doc).items()
        if isinstance(key, tuple) and key[:2] == ("._.", UD_WORDS)
    }
    if not found:
        return {}
    places = doc.to_array([IDX, LENGTH]).tolist()
    spans = [(start, start + length) for start, length in places]
    return {i: _as_tuples(found[span]) for i, span in enumerate(spans) if span in found}


@dataclass(frozen=True)
class Words:
    """A Doc as its words. doc: in it each word is a token, of the same sentences. starts: int64
    ``(n_tokens,)``, the word with which each token begins."""

    doc: Doc
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, doc: Doc) -> Words | None:
        """None if the Doc has no multiword token, so that it is its words itself."""
        found = multiword_tokens(doc)
        if not found:
            return None
        forms: list[str] = []
        spaces: list[bool] = []
        for i, token in enumerate(doc):
            parts = [form for form, _, _ in found[i]] if i in found else [token.text]
            forms += parts
            spaces += [False] * (len(parts) - 1) + [bool(token.whitespace_)]
        starts = _starts(len(doc), found)
        sentences = np.full(len(forms), -1)
        sentences[starts] = doc.to_array(SENT_START).astype(np.int64)
        words = Doc(doc.vocab, words=forms, spaces=spaces, sent_starts=sentences.tolist())
        return cls(words, starts)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64 ``(n_tokens,)``: the number of words of each token."""
        return np.diff(self.starts, append=len(self.doc))


def set_tags(doc: Doc, labels: Sequence[Label]) -> npt.NDArray[np.int64]:
    """Give the words of multiword tokens their tags, and return the head of each token.

    labels: of all words. Returns int64 ``(n_tokens,)``, indices of words.
    """
    found = multiword_tokens(doc)
    heads = _starts(len(doc), found)
    for i, words in found.items():
        start = int(heads[i])
        tags = labels[start : start + len(words)]
        store_words(doc[i], tuple((form, *tag) for (form, _, _), tag in zip(words, tags, strict=True)))
        heads[i] += head_word([upos for upos, _ in tags])
    return heads


def _starts(n_tokens: int, found: dict[int, UdWords]) -> npt.NDArray[np.int64]:
    counts = np.ones(n_tokens, dtype=np.int64)
    counts[list(found)] = [len(words) for words in found.values()]
    return np.cumsum(counts) - counts


def head_word(upos: Sequence[str]) -> int:
    """Which word of a multiword token is its head, by their UPOS: the first content word, else the first
    pronoun, else the first word.

    Of 88,624 multiword tokens of 21 languages, in training and dev sets with dependency heads, this is for
    95.2% the first word whose own head lies outside of the token (89.3% in Hebrew, 76.8% in Tamil, over 98%
    in 15 languages); the first word is for 65.9%, the last one for 32.6%.
    """
    ranks = [0 if tag in CONTENT else 1 if tag == "PRON" else 2 for tag in upos]
    return ranks.index(min(ranks))
