"""The wordpieces of each language, and which language a sentence is of."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from .pieces import Pieces
from .types import Floats, Ints
from .windows import unit_bounds

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Languages", "Observations", "in_context", "language_of"]

PIECES_AT_ONCE = 8192
"""Pieces whose levels are added at once: those of all languages take a quarter of a kilobyte a piece."""
MOST_BYTES = 1 << 26
"""Of all arrays; those of 54 languages and 90,000 pieces take 5 MB."""
PASSES = 3
"""Of expectation and maximization over the languages of a Doc."""
PRIOR = 0.3
"""Sentences that a Doc is taken to have besides its own, shared by all languages."""

Bools = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.uint8]


def language_of(code: str) -> str:
    """The language of a treebank's code, as ``fi`` of ``fi_tdt``."""
    return code.partition("_")[0]


@dataclass(frozen=True)
class Observations:
    """What the language of n sentences is found by.

    means: float32 (n, width), the mean of the vectors of a sentence's words. pieces: int32, ids of the pieces
    of all sentences, one after the other; starts: int32 (n,), where those of each sentence begin.
    """

    means: Floats
    pieces: Ints
    starts: Ints

    @classmethod
    def of_docs(
        cls, vectors: Sequence[Floats], docs: Sequence[Doc], bounds: Sequence[Sequence[int]], pieces: Pieces
    ) -> Observations:
        """Those of the Docs' sentences, at least one. vectors: of each Doc's words, float32 (n_words, width).
        bounds: where each Doc's sentences begin, and the end, as `unit_bounds` has them."""
        stretches = [
            rows[start:end]
            for rows, ends in zip(vectors, bounds, strict=True)
            for start, end in pairwise(ends)
        ]
        lengths = np.asarray([len(rows) for rows in stretches], dtype=np.float32)
        ids: list[int] = []
        starts: list[int] = []
        for doc, ends in zip(docs, bounds, strict=True):
            words = pieces.of_doc(doc)
            for start, end in pairwise(ends):
                starts.append(len(ids))
                ids.extend(chain.from_iterable(words[start:end]))
        means = _sums(stretches) / lengths[:, None]
        return cls(means, np.asarray(ids, dtype=np.int32), np.asarray(starts, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.starts)

    def levels(self, by_piece: Levels) -> Floats:
        """The sum of the levels of each sentence's pieces, divided by the root of their number, float32 (n,
        n_languages). by_piece: (n_pieces, n_languages)."""
        bounds = np.append(self.starts, len(self.pieces))
        sums = np.zeros((len(self), by_piece.shape[1]), dtype=np.float32)
        for low in range(0, len(self.pieces), PIECES_AT_ONCE):
            rows = by_piece[self.pieces[low : low + PIECES_AT_ONCE]].astype(np.float32)
            first = int(bounds.searchsorted(low, side="right")) - 1
            end = int(self.starts.searchsorted(low + len(rows)))
            # A sentence may go on in the next rows; sums of whole numbers are exact.
            inside = np.clip(bounds[first : end + 1] - low, 0, len(rows)).tolist()
            sums[first:end] += _sums([rows[a:b] for a, b in pairwise(inside)])
        # White space has no pieces.
        return np.asarray(sums / np.sqrt(np.maximum(1, np.diff(bounds)), dtype=np.float32)[:, None])


@dataclass(frozen=True)
class Languages:
    """The wordpieces of all languages, and what finds the language of a sentence.

    codes: languages, those that have training sentences. levels: uint8 (n_languages, n_pieces), 0 for a piece
    that is not the language's, else its log-frequency there, rounded to nats above a floor that all languages
    share, at least 1. weights: float32 (width, n_languages). bias: float32 (n_languages,). scale: of levels.
    """

    codes: tuple[str, ...]
    levels: Levels
    weights: Floats
    bias: Floats
    scale: float

    @property
    def pieces(self) -> Bools:
        """Whether a piece is the language's, bool (n_languages, n_pieces)."""
        return self.levels > 0

    def part(self, lang: str) -> Bools:
        """The pieces of a language, bool (n_pieces,). Raises ValueError for one that is not there."""
        if lang not in self.codes:
            raise ValueError(f"got language {lang!r}, expected one of {', '.join(sorted(self.codes))}")
        return self.levels[self.codes.index(lang)] > 0

    def find(self, vectors: Sequence[Floats], docs: Sequence[Doc], pieces: Pieces) -> list[Ints]:
        """The language of each sentence of each Doc, int32 (n_sentences,), indices into `codes`.

        vectors: of each Doc's words, float32 (n_words, width). Sentences are those of `unit_bounds`: an
        empty Doc has none. Text of a language that is not among `codes` takes one of those that are, mostly
        the nearest. What a Doc gets does not depend on the other Docs.
        """
        if not any(map(len, docs)):
            return [np.zeros(0, dtype=np.int32) for _ in docs]
        bounds = [unit_bounds(doc) for doc in docs]
        counts = [len(ends) - 1 for ends in bounds]
        evidence = self.evidence(Observations.of_docs(vectors, docs, bounds, pieces))
        found = in_context(evidence, counts).argmax(axis=1).astype(np.int32)
        return np.split(found, np.cumsum(counts)[:-1])

    def evidence(self, observed: Observations) -> Floats:
        """The log-likelihood of each sentence, at least one, in each language, but for a term that all
        languages share, float32 (n_sentences, n_languages).

        It is W m + b + s L / sqrt(k): m the mean of the words' vectors, L the sum of the levels of the k
        pieces, which is naive Bayes, since the floor is the same in all languages. The root makes up for
        pieces that tell the same twice.
        """
        levels = observed.levels(self._by_piece)
        return np.asarray(observed.means @ self.weights + self.bias + np.float32(self.scale) * levels)

    @cached_property
    def _by_piece(self) -> Levels:
        return np.ascontiguousarray(self.levels.T)

    def to_bytes(self) -> bytes:
        """A compressed `npz`."""
        file = io.BytesIO()
        np.savez_compressed(
            file,
            languages=np.asarray(self.codes),
            levels=self.levels,
            weights=self.weights,
            bias=self.bias,
            scale=np.float64(self.scale),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Languages:
        """What `to_bytes` wrote; nothing is unpickled. Raises ValueError if the data are damaged, or would
        become more than `MOST_BYTES`."""
        try:
            with ZipFile(io.BytesIO(data)) as archive:
                if (size := sum(info.file_size for info in archive.infolist())) > MOST_BYTES:
                    raise ValueError(f"{size} bytes, more than {MOST_BYTES}, in {len(data)}")
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return cls(
                    tuple(file["languages"].tolist()),
                    file["levels"],
                    file["weights"],
                    file["bias"],
                    float(file["scale"]),
                )
        except Exception as error:  # a changed byte makes zipfile and NumPy raise a dozen kinds
            raise ValueError(
                f"the languages are damaged ({type(error).__name__}: {error}); install the pipeline anew"
            ) from error

    def check(self, n_pieces: int) -> None:
        """Raises ValueError if they are of a pipeline with another number of wordpieces."""
        if (got := self.levels.shape[1]) != n_pieces:
            raise ValueError(
                f"the languages are of {got} wordpieces, but the pipeline has {n_pieces}; run the step "
                "`quantize` anew"
            )


def _sums(stretches: Sequence[Floats]) -> Floats:
    """The sum of the rows of each array, at least one, float32 (n, width). By BLAS, as NumPy's `reduceat`
    takes twice as long over rows."""
    sums = np.empty((len(stretches), stretches[0].shape[1]), dtype=np.float32)
    ones = np.ones(max(map(len, stretches)), dtype=np.float32)
    for total, rows in zip(sums, stretches, strict=True):
        np.dot(ones[: len(rows)], rows, out=total)
    return sums


def in_context(evidence: Floats, counts: Sequence[int]) -> Floats:
    """The evidence with what the other sentences of its Doc tell, log-probabilities but for a term that all
    languages share, float32 (n_sentences, n_languages).

    counts: the number of sentences of each Doc. A Doc draws the language of each sentence from shares of its
    own. They are estimated by `PASSES` passes of expectation and maximization (Dempster et al. 1977), for
    each sentence from the others alone, so that it does not bear itself out; `PRIOR` sentences are spread
    over all languages. So a short sentence goes with the Doc that it is in, a clear one has its own language,
    and the only sentence of a Doc is not moved.
    """
    filled = np.asarray([count for count in counts if count], dtype=np.int64)
    starts = np.cumsum(filled) - filled
    others = np.repeat(filled - 1, filled)[:, None].astype(np.float32)
    spread = np.float32(PRIOR / evidence.shape[1])
    posterior = evidence
    for _ in range(PASSES):
        odds = np.exp(posterior - posterior.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        shares = np.repeat(np.add.reduceat(odds, starts, axis=0), filled, axis=0) - odds
        # Below 0 by rounding alone.
        prior = (np.maximum(shares, 0) + spread) / (others + np.float32(PRIOR))
        posterior = evidence + np.log(prior)
    return posterior
