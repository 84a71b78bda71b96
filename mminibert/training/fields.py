"""Factored labels on a device: their loss and what is predicted; needs PyTorch alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Fields:
    """UPOS and the features, each a softmax over its own columns of one matrix of logits."""

    def __init__(self, sizes: Sequence[int], upos_weight: float, device: str) -> None:
        """sizes: how many values each field has, UPOS first. upos_weight: its weight in the loss, where each
        feature weighs 1."""
        self.sizes = list(sizes)
        counts = torch.tensor(self.sizes, device=device)
        self.of = torch.arange(len(self.sizes), device=device).repeat_interleave(counts)
        """int64 ``(n_outputs,)``: the field of each output."""
        self.starts = counts.cumsum(0) - counts
        self.sums = nn.functional.one_hot(self.of, len(self.sizes)).float()
        """float32 ``(n_outputs, n_fields)``: times this, outputs are summed within their fields."""
        self._weights = torch.ones(len(self.sizes), device=device)
        self._weights[0] = upos_weight

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Within each field; float32 ``(n_words, n_outputs)``."""
        shifted, log_sums = self._normalised(logits)
        return shifted - log_sums.index_select(1, self.of)

    def loss(
        self, logits: Tensor, targets: Tensor, temperature: float = 1.0, n_words: float | None = None
    ) -> Tensor:
        """``T² · Σ_f w_f · Σ_v −t_fv · log softmax(logits_f / T)_v``, the mean over words (Hinton et al. 2015,
        *Distilling the Knowledge in a Neural Network*, section 2).

        logits, targets: float32 ``(n_words, n_outputs)``; targets sum to 1 within each field, or are all 0
        where the field is unknown. n_words: how many the mean is over, if these are a part of them.
        """
        count = len(logits) if n_words is None else n_words
        shifted, log_sums = self._normalised(logits / temperature)
        mass = targets @ self.sums
        gain = (targets * shifted) @ self.sums
        return ((mass * log_sums - gain).sum(0) @ self._weights) * (temperature**2 / (count or 1))

    def best(self, logits: Tensor) -> Tensor:
        """int64 ``(n_words, n_fields)``: the best value of each field."""
        return torch.stack([part.argmax(1) for part in logits.split(self.sizes, dim=1)], dim=1)

    def one_hot(self, values: Tensor) -> Tensor:
        """float32 ``(n, n_outputs)`` of int64 ``(n, n_fields)``: the index of each value within its field; a
        field with -1, unknown, is all 0."""
        found = torch.zeros(len(values), len(self.of), device=values.device)
        return found.scatter_(1, self.starts + values.clamp(min=0), (values >= 0).float())

    def _normalised(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits less the largest of their field, and the logarithm of each field's sum of exponentials."""
        with torch.no_grad():  # it cancels out
            largest = logits.new_full((len(logits), len(self.sizes)), -torch.inf)
            largest.scatter_reduce_(1, self.of.expand_as(logits), logits, "amax")
        shifted = logits - largest.index_select(1, self.of)
        return shifted, (shifted.exp() @ self.sums).log()
