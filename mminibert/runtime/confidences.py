"""The probability of a predicted UPOS, as an attribute of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from spacy.attrs import IDX, LENGTH
from spacy.tokens import Doc, Token

from .types import Floats

__all__ = ["register_confidences", "set_confidences"]

KEY = "mminibert_confidences"
"""Under this name a Doc's user data have the first character of each token that was tagged, the one after its
last, and the probability: a token that is merged or split afterwards has none, all others keep theirs."""


def register_confidences() -> None:
    """Make ``token._.pos_confidence``, a float or None, and ``doc._.pos_confidences``, those of all tokens,
    or None for a Doc without.

    Raises ValueError if the user has an attribute ``pos_confidence`` of tokens; one of Docs stays.
    """
    if not Token.has_extension("pos_confidence"):
        Token.set_extension("pos_confidence", getter=_pos_confidence)
    elif Token.get_extension("pos_confidence")[2] is not _pos_confidence:
        raise ValueError(
            "Token._.pos_confidence is an attribute of yours; remove it, or leave `confidences` off"
        )
    if not Doc.has_extension("pos_confidences"):
        Doc.set_extension("pos_confidences", getter=_pos_confidences, setter=set_confidences)


def set_confidences(doc: Doc, probabilities: Floats | Sequence[float | None] | None) -> None:
    """probabilities: of each token; None, or NaN among them, where there is none."""
    if probabilities is None:
        doc.user_data.pop(KEY, None)
        return
    if not Token.has_extension("pos_confidence"):  # the component was unpickled in another process
        register_confidences()
    starts, lengths = doc.to_array([IDX, LENGTH]).astype(np.int64).T
    doc.user_data[KEY] = [starts, starts + lengths, np.asarray(probabilities, dtype=np.float32)]


def _pos_confidences(doc: Doc) -> list[float | None] | None:
    return [_pos_confidence(token) for token in doc] if KEY in doc.user_data else None


def _pos_confidence(token: Token) -> float | None:
    if KEY not in token.doc.user_data:
        return None
    starts, ends, probabilities = token.doc.user_data[KEY]
    i = int(starts.searchsorted(token.idx))
    if i == len(starts) or (starts[i], ends[i]) != (token.idx, token.idx + len(token)):
        return None
    found = float(probabilities[i])
    return None if np.isnan(found) else found
