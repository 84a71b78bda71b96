"""One vector a word: the sum of its pieces' embeddings, each scaled by whether it is the first of its word,
the last or neither, so that the layers read words instead of pieces."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FIRST, LAST, OTHER = 0, 1, 2
"""Where a piece is in its word; one that is alone is the first."""


class WordSums:
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
        starts = torch.zeros(batch, length, dtype=torch.int64, device=piece_ids.device)
        starts.view(-1)[begins] = 1
        starts[:, 0] = 1
        starts[rows, lengths - 1] = 1
        column = starts.cumsum(1) - 1
        self._longest = int(column[:, -1].max()) + 1
        self._kept = None if mask is None else mask.flatten()
        self._places = (column + rows[:, None] * self._longest).flatten()
        self.begins = self._places[begins]
        self.mask = torch.arange(self._longest, device=piece_ids.device) <= column[:, -1:]
        ends = functional.pad(starts[:, 1:], (0, 1), value=1)
        self._roles = torch.where(starts == 1, FIRST, torch.where(ends == 1, LAST, OTHER))

    def __call__(self, pieces: Tensor, scales: Tensor) -> Tensor:
        """Vectors of pieces ``(batch, length, width)``, and scales ``(3, width)`` of `FIRST`, `LAST` and
        `OTHER` ones; returns ``(batch, longest, width)``, 0 at padding."""
        batch, _, width = pieces.shape
        flat, places = (pieces * scales[self._roles]).flatten(0, 1), self._places
        if self._kept is not None:
            flat, places = flat[self._kept], places[self._kept]
        sums = flat.new_zeros(batch * self._longest, width).index_add(0, places, flat)
        return sums.view(batch, self._longest, width)
