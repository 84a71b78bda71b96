"""The student: a small BERT encoder in PyTorch, which needs nothing else.

Devlin et al. 2019, *BERT*, section 3; sizes as in Tsai et al. 2019, section 4. Parameters have the names
of Hugging Face's ``BertModel``, without its pooler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .word_grid import WordGrid

INITIAL_DEVIATION = 0.02


@dataclass(frozen=True)
class Sizes:
    """Of an encoder; the defaults are the paper's student. word_layers: how many of the layers, the last
    ones, read a vector a word (`WordGrid`) instead of a vector a piece."""

    hidden_width: int = 256
    intermediate_width: int = 1024
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    max_positions: int = 512
    dropout: float = 0.1
    word_layers: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.word_layers < self.num_hidden_layers:
            raise ValueError(
                f"word_layers is {self.word_layers}, expected 0 or more and less than num_hidden_layers, "
                f"{self.num_hidden_layers}, as the first layer reads wordpieces"
            )


class _Embeddings(nn.Module):
    def __init__(self, vocab_size: int, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.hidden_width
        # Sparse gradients: a step touches a few hundred of more than 100,000 rows.
        self.word_embeddings = nn.Embedding(vocab_size, width, sparse=True)
        self.position_embeddings = nn.Embedding(sizes.max_positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, piece_ids: Tensor) -> Tensor:
        vectors = self.word_embeddings(piece_ids)
        positions = self.position_embeddings.weight[: vectors.shape[1]]
        summed = vectors + positions + self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(summed))


class _SelfAttention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.hidden_width
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.num_heads = sizes.num_attention_heads
        self.dropout = sizes.dropout

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, width = hidden.shape

        def heads(projection: nn.Module) -> Tensor:
            return projection(hidden).view(batch, length, self.num_heads, -1).transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            heads(self.query),
            heads(self.key),
            heads(self.value),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return attended.transpose(1, 2).reshape(batch, length, width)


class _Residual(nn.Module):
    """``LayerNorm(residual + dropout(dense(x)))``."""

    def __init__(self, in_width: int, sizes: Sizes) -> None:
        super().__init__()
        self.dense = nn.Linear(in_width, sizes.hidden_width)
        self.LayerNorm = nn.LayerNorm(sizes.hidden_width, eps=1e-12)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(residual + self.dropout(self.dense(x)))


class _Layer(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.hidden_width
        self.attention = nn.ModuleDict({"self": _SelfAttention(sizes), "output": _Residual(width, sizes)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, sizes.intermediate_width)})
        self.output = _Residual(sizes.intermediate_width, sizes)

    def forward(self, hidden: Tensor, mask: Tensor | None, rows: Tensor | None = None) -> Tensor:
        """rows: the only ones of the flattened output that are wanted, or None for all, unflattened."""
        attended = self.attention["self"](hidden, mask)
        if rows is not None:
            attended = attended.flatten(0, 1).index_select(0, rows)
            hidden = hidden.flatten(0, 1).index_select(0, rows)
        hidden = self.attention["output"](attended, hidden)
        return self.output(functional.gelu(self.intermediate["dense"](hidden)), hidden)


class BertEncoder(nn.Module):
    """The encoder as a PyTorch module."""

    def __init__(self, vocab_size: int, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = _Embeddings(vocab_size, sizes)
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList([_Layer(sizes) for _ in range(sizes.num_hidden_layers)])}
        )
        if sizes.word_layers:
            # Of a word's first and last piece; at the beginning its vector is that of the first one.
            self.piece_scales = nn.Parameter(torch.eye(2, 1).repeat(1, sizes.hidden_width))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(
        self,
        piece_ids: Tensor,
        mask: Tensor | None = None,
        first: Tensor | None = None,
        begins: Tensor | None = None,
    ) -> Tensor:
        """piece_ids: int64 ``(batch, length)``; mask: bool ``(batch, length)``, False at padding, or None
        where there is none. Returns float32 ``(batch, length, hidden_width)``.

        first: int64 ``(n_tokens,)``, rows of the flattened output; then these alone are returned,
        ``(n_tokens, hidden_width)``, and the last layer computes no other. begins: int64, rows of the first
        pieces of all words, those of ``first`` and what is read besides, by default ``first``; needed with
        ``word_layers`` alone, as ``first`` is then. Raises ValueError if it is not given.
        """
        hidden = self.embeddings(piece_ids)
        wide_mask = None if mask is None else mask[:, None, None, :]
        *lower, last = cast(Any, self.encoder["layer"])
        for layer in lower[: self.n_piece_layers]:
            hidden = layer(hidden, wide_mask)
        if self.sizes.word_layers:
            if first is None:
                raise ValueError("got no `first`, expected the first pieces of words, as layers read words")
            begins = first if begins is None else begins
            words = WordGrid(piece_ids, mask, begins)
            hidden, wide_mask = words(hidden, self.piece_scales), words.mask[:, None, None, :]
            first = words.begins[torch.searchsorted(begins, first)]
        for layer in lower[self.n_piece_layers :]:
            hidden = layer(hidden, wide_mask)
        return last(hidden, wide_mask, first)

    @property
    def n_piece_layers(self) -> int:
        """How many layers, the first ones, read a vector a piece."""
        return self.sizes.num_hidden_layers - self.sizes.word_layers
