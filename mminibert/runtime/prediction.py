"""What a tagger predicts of a Doc."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .by_convention import Sentences

__all__ = ["Prediction"]


class Prediction(NamedTuple):
    """What a Doc's words are predicted to be: its tokens, and in place of multiword tokens their words."""

    combinations: np.ndarray
    """int32 ``(n_words,)``: indices into the component's `combinations`."""
    confidences: np.ndarray | None
    """float32 ``(n_words,)``: probability of the predicted UPOS; None unless asked for."""
    conventions: Sentences
    """First word and convention of each stretch that was tagged by one; empty without conventions."""

    def at(self, heads: np.ndarray) -> Prediction:
        """Of the head of each token. heads: int64 ``(n_tokens,)``, indices of words."""
        return Prediction(
            self.combinations[heads],
            None if self.confidences is None else self.confidences[heads],
            [(int(np.searchsorted(heads, start)), code) for start, code in self.conventions],
        )
