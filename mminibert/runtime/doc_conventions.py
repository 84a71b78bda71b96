"""Which convention a Doc's sentences were tagged in, as attributes of Docs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spacy.tokens import Doc

__all__ = ["conventions_of", "register_conventions", "set_conventions"]

KEY = "mminibert_conventions"
"""Under this name a Doc's user data have the first token and the convention of each stretch, which survive in
a DocBin."""


def register_conventions() -> None:
    """Make ``doc._.convention``, the code of the convention of most tokens, and ``doc._.conventions``, those
    of all sentences or other stretches in order; None and () for a Doc that was tagged without.

    An attribute of the user's with one of these names stays.
    """
    for name, getter in (("convention", _convention), ("conventions", _conventions)):
        if not Doc.has_extension(name):
            Doc.set_extension(name, getter=getter)


def set_conventions(doc: Doc, stretches: Sequence[tuple[int, str]]) -> None:
    """stretches: the first token and the convention of each, in order."""
    if stretches:
        doc.user_data[KEY] = [list(stretch) for stretch in stretches]
    else:
        doc.user_data.pop(KEY, None)


def conventions_of(doc: Doc) -> Sequence[tuple[int, str]]:
    """What `set_conventions` set; empty for a Doc that was tagged without."""
    found: Sequence[tuple[int, str]] = doc.user_data.get(KEY, ())
    return found


def _conventions(doc: Doc) -> tuple[str, ...]:
    return tuple(code for _, code in conventions_of(doc))


def _convention(doc: Doc) -> str | None:
    stretches = conventions_of(doc)
    ends = [start for start, _ in stretches[1:]] + [len(doc)]
    words: Counter[str] = Counter()
    for (start, code), end in zip(stretches, ends, strict=False):
        words[code] += end - start
    return words.most_common(1)[0][0] if words else None
