"""A teacher or student, its labels and its loss, on an accelerator; needs PyTorch and NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..models.bert import BertEncoder, Sizes
from .batches import Batch, Sentences, Table
from .bundle import Bundle

WORDS = "bert.embeddings.word_embeddings.weight"
Targets = Callable[[Tensor], Tensor]
"""Of words, int64, the distributions that are to be learnt, float32 ``(n_words, n_outputs)``."""


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
        """Logits ``(n_words, n_outputs)``, of the precision of the weights."""
        dtype = self.head.weight.dtype
        mixed = batch.mask.is_cuda and dtype == torch.float32
        with torch.autocast(batch.mask.device.type, dtype=torch.bfloat16, enabled=mixed):
            hidden = self.bert(batch.piece_ids, batch.mask, batch.first)
        return self.head(hidden.to(dtype))


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


@dataclass(frozen=True)
class Text:
    """Some sentences. rows: int64 ``(n_words,)``, of the piece tables; labels: int64 ``(n_words,)``, as in
    `Bundle`; languages: int64 ``(n_words,)``; lengths: int64, words of each sentence."""

    rows: Tensor
    labels: Tensor
    languages: Tensor
    lengths: Tensor


class Data:
    """A bundle on a device: its labels as target distributions, and its sentences."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle, self.device = bundle, device
        sizes = bundle.settings["fields"]
        self.fields = Fields(sizes, bundle.settings["upos_weight"], device)
        self.values = torch.from_numpy(bundle.values).to(device).long()
        self.words, self.labels, self.lengths = (
            torch.from_numpy(array).to(device) for array in (bundle.words, bundle.labels, bundle.lengths)
        )
        self._starts = self.lengths.cumsum(0) - self.lengths
        languages = [name.removeprefix("text-").split("_")[0] for name in bundle.settings["groups"]]
        ids = torch.tensor([languages.index(name) for name in languages], device=device)
        self._languages = ids[torch.from_numpy(bundle.groups).to(device).long()]
        self.kinds = torch.from_numpy(bundle.kinds).to(device).long()
        self.tables = {role: Table(getattr(bundle, role), device) for role in ("teacher", "student")}
        columns = self.fields.starts + self.values.clamp(min=0)
        self.gold = torch.zeros(len(self.values), int(sum(sizes)), device=device)
        self.gold.scatter_(1, columns, (self.values >= 0).float())
        first = bundle.lengths.cumsum() - bundle.lengths
        self.labelled = bundle.labels[first] >= 0

    def text(self, chosen: np.ndarray) -> Text:
        """The sentences ``chosen``, in this order."""
        order = torch.from_numpy(chosen).to(self.device)
        lengths = self.lengths[order].long()
        places = torch.arange(int(lengths.sum()), device=self.device)
        places += (self._starts[order] - (lengths.cumsum(0) - lengths)).repeat_interleave(lengths)
        languages = self._languages[order].repeat_interleave(lengths)
        return Text(self.words[places].long(), self.labels[places].long(), languages, lengths)

    def sentences(self, text: Text, role: str) -> Sentences:
        """As the teacher or the student reads them."""
        return Sentences(text.rows, text.lengths, self.tables[role])

    def log_prior(self) -> Tensor:
        """Of each value within its field, each counted once more; float32 ``(n_outputs,)``."""
        used = self.labels[self.labels >= 0].long()
        counts = torch.bincount(used, minlength=len(self.gold)).double() @ self.gold.double() + 1
        totals = counts @ self.fields.sums.double()
        return (counts / totals[self.fields.of]).log().float()

    def gold_targets(self, text: Text) -> Targets:
        """Zero where a field's value is unknown."""
        return lambda words: self.gold[text.labels[words]]

    def mixed_targets(self, text: Text, soft: Tensor) -> Targets:
        """Gold labels where they are known, else the teacher's probabilities, ``(n_words, n_outputs)``."""

        def targets(words: Tensor) -> Tensor:
            labels = text.labels[words]
            gold = self.gold[labels.clamp(min=0)] * (labels >= 0)[:, None]
            known = (gold @ self.fields.sums)[:, self.fields.of]
            return torch.where(known > 0, gold, soft[words].float())

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
