"""Documents as windows that fit a BERT encoder, and windows as batches of equal length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from spacy.attrs import SENT_START

from .letter_case import without_lower_case
from .pieces import Pieces

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Window", "WindowBatch", "check_window_sizes", "equal_length_batches", "unit_bounds", "windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of one document that the encoder reads at once.

    doc: index of the document. piece_ids: int32 (length,), with [CLS] and [SEP]. first: int32 (end - start,),
    positions in piece_ids of the first pieces of the tokens doc[start:end], which this window predicts, after
    the piece of a blank if there is one; the tokens around them are context. begins: int32, the same of all
    tokens, context and not.
    """

    doc: int
    piece_ids: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    start: int
    end: int
    begins: npt.NDArray[np.int32]


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


def windows(
    docs: Iterable[Doc], pieces: Pieces, *, max_pieces: int = 128, overlap: int = 32
) -> Iterator[Window]:
    """Cut documents to windows of at most `max_pieces` pieces with [CLS] and [SEP], in order.

    Sentences in capitals and in title case are read in lower case. A document is cut at its
    sentence starts if it has any annotated, and a sentence (or document) that is
    still too long into windows of about equal size that share about `overlap` pieces. Each token is predicted
    by exactly one window, the one where it has more context on its poorer side. An empty document gives no
    windows. The windows of a document do not depend on the other documents.

    Raises ValueError if overlap < 2 * max_pieces_per_word or max_pieces < overlap + 3.
    """
    check_window_sizes(pieces, max_pieces=max_pieces, overlap=overlap)
    for index, doc in enumerate(docs):
        bounds = unit_bounds(doc)
        words = pieces.of_doc(doc)
        for start, end, lower in without_lower_case(doc, bounds, pieces):
            words[start:end] = [
                own and pieces.pieces(word) for own, word in zip(words[start:end], lower, strict=True)
            ]
        offsets = [0, *accumulate(map(len, words))]
        flat = np.fromiter(chain.from_iterable(words), dtype=np.int32, count=offsets[-1])
        firsts = np.asarray(offsets, dtype=np.int32)
        for unit_start, unit_end in pairwise(bounds):
            for left, start, end, right in _cuts(
                offsets, unit_start, unit_end, body=max_pieces - 2, overlap=overlap
            ):
                low, high = offsets[left], offsets[right]
                piece_ids = np.empty(high - low + 2, dtype=np.int32)
                piece_ids[0] = pieces.cls_id
                piece_ids[1:-1] = flat[low:high]
                piece_ids[-1] = pieces.sep_id
                begins = firsts[left:right] - (low - 1)
                # A blank's piece is the word's own at the start alone, as spacy-transformers has it.
                begins += (piece_ids[begins] == pieces.blank_id) & (begins > 1)
                yield Window(index, piece_ids, begins[start - left : end - left], start, end, begins)


def unit_bounds(doc: Doc) -> list[int]:
    """Token indices at which sentences start, and the end."""
    if len(doc) == 0:
        return [0]
    starts = np.flatnonzero(doc.to_array(SENT_START)[1:] == 1) + 1
    return [0, *starts.tolist(), len(doc)]


def _cuts(
    offsets: list[int], unit_start: int, unit_end: int, *, body: int, overlap: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield token indices (left, start, end, right): a window reads [left, right) and predicts [start, end).

    With n pieces, k = ceil((n - overlap) / (body - overlap)) windows are needed; window i reads the pieces
    from c_i to c_(i+1) + overlap, where c_i = floor(i (n - overlap) / k), rounded inwards to tokens. Tokens
    change hands in the middle of the overlap; overlap >= 2 * max_pieces_per_word makes both windows hold it.
    """
    base, n = offsets[unit_start], offsets[unit_end] - offsets[unit_start]
    if n <= body:
        yield unit_start, unit_start, unit_end, unit_end
        return
    unit = np.asarray(offsets[unit_start : unit_end + 1]) - base
    k = -(-(n - overlap) // (body - overlap))
    cuts = np.arange(k + 1) * (n - overlap) // k
    lefts = unit_start + np.searchsorted(unit, cuts[:-1], side="left")
    rights = unit_start + np.searchsorted(unit, cuts[1:] + overlap, side="right") - 1
    handovers = unit_start + np.searchsorted(unit, cuts[1:-1] + overlap // 2, side="left")
    edges = [unit_start, *handovers.tolist(), unit_end]
    for left, start, end, right in zip(lefts.tolist(), edges, edges[1:], rights.tolist(), strict=False):
        if start < end:
            yield left, start, end, right


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


def equal_length_batches(
    found: Iterable[Window], doc_lengths: Sequence[int], *, batch_pieces: int
) -> Iterator[WindowBatch]:
    """WindowBatch windows of exactly equal length, shortest first, at most `batch_pieces` pieces a batch.

    doc_lengths: the number of tokens of each document that Window.doc counts. A window that is longer than
    `batch_pieces` is a batch alone. Raises ValueError if batch_pieces < 1.
    """
    if batch_pieces < 1:
        raise ValueError(f"batch_pieces is {batch_pieces}; it must be at least 1")
    doc_starts = np.concatenate(([0], np.cumsum(doc_lengths, dtype=np.int64))).astype(np.int64)
    buckets: defaultdict[int, list[Window]] = defaultdict(list)
    for window in found:
        buckets[len(window.piece_ids)].append(window)
    for length, bucket in sorted(buckets.items()):
        size = max(1, batch_pieces // length)
        for i in range(0, len(bucket), size):
            part = bucket[i : i + size]
            yield WindowBatch(
                piece_ids=np.stack([window.piece_ids for window in part]),
                first=np.concatenate([window.first + np.int64(j * length) for j, window in enumerate(part)]),
                begins=np.concatenate(
                    [window.begins + np.int64(j * length) for j, window in enumerate(part)]
                ),
                rows=np.concatenate(
                    [np.arange(window.start, window.end) + doc_starts[window.doc] for window in part]
                ),
            )
