"""A bundle on a device: its sentences, labels, and models of its sizes; needs PyTorch and NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..models.bert import BertEncoder, Sizes
from .batches import Sentences, Table
from .bundle import Bundle
from .conventions import NOT_GIVEN, ConventionHead
from .fields import Fields
from .model import Tagger
from .predict import HeldOut


@dataclass(frozen=True)
class Text:
    """Some sentences. rows: int64 ``(n_words,)``, of the piece tables; labels: int64 ``(n_words,)``, as in
    `Bundle`; languages: int64 ``(n_words,)``; lengths: int64, words of each sentence; conventions: int64, of
    each sentence, or None where the bundle has none."""

    rows: Tensor
    labels: Tensor
    languages: Tensor
    lengths: Tensor
    conventions: Tensor | None = None


class Dataset:
    """The sentences of a bundle, and its labels as distributions."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle, self.device = bundle, device
        self.fields = Fields(bundle.settings["fields"], bundle.settings["upos_weight"], device)
        self.values = torch.from_numpy(bundle.values).to(device).long()
        self.words, self.labels, self.lengths = (
            torch.from_numpy(array).to(device) for array in (bundle.words, bundle.labels, bundle.lengths)
        )
        self._starts = self.lengths.cumsum(0) - self.lengths
        languages = [name.removeprefix("text-").split("_")[0] for name in bundle.settings["groups"]]
        codes: list[str] = bundle.settings.get("conventions", [])
        self.n_conventions = len(codes)
        self.not_given: float = bundle.settings.get("not_given", 0.0)
        self._choices = [_choices(name, codes) for name in bundle.settings["groups"]]
        ids = torch.tensor([languages.index(name) for name in languages], device=device)
        self._languages = ids[torch.from_numpy(bundle.groups).to(device).long()]
        self.kinds = torch.from_numpy(bundle.kinds).to(device).long()
        self.tables = {role: Table(getattr(bundle, role), device) for role in ("teacher", "student")}
        self.gold = self.fields.one_hot(self.values)
        first = bundle.lengths.cumsum() - bundle.lengths
        self.labelled = bundle.labels[first] >= 0

    def text(self, chosen: np.ndarray, random: np.random.Generator | None = None) -> Text:
        """The sentences ``chosen``, in this order. random: draws a convention where there are several; without
        it, such sentences are given none."""
        order = torch.from_numpy(chosen).to(self.device)
        lengths = self.lengths[order].long()
        places = torch.arange(int(lengths.sum()), device=self.device)
        places += (self._starts[order] - (lengths.cumsum(0) - lengths)).repeat_interleave(lengths)
        languages = self._languages[order].repeat_interleave(lengths)
        conventions = self._conventions(chosen, random)
        return Text(self.words[places].long(), self.labels[places].long(), languages, lengths, conventions)

    def _conventions(self, chosen: np.ndarray, random: np.random.Generator | None) -> Tensor | None:
        if not self.n_conventions:
            return None
        groups, found = self.bundle.groups[chosen], np.full(len(chosen), NOT_GIVEN)
        for group in np.unique(groups):
            choices, places = self._choices[group], np.flatnonzero(groups == group)
            if len(choices) == 1:
                found[places] = choices[0]
            elif choices and random is not None:
                found[places] = random.choice(choices, len(places))
        return torch.from_numpy(found).to(self.device)

    def sentences(self, text: Text, role: str) -> Sentences:
        """As the teacher or the student reads them."""
        return Sentences(text.rows, text.lengths, self.tables[role], text.conventions)

    def held_out(self, role: str) -> HeldOut:
        """The sentences for development."""
        text = self.text(np.flatnonzero(self.bundle.dev))
        return HeldOut(self.sentences(text, role), self.values[text.labels])

    def log_prior(self) -> Tensor:
        """Of each value within its field, each counted once more; float32 ``(n_outputs,)``."""
        used = self.labels[self.labels >= 0].long()
        counts = torch.bincount(used, minlength=len(self.gold)).double() @ self.gold.double() + 1
        totals = counts @ self.fields.sums.double()
        return (counts / totals[self.fields.of]).log().float()

    def gold_targets(self, text: Text) -> Callable[[Tensor], Tensor]:
        """Of words, int64, what they are to be, float32 ``(n_words, n_outputs)``; zero where a field's value
        is unknown."""
        return lambda words: self.gold[text.labels[words]]

    def mixed_targets(self, text: Text, soft: Tensor) -> Callable[[Tensor], Tensor]:
        """The same; where gold labels are unknown, the probabilities ``soft``, ``(n_words, n_outputs)``."""

        def targets(words: Tensor) -> Tensor:
            labels = text.labels[words]
            gold = self.gold[labels.clamp(min=0)] * (labels >= 0)[:, None]
            known = (gold @ self.fields.sums)[:, self.fields.of]
            return torch.where(known > 0, gold, soft[words].float())

        return targets


def _choices(group: str, codes: Sequence[str]) -> list[int]:
    """The conventions that a group's sentences may be in: a treebank has its own, text any of its language."""
    if group in codes:
        return [codes.index(group)]
    return [i for i, code in enumerate(codes) if group == f"text-{code.partition('_')[0]}"]


def make_teacher(data: Dataset) -> Tagger:
    """The pretrained encoder, whose word embeddings stay as they are, and a new head."""
    model = _new(data, "teacher")
    weights = {name: torch.from_numpy(w) for name, w in data.bundle.weights.items()}
    model.bert.load_state_dict(weights, strict=True)
    model.word_embeddings.weight.requires_grad_(False)
    return model


def make_student(data: Dataset, embeddings: np.ndarray) -> Tagger:
    """A new student with these embeddings, float32 ``(n_rows, width)``."""
    model = _new(data, "student")
    with torch.no_grad():
        model.word_embeddings.weight.copy_(torch.from_numpy(embeddings))
    return model


def _new(data: Dataset, role: str) -> Tagger:
    torch.manual_seed(data.bundle.settings[role]["schedule"]["seed"])
    sizes = Sizes(**data.bundle.settings[role]["sizes"])
    shape = sizes.hidden_width, len(data.fields.of)
    head = ConventionHead(*shape, data.n_conventions) if data.n_conventions else nn.Linear(*shape)
    nn.init.normal_(head.weight, std=0.02)
    model = Tagger(BertEncoder(len(data.bundle.ids[role]), sizes), head).to(data.device)
    with torch.no_grad():
        model.head.bias.copy_(data.log_prior())
    return model
