"""Encoder, conventions and head for all of a packaged pipeline as one PyTorch module, and its optimizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from spacy.language import Language
from torch import Tensor, nn
from torch.nn import functional

from ..models.bert import BertEncoder, Sizes
from ..models.encoders import export
from ..models.torch_encoder import padded
from ..packaging.assemble import head_of
from ..runtime.conventions import Adapter, Convention, Conventions, round_rows
from ..runtime.forms import FormTable
from ..runtime.labels import Inventory
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from ..runtime.types import Ints
from ..runtime.windows import Window
from ..training.fields import Fields
from ..training.model import Optimizers, Tagger
from ..training.schedule import Schedule
from .convention_fit import FORM_LARGEST
from .conventions import OFF

__all__ = ["JointOptimizers", "JointTagger", "Lesson", "Tuning", "is_off", "of_all"]


@dataclass(frozen=True)
class Tuning:
    """How encoder and conventions learn together. A step sees some ``conventions``, of which one with n words
    is drawn in proportion to ``n ** exponent``, and of each about ``pieces`` padded wordpieces. not_given:
    the weight of the head for all in the loss, where a convention's head weighs 1. learn_rate: of the
    encoder's layers, at its peak; the other rates are factors on it. rows: of the log."""

    words: int
    seconds: float = float("inf")
    not_given: float = 0.1
    conventions: int = 3
    pieces: int = 640
    exponent: float = 0.5
    learn_rate: float = 0.0003
    embeddings: float = 1.6
    heads: float = 3.3
    adapter: float = 1.7
    forms: float = 6.7
    upos_weight: float = 4.0
    dropout: float = 0.1
    warmup: float = 0.05
    rows: int = 20
    seed: int = 1

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            words=self.words,
            seconds=self.seconds,
            exponent=self.exponent,
            batch_pieces=self.conventions * self.pieces,
            learn_rate=self.learn_rate,
            embedding_learn_rate=self.embeddings * self.learn_rate,
            warmup=self.warmup,
            weight_decay=0.01,
            evaluations=self.rows,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Lesson:
    """What is learned of one convention. windows: of its sentences. offsets: the first word of each sentence
    among all. values: int32 ``(n_words, n_fields)``, as `Inventory.encode` gives them. forms: int32
    ``(n_words, N_FEATURES)``, rows of its language's table, -1 for none."""

    windows: Sequence[Window]
    offsets: Ints
    values: Ints
    forms: Ints

    def words(self, chosen: Sequence[int]) -> Ints:
        """Which of all words are predicted by some windows, in their order."""
        found = (self.windows[i] for i in chosen)
        return np.concatenate([np.arange(w.start, w.end) + self.offsets[w.doc] for w in found])


class JointTagger(Tagger):
    """Encoder, head for all, and what conventions add, as one module. Raises ValueError for a pipeline whose
    conventions have no adapter."""

    def __init__(self, nlp: Language, tuning: Tuning) -> None:
        pipe, trained = tagger(nlp), export(tagger(nlp).encoder)
        conventions = pipe.conventions
        if conventions is None or conventions.adapter is None:
            raise ValueError("the pipeline's conventions have no adapter, expected a packaged pipeline's")
        sizes = dict(trained.sizes)
        cuts = {name: sizes.pop(name) for name in ("max_pieces", "overlap")}
        bert = BertEncoder(len(trained.pieces), shape := Sizes(**sizes, dropout=tuning.dropout))
        bert.load_state_dict({name: torch.tensor(value) for name, value in trained.weights.items()})
        weights, bias = head_of(nlp)
        super().__init__(bert, nn.Linear(weights.shape[1], len(weights)))
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(weights))
            self.head.bias.copy_(torch.tensor(bias))
        self.sizes, self.cuts = shape, cuts
        self.pieces, self.inventory, self.before = trained.pieces, pipe.inventory, conventions
        adapter, heads = conventions.adapter, conventions.heads
        self.places = {head.code: i for i, head in enumerate(heads)}
        self.tables = {lang: i for i, lang in enumerate(adapter.forms)}
        self.down, self.up = nn.Parameter(torch.tensor(adapter.down)), nn.Parameter(torch.tensor(adapter.up))
        self.forms = nn.ParameterList(_with_none(table) for table in adapter.forms.values())
        self.weights = nn.ParameterList(torch.tensor(head.weights) for head in heads)
        self.biases = nn.ParameterList(torch.tensor(head.bias) for head in heads)
        self.told = nn.ParameterList(torch.tensor(head.embedding) for head in heads)
        self.fields = [self._fields(head.inventory, tuning) for head in heads]
        self.all_fields = self._fields(pipe.inventory, tuning)

    @staticmethod
    def _fields(inventory: Inventory, tuning: Tuning) -> Fields:
        return Fields(np.diff(inventory.starts).tolist(), tuning.upos_weight, "cpu")

    def vectors(self, found: Sequence[Window]) -> Tensor:
        """float32 ``(n_words, width)``, of the words that windows predict."""
        piece_ids, mask, first, begins = padded(list(found), self.pieces.pad_id)
        vectors: Tensor = self.bert(piece_ids, mask, first, begins)
        return vectors

    def logits(self, code: str, vectors: Tensor, forms: Ints) -> Tensor:
        """float32 ``(n_words, the convention's outputs)``. vectors: float32 ``(n_words, width)``. forms:
        int32 ``(n_words, N_FEATURES)``."""
        place = self.places[code]
        inner = vectors @ self.down.T + self.told[place]
        if (number := self.tables.get(language_of(code))) is not None:
            table = self.forms[number]
            none = len(table) - 1
            ids = torch.from_numpy(np.where(forms < 0, none, forms).astype(np.int64))
            inner = inner + functional.embedding_bag(ids, table, mode="sum", padding_idx=none)
        adapted = vectors + functional.gelu(inner) @ self.up.T
        return functional.linear(adapted, self.weights[place], self.biases[place])

    def loss(self, code: str, lesson: Lesson, chosen: Sequence[int], not_given: float) -> tuple[Tensor, int]:
        """Of the words of some windows, and how many these are."""
        words = lesson.words(chosen)
        values = torch.from_numpy(lesson.values[words].astype(np.int64))
        vectors = self.vectors([lesson.windows[i] for i in chosen])
        fields, own = self.fields[self.places[code]], self.before.head(code).inventory
        found = fields.loss(self.logits(code, vectors, lesson.forms[words]), fields.one_hot(values))
        targets = self.all_fields.one_hot(of_all(values, own, self.inventory))
        return found + not_given * self.all_fields.loss(self.head(vectors), targets), len(words)

    def conventions(self) -> Conventions:
        """What was learned: heads in 8 bits, forms in fewer, without lexicons. Those that have no adapter
        stay as they are."""
        heads = []
        for i, head in enumerate(self.before.heads):
            learned = (values[i].detach().numpy() for values in (self.weights, self.biases, self.told))
            off = is_off(head)
            heads.append(
                replace(head, lexicon=None) if off else Convention.of(head.code, head.inventory, *learned)
            )
        adapter = self.before.adapter
        assert adapter is not None
        forms = {
            lang: FormTable(table.features, *round_rows(learned.detach().numpy()[:-1], FORM_LARGEST))
            for (lang, table), learned in zip(adapter.forms.items(), self.forms, strict=True)
        }
        down, up = (value.detach().numpy().copy() for value in (self.down, self.up))
        return Conventions(tuple(heads), Adapter(down, up, forms), self.before.defaults)


class JointOptimizers(Optimizers):
    """With rates of their own for heads, adapter and forms, none of which decay."""

    def __init__(self, model: JointTagger, tuning: Tuning) -> None:
        super().__init__(model, tuning.schedule)
        words, layers = model.word_embeddings.weight, list(model.bert.parameters())
        groups = (
            (1.0, tuning.schedule.weight_decay, [p for p in layers if p is not words and p.ndim > 1]),
            (1.0, 0.0, [p for p in layers if p.ndim == 1]),
            (tuning.heads, 0.0, [*model.head.parameters(), *model.weights, *model.biases]),
            (tuning.adapter, 0.0, [model.down, model.up, *model.told]),
            (tuning.forms, 0.0, list(model.forms)),
        )
        self.factors = [factor for factor, _, _ in groups]
        parts: list[dict[str, Any]] = [{"params": own, "weight_decay": decay} for _, decay, own in groups]
        self.all[0] = torch.optim.AdamW(parts, fused=True)

    def step(self, rate: float) -> None:
        nn.utils.clip_grad_norm_(self.dense, 1.0)
        dense, *others = self.all
        for group, factor in zip(dense.param_groups, self.factors, strict=True):
            group["lr"] = self.peaks[0] * factor * rate
        for optimizer, peak in zip(others, self.peaks[1:], strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
        for optimizer in self.all:
            optimizer.step()
            optimizer.zero_grad()


def is_off(head: Convention) -> bool:
    """Whether it is the head for all, as that of a small treebank is, and learns nothing itself."""
    return bool((head.embedding == OFF).all())


def of_all(values: Tensor, own: Inventory, whole: Inventory) -> Tensor:
    """Values of a convention as those of the head for all: int64 ``(n_words, n_fields)``, -1 where unknown. A
    feature that the convention lacks is absent, and unknown where all its features are."""
    names = {name: i for i, (name, _) in enumerate(whole.fields)}
    found = torch.zeros(len(values), len(whole.fields), dtype=torch.int64)
    if values.shape[1] > 1:
        found[(values[:, 1:] < 0).all(1)] = -1
    for i, (name, shown) in enumerate(own.fields):
        if (field := names.get(name)) is None:
            continue
        places = {value: j for j, value in enumerate(whole.fields[field][1])}
        table = torch.tensor([*(places.get(value, -1) for value in shown), -1])
        found[:, field] = table[values[:, i]]
    return found


def _with_none(table: FormTable) -> Tensor:
    """float32 ``(n_features + 1, width)``; the last row is that of no feature, all 0."""
    rows = (table.rows * table.scales[:, None]).astype(np.float32)
    return torch.from_numpy(np.concatenate([rows, np.zeros_like(rows[:1])]))
