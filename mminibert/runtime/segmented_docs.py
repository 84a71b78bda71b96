"""Tokens of a text as a Doc, white space as in spaCy."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import SENT_START
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .segmentation import Segmentation

__all__ = ["doc_of"]


def doc_of(vocab: Vocab, text: str, tokens: Segmentation) -> tuple[Doc, npt.NDArray[np.int64]]:
    """The Doc of a text, and the place of each token in it, int64 ``(n_tokens,)``.

    One U+0020 after a token belongs to it, other white space is a token of its own, of the sentence before or
    of the first.
    """
    starts, ends, begins = tokens.starts, tokens.ends, tokens.begins
    places = np.arange(len(starts))
    blanks = np.asarray([text[end : end + 1] == " " for end in ends.tolist()], dtype=np.bool_)
    # White space before each token and at the end of the text, less the blank that is the last token's.
    lows, highs = np.zeros(len(starts) + 1, dtype=np.int64), np.full(len(starts) + 1, len(text))
    lows[1:], highs[:-1] = ends + blanks, starts
    where = (highs > lows).nonzero()[0]
    if len(where):
        starts, ends = np.insert(starts, where, lows[where]), np.insert(ends, where, highs[where])
        blanks, begins = np.insert(blanks, where, False), np.insert(begins, where, False)
        places += where.searchsorted(places, side="right")
    words = [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    doc = Doc(vocab, words=words, spaces=blanks.tolist())
    if words:
        values = np.where(begins, 1, -1)
        values[: int(places[0]) + 1 if len(places) else 1] = -1
        values[0] = 1
        doc.from_array([SENT_START], cast("Any", values.astype(np.uint64)[:, None]))
    return doc, places
