"""A teacher or student, its labels and its loss, on an accelerator; needs PyTorch and NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..models.bert import BertEncoder, Sizes
from .batches import Batch, Sentences
from .bundle import Bundle

WORDS = "bert.embeddings.word_embeddings.weight"


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
