"""Teacher and students on an accelerator: the loop of ``distill`` with all data on the device.

Needs PyTorch and NumPy alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.bert import BertEncoder, Sizes
from ..projection import Projection
from .batches import Batch, Plan, Sentences, by_length, draw
from .bundle import Bundle

WORDS = "bert.embeddings.word_embeddings.weight"
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


class Tagger(nn.Module):
    """Encoder and head, parameters named as in ``networks.Student``."""

    def __init__(self, vocab_size: int, sizes: Sizes, n_outputs: int, *, frozen: bool) -> None:
        """frozen: whether the word embeddings stay as they are."""
        super().__init__()
        self.bert = BertEncoder(vocab_size, sizes)
        self.bert.embeddings.word_embeddings.sparse = False
        self.bert.embeddings.word_embeddings.weight.requires_grad_(not frozen)
        self.head = nn.Linear(sizes.hidden_width, n_outputs)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, batch: Batch) -> Tensor:
        """Logits float32 ``(n_words, n_outputs)``."""
        with torch.autocast(batch.mask.device.type, dtype=torch.bfloat16, enabled=batch.mask.is_cuda):
            hidden = self.bert(batch.piece_ids, batch.mask, batch.first)
        return self.head(hidden.float())


class Fields:
    """The loss over factored labels, as in ``losses``, on the device."""

    def __init__(self, fields: list[int], upos_weight: float, device: str) -> None:
        """fields: how many values each has."""
        sizes = torch.tensor(fields, device=device)
        self.of = torch.arange(len(fields), device=device).repeat_interleave(sizes)
        self.starts = sizes.cumsum(0) - sizes
        self.sums = nn.functional.one_hot(self.of, len(fields)).float()
        self.scale = torch.where(self.of == 0, upos_weight, 1.0)

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Within each field; ``(n_words, n_outputs)``."""
        index = self.of.expand_as(logits)
        largest = logits.new_full((len(logits), len(self.starts)), -torch.inf)
        shifted = logits - largest.scatter_reduce_(1, index, logits, "amax").gather(1, index)
        return shifted - (shifted.exp() @ self.sums).log().gather(1, index)

    def soft_cross_entropy(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """``losses.soft_cross_entropy`` at temperature 1: the loss and its gradient by the logits."""
        log_probs = self.log_softmax(logits)
        mass = (targets @ self.sums).gather(1, self.of.expand_as(logits))
        scale = self.scale / max(len(logits), 1)
        loss = -(scale * targets * log_probs).sum()
        return loss, scale * (mass * log_probs.exp() - targets)

    def best(self, logits: Tensor) -> Tensor:
        """int64 ``(n_words, n_fields)``: the best value of each field."""
        sizes = self.sums.sum(0).int().tolist()
        return torch.stack([part.argmax(1) for part in logits.split(sizes, dim=1)], dim=1)


class Data:
    """A bundle on a device: its labels as target distributions, and its sentences."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle, self.device = bundle, device
        sizes = bundle.settings["fields"]
        self.fields = Fields(sizes, bundle.settings["upos_weight"], device)
        self.values = torch.from_numpy(bundle.values).to(device).long()
        self.labels = torch.from_numpy(bundle.labels).to(device)
        columns = self.fields.starts + self.values.clamp(min=0)
        self.gold = torch.zeros(len(self.values), int(sum(sizes)), device=device)
        self.gold.scatter_(1, columns, (self.values >= 0).float())
        first = bundle.lengths.cumsum() - bundle.lengths
        self.labelled = bundle.labels[first] >= 0

    def sentences(self, role: str) -> Sentences:
        return Sentences(self.bundle.words, self.bundle.lengths, getattr(self.bundle, role), self.device)

    def log_prior(self) -> Tensor:
        """Of each value within its field, each counted once more; float32 ``(n_outputs,)``."""
        used = self.labels[self.labels >= 0].long()
        counts = torch.bincount(used, minlength=len(self.gold)).double() @ self.gold.double() + 1
        totals = counts @ self.fields.sums.double()
        return (counts / totals[self.fields.of]).log().float()

    def gold_targets(self, words: Tensor) -> Tensor:
        """Zero where a field's value is unknown."""
        return self.gold[self.labels[words].long()]

    def mixed_targets(self, soft: Tensor) -> Callable[[Tensor], Tensor]:
        """Gold labels where they are known, else the teacher's probabilities, from its logits of all words
        (NaN where it read none)."""

        def targets(words: Tensor) -> Tensor:
            found = self.fields.log_softmax(soft[words].float()).exp().nan_to_num_(0.0)
            labels = self.labels[words].long()
            gold = self.gold[labels.clamp(min=0)] * (labels >= 0)[:, None]
            known = (gold @ self.fields.sums)[:, self.fields.of]
            return torch.where(known > 0, gold, found)

        return targets


def make_teacher(data: Data) -> Tagger:
    """The pretrained encoder and a new head."""
    model = _new(data, "teacher", frozen=True)
    weights = {name: torch.from_numpy(w) for name, w in data.bundle.weights.items()}
    model.bert.load_state_dict(weights, strict=True)
    return model


def make_student(data: Data, embeddings: np.ndarray) -> Tagger:
    """A new student with these embeddings, float32 ``(n_rows, width)``."""
    model = _new(data, "student", frozen=False)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight.copy_(torch.from_numpy(embeddings))
    return model


def _new(data: Data, role: str, *, frozen: bool) -> Tagger:
    torch.manual_seed(data.bundle.settings[role]["schedule"]["seed"])
    sizes = Sizes(**data.bundle.settings[role]["sizes"])
    rows = len(getattr(data.bundle, role).ids)
    model = Tagger(rows, sizes, int(data.fields.of.shape[0]), frozen=frozen).to(data.device)
    with torch.no_grad():
        model.head.bias.copy_(data.log_prior())
    return model


def state(model: Tagger) -> dict[str, np.ndarray]:
    """A copy of the weights."""
    return {name: value.detach().float().cpu().clone().numpy() for name, value in model.state_dict().items()}


def load(model: Tagger, weights: Mapping[str, np.ndarray]) -> None:
    """Raises RuntimeError for weights of another model."""
    model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()}, strict=True)


def changes(trained: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What training changed in the encoder, without its frozen embeddings, and the head as it is."""
    kept = {name: value for name, value in trained.items() if name != WORDS}
    return {name: w - start[name] if name.startswith("bert.") else w for name, w in kept.items()}


def added(changed: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`changes` undone: the weights, without the embeddings."""
    return {name: w + start[name] if name.startswith("bert.") else w for name, w in changed.items()}


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
