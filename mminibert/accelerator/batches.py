"""Sentences as tensors of the device, from which batches are cut without leaving it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .bundle import PieceTable

MULTIPLE = 8
"""Batches are padded to a multiple of so many pieces."""


@dataclass(frozen=True)
class Batch:
    """piece_ids int64 and mask bool ``(sentences, length)``; first int64 ``(n_words,)``, positions of the
    words' first pieces in the flattened batch; words int64 ``(n_words,)``, which of all words they are."""

    piece_ids: Tensor
    mask: Tensor
    first: Tensor
    words: Tensor


@dataclass(frozen=True)
class Plan:
    """order: sentences, int64. bounds: the first and the end of each batch within them."""

    order: np.ndarray
    bounds: list[tuple[int, int]]


class Sentences:
    """All sentences as one tokenizer reads them, on a device."""

    def __init__(self, words: np.ndarray, lengths: np.ndarray, table: PieceTable, device: str) -> None:
        """words: int32, of each word the row in the table; lengths: words of each sentence."""
        counts = table.counts[words].astype(np.int64)
        sentence = np.repeat(np.arange(len(lengths)), lengths)
        ends = counts.cumsum()
        before = np.concatenate([[0], ends])[np.concatenate([[0], lengths.cumsum()])[:-1]]
        within = ends - counts - before[sentence]  # pieces of the sentence before this word
        kept = within + counts + 2 <= table.max_pieces
        counts, sentence, within, rows = counts[kept], sentence[kept], within[kept], words[kept]
        self.lengths = np.bincount(sentence, counts, len(lengths)).astype(np.int64) + 2
        self.n_words = np.bincount(sentence, minlength=len(lengths)).astype(np.int64)
        starts = self.lengths.cumsum() - self.lengths
        flat = np.full(int(self.lengths.sum()), table.sep_id, dtype=np.int32)
        flat[starts] = table.cls_id
        offsets = table.counts.astype(np.int64).cumsum() - table.counts
        step = np.arange(int(counts.sum())) - np.repeat(counts.cumsum() - counts, counts)
        places = np.repeat(starts[sentence] + 1 + within, counts) + step
        flat[places] = table.pieces[np.repeat(offsets[rows], counts) + step]
        # A blank's piece is the word's own at the start of a sentence alone, as in `soft_corpus`.
        blank = (flat[starts[sentence] + 1 + within] == table.blank_id) & (within > 0)
        self.pad_id, self.device = table.pad_id, device

        def put(array: np.ndarray, dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(array).to(device, dtype)

        self._flat, self._first = put(flat, torch.int32), put(1 + within + blank, torch.int32)
        self._words = put(np.flatnonzero(kept), torch.int32)
        self._starts, self._lengths = put(starts, torch.int64), put(self.lengths, torch.int64)
        self._n_words = put(self.n_words, torch.int64)
        self._word_starts = put(self.n_words.cumsum() - self.n_words, torch.int64)

    def batches(self, plan: Plan) -> Iterator[Batch]:
        """The batches of a plan, in its order."""
        chosen = torch.from_numpy(plan.order).to(self.device)
        lengths, n_words = self.lengths[plan.order], self.n_words[plan.order]
        for start, end in plan.bounds:
            longest = -(-int(lengths[start:end].max()) // MULTIPLE) * MULTIPLE
            yield self._batch(chosen[start:end], longest, int(n_words[start:end].sum()))

    def _batch(self, sentences: Tensor, longest: int, n_words: int) -> Batch:
        columns = torch.arange(longest, device=self.device)
        mask = columns < self._lengths[sentences][:, None]
        places = (self._starts[sentences][:, None] + columns).clamp_(max=len(self._flat) - 1)
        piece_ids = self._flat[places].long().masked_fill_(~mask, self.pad_id)
        counts = self._n_words[sentences]
        row = torch.arange(len(sentences), device=self.device)
        row = row.repeat_interleave(counts, output_size=n_words)
        offsets = self._word_starts[sentences] - (counts.cumsum(0) - counts)
        kept = torch.arange(n_words, device=self.device) + offsets[row]
        return Batch(piece_ids, mask, self._first[kept] + row * longest, self._words[kept].long())


def cut(lengths: np.ndarray, batch_pieces: int) -> list[tuple[int, int]]:
    """Bounds of runs of sentences that have at most ``batch_pieces`` pieces when padded, or are one."""
    found = []
    start = 0
    while start < len(lengths):
        longest = np.maximum.accumulate(lengths[start : start + batch_pieces // 2 + 1])
        padded = longest * np.arange(1, len(longest) + 1)
        size = max(int(np.searchsorted(padded, batch_pieces, side="right")), 1)
        found.append((start, start + size))
        start += size
    return found


def by_length(order: np.ndarray, lengths: np.ndarray, batch_pieces: int, random: np.random.Generator) -> Plan:
    """Sentences in batches of like length, the batches in random order."""
    order = order[np.lexsort((random.random(len(order)), lengths[order]))]
    bounds = cut(lengths[order], batch_pieces)
    return Plan(order, [bounds[i] for i in random.permutation(len(bounds))])
