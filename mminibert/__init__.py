"""One small, fast, multilingual tagger for spaCy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from .display.page import Html

__all__ = ["render"]


def render(doc: Doc) -> Html:
    """The Doc as HTML: a string, which a notebook shows as a picture of the words and their tags."""
    from .display.page import fragment

    return fragment([doc])
