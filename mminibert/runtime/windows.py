"""Documents as windows that fit a BERT encoder, and windows as batches of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from spacy.attrs import SENT_START

from .letter_case import without_lower_case
from .pieces import Pieces

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Window", "WindowBatch", "Windows", "check_window_sizes", "unit_bounds", "windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one document that the encoder reads at once.

    doc: index of the document. piece_ids: int32 (length,), with [CLS] and [SEP]. first: int64 (end - start,),
    positions in piece_ids of the first pieces of the tokens doc[start:end], which this window predicts, after
    the piece of a blank if there is one; the tokens around them are context. begins: int64, the same of all
    tokens, context and not.
    """

    doc: int
    piece_ids: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    start: int
    end: int
    begins: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Windows of one length, for one call of the encoder: no padding, hence no mask.

    piece_ids: int32 (windows, length). first: int64 (n,), indices of first pieces in the flattened
    (windows * length) positions. rows: int64 (n,), the same tokens as rows of all documents' tokens laid end
    to end. So `out[rows] = hidden.reshape(-1, width)[first]`. begins: int64, as `first`, of all tokens.
    """

    piece_ids: npt.NDArray[np.int32]
    first: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of documents whose tokens are laid end to end.

    pieces: whose they are. doc_starts: int64 (docs,), the first token of each document. piece_ids: int32, of
    all tokens. offsets: int64 (tokens + 1,), where those of each token begin, and the end. bounds: int64
    (windows, 4), of each window the first token that it reads, the first that it predicts, and the ends of
    both, the other way round.
    """

    pieces: Pieces
    doc_starts: npt.NDArray[np.int64]
    piece_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Window]:
        for i, (_, start, end, _) in enumerate(self.bounds.tolist()):
            alone = self._batch(np.asarray([i]))
            doc = int(self.doc_starts.searchsorted(start, side="right")) - 1
            first = int(self.doc_starts[doc])
            yield Window(doc, alone.piece_ids[0], alone.first, start - first, end - first, alone.begins)

    def batches(self, batch_pieces: int) -> Iterator[WindowBatch]:
        """Those of exactly equal length together, shortest first, at most `batch_pieces` pieces a batch; a
        longer one is a batch alone. Raises ValueError if batch_pieces < 1."""
        if batch_pieces < 1:
            raise ValueError(f"batch_pieces is {batch_pieces}; it must be at least 1")
        lengths = self.offsets[self.bounds[:, 3]] - self.offsets[self.bounds[:, 0]] + 2
        order = lengths.argsort(kind="stable")
        for alike in np.split(order, (np.diff(lengths[order]) > 0).nonzero()[0] + 1):
            size = max(1, batch_pieces // int(lengths[alike[0]])) if len(alike) else 1
            for i in range(0, len(alike), size):
                yield self._batch(alike[i : i + size])

    def _batch(self, which: npt.NDArray[np.int64]) -> WindowBatch:
        """The windows of these numbers, which have as many pieces."""
        left, start, end, right = self.bounds[which].T
        lows, n = self.offsets[left], int(self.offsets[right[0]] - self.offsets[left[0]])
        piece_ids = np.empty((len(which), n + 2), dtype=np.int32)
        piece_ids[:, 0], piece_ids[:, -1] = self.pieces.cls_id, self.pieces.sep_id
        piece_ids[:, 1:-1] = self.piece_ids[lows[:, None] + np.arange(n)]
        counts = right - left
        places = np.arange(len(which)) * (n + 2) + 1 - lows
        begins = self.offsets[_ranges(left, right)] + places.repeat(counts)
        if self.pieces.blank_id >= 0:
            # A blank's piece is the word's own at the start alone, as spacy-transformers has it.
            is_blank = piece_ids.reshape(-1)[begins] == self.pieces.blank_id
            begins += is_blank & (begins % (n + 2) > 1)
        before = counts.cumsum() - counts - left
        first = begins[_ranges(start + before, end + before)]
        return WindowBatch(piece_ids, first, _ranges(start, end), begins)


def _ranges(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers from each start to its end, one range after the other."""
    counts = ends - starts
    sums = counts.cumsum()
    return np.arange(sums[-1]) + (starts - sums + counts).repeat(counts)


def check_window_sizes(pieces: Pieces, *, max_pieces: int, overlap: int) -> None:
    """Raise ValueError unless windows of these sizes can hold any word on both sides of a cut."""
    if overlap < 2 * pieces.max_pieces_per_word:
        raise ValueError(
            f"overlap is {overlap} pieces; it must be at least twice max_pieces_per_word "
            f"({pieces.max_pieces_per_word}), so at least {2 * pieces.max_pieces_per_word}"
        )
    if max_pieces < overlap + 3:
        raise ValueError(
            f"max_pieces is {max_pieces}; it must be at least overlap + 3 = {overlap + 3}, "
            "for [CLS], [SEP] and a step forward"
        )


def windows(docs: Iterable[Doc], pieces: Pieces, *, max_pieces: int = 128, overlap: int = 32) -> Windows:
    """Cut documents to windows of at most `max_pieces` pieces with [CLS] and [SEP], in order.

    Sentences in capitals and in title case are read in lower case. A document is cut at its
    sentence starts if it has any annotated, and a sentence (or document) that is
    still too long into windows of about equal size that share about `overlap` pieces. Each token is predicted
    by exactly one window, the one where it has more context on its poorer side. An empty document gives no
    windows. The windows of a document do not depend on the other documents.

    Raises ValueError if overlap < 2 * max_pieces_per_word or max_pieces < overlap + 3.
    """
    check_window_sizes(pieces, max_pieces=max_pieces, overlap=overlap)
    words: list[tuple[int, ...]] = []
    doc_starts: list[int] = []
    sentences: list[int] = []
    for doc in docs:
        bounds = unit_bounds(doc)
        own = pieces.of_doc(doc)
        for start, end, lower in without_lower_case(doc, bounds, pieces):
            own[start:end] = [
                found and pieces.pieces(word) for found, word in zip(own[start:end], lower, strict=True)
            ]
        doc_starts.append(len(words))
        sentences += [len(words) + start for start in bounds[:-1]]
        words += own
    offsets = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, words), dtype=np.int64, count=len(words)), out=offsets[1:])
    piece_ids = np.fromiter(chain.from_iterable(words), dtype=np.int32, count=int(offsets[-1]))
    starts = np.asarray(sentences, dtype=np.int64)
    ends = np.concatenate([starts[1:], [len(words)]])[: len(starts)]
    whole = np.stack([starts, starts, ends, ends], axis=1)
    body = max_pieces - 2
    parts, done = [], 0
    for i in (offsets[ends] - offsets[starts] > body).nonzero()[0].tolist():
        cuts = _cuts(offsets, *whole[i, [0, 3]].tolist(), body=body, overlap=overlap)
        parts += [whole[done:i], np.asarray(list(cuts), dtype=np.int64)]
        done = i + 1
    starts_of_docs, cut = np.asarray(doc_starts, dtype=np.int64), np.concatenate([*parts, whole[done:]])
    return Windows(pieces, starts_of_docs, piece_ids, offsets, cut)


def unit_bounds(doc: Doc) -> list[int]:
    """Token indices at which sentences start, and the end."""
    if len(doc) == 0:
        return [0]
    starts = doc.to_array(SENT_START) == 1
    starts[0] = True
    return [*starts.nonzero()[0].tolist(), len(doc)]


def _cuts(
    offsets: npt.NDArray[np.int64], unit_start: int, unit_end: int, *, body: int, overlap: int
) -> Iterator[tuple[int, int, int, int]]:
    """Of a sentence with more pieces than fit in the body of a window, token indices (left, start, end,
    right): a window reads [left, right) and predicts [start, end).

    With n pieces, k = ceil((n - overlap) / (body - overlap)) windows are needed; window i reads the pieces
    from c_i to c_(i+1) + overlap, where c_i = floor(i (n - overlap) / k), rounded inwards to tokens. Tokens
    change hands in the middle of the overlap; overlap >= 2 * max_pieces_per_word makes both windows hold it.
    """
    unit = offsets[unit_start : unit_end + 1] - offsets[unit_start]
    n = int(unit[-1])
    k = -(-(n - overlap) // (body - overlap))
    cuts = np.arange(k + 1) * (n - overlap) // k
    lefts = unit_start + np.searchsorted(unit, cuts[:-1], side="left")
    rights = unit_start + np.searchsorted(unit, cuts[1:] + overlap, side="right") - 1
    handovers = unit_start + np.searchsorted(unit, cuts[1:-1] + overlap // 2, side="left")
    edges = [unit_start, *handovers.tolist(), unit_end]
    for left, start, end, right in zip(lefts.tolist(), edges, edges[1:], rights.tolist(), strict=False):
        if start < end:
            yield left, start, end, right
