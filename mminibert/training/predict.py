"""What a model says of sentences, and how far that is right; needs PyTorch and NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .batches import Sentences, by_length
from .fields import Fields
from .model import Tagger

BATCH_PIECES = {"cuda": 65_536, "cpu": 4096}
"""Padded pieces a batch where nothing is learnt."""


@dataclass(frozen=True)
class HeldOut:
    """Sentences by which the best weights are chosen. values: int64 ``(n_words, n_fields)``, the index of each
    value within its field, -1 where it is unknown."""

    sentences: Sentences
    values: Tensor


@torch.no_grad()
def predict(model: Tagger, sentences: Sentences) -> Iterator[tuple[Tensor, Tensor]]:
    """Words and their logits, batch by batch."""
    model.eval()
    size = BATCH_PIECES[sentences.device.type]
    plan = by_length(np.arange(len(sentences.lengths)), sentences.lengths, size, np.random.default_rng(0))
    for batch in sentences.batches(plan):
        yield batch.words, model(*batch.inputs)


def label(
    model: Tagger, sentences: Sentences, fields: Fields, n_words: int, temperature: float = 1.0
) -> Tensor:
    """float16 ``(n_words, n_outputs)``: the probabilities at a temperature, 0 where a sentence was cut."""
    found = torch.zeros(n_words, len(fields.of), dtype=torch.float16, device=sentences.device)
    for words, logits in predict(model, sentences):
        found[words] = fields.log_softmax(logits.float() / temperature).exp().half()
    return found


def accuracy(model: Tagger, held_out: HeldOut, fields: Fields) -> dict[str, float]:
    """Of UPOS (``pos_acc``), and of all features of a word at once (``morph_acc``), each the best value of its
    field, on the words whose labels are known."""
    right = torch.zeros(2, device=held_out.values.device)
    known = torch.zeros(2, device=held_out.values.device)
    for words, logits in predict(model, held_out.sentences):
        gold = held_out.values[words]
        same = fields.best(logits) == gold
        has = torch.stack([gold[:, 0] >= 0, (gold[:, 1:] >= 0).all(1)])
        right += (torch.stack([same[:, 0], same[:, 1:].all(1)]) & has).sum(1)
        known += has.sum(1)
    upos, feats = (right / known.clamp(min=1)).tolist()
    return {"pos_acc": upos, "morph_acc": feats}
