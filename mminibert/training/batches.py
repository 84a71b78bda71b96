"""Sentences as tensors of a device, from which batches are cut without leaving it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .conventions import NOT_GIVEN
from .pieces import PieceTable

MULTIPLE = 8
"""Batches are padded to a multiple of so many pieces on a GPU, whose kernels want that."""


@dataclass(frozen=True)
class Batch:
    """piece_ids int64 and mask bool ``(sentences, length)``; first int64 ``(n_words,)``, positions of the
    words' first pieces in the flattened batch; words int64 ``(n_words,)``, which of all words they are;
    conventions int64 ``(sentences,)``, or None where the model knows of none; whole: words of the batch that
    these sentences are a part of, or None if they are all of it."""

    piece_ids: Tensor
    mask: Tensor
    first: Tensor
    words: Tensor
    conventions: Tensor | None = None
    whole: int | None = None

    @property
    def n_words(self) -> int:
        """Of the whole batch."""
        return len(self.words) if self.whole is None else self.whole

    def part(self, start: int, end: int) -> Batch:
        """The sentences from start to before end, padded as they are; where these are none, the next one,
        none of whose words count, as no model wants an empty batch."""
        length = self.piece_ids.shape[1]
        own = (self.first >= start * length) & (self.first < end * length)
        end = max(end, start + 1)
        return Batch(
            self.piece_ids[start:end],
            self.mask[start:end],
            self.first[own] - start * length,
            self.words[own],
            None if self.conventions is None else self.conventions[start:end],
            self.n_words,
        )

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a `Tagger` is called with."""
        plain = self.piece_ids, self.mask, self.first
        return plain if self.conventions is None else (*plain, self.conventions)


@dataclass(frozen=True)
class Plan:
    """order: sentences, int64. bounds: the first and the end of each batch within them."""

    order: np.ndarray
    bounds: list[tuple[int, int]]


class Table:
    """A `PieceTable` on a device."""

    def __init__(self, table: PieceTable, device: str) -> None:
        self.counts = torch.from_numpy(table.counts).to(device, torch.int64)
        self.pieces = torch.from_numpy(table.pieces).to(device)
        self.offsets = self.counts.cumsum(0) - self.counts
        self.of = table


class Sentences:
    """Sentences as one tokenizer reads them.

    lengths: int64 ``(n,)``, pieces of each, with both special ones. n_words: int64 ``(n,)``, words of each
    that were not cut off. Both are NumPy arrays.
    """

    def __init__(
        self, words: Tensor, lengths: Tensor, table: Table, conventions: Tensor | None = None
    ) -> None:
        """words: int64, of each word the row in the table; lengths: int64, words of each sentence;
        conventions: int64, of each sentence, `NOT_GIVEN` where there is none, or None if the model knows of
        none."""
        of, device = table.of, words.device
        counts = table.counts[words]
        sentence = torch.arange(len(lengths), device=device).repeat_interleave(lengths)
        ends = counts.cumsum(0)
        before = functional.pad(ends, (1, 0))[lengths.cumsum(0) - lengths]
        within = ends - counts - before[sentence]  # pieces of the sentence before this word
        kept = within + counts + 2 <= of.max_pieces
        counts, sentence, within, rows = counts[kept], sentence[kept], within[kept], words[kept]
        self._lengths = torch.full_like(lengths, 2).index_add_(0, sentence, counts)
        self._n_words = torch.bincount(sentence, minlength=len(lengths))
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._flat = torch.full((int(self._lengths.sum()),), of.sep_id, dtype=torch.int32, device=device)
        self._flat[self._starts] = of.cls_id
        firsts = self._starts[sentence] + 1 + within
        step = torch.arange(int(counts.sum()), device=device)
        step -= (counts.cumsum(0) - counts).repeat_interleave(counts)
        source = table.offsets[rows].repeat_interleave(counts) + step
        self._flat[firsts.repeat_interleave(counts) + step] = table.pieces[source]
        # A blank's piece is the word's own at the start of a sentence alone, as spacy-transformers has it.
        blank = (self._flat[firsts] == of.blank_id) & (within > 0)
        self._first = (1 + within + blank).int()
        self._words = torch.nonzero(kept).flatten().int()
        self._word_starts = self._n_words.cumsum(0) - self._n_words
        self.pad_id, self.special_ids, self.device = of.pad_id, (of.cls_id, of.sep_id), device
        self.max_pieces, self.conventions = of.max_pieces, conventions
        self.lengths, self.n_words = self._lengths.cpu().numpy(), self._n_words.cpu().numpy()

    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """The batches of a plan, in its order, without the first ``start``."""
        chosen = torch.from_numpy(plan.order).to(self.device)
        lengths, n_words = self.lengths[plan.order], self.n_words[plan.order]
        multiple = MULTIPLE if self.device.type == "cuda" else 1
        for first, end in plan.bounds[start:]:
            longest = int(lengths[first:end].max())
            longest = max(min(-(-longest // multiple) * multiple, self.max_pieces), longest)
            yield self._batch(chosen[first:end], longest, int(n_words[first:end].sum()))

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
        conventions = None if self.conventions is None else self.conventions[sentences]
        first = self._first[kept] + row * longest
        return Batch(piece_ids, mask, first, self._words[kept].long(), conventions)

    def hide(self, batch: Batch, hidden: Tensor, mask_id: int) -> Batch:
        """The batch with ``mask_id`` for each piece of the words that are hidden, bool ``(n_words,)``."""
        ids = batch.piece_ids.flatten()
        begins = torch.zeros_like(ids)
        begins[batch.first] = 1
        word = (begins.cumsum(0) - 1).clamp_(min=0)
        covered = hidden[word] & batch.mask.flatten()
        for special in self.special_ids:
            covered &= ids != special
        return replace(batch, piece_ids=ids.masked_fill(covered, mask_id).view_as(batch.piece_ids))


def untold(batch: Batch, share: float, random: np.random.Generator) -> Batch:
    """The batch with a share of its sentences' conventions not given."""
    if batch.conventions is None:
        return batch
    hidden = torch.from_numpy(random.random(len(batch.conventions)) < share).to(batch.conventions.device)
    return replace(batch, conventions=batch.conventions.masked_fill(hidden, NOT_GIVEN))


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
