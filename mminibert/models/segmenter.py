"""The segmenter's network in PyTorch: characters of a unit to a vector and the tokens inside of it, vectors
of units in a row to what ends where.

Both halves are convolutions, as in the segmenters of Shao et al. 2018 (*Universal Word Segmentation*), which
label characters, and of Straka and Strakova 2017 (UDPipe), section 3.1; a unit's half depends on the unit and
the language alone, so that its result can be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["CHARACTER_LABELS", "UNIT_LABELS", "SegmenterNet", "SegmenterSizes"]

CHARACTER_LABELS = 4
"""Of a character within a unit: nothing ends, a token, a token and a sentence, a word of a multiword
token."""
UNIT_LABELS = 7
"""Of a unit: three scores of its end (nothing, a token, a sentence ends), two of whether a multiword token is
in it (no, yes), two of whether a final full stop is a token of its own (no, yes)."""
N_GAPS, GAP_WIDTH, CATEGORY_WIDTH = 5, 8, 8
KERNEL = 5


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
    vector_width: int = 64
    unit_width: int = 96
    pair_width: int = 32
    language_width: int = 64
    dilations: tuple[int, ...] = (1, 2, 4)


class SegmenterNet(nn.Module):
    """Parameters are float32; dropout of vectors, hidden units and pairs in training alone."""

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
        nn.init.zeros_(self.label_codes.weight)
        with torch.no_grad():
            self.pairs.weight[0] = 0

    def embed(self, characters: Tensor, categories: Tensor) -> Tensor:
        """int64 ``(n, length)`` each, 0 at padding; float32 ``(n, width, length)``."""
        return torch.cat([self.characters(characters), self.categories(categories)], -1).transpose(1, 2)

    def of_characters(self, embedded: Tensor, mask: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """embedded as `embed` gives it, mask float32 ``(n, 1, length)``, codes int64 ``(n,)``. Labels of the
        characters, float32 ``(n, 4, length)``, and the units' vectors, ``(n, vector_width)``."""
        hidden = torch.relu(self.first(embedded) + self.character_codes(codes)[:, :, None]) * mask
        for layer in self.within:
            hidden = (hidden + torch.relu(layer(hidden))) * mask
        last = mask[:, 0].sum(1).long() - 1
        ends = hidden[:, :, 0], hidden[torch.arange(len(hidden)), :, last]
        vectors = torch.relu(self.vector(torch.cat([hidden.amax(2), *ends], 1)))
        return self.character_labels(hidden), vectors

    def of_spelling(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """What each unit says of its language, whatever that is: float32 ``(n, n_languages)``, to be added
        up."""
        hidden = torch.relu(self.spelling(embedded)) * mask
        return self.languages(hidden.amax(2))

    def of_units(self, vectors: Tensor, gaps: Tensor, pairs: Tensor, codes: Tensor) -> Tensor:
        """vectors float32 ``(batch, n, vector_width)``, gaps and pairs int64 ``(batch, n)``, codes int64
        ``(batch,)``. Labels of the units, float32 ``(batch, 7, n)``."""
        of_pairs = self.pairs(pairs)
        if self.training:  # as a pair that was never seen
            of_pairs = of_pairs * (torch.rand(pairs.shape) >= self.pair_dropout)[:, :, None]
        inputs = torch.cat([self.dropout(vectors), self.gaps(gaps), of_pairs], -1).transpose(1, 2)
        hidden = torch.relu(self.between(inputs) + self.unit_codes(codes)[:, :, None])
        for layer in self.further:
            hidden = hidden + self.dropout(torch.relu(layer(self.dropout(hidden))))
        return self.unit_labels(hidden) + self.label_codes(codes)[:, :, None]
