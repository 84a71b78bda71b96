"""Stored vocabularies by the names of their kinds."""

from __future__ import annotations

from .pieces import MAX_PIECES_PER_WORD, StoredPieces
from .sentencepieces import SentencePieces
from .wordpieces import WordPieces

__all__ = ["read_pieces"]

KINDS: dict[str, type[StoredPieces]] = {kind.kind: kind for kind in (WordPieces, SentencePieces)}


def read_pieces(
    data: bytes, kind: str = WordPieces.kind, *, max_pieces_per_word: int = MAX_PIECES_PER_WORD
) -> StoredPieces:
    """What ``to_bytes`` wrote of a vocabulary of this kind; up to 0.3.0 there was one. Raises ValueError for
    another kind, and if the data are no such vocabulary."""
    if kind not in KINDS:
        raise ValueError(f"got pieces of the kind {kind[:40]!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].from_bytes(data, max_pieces_per_word=max_pieces_per_word)
