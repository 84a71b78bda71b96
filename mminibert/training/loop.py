"""Teacher and students on an accelerator: the loop of ``distill`` with all data on the device.

Needs PyTorch and NumPy alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .projection import Projection
from .sampling import draw
from .batches import Plan, Sentences, by_length
from .bundle import TEXT
from .forms import Forms
from .tagger import Data, Tagger, Targets, Text, state

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


@dataclass(frozen=True)
class Epoch:
    """Sentences that training passes over, and what it is to learn of their words."""

    sentences: Sentences
    plan: Plan
    targets: Targets


@torch.no_grad()
def label(model: Tagger, sentences: Sentences) -> Iterator[tuple[Tensor, Tensor]]:
    """Words and their logits, batch by batch."""
    model.eval()
    order = np.arange(len(sentences.lengths))
    plan = by_length(order, sentences.lengths, LABEL_PIECES, np.random.default_rng(0))
    for batch in sentences.batches(plan):
        yield batch.words, model(batch)


def label_all(model: Tagger, text: Text, data: Data) -> Tensor:
    """float16 ``(n_words, n_outputs)``: the teacher's probabilities, 0 where a sentence was cut."""
    rows = len(text.rows), int(data.fields.of.shape[0])
    probabilities = torch.zeros(rows, dtype=torch.float16, device=data.device)
    for words, logits in label(model, data.sentences(text, "teacher")):
        probabilities[words] = data.fields.log_softmax(logits.float()).exp().half()
    return probabilities


@torch.no_grad()
def first_embeddings(teacher: Tagger, data: Data, width: int, batch: int = 4096) -> tuple[Any, Projection]:
    """The student's first embeddings, as in ``initial``, and the projection that made them."""
    table, counts = data.bundle.teacher, data.bundle.subword_counts.astype(np.int64)
    teacher.eval()
    offsets = counts.cumsum() - counts
    rows = np.empty((len(counts), teacher.head.in_features), dtype=np.float32)
    for length in np.unique(counts):
        same = np.flatnonzero(counts == length)
        for at in range(0, len(same), batch):
            part = same[at : at + batch]
            ids = np.full((len(part), length + 2), table.sep_id, dtype=np.int64)
            ids[:, 0] = table.cls_id
            ids[:, 1:-1] = data.bundle.subwords[offsets[part][:, None] + np.arange(length)]
            hidden = teacher.bert(torch.from_numpy(ids).to(data.device))
            rows[part] = hidden[:, 1].float().cpu().numpy()
    projection = Projection.fit(rows, width)
    return projection(rows), projection


def accuracy(model: Tagger, text: Text, sentences: Sentences, data: Data) -> dict[str, float]:
    """Of UPOS, and of all features of a word at once, on the words that have them."""
    right = torch.zeros(2, device=data.device)
    known = torch.zeros(2, device=data.device)
    for words, logits in label(model, sentences):
        gold = data.values[text.labels[words]]
        same = data.fields.best(logits) == gold
        has = torch.stack([gold[:, 0] >= 0, (gold[:, 1:] >= 0).all(1)])
        right += (torch.stack([same[:, 0], same[:, 1:].all(1)]) & has).sum(1)
        known += has.sum(1)
    upos, feats = (right / known.clamp(min=1)).tolist()
    return {"pos_acc": upos, "morph_acc": feats}


def fit(
    model: Tagger,
    role: str,
    data: Data,
    epochs: Iterator[Epoch],
    schedule: Schedule,
    progress: Callable[[dict[str, float]], None],
) -> dict[str, np.ndarray]:
    """Train; returns the weights that were best on the words for development.

    epochs: without end. progress is told of each evaluation.
    """
    dev = data.text(np.flatnonzero(data.bundle.dev))
    held_out = data.sentences(dev, role)
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
    epoch = next(epochs)  # before the clock starts
    started = time.perf_counter()
    while True:
        for batch in epoch.sentences.batches(epoch.plan):
            seconds = time.perf_counter() - started
            done = min(max(words / schedule.words, seconds / schedule.seconds), 1.0)
            if done * schedule.evaluations >= evaluated + 1:
                evaluated = int(done * schedule.evaluations)
                scores = accuracy(model, dev, held_out, data)
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
            loss, gradient = data.fields.soft_cross_entropy(logits.detach(), epoch.targets(batch.words))
            logits.backward(gradient)
            nn.utils.clip_grad_norm_(dense, 1.0)
            for optimizer, peak in zip(optimizers, peaks, strict=True):
                optimizer.param_groups[0]["lr"] = max(peak * schedule.rate(done), 1e-12)
                optimizer.step()
                optimizer.zero_grad()
            total += loss
            words, step, steps = words + len(batch.words), step + 1, steps + 1
        del epoch  # its targets fill much of the device's memory
        epoch = next(epochs)


def gold_epochs(data: Data, role: str, schedule: Schedule) -> Iterator[Epoch]:
    """The labelled sentences, each epoch another draw."""
    chosen = np.flatnonzero(data.labelled & ~data.bundle.dev)
    text = data.text(chosen)
    sentences = data.sentences(text, role)
    for order, random in _draws(data, chosen, schedule):
        plan = by_length(order, sentences.lengths, schedule.batch_pieces, random)
        yield Epoch(sentences, plan, data.gold_targets(text))


def taught_epochs(
    teacher: Tagger,
    data: Data,
    schedule: Schedule,
    *,
    sentences: float,
    words: float,
    passes: int,
    say: Callable[[str], None],
) -> Iterator[Epoch]:
    """All sentences, drawn and labelled by the teacher anew after so many passes.

    sentences, words: the share of the words that give way to other forms (see `replacement`), and of the
    sentences that this happens to. There all labels are the teacher's, elsewhere gold ones take their place.
    """
    chosen = np.flatnonzero(~data.bundle.dev)
    whole = data.text(chosen)
    forms = Forms(whole.rows, whole.languages, data.kinds)
    del whole
    generator = torch.Generator(data.device).manual_seed(schedule.seed)
    with ThreadPoolExecutor(1) as pool:
        for order, random in _draws(data, chosen, schedule):
            text = replace_words(data.text(chosen[order]), forms, sentences, words, generator)
            read, everything = data.sentences(text, "student"), np.arange(len(order))
            plans = [
                pool.submit(by_length, everything, read.lengths, schedule.batch_pieces, random)
                for _ in range(passes)
            ]
            soft = label_all(teacher, text, data)
            say(f"teacher's labels of {len(soft):,} words")
            for plan in plans:
                yield Epoch(read, plan.result(), data.mixed_targets(text, soft))
            del soft


def replace_words(
    text: Text, forms: Forms, sentences: float, words: float, generator: torch.Generator
) -> Text:
    """Replace a share of the words, never the first, of a share of the sentences, which lose their labels."""

    def random(size: Tensor) -> Tensor:
        return torch.rand(len(size), generator=generator, device=size.device)

    altered = (random(text.lengths) < sentences).repeat_interleave(text.lengths)
    chosen = altered & (random(text.rows) < words)
    chosen[text.lengths.cumsum(0) - text.lengths] = False
    rows = torch.where(chosen, forms.others(text.rows, text.languages, generator), text.rows)
    return Text(rows, text.labels.masked_fill(altered, TEXT), text.languages, text.lengths)


def _draws(
    data: Data, chosen: np.ndarray, schedule: Schedule
) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
    """Places in ``chosen``, without end; the next are drawn while the device works."""
    groups, n_words = data.bundle.groups[chosen], data.bundle.lengths[chosen]

    def drawn(epoch: int) -> tuple[np.ndarray, np.random.Generator]:
        random = np.random.default_rng([schedule.seed, epoch])
        return draw(groups, n_words, schedule.exponent, random), random

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(drawn, 0)
        for epoch in count(1):
            found = coming.result()
            coming = pool.submit(drawn, epoch)
            yield found
