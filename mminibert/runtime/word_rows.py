"""Vectors of words and of the tokens that they are the words of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from .types import Floats
from .ud_words import Words

__all__ = ["TokenRows", "by_words", "word_docs"]

Backprop: TypeAlias = Callable[[list[Floats2d]], list[Doc]]
Forward: TypeAlias = Callable[[Model, list[Doc], bool], tuple[list[Floats2d], Backprop]]
"""What an encoder's layer computes: for each Doc float32 ``(n_tokens, width)``."""


class TokenRows(np.ndarray):
    """The vectors of the tokens of a Doc that has multiword tokens, float32 ``(n_tokens, width)``.

    A multiword token's is the mean of its words'. The array remembers these as long as it is the one that was
    made: slices, copies and what is read from bytes are plain.
    """

    words: Floats | None = None
    """float32 ``(n_words, width)``."""

    @classmethod
    def of(cls, rows: Floats, words: Words) -> TokenRows:
        """rows: of the words."""
        made = np.add.reduceat(rows, words.starts, axis=0).view(cls)
        made /= words.counts[:, None].astype(np.float32)
        made.words = rows
        return made


def by_words(forward: Forward) -> Forward:
    """What an encoder's layer computes, with the words of multiword tokens read in their place.

    Rows of a Doc with multiword tokens are `TokenRows`.
    """

    @wraps(forward)
    def forward_words(model: Model, docs: list[Doc], is_train: bool) -> tuple[list[Floats2d], Backprop]:
        words = [Words.of(doc) for doc in docs]
        read = [doc if own is None else own.doc for doc, own in zip(docs, words, strict=True)]
        rows, backprop = forward(model, read, is_train)
        ops: Any = model.ops

        def backprop_tokens(d_rows: list[Floats2d]) -> list[Doc]:
            backprop(
                [d if own is None else _d_words(d, own, ops) for d, own in zip(d_rows, words, strict=True)]
            )
            return docs

        return [
            of_words if own is None else ops.asarray2f(TokenRows.of(ops.to_numpy(of_words), own))
            for of_words, own in zip(rows, words, strict=True)
        ], backprop_tokens

    return forward_words


def _d_words(d_tokens: Floats2d, words: Words, ops: Any) -> Floats2d:
    """The gradient of the words' rows: each has its share of its token's."""
    shares = ops.to_numpy(d_tokens) / words.counts[:, None].astype(np.float32)
    return cast(Floats2d, ops.asarray2f(np.repeat(shares, words.counts, axis=0)))


def word_docs(docs: Sequence[Doc]) -> list[Doc]:
    """The Docs in which each word is a token, those without multiword tokens as they are.

    The new ones have the words' vectors as ``doc.tensor``, if an encoder left them in that of the Doc."""
    found = []
    for doc in docs:
        words = Words.of(doc)
        if words is not None and isinstance(doc.tensor, TokenRows) and doc.tensor.words is not None:
            words.doc.tensor = cast(Any, doc.tensor.words)
        found.append(doc if words is None else words.doc)
    return found
