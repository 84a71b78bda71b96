"""Words instead of wordpieces: where the upper layers of an encoder read on with a vector a word."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class WordGrid:
    """The words of a batch of pieces, as a batch of their own; [CLS] and [SEP] are words there, too.

    piece_ids: int64 ``(batch, length)``. mask: bool ``(batch, length)``, False at padding, which ends a row,
    or None where there is none. begins: int64 ``(n_words,)``, rising, positions of the words' first pieces in
    the flattened batch; between the first piece of a row and its last one there are no others.

    The attributes mask, bool ``(batch, longest)``, and begins, int64 ``(n_words,)``, are of the batch of
    words.
    """

    def __init__(self, piece_ids: Tensor, mask: Tensor | None, begins: Tensor) -> None:
        batch, length = piece_ids.shape
        rows = torch.arange(batch, device=piece_ids.device)
        lengths = torch.full_like(rows, length) if mask is None else mask.sum(1)
        starts = torch.zeros(batch, length, dtype=torch.bool, device=piece_ids.device)
        starts.view(-1)[begins] = True
        starts[:, 0] = True
        starts[rows, lengths - 1] = True
        column = starts.cumsum(1) - 1
        longest = int(column[:, -1].max()) + 1
        places = (column + rows[:, None] * longest).flatten()
        self.begins = places[begins]
        self.mask = torch.arange(longest, device=piece_ids.device) <= column[:, -1:]
        ends = functional.pad(starts[:, 1:], (0, 1))
        ends[rows, lengths - 1] = True
        self._first, self._last = (
            rows.new_zeros(batch * longest).index_copy_(0, places[found], found)
            for found in (at.flatten().nonzero().flatten() for at in (starts, ends))
        )
        self._shape = batch, longest

    def __call__(self, pieces: Tensor, scales: Tensor) -> Tensor:
        """Vectors of pieces ``(batch, length, width)``, and scales ``(2, width)`` of the first and the last
        one of a word, whose sum is its vector; returns ``(batch, longest, width)``, anything at padding."""
        first, last = scales
        flat = pieces.flatten(0, 1)
        return (flat[self._first] * first + flat[self._last] * last).view(*self._shape, -1)
