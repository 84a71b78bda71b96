"""Teacher and students on an accelerator: the loop of ``distill`` with all data on the device.

Needs PyTorch and NumPy alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..projection import Projection
from ..sampling import draw
from .batches import Plan, Sentences, by_length
from .tagger import Data, Tagger, state

LABEL_PIECES = 65_536
"""Padded pieces a batch where nothing is learnt."""


@dataclass(frozen=True)
class Schedule:
    """words, seconds: training ends with whichever is reached first, and the learning rate falls to 0 by
    then. Of the rest see ``soft_corpus.Schedule``; evaluations: how many, at equal distances."""

    words: int
    seconds: float
    exponent: float
    batch_pieces: int
    learn_rate: float
    embedding_learn_rate: float
    warmup: float
    weight_decay: float
    evaluations: int
    seed: int

    def rate(self, done: float) -> float:
        """The factor on the learning rates when this share of the training is done."""
        return done / self.warmup if done < self.warmup else (1 - done) / (1 - self.warmup)


@torch.no_grad()
def label(model: Tagger, sentences: Sentences, chosen: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Words and their logits, batch by batch, of some sentences."""
    model.eval()
    plan = by_length(chosen, sentences.lengths, LABEL_PIECES, np.random.default_rng(0))
    for batch in sentences.batches(plan):
        yield batch.words, model(batch)


def label_all(model: Tagger, sentences: Sentences, data: Data) -> Tensor:
    """float16 ``(n_words, n_outputs)``: logits of all words but those for development, NaN there and where
    a sentence was cut."""
    rows = len(data.labels), int(data.fields.of.shape[0])
    logits = torch.full(rows, torch.nan, dtype=torch.float16, device=data.device)
    for words, found in label(model, sentences, np.flatnonzero(~data.bundle.dev)):
        logits[words] = found.half()
    return logits


@torch.no_grad()
def first_embeddings(teacher: Tagger, data: Data, width: int, batch: int = 4096) -> tuple[Any, Projection]:
    """The student's first embeddings, as in ``initial``, and the projection that made them."""
    table, counts = data.bundle.teacher, data.bundle.subword_counts.astype(np.int64)
    teacher.eval()
    offsets = counts.cumsum() - counts
    rows = np.empty((len(counts), teacher.head.in_features), dtype=np.float32)
    for count in np.unique(counts):
        same = np.flatnonzero(counts == count)
        for at in range(0, len(same), batch):
            part = same[at : at + batch]
            ids = np.full((len(part), count + 2), table.sep_id, dtype=np.int64)
            ids[:, 0] = table.cls_id
            ids[:, 1:-1] = data.bundle.subwords[offsets[part][:, None] + np.arange(count)]
            hidden = teacher.bert(torch.from_numpy(ids).to(data.device))
            rows[part] = hidden[:, 1].float().cpu().numpy()
    projection = Projection.fit(rows, width)
    return projection(rows), projection


def accuracy(model: Tagger, sentences: Sentences, data: Data) -> dict[str, float]:
    """Of UPOS, and of all features of a word at once, on the words for development that have them."""
    right = torch.zeros(2, device=data.device)
    known = torch.zeros(2, device=data.device)
    for words, logits in label(model, sentences, np.flatnonzero(data.bundle.dev)):
        gold = data.values[data.labels[words].long()]
        same = data.fields.best(logits) == gold
        has = torch.stack([gold[:, 0] >= 0, (gold[:, 1:] >= 0).all(1)])
        right += (torch.stack([same[:, 0], same[:, 1:].all(1)]) & has).sum(1)
        known += has.sum(1)
    upos, feats = (right / known.clamp(min=1)).tolist()
    return {"pos_acc": upos, "morph_acc": feats}


def fit(
    model: Tagger,
    sentences: Sentences,
    data: Data,
    chosen: np.ndarray,
    targets: Callable[[Tensor], Tensor],
    schedule: Schedule,
    progress: Callable[[dict[str, float]], None],
) -> dict[str, np.ndarray]:
    """Train on the sentences ``chosen``; returns the weights that were best on the words for development.

    targets: of words, float32 ``(n_words, n_outputs)``. progress is told of each evaluation.
    """
    table = model.bert.embeddings.word_embeddings.weight
    dense = [p for p in model.parameters() if p is not table and p.requires_grad]
    cuda = table.is_cuda
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, weight_decay=schedule.weight_decay, fused=cuda)
    ]
    peaks = [schedule.learn_rate]
    if table.requires_grad:
        optimizers.append(torch.optim.Adam([table], fused=cuda))
        peaks.append(schedule.embedding_learn_rate)
    words, step, evaluated, best = 0, 0, 0, -1.0
    kept: dict[str, np.ndarray] = {}
    total = torch.zeros((), device=data.device)
    steps = 0
    started = time.perf_counter()
    for plan in _plans(sentences, data, chosen, schedule):
        for batch in sentences.batches(plan):
            seconds = time.perf_counter() - started
            done = min(max(words / schedule.words, seconds / schedule.seconds), 1.0)
            if done * schedule.evaluations >= evaluated + 1:
                evaluated = int(done * schedule.evaluations)
                scores = accuracy(model, sentences, data)
                row = {"step": step, "words": words, "loss": float(total) / max(steps, 1), **scores}
                seconds = time.perf_counter() - started
                progress({**row, "seconds": round(seconds, 1), "words_per_second": round(words / seconds)})
                total.zero_()
                steps = 0
                if scores["pos_acc"] + scores["morph_acc"] > best:
                    best, kept = scores["pos_acc"] + scores["morph_acc"], state(model)
            if done >= 1.0:
                return kept
            model.train()
            logits = model(batch)
            loss, gradient = data.fields.soft_cross_entropy(logits.detach(), targets(batch.words))
            logits.backward(gradient)
            nn.utils.clip_grad_norm_(dense, 1.0)
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                optimizer.param_groups[0]["lr"] = max(peak * schedule.rate(done), 1e-12)
                optimizer.step()
                optimizer.zero_grad()
            total += loss
            words, step, steps = words + len(batch.words), step + 1, steps + 1
    raise AssertionError("plans have no end")


def _plans(sentences: Sentences, data: Data, chosen: np.ndarray, schedule: Schedule) -> Iterator[Plan]:
    """Epochs without end; the next is drawn while the device works on one."""

    def plan(epoch: int) -> Plan:
        random = np.random.default_rng([schedule.seed, epoch])
        groups, n_words = data.bundle.groups[chosen], sentences.n_words[chosen]
        order = chosen[draw(groups, n_words, schedule.exponent, random)]
        return by_length(order, sentences.lengths, schedule.batch_pieces, random)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(plan, 0)
        epoch = 0
        while True:
            found, epoch = coming.result(), epoch + 1
            coming = pool.submit(plan, epoch)
            yield found
