"""Other word forms in the place of words, `replacement` over rows of the piece tables; PyTorch alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .bundle import UNLABELLED
from .dataset import Text


class Forms:
    """Which words of a language are alike, from the sentences themselves."""

    def __init__(self, words: Tensor, languages: Tensor, kinds: Tensor) -> None:
        """words: int64 ``(n_words,)``, rows; languages: int64, the language of each; kinds: int64
        ``(n_rows,)``, see `replacement.kinds`."""
        self.kinds, self.n_rows, self.n_kinds = kinds, len(kinds), int(kinds.max()) + 1
        known = kinds[words] >= 0
        keys = self._keys(words[known], languages[known])
        found = torch.unique(keys * self.n_rows + words[known])
        self.keys, self.rows = found // self.n_rows, found % self.n_rows

    def _keys(self, words: Tensor, languages: Tensor) -> Tensor:
        return languages * self.n_kinds + self.kinds[words]

    def others(self, words: Tensor, languages: Tensor, generator: torch.Generator) -> Tensor:
        """For each word one of its language's forms that are alike, all equally likely, itself among them;
        words of no kind stay."""
        keys = self._keys(words, languages)
        first = torch.searchsorted(self.keys, keys)
        count = torch.searchsorted(self.keys, keys, right=True) - first
        alike = (self.kinds[words] >= 0) & (count > 0)
        drawn = torch.rand(len(words), generator=generator, device=words.device)
        step = torch.minimum((drawn * count).long(), count - 1)
        found = words.clone()
        found[alike] = self.rows[(first + step)[alike]]
        return found


def replace_words(
    text: Text, forms: Forms, sentences: float, words: float, generator: torch.Generator
) -> Text:
    """Replace a share of the words, never the first, of a share of the sentences, which lose their labels."""

    def random(size: Tensor) -> Tensor:
        return torch.rand(len(size), generator=generator, device=size.device)

    altered = (random(text.lengths) < sentences).repeat_interleave(text.lengths)
    chosen = altered & (random(text.rows) < words)
    chosen[text.lengths.cumsum(0) - text.lengths] = False
    rows = torch.where(chosen, forms.others(text.rows, text.languages, generator), text.rows)
    return replace(text, rows=rows, labels=text.labels.masked_fill(altered, UNLABELLED))
