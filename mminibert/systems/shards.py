"""The shards of targets as what the loop learns from, and gold sentences as what it is scored by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from spacy.training import Example

from ..data.targets import Targets, densify, read_shard
from ..runtime.doc_labels import gold_labels
from ..runtime.types import Floats, Ints
from ..training.batches import Sentences, Table
from ..training.pieces import distinct, piece_table
from ..training.predict import HeldOut
from ..training.schedule import Schedule
from ..training.targets import Stored
from .model import PipelineTagger


def stored_targets(
    paths: Iterable[Path],
    model: PipelineTagger,
    schedule: Schedule,
    *,
    temperature: float,
    masking: float,
    not_given: float = 0.0,
) -> Stored:
    """All shards in memory; those of one treebank, or of one language's text, are a group. The settings are
    those of `Stored`.

    Raises FileNotFoundError if there are no shards, ValueError for a damaged one or a temperature that they
    do not have.
    """
    words: list[Sequence[str]] = []
    names: list[str] = []
    conventions: list[str] = []
    kept: list[Targets] = []
    for path in sorted(paths):
        shard = read_shard(path)
        kept.append(shard.targets)
        words += shard.sentences
        conventions += shard.conventions
        names += [path.name.rpartition("-")[0]] * len(shard.sentences)
    if not words:
        raise FileNotFoundError("no shards of targets; run the step `collect` first")
    sentences, n_words = read_sentences(words, model, conventions)
    _, groups = np.unique(names, return_inverse=True)
    dense = Shards(kept, model.pipe.inventory.starts)
    dense(np.zeros(0, dtype=np.int64), temperature)  # a temperature that they do not have is refused now
    return Stored(
        sentences,
        groups,
        n_words,
        dense,
        schedule,
        temperature=temperature,
        masking=masking,
        mask_id=model.pieces.mask_id,
        not_given=not_given,
    )


def held_out(
    examples: Sequence[Example], model: PipelineTagger, conventions: Sequence[str] | None = None
) -> HeldOut:
    """Gold sentences; a value that the model does not have counts as unknown. conventions: the code of each
    sentence's, if it is to be given."""
    words = [[token.text for token in example.predicted] for example in examples]
    sentences, _ = read_sentences(words, model, [""] * len(words) if conventions is None else conventions)
    labels = [label for example in examples for label in gold_labels(example)]
    values = torch.from_numpy(model.pipe.inventory.encode(labels).astype(np.int64))
    return HeldOut(sentences, values.to(model.device))


def read_sentences(
    words: Sequence[Sequence[str]], model: PipelineTagger, conventions: Sequence[str]
) -> tuple[Sentences, np.ndarray]:
    """As the model reads them, on its device; and the number of words of each."""
    device = str(model.device)
    forms, rows, lengths = distinct(words)
    table = Table(piece_table(model.pieces, forms, model.max_pieces), device)
    flat, counts = (torch.from_numpy(array).long().to(device) for array in (rows, lengths))
    return Sentences(flat, counts, table, model.told(conventions)), lengths.astype(np.int64)


class Shards:
    """The targets of shards, one after the other."""

    def __init__(self, parts: Sequence[Targets], starts: Ints) -> None:
        self.starts = starts
        self.targets = Targets.join(parts)
        self._entry_starts = np.cumsum(np.concatenate([[0], self.targets.counts.astype(np.int64)]))

    def __call__(self, words: np.ndarray, temperature: float) -> Floats:
        """float32 ``(n_words, n_outputs)`` of these words, int64 ``(n_words,)``."""
        counts = self.targets.counts[words]
        offsets = np.repeat(self._entry_starts[words] - np.cumsum(counts, dtype=np.int64) + counts, counts)
        entries = np.arange(int(counts.sum())) + offsets
        part = Targets(
            self.targets.upos[words],
            counts,
            self.targets.columns[entries],
            self.targets.probs[entries],
            self.targets.known[words],
            self.targets.temperature,
        )
        return densify(part, self.starts, temperature)
