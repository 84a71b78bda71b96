"""A teacher or student as one PyTorch module, and its optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from .schedule import Schedule

WORDS = "bert.embeddings.word_embeddings.weight"
DELTAS = "head.weight_deltas"
"""Of a `ConventionHead`."""


class Tagger(nn.Module):
    """An encoder and a head over what it says of each word.

    bert: has the parameters' names of Hugging Face's ``BertModel``, and is called with piece_ids, mask and
    first, as `models.bert.BertEncoder`. head: a plain layer, or one that is told the convention.
    """

    def __init__(self, bert: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.bert = bert
        self.head = head

    @property
    def word_embeddings(self) -> nn.Embedding:
        module = self.get_submodule("bert.embeddings.word_embeddings")
        assert isinstance(module, nn.Embedding)
        return module

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def hidden(self, piece_ids: Tensor, mask: Tensor | None, first: Tensor) -> Tensor:
        """float32 ``(n_words, width)``: the last hidden states at the rows ``first`` of the flattened batch."""
        return self.bert(piece_ids, mask, first)

    def forward(
        self, piece_ids: Tensor, mask: Tensor | None, first: Tensor, conventions: Tensor | None = None
    ) -> Tensor:
        """piece_ids int64 and mask bool ``(sentences, length)``, first int64 ``(n_words,)``, positions in the
        flattened batch, conventions int64 ``(sentences,)`` for a `ConventionHead`; returns logits ``(n_words,
        n_outputs)`` of the precision of the weights.

        The encoder computes in bfloat16 if its weights are float32, on a GPU and, in training, on a processor
        that has instructions for it (`has_bfloat16`).
        """
        dtype = self.head.weight.dtype
        mixed = dtype == torch.float32 and (piece_ids.is_cuda or (self.training and has_bfloat16()))
        with torch.autocast(piece_ids.device.type, dtype=torch.bfloat16, enabled=mixed):
            hidden = self.hidden(piece_ids, mask, first)
        told = () if conventions is None else (conventions[first // piece_ids.shape[1]],)
        return self.head(hidden.to(dtype), *told)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}


class Optimizers:
    """AdamW, and Adam for the word embeddings: lazy on a processor, where a step then costs only the rows
    that it touches, dense on a GPU."""

    def __init__(self, model: Tagger, schedule: Schedule) -> None:
        cuda = model.device.type == "cuda"
        words = model.word_embeddings
        self.dense = [value for value in model.trained().values() if value is not words.weight]
        # Biases and LayerNorm do not decay: Devlin et al. 2019, appendix A.2, as their code has it.
        groups = [
            {"params": [p for p in self.dense if p.ndim > 1], "weight_decay": schedule.weight_decay},
            {"params": [p for p in self.dense if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.all: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, fused=True)]
        self.peaks = [schedule.learn_rate]
        if words.weight.requires_grad:
            words.sparse = not cuda
            table = [words.weight]
            self.all.append(torch.optim.Adam(table, fused=True) if cuda else torch.optim.SparseAdam(table))
            self.peaks.append(schedule.embedding_learn_rate)

    def step(self, rate: float) -> None:
        """Change the weights by their gradients, and clear these; rate: the factor on the learning rates."""
        nn.utils.clip_grad_norm_(self.dense, 1.0)
        for optimizer, peak in zip(self.all, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad()


def state(model: Tagger) -> dict[str, np.ndarray]:
    """A copy of the weights, float32."""
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


@lru_cache(maxsize=1)
def has_bfloat16() -> bool:
    """Whether the processor multiplies matrices in bfloat16 by instructions of its own, twice as fast as in
    float32 (AVX-512 BF16, AMX, or BF16 of ARM); False for versions of PyTorch that do not tell."""
    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def device_of(gpu: int) -> str:
    """PyTorch's name of a GPU, of the processor for -1. Raises ValueError if there is no such GPU."""
    if gpu < 0:
        return "cpu"
    if gpu >= (n := torch.cuda.device_count()):
        raise ValueError(f"got GPU {gpu}, expected one of the {n} of this machine, from 0 on, or -1 for CPU")
    return f"cuda:{gpu}"
