"""The probability of a predicted UPOS, as an attribute of tokens."""

from __future__ import annotations

from spacy.tokens import Doc, Token

__all__ = ["register_confidences"]


def register_confidences() -> None:
    """Make ``token._.pos_confidence``, a float or None.

    Raises ValueError if the user has an attribute of that name.
    """
    if not Token.has_extension("pos_confidence"):
        Doc.set_extension("pos_confidences", default=None)
        Token.set_extension("pos_confidence", getter=_pos_confidence)
    elif Token.get_extension("pos_confidence")[2] is not _pos_confidence:
        raise ValueError(
            "Token._.pos_confidence is an attribute of yours; remove it, or leave `confidences` off"
        )


def _pos_confidence(token: Token) -> float | None:
    confidences = token.doc._.pos_confidences
    return None if confidences is None else float(confidences[token.i])
