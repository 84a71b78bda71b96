"""The wordpieces and combinations of labels of each language, and which languages a sentence may be of."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .types import Floats, Ints
from .windows import unit_bounds
from .wordpieces import Pieces

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["LanguagePart", "Languages"]

FOREIGN_SHARE = 0.01
"""Of a language's pieces, and of its combinations, those that are not among its own."""
COMBINATION_WEIGHT = 0.3
"""Of a predicted combination, which may be wrong, where a wordpiece weighs 1."""
RIVAL = 0.1
"""A sentence may be of any language with this share of the likelihood of the likeliest one."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LanguagePart:
    """What one language needs. pieces: bool (n_pieces,). combinations: bool (n_combinations,)."""

    pieces: Bools
    combinations: Bools


@dataclass(frozen=True)
class Languages:
    """The parts of all languages. pieces: bool (n_languages, n_pieces). combinations: bool (n_languages,
    n_combinations)."""

    codes: tuple[str, ...]
    pieces: Bools
    combinations: Bools

    @classmethod
    def of_parts(cls, parts: Mapping[str, LanguagePart]) -> Languages:
        """Raises ValueError if there are none."""
        if not parts:
            raise ValueError("no language; give at least one")
        return cls(
            tuple(parts),
            np.stack([part.pieces for part in parts.values()]),
            np.stack([part.combinations for part in parts.values()]),
        )

    def part(self, lang: str) -> LanguagePart:
        """Raises ValueError for a language that is not there."""
        if lang not in self.codes:
            raise ValueError(f"got language {lang!r}, expected one of {', '.join(sorted(self.codes))}")
        i = self.codes.index(lang)
        return LanguagePart(self.pieces[i], self.combinations[i])

    def to_bytes(self) -> bytes:
        """An `npz` of a bit an entry."""
        file = io.BytesIO()
        np.savez_compressed(
            file,
            languages=np.asarray(self.codes),
            sizes=np.asarray([self.pieces.shape[1], self.combinations.shape[1]]),
            pieces=np.packbits(self.pieces, axis=1),
            combinations=np.packbits(self.combinations, axis=1),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Languages:
        """What `to_bytes` wrote; nothing is unpickled. Raises ValueError if the data are damaged."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                n_pieces, n_combinations = file["sizes"].tolist()
                return cls(
                    tuple(file["languages"].tolist()),
                    np.unpackbits(file["pieces"], axis=1, count=n_pieces).astype(bool),
                    np.unpackbits(file["combinations"], axis=1, count=n_combinations).astype(bool),
                )
        except Exception as error:  # a changed byte makes zipfile and NumPy raise a dozen kinds
            raise ValueError(
                f"the parts of the languages are damaged ({type(error).__name__}: {error}); install the "
                "pipeline anew"
            ) from error

    def check(self, n_pieces: int | None, n_combinations: int | None) -> None:
        """Raises ValueError if the parts are of a pipeline with other numbers (None: not known yet)."""
        has = {"wordpieces": self.pieces.shape[1], "combinations": self.combinations.shape[1]}
        for (name, got), expected in zip(has.items(), (n_pieces, n_combinations), strict=True):
            if expected is not None and got != expected:
                raise ValueError(
                    f"the parts of the languages are of {got} {name}, but the pipeline has {expected}; run "
                    "the step `quantize` anew"
                )

    def likely(self, pieces: Ints, piece_starts: Ints, combinations: Ints, word_starts: Ints) -> Bools:
        """The languages that each sentence may be of, bool (n_sentences, n_languages).

        pieces: ids of the pieces of all sentences, one after the other. combinations: those predicted for
        their words. piece_starts, word_starts: where each sentence begins in these.

        A sentence's likelihood is that of its pieces and combinations, each drawn from its language's own
        with equal chances, but for `FOREIGN_SHARE` (naive Bayes).
        """
        likelihood = _likelihood(self._by_piece[pieces], piece_starts, *self._piece_shares)
        likelihood += COMBINATION_WEIGHT * _likelihood(
            self._by_combination[combinations], word_starts, *self._combination_shares
        )
        found: Bools = likelihood >= likelihood.max(axis=1, keepdims=True) + np.log(RIVAL)
        return found

    def likely_of_words(self, docs: Sequence[Doc], pieces: Pieces, combinations: Ints) -> Bools:
        """`likely` of the sentence of each word of the Docs, bool (n_words, n_languages)."""
        words = list(chain.from_iterable(map(pieces.of_doc, docs)))
        offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
        ids = np.fromiter(chain.from_iterable(words), dtype=np.int32, count=offsets[-1])
        ends = accumulate(map(len, docs), initial=0)
        starts = np.asarray(
            [end + start for doc, end in zip(docs, ends, strict=False) for start in unit_bounds(doc)[:-1]],
            dtype=np.int32,
        )
        likely = self.likely(ids, offsets[starts], combinations, starts)
        return np.repeat(likely, np.diff(np.append(starts, len(words))), axis=0)

    def have(self, languages: Bools, combinations: Ints) -> Bools:
        """Whether one of each word's languages, bool (n_words, n_languages), has its combination."""
        return np.asarray((languages & self._by_combination[combinations]).any(axis=1))

    def combinations_of(self, languages: Bools) -> Bools:
        """The combinations that one of the languages has, bool (n_words, n_combinations)."""
        found: dict[bytes, Bools] = {}  # the words of a sentence have the same languages
        keys = [row.tobytes() for row in languages]
        for key, row in zip(keys, languages, strict=True):
            if key not in found:
                found[key] = self.combinations[row].any(axis=0)
        return np.stack([found[key] for key in keys])

    @cached_property
    def _by_piece(self) -> Bools:
        return np.ascontiguousarray(self.pieces.T)

    @cached_property
    def _by_combination(self) -> Bools:
        return np.ascontiguousarray(self.combinations.T)

    @cached_property
    def _piece_shares(self) -> tuple[Floats, float]:
        return _shares(self.pieces)

    @cached_property
    def _combination_shares(self) -> tuple[Floats, float]:
        return _shares(self.combinations)


def _shares(own: Bools) -> tuple[Floats, float]:
    """Of items, bool (n_languages, n_items): the log-probability of one of a language's own, float32
    (n_languages,), and of one that is not."""
    foreign = FOREIGN_SHARE / own.shape[1]
    at_home = foreign + (1 - FOREIGN_SHARE) / np.maximum(own.sum(axis=1), 1)
    return np.log(at_home).astype(np.float32), float(np.log(foreign))


def _likelihood(own: Bools, starts: Ints, at_home: Floats, foreign: float) -> Floats:
    """Log-likelihood of each sentence in each language, float32 (n_sentences, n_languages); own: bool (n,
    n_languages), whether an item of the sentences is the language's own."""
    counts = np.add.reduceat(own, starts, axis=0, dtype=np.int32)
    sizes = np.diff(np.append(starts, len(own)))[:, None]
    return (counts * at_home + (sizes - counts) * foreign).astype(np.float32)
