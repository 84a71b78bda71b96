"""The segmenter's network in PyTorch: characters of a unit to a vector and the tokens inside of it, vectors
of units in a row to what ends where.

Both halves are convolutions, as in the segmenters of Shao et al. 2018 (*Universal Word Segmentation*), which
label characters, and of Straka and Strakova 2017 (UDPipe), section 3.1; a unit's half depends on the unit and
the language alone, so that its result can be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..runtime.segmenter_model import UNIT_LABELS

__all__ = ["APART", "CHARACTER_LABELS", "UNIT_LABELS", "FlatUnits", "SegmenterNet", "SegmenterSizes"]

CHARACTER_LABELS = 4
"""Of a character within a unit: nothing ends, a token, a token and a sentence, a word of a multiword
token."""
N_GAPS, GAP_WIDTH, CATEGORY_WIDTH = 5, 8, 8
KERNEL = 5
APART = 2
"""How far a convolution over characters sees, on each side."""


@dataclass(frozen=True)
class SegmenterSizes:
    """characters: of the table of characters, with general categories for others. codes: languages and
    conventions. pairs: rows of the table of pairs."""

    characters: int
    categories: int
    languages: int
    codes: int
    pairs: int = 1 << 15
    character_width: int = 48
    width: int = 96
    vector_width: int = 96
    unit_width: int = 96
    pair_width: int = 32
    language_width: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8)


class FlatUnits(NamedTuple):
    """Units one after the other, each followed by `APART` zeros, so that no convolution sees the next, and
    none is filled up to the length of others; zeros may follow the last. characters, categories: int64
    ``(length,)``. lengths: int64 ``(n_units,)``, without zeros."""

    characters: Tensor
    categories: Tensor
    lengths: Tensor

    @property
    def filled(self) -> Tensor:
        """Lengths with zeros."""
        return self.lengths + APART

    @property
    def starts(self) -> Tensor:
        return self.filled.cumsum(0) - self.filled

    @property
    def mask(self) -> Tensor:
        """float32 ``(length,)``: 0 between units."""
        return (self.characters > 0).float()


class SegmenterNet(nn.Module):
    """Parameters are float32; dropout of vectors, hidden units and pairs in training alone. Labels are those
    of a layer for all codes and one of each code's own added up."""

    def __init__(self, sizes: SegmenterSizes, *, dropout: float = 0.2, pair_dropout: float = 0.5) -> None:
        super().__init__()
        self.sizes, self.pair_dropout = sizes, pair_dropout
        s, embedded = sizes, sizes.character_width + CATEGORY_WIDTH
        self.characters = nn.Embedding(s.characters, s.character_width, padding_idx=0)
        self.categories = nn.Embedding(s.categories, CATEGORY_WIDTH, padding_idx=0)
        self.pairs = nn.Embedding(s.pairs, s.pair_width, padding_idx=0, sparse=True)
        self.gaps = nn.Embedding(N_GAPS, GAP_WIDTH)
        self.character_codes = nn.Embedding(s.codes, s.width)
        self.unit_codes = nn.Embedding(s.codes, s.unit_width)
        self.label_codes = nn.Embedding(s.codes, UNIT_LABELS)
        self.character_heads = nn.Embedding(s.codes, CHARACTER_LABELS * s.width)
        self.unit_heads = nn.Embedding(s.codes, UNIT_LABELS * s.unit_width)
        self.first = nn.Conv1d(embedded, s.width, KERNEL, padding=KERNEL // 2)
        self.within = nn.ModuleList(nn.Conv1d(s.width, s.width, 3, padding=d, dilation=d) for d in (1, 2))
        self.character_labels = nn.Conv1d(s.width, CHARACTER_LABELS, 1)
        self.vector = nn.Linear(3 * s.width, s.vector_width)
        self.between = nn.Conv1d(s.vector_width + GAP_WIDTH + s.pair_width, s.unit_width, 3, padding=1)
        self.further = nn.ModuleList(
            nn.Conv1d(s.unit_width, s.unit_width, 3, padding=d, dilation=d) for d in s.dilations
        )
        self.unit_labels = nn.Conv1d(s.unit_width, UNIT_LABELS, 1)
        self.spelling = nn.Conv1d(embedded, s.language_width, KERNEL, padding=KERNEL // 2)
        self.languages = nn.Linear(s.language_width, s.languages)
        self.dropout = nn.Dropout(dropout)
        for table in (self.character_codes, self.unit_codes, self.pairs):
            nn.init.normal_(table.weight, std=0.02)
        for table in (self.label_codes, self.character_heads, self.unit_heads):
            nn.init.zeros_(table.weight)
        with torch.no_grad():
            self.pairs.weight[0] = 0

    def of_characters(self, units: FlatUnits, codes: Tensor) -> tuple[Tensor, Tensor]:
        """codes int64 ``(n_units,)``. Labels of the characters, float32 ``(length, 4)``, and the units'
        vectors, ``(n_units, vector_width)``."""
        # Rows of a code are taken as slices, so that units of one code should stand together.
        which, n_units = torch.unique_consecutive(codes, return_counts=True)
        n_characters = [int(part.sum()) for part in units.filled.split(n_units.tolist())]
        n_characters[-1] += len(units.characters) - sum(n_characters)
        hidden = convolved(self.first, self._embedded(units))
        of_codes = self.character_codes(which).repeat_interleave(torch.tensor(n_characters), 0)
        mask = units.mask[:, None].to(hidden.dtype)  # so that mixed precision stays half
        hidden = torch.relu(hidden + of_codes.to(hidden.dtype)) * mask
        for layer in self.within:
            hidden = (hidden + torch.relu(convolved(layer, hidden))) * mask
        # Products in half precision are prepared anew for each size, which takes longer than these do.
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            heads = self.character_heads(which).view(len(which), CHARACTER_LABELS, -1)
            own = [part @ head.T for head, part in zip(heads, hidden.split(n_characters), strict=True)]
            labels = convolved(self.character_labels, hidden) + torch.cat(own)
            ends = hidden[units.starts], hidden[units.starts + units.lengths - 1]
            vectors = torch.relu(self.vector(torch.cat([_largest(hidden, units), *ends], 1)))
        return labels, vectors

    def of_spelling(self, units: FlatUnits) -> Tensor:
        """What each unit says of its language, whatever that is: float32 ``(n_units, n_languages)``, to be
        added up."""
        hidden = torch.relu(convolved(self.spelling, self._embedded(units)))
        with torch.autocast(hidden.device.type, enabled=False):
            return self.languages(_largest(hidden.float() * units.mask[:, None], units))

    def _embedded(self, units: FlatUnits) -> Tensor:
        """float32 ``(length, width)``."""
        return torch.cat([self.characters(units.characters), self.categories(units.categories)], -1)

    def of_units(self, vectors: Tensor, gaps: Tensor, pairs: Tensor, codes: Tensor) -> Tensor:
        """vectors float32 ``(batch, n, vector_width)``, gaps and pairs int64 ``(batch, n)``, codes int64
        ``(batch,)``. Labels of the units, float32 ``(batch, n, 7)``."""
        return self.labels(self.hidden(vectors, gaps, pairs, codes), codes)

    def hidden(self, vectors: Tensor, gaps: Tensor, pairs: Tensor, codes: Tensor) -> Tensor:
        """What `of_units` sees of each unit and those around it, ``(batch, n, unit_width)``."""
        of_pairs = self.pairs(pairs)
        if self.training:  # as a pair that was never seen
            of_pairs = of_pairs * (torch.rand(pairs.shape) >= self.pair_dropout)[:, :, None]
        inputs = torch.cat([self.dropout(vectors), self.gaps(gaps), of_pairs], -1)
        hidden = convolved(self.between, inputs)
        hidden = torch.relu(hidden + self.unit_codes(codes)[:, None].to(hidden.dtype))
        for layer in self.further:
            hidden = hidden + self.dropout(torch.relu(convolved(layer, self.dropout(hidden))))
        return hidden

    def labels(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Of units, from `hidden`."""
        own = self.unit_heads(codes).view(len(codes), UNIT_LABELS, -1)
        labels = convolved(self.unit_labels, hidden) + hidden @ own.mT.to(hidden.dtype)
        return labels + self.label_codes(codes)[:, None]


def convolved(layer: nn.Module, rows: Tensor) -> Tensor:
    """`layer`, a `Conv1d` of odd size that keeps the length, over rows ``(..., length, width)``, by a product
    with neighbours side by side: convolutions of few rows in half precision take three times as long."""
    assert isinstance(layer, nn.Conv1d)
    (kernel,), (dilation,), length = layer.kernel_size, layer.dilation, rows.shape[-2]
    reach = dilation * (kernel // 2)
    filled = functional.pad(rows, (0, 0, reach, reach))
    beside = [filled[..., i * dilation : i * dilation + length, :] for i in range(kernel)]
    return functional.linear(torch.cat(beside, -1), layer.weight.transpose(1, 2).flatten(1), layer.bias)


def _largest(hidden: Tensor, units: FlatUnits) -> Tensor:
    """Of each unit's characters, ``(n_units, width)``, from ``(length, width)`` that is nowhere negative."""
    filled = units.filled
    return torch.segment_reduce(hidden[: int(filled.sum())], "max", lengths=filled, axis=0)
