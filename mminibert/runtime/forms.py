"""What a word's form says apart from its context: a vector a form, from a table of forms and endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .form_cache import FormCache
from .normal_form import composed, normal_form
from .types import Floats

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["FormTable", "form_features"]

ENDINGS = 4
"""Characters of the longest ending."""


def form_features(form: str) -> tuple[str, ...]:
    """The form in lower case after ``^``, and its endings of 1 to `ENDINGS` characters after ``$``; the
    ending of a form that is not longer has the ``^`` in it."""
    marked = "^" + form.lower()
    return marked, *("$" + marked[-n:] for n in range(1, min(ENDINGS, len(marked)) + 1))


@dataclass(frozen=True, eq=False)
class FormTable:
    """Vectors of the forms and endings of a language.

    features: as `form_features` gives them, no two alike. rows: int8 ``(n_features, width)``, to be
    multiplied by scales, float32 ``(n_features,)``. Raises ValueError if these do not go together.
    """

    features: tuple[str, ...]
    rows: npt.NDArray[np.int8]
    scales: Floats

    def __post_init__(self) -> None:
        if not len(self.features) == len(self.rows) == len(self.scales):
            raise ValueError(
                f"{len(self.features)} features, {len(self.rows)} rows and {len(self.scales)} scales do not "
                "go together"
            )

    @property
    def width(self) -> int:
        return int(self.rows.shape[1])

    def ids(self, form: str) -> list[int]:
        """The rows of a form's features, those of its normal form if the table lacks the form as a whole; it
        may lack all of them."""
        form = composed(form)
        if form not in self:
            form = normal_form(form)
        return [self._ids[feature] for feature in form_features(form) if feature in self._ids]

    def __contains__(self, form: str) -> bool:
        """Whether the form as a whole is one of those that training had often."""
        return form_features(form)[0] in self._ids

    def vector(self, form: str) -> Floats:
        """float32 ``(width,)``: the sum of the rows of a form's features."""
        ids = self.ids(form)
        found: Floats = (self.rows[ids] * self.scales[ids, None]).sum(axis=0, dtype=np.float32)
        return found

    def vectors(self, doc: Doc, keys: Sequence[int], start: int) -> list[bytes]:
        """The vectors of ``doc[start : start + len(keys)]``, whose hashes of spaCy's are the keys, as bytes:
        these are joined faster than arrays are stacked, and threads may share what is kept of them."""
        return self._vectors.of_doc(doc, keys, start)

    @cached_property
    def _vectors(self) -> FormCache[bytes]:
        return FormCache(self._row)

    def _row(self, form: str) -> bytes:
        return self.vector(form).tobytes()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {feature: i for i, feature in enumerate(self.features)}
