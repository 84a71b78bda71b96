"""Tokens of texts as Docs, white space as in spaCy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import SENT_START
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .joined_texts import JoinedTexts
from .segmentation import Segmentation

__all__ = ["SegmentedDocs", "docs_of"]


class SegmentedDocs(NamedTuple):
    """docs: of each text. which, places: int64 ``(n_tokens,)``, the Doc that each token of the segmentation
    is in, and its place there."""

    docs: list[Doc]
    which: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


def docs_of(vocab: Vocab, texts: JoinedTexts, tokens: Segmentation) -> SegmentedDocs:
    """The Docs of texts.

    One U+0020 after a token belongs to it, other white space is a token of its own, of the sentence before or
    of the first.
    """
    text, starts, ends, begins = texts.text, tokens.starts, tokens.ends, tokens.begins
    n, n_texts = len(starts), len(texts.starts)
    bounds = np.concatenate([starts.searchsorted(texts.starts), [n]])
    numbers, places = np.arange(n_texts), np.arange(n)
    which = numbers.repeat(bounds[1:] - bounds[:-1])
    blanks = np.fromiter((text[end : end + 1] == " " for end in ends.tolist()), dtype=np.bool_, count=n)
    # White space before each token, less the blank that is the last token's, and at the end of each text.
    before, first, last = places + which, bounds[:-1] + numbers, bounds[1:] + numbers
    lows, highs = np.empty((2, n + n_texts), dtype=np.int64)
    lows[first], lows[before + 1] = texts.starts, ends + blanks
    highs[before], highs[last] = starts, texts.ends
    white = highs > lows
    where = white.nonzero()[0]
    if len(where):
        # If a text begins with white space, its first sentence does.
        is_first = np.zeros(len(white), dtype=np.bool_)
        is_first[first] = True
        begins = begins & ~(white & is_first)[before]
        at = where - last.searchsorted(where)
        starts, ends = np.insert(starts, at, lows[where]), np.insert(ends, at, highs[where])
        blanks, begins = np.insert(blanks, at, False), np.insert(begins, at, is_first[where])
        places += where.searchsorted(before, side="right")
        bounds[:-1] += where.searchsorted(first)
        bounds[-1] = len(starts)
    words = [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    spaces = blanks.tolist()
    values = cast("Any", np.where(begins, 1, -1).astype(np.uint64)[:, None])
    docs = []
    for start, end in pairwise(bounds.tolist()):
        doc = Doc(vocab, words=words[start:end], spaces=spaces[start:end])
        if end > start:
            doc.from_array([SENT_START], values[start:end])
        docs.append(doc)
    return SegmentedDocs(docs, which, places - bounds[which])
