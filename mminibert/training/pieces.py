"""Words as rows of a table of their wordpieces; needs NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


class Reader(Protocol):
    """A tokenizer of single words, such as ``runtime.wordpieces.Pieces``."""

    cls_id: int
    sep_id: int
    pad_id: int
    blank_id: int

    def encode(self, word: str) -> Sequence[int]: ...


@dataclass(frozen=True)
class PieceTable:
    """The pieces of n distinct words.

    counts: uint8 ``(n,)``. pieces: int32, one word's after the other's, as rows of the model's embeddings, as
    are the following. cls_id, sep_id, pad_id. blank_id: SentencePiece's blank, -1 if there is none.
    max_pieces: longest sentence, with both special pieces; longer ones are cut at a word.
    """

    counts: np.ndarray
    pieces: np.ndarray
    cls_id: int
    sep_id: int
    pad_id: int
    blank_id: int
    max_pieces: int


def distinct(sentences: Iterable[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The distinct words in the order of their first occurrence; of each word its place among them, int32;
    the number of words of each sentence, int32."""
    rows: dict[str, int] = {}
    words: list[int] = []
    lengths = []
    for sentence in sentences:
        words += [rows.setdefault(word, len(rows)) for word in sentence]
        lengths.append(len(sentence))
    return list(rows), np.asarray(words, dtype=np.int32), np.asarray(lengths, dtype=np.int32)


def piece_table(reader: Reader, words: Iterable[str], max_pieces: int) -> PieceTable:
    """The pieces of distinct words, by the ids of the whole vocabulary."""
    found = [reader.encode(word) for word in words]
    return PieceTable(
        counts=np.asarray([len(ids) for ids in found], dtype=np.uint8),
        pieces=np.asarray([i for ids in found for i in ids], dtype=np.int32),
        cls_id=reader.cls_id,
        sep_id=reader.sep_id,
        pad_id=reader.pad_id,
        blank_id=reader.blank_id,
        max_pieces=max_pieces,
    )


def compress(table: PieceTable, more: Sequence[int] = ()) -> tuple[PieceTable, np.ndarray]:
    """A table with rows for those ids alone that occur in it or among ``more``; and, int32, the id that each
    row is of, in ascending order."""
    special = [table.cls_id, table.sep_id, table.pad_id]
    ids = np.unique(np.concatenate([table.pieces, np.asarray([*special, *more], dtype=np.int64)]))
    cls_id, sep_id, pad_id = (int(np.searchsorted(ids, i)) for i in special)
    blank = np.flatnonzero(ids == table.blank_id)
    small = replace(
        table,
        pieces=np.searchsorted(ids, table.pieces).astype(np.int32),
        cls_id=cls_id,
        sep_id=sep_id,
        pad_id=pad_id,
        blank_id=int(blank[0]) if len(blank) else -1,
    )
    return small, ids.astype(np.int32)
