"""A head that is told in which convention a sentence is annotated; needs PyTorch alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NOT_GIVEN = -1
"""The convention of sentences of which none is told."""
CHUNK = 32
"""Words that are multiplied at once by the weights of their convention."""


class ConventionHead(nn.Linear):
    """Logits ``W_c h + b_c`` of a word in the convention c, where ``W_c = W + D_c`` and ``b_c = b + d_c``; if it
    is not given, ``W h + b``.

    weight, bias: W and b, ``(n_outputs, width)`` and ``(n_outputs,)``. weight_deltas, bias_deltas: D and d,
    ``(n_conventions, n_outputs, width)`` and ``(n_conventions, n_outputs)``, zero at the start.
    """

    def __init__(self, width: int, n_outputs: int, n_conventions: int) -> None:
        super().__init__(width, n_outputs)
        self.weight_deltas = nn.Parameter(torch.zeros(n_conventions, n_outputs, width))
        self.bias_deltas = nn.Parameter(torch.zeros(n_conventions, n_outputs))

    def forward(self, hidden: Tensor, conventions: Tensor | None = None) -> Tensor:
        """hidden ``(n_words, width)``, conventions int64 ``(n_words,)``, `NOT_GIVEN` where there is none;
        returns ``(n_words, n_outputs)``."""
        shared = super().forward(hidden)
        if conventions is None:
            return shared
        known = conventions.clamp(min=0)
        deltas = self._in_chunks(hidden, known) + functional.embedding(known, self.bias_deltas)
        return shared + deltas.masked_fill((conventions < 0)[:, None], 0.0)

    def _in_chunks(self, hidden: Tensor, conventions: Tensor) -> Tensor:
        """``D_c h`` of each word.

        The words of each convention fill chunks of their own, so that one product of matrices a chunk does for
        all, without a loop, and on a GPU without waiting for a number from it.
        """
        n_words, (n_conventions, n_outputs, width) = len(hidden), self.weight_deltas.shape

        def numbers(n: int) -> Tensor:
            return torch.arange(n, device=hidden.device)

        order = conventions.argsort(stable=True)
        of_word = conventions[order]
        word_ends = torch.searchsorted(of_word, numbers(n_conventions), right=True)
        counts = word_ends.diff(prepend=word_ends.new_zeros(1))
        chunks = (counts + CHUNK - 1) // CHUNK
        ends = chunks.cumsum(0)
        # On a GPU as many chunks as there can be at most; those that are left over hold nothing.
        n_chunks = n_words // CHUNK + n_conventions if hidden.is_cuda else int(ends[-1])
        of_chunk = torch.searchsorted(ends, numbers(n_chunks), right=True)
        places = torch.empty_like(order)
        places[order] = (ends - chunks)[of_word] * CHUNK + numbers(n_words) - (word_ends - counts)[of_word]
        # As an embedding, whose gradient is summed in the same order each time, on a GPU too.
        weights = functional.embedding(of_chunk.clamp(max=n_conventions - 1), self.weight_deltas.flatten(1))
        rows = hidden.new_zeros(n_chunks * CHUNK, width).index_copy(0, places, hidden)
        products = rows.view(n_chunks, CHUNK, width) @ weights.view(n_chunks, n_outputs, width).mT
        return products.view(-1, n_outputs).index_select(0, places)
