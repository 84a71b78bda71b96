"""Which language a Doc's stretches were read in, as attributes of Docs and Spans."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from spacy.tokens import Doc, Span

from .doc_conventions import conventions_of
from .languages import language_of

__all__ = ["given_language", "register_languages", "set_languages"]

KEY = "mminibert_languages"
"""Under this name a Doc's user data have the first token and the language of each stretch, and whether the
user gave it; they survive in a DocBin."""


def register_languages() -> None:
    """Make ``span._.language``, that of the span's first token, and ``doc._.languages``, those of the text in
    order: of the conventions that it was tagged in, else what the tokenizer found or was told. None and ()
    for a Doc that has neither.

    An attribute of the user's with one of these names stays.
    """
    if not Span.has_extension("language"):
        Span.set_extension("language", getter=_language)
    if not Doc.has_extension("languages"):
        Doc.set_extension("languages", getter=_languages)


def set_languages(doc: Doc, stretches: Sequence[tuple[int, str]], *, given: bool) -> None:
    """stretches: the first token and the language of each, in order. given: by the user, not found in the
    text."""
    doc.user_data[KEY] = [given, [list(stretch) for stretch in stretches]]


def given_language(doc: Doc) -> str | None:
    """The language or convention that the user gave the tokenizer for this text; None if it was found."""
    given, stretches = doc.user_data.get(KEY, (False, ()))
    return stretches[0][1] if given and stretches else None


def _stretches(doc: Doc) -> Sequence[Sequence]:
    return conventions_of(doc) or doc.user_data.get(KEY, (False, ()))[1]


def _languages(doc: Doc) -> tuple[str, ...]:
    return tuple(lang for lang, _ in groupby(language_of(code) for _, code in _stretches(doc)))


def _language(span: Span) -> str | None:
    stretches = _stretches(span.doc)
    at = bisect_right([start for start, _ in stretches], span.start) - 1
    return language_of(stretches[at][1]) if at >= 0 else None
