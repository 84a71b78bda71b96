"""Web and mail addresses, which are tokens in all treebanks and too varied to be learned."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .units import UNSPACED

__all__ = ["addresses"]

_HINT = re.compile(r"://|www\.|@", re.IGNORECASE)
_PART = rf"(?:[^\s()\[\]<>{{}}\"“”«»{UNSPACED}]|\([^\s()]*\)|\[[^\s\[\]]*\])"
_WORD = rf"[^\W{UNSPACED}]"
_ADDRESS = re.compile(
    rf"(?<!{_WORD})(?:https?|ftp)://{_PART}+|(?<!{_WORD})www\.[^\W_]{_PART}*\.{_PART}+"
    # The local part of a mail address has 64 characters at most (RFC 5321, section 4.5.3.1.1).
    rf"|(?<![.+%-])(?<!{_WORD})(?:mailto:)?(?:{_WORD}|[.+%-]){{1,64}}"
    rf"@{_WORD}(?:{_WORD}|-)*(?:\.{_WORD}(?:{_WORD}|-)*)+",
    re.IGNORECASE,
)
_FINAL = re.compile(r"[.,;:!?'’*]+$")
"""Punctuation after an address."""


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where they are, in their order. Web addresses begin with ``http://``, ``https://``, ``ftp://`` or
    ``www.``."""
    if _HINT.search(text) is None:
        return
    for match in _ADDRESS.finditer(text):
        found = _FINAL.sub("", match.group())
        yield match.start(), match.start() + len(found)
