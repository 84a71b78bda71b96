"""Where the words of a batch of windows are, for layers that read a vector a word instead of one a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .windows import WindowBatch

__all__ = ["WORD_INPUTS", "word_places"]

WORD_INPUTS = ("read", "begins", "ends", "grid", "mask", "places", "first")
"""Inputs of a graph whose upper layers read words."""


def word_places(batch: WindowBatch) -> dict[str, npt.NDArray[np.int64] | npt.NDArray[np.bool_]]:
    """`WORD_INPUTS` of a batch of n windows with m words; [CLS] and [SEP] are words there, too.

    read: int64, the pieces in the flattened batch with which words begin or end; begins, ends: int64 (m,),
    which of these are each word's. Attention wants rows of equal length, and windows have more or fewer
    words: grid int64 (n, longest) is the word at each place of such rows, any at padding, where mask, bool
    (n, 1, longest, longest), is False; places int64 (m,) is where each word is in the flattened grid. first:
    int64, which of the words the tokens that are wanted are.
    """
    n, length = batch.piece_ids.shape
    starts = np.zeros((n, length), dtype=np.bool_)
    starts.reshape(-1)[batch.begins] = True
    starts[:, 0] = starts[:, -1] = True
    counts = starts.sum(1)
    begin = starts.reshape(-1)
    end = np.append(begin[1:], True)
    index = np.cumsum(begin | end) - 1
    longest = int(counts.max())
    mask = np.arange(longest) < counts[:, None]
    places = np.flatnonzero(mask)
    grid = np.zeros((n, longest), dtype=np.int64)
    grid.reshape(-1)[places] = np.arange(len(places))
    return {
        "read": np.flatnonzero(begin | end),
        "begins": index[begin],
        "ends": index[end],
        "grid": grid,
        "mask": np.repeat(mask[:, None, None, :], longest, axis=2),  # ONNX Runtime does not broadcast it
        "places": places,
        "first": np.cumsum(begin)[batch.first] - 1,
    }
