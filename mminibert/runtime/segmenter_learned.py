"""What a segmenter has learned: a model, the words of multiword tokens, and what is kept of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from .expansions import Expansions
from .languages import language_of
from .segmentation import Reader
from .segmenter_model import SegmenterModel

__all__ = ["Expander", "Learned"]

KEPT_FORMS = 10_000
"""Forms of a language, or of a convention, whose words are kept."""


class Expander:
    """The multiword tokens of a code."""

    def __init__(self, expansions: Expansions, convention: str | None) -> None:
        self.expansions, self.convention = expansions, convention
        self.unlikely = lru_cache(maxsize=KEPT_FORMS)(self._unlikely)

    def _unlikely(self, form: str) -> tuple[str, ...] | None:
        # Below a half neither the probability nor splits count (`Expansions.expand`), so that it can be kept.
        return self.expansions.expand(form, (), 0.0, self.convention)

    def likely(self, form: str, splits: Sequence[int], logit: float) -> tuple[str, ...] | None:
        return self.expansions.expand(form, splits, 1 / (1 + math.exp(-logit)), self.convention)


class Learned:
    """A model, what multiword tokens consist of, and what is kept of both."""

    def __init__(self, model: SegmenterModel, expansions: Mapping[str, Expansions]) -> None:
        self.model, self.expansions = model, expansions
        self.reader = Reader(model)
        self._expanders: dict[str, Expander] = {}

    def expander(self, code: str) -> Expander | None:
        """None for a language without multiword tokens."""
        found, language = self._expanders.get(code), language_of(code)
        if found is None and language in self.expansions:
            convention = code if code != language else None
            found = self._expanders[code] = Expander(self.expansions[language], convention)
        return found
