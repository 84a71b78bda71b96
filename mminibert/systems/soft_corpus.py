"""The training data of the loop: all targets in memory, and the batches of a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch

from ..data.corpus import group_by_length
from ..data.targets import Targets, read_shard
from ..runtime.wordpieces import Pieces
from ..training.sampling import draw

BUFFER = 64
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class Schedule:
    """Of the student's training; the config section ``[distillation]``.

    temperature: of the soft targets (1 for gold labels). words: how many the network sees, repetitions
    included. exponent: a group (the shards of one treebank, or of one language's text) of n words is drawn in
    proportion to ``n ** exponent``. batch_pieces: padded wordpieces a step. learn_rate,
    embedding_learn_rate: at their peak, after ``warmup`` (a fraction of all steps); then they fall linearly
    to 0. word_masking: how many of the words the network sees as [MASK], so that it learns from context.
    evaluate_steps: between two evaluations, each of which also writes a checkpoint.
    """

    temperature: float
    words: int
    exponent: float
    batch_pieces: int
    learn_rate: float
    embedding_learn_rate: float
    warmup: float
    weight_decay: float
    word_masking: float
    evaluate_steps: int
    seed: int

    def rate(self, step: int, total: int) -> float:
        """The factor on both learning rates at a step."""
        rising = max(int(self.warmup * total), 1)
        return (step + 1) / rising if step < rising else max(total - step, 0) / max(total - rising, 1)


class SoftCorpus:
    """All shards in memory: sentences as wordpieces, and their words' targets."""

    def __init__(self, paths: Sequence[Path], pieces: Pieces, *, max_pieces: int) -> None:
        """max_pieces: with [CLS] and [SEP]; a longer sentence is cut at a word.

        Raises FileNotFoundError if there are no shards.
        """
        if not paths:
            raise FileNotFoundError("no shards of targets; run the step `collect` first")
        self.pad_id, self.cls_id, self.sep_id = pieces.pad_id, pieces.cls_id, pieces.sep_id
        self.mask_id = pieces.mask_id
        self.groups: list[str] = []
        piece_ids: list[np.ndarray] = []
        first: list[np.ndarray] = []
        words: list[int] = []
        kept: list[Targets] = []
        for path in sorted(paths):
            shard = read_shard(path)
            kept.append(shard.targets)
            for sentence in shard.sentences:
                ids, starts = [pieces.cls_id], []
                for word in sentence:
                    found = pieces.pieces(word)
                    if len(ids) + len(found) + 1 > max_pieces:
                        break
                    # As in `labelling`: a blank's piece is the word's own at the start of a sentence alone.
                    starts.append(len(ids) + (len(ids) > 1 and found[0] == pieces.blank_id))
                    ids.extend(found)
                piece_ids.append(np.asarray([*ids, pieces.sep_id], dtype=np.int32))
                first.append(np.asarray(starts, dtype=np.int32))
                words.append(len(sentence))
                self.groups.append(path.name.rpartition("-")[0])
        self.piece_ids, self.first = piece_ids, first
        self.word_starts = np.cumsum([0, *words])
        self.targets = Targets.join(kept)
        self.entry_starts = np.cumsum(np.concatenate([[0], self.targets.counts.astype(np.int64)]))

    @property
    def n_words(self) -> int:
        return int(self.word_starts[-1])

    def batch(
        self, sentences: Sequence[int], *, masking: float = 0.0, seed: Sequence[int] = ()
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Targets]:
        """Padded piece_ids int64, mask bool, flat positions of first pieces int64, and the targets.

        masking: of the words, chosen by `seed`, this share has [MASK] for each of its pieces.
        """
        longest = max(len(self.piece_ids[i]) for i in sentences)
        ids = np.full((len(sentences), longest), self.pad_id, dtype=np.int64)
        lengths = np.asarray([len(self.piece_ids[i]) for i in sentences])
        for row, i in enumerate(sentences):
            ids[row, : lengths[row]] = self.piece_ids[i]
        first = np.concatenate(
            [self.first[i].astype(np.int64) + r * longest for r, i in enumerate(sentences)]
        )
        mask = np.arange(longest) < lengths[:, None]
        if masking:
            hidden = np.random.default_rng(seed).random(len(first)) < masking
            word = np.zeros(ids.size, dtype=np.int64)
            word[first] = 1
            inner = mask & (ids != self.cls_id) & (ids != self.sep_id)
            ids[inner & hidden[np.maximum(word.cumsum() - 1, 0)].reshape(ids.shape)] = self.mask_id
        # A sentence that was cut has fewer words here than targets; the first ones belong to it.
        words = np.concatenate([np.arange(len(self.first[i])) + self.word_starts[i] for i in sentences])
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(first), self._targets(words)

    def _targets(self, words: np.ndarray) -> Targets:
        counts = self.targets.counts[words].astype(np.int64)
        offsets = np.repeat(self.entry_starts[words] - np.cumsum(counts) + counts, counts)
        entries = np.arange(int(counts.sum())) + offsets
        return Targets(
            self.targets.upos[words],
            counts,
            self.targets.columns[entries],
            self.targets.probs[entries],
            self.targets.known[words],
            self.targets.temperature,
        )


def plan(corpus: SoftCorpus, schedule: Schedule) -> Iterator[list[int]]:
    """The batches (indices of sentences) of the whole training; the same for the same seed."""
    lengths = np.diff(corpus.word_starts)
    seen = 0
    for epoch in count():
        for batch in plan_epoch(corpus, schedule, epoch):
            if seen >= schedule.words:
                return
            seen += int(lengths[batch].sum())
            yield batch


def plan_epoch(corpus: SoftCorpus, schedule: Schedule, epoch: int) -> list[list[int]]:
    """The batches of an epoch, which has as many words as the corpus."""
    random = np.random.default_rng([schedule.seed, epoch])
    _, group_of = np.unique(corpus.groups, return_inverse=True)
    order = random.permutation(draw(group_of, np.diff(corpus.word_starts), schedule.exponent, random))
    lengths = [len(corpus.piece_ids[i]) for i in order]
    batches: list[list[int]] = []
    step = max(1, schedule.batch_pieces * BUFFER // max(int(np.mean(lengths)), 1))
    for start in range(0, len(order), step):
        groups = group_by_length(lengths[start : start + step], size=schedule.batch_pieces)
        found = [[int(order[start + i]) for i in group] for group in groups]
        batches.extend(found[i] for i in random.permutation(len(found)))
    return batches
