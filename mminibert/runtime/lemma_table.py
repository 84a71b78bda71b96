"""The lemmas of one language: scripts, which of them apply to a word, and what ranks these.

Of the scripts of a word's UPOS those are tried that apply, the most frequent first. Each has a score, the
sum of the weights of its features (`lemma_features`); the best one gives the lemma. Words of the training
sets for which that would be wrong are exceptions. A convention has scripts, exceptions and features of its
own, all else is the language's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .labels import Label
from .lemma_candidates import Candidates, Rows, ScriptArrays, Triggers, with_shape
from .lemma_features import Labels, of_lemmas, of_words, places
from .lemma_scripts import Script
from .lemma_words import LONGEST, Hashes, Words, mixed, text_hash

__all__ = ["LemmaTable", "Read", "exception_keys", "known_places"]


@dataclass(frozen=True)
class Read:
    """Words and their labels as arrays. upos: uint64 ``(n_words,)``, hashes."""

    words: Words
    labels: Labels
    upos: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, forms: Sequence[str], labels: Sequence[Label]) -> Read:
        hashes = Labels.of(labels)
        return cls(Words.of(forms), hashes, _keys(hashes.upos))


@dataclass(frozen=True, eq=False)
class LemmaTable:
    """codes: the conventions, ``("",)`` where there are none. levels: by UPOS uint8 ``(n_scripts,)``, how
    often a script makes a lemma of such a word, 0 for never. shown: bool ``(n_codes, n_scripts)``, whether
    the convention has words that need it. weights: int8 ``(2^n,)``, in units of scale, which only further
    training reads. known: int64, sorted, the places of lemmas among 2^known_bits. exceptions: uint32
    ``(n,)``, sorted, `exception_keys`; exception_scripts: int64 ``(n,)``, the script of each."""

    codes: tuple[str, ...]
    scripts: tuple[Script, ...]
    upos: tuple[str, ...]
    levels: npt.NDArray[np.uint8]
    shown: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.int8]
    scale: float
    known: Rows
    known_bits: int
    exceptions: Hashes
    exception_scripts: Rows

    def lemmas(self, code: str, forms: Sequence[str], labels: Sequence[Label]) -> list[str]:
        """Of words with these UPOS and FEATS; a form that no script applies to is its own lemma."""
        read = Read.of(forms, labels)
        scripts = self.ranked(code, read)
        if len(self.exceptions):
            for keys in exception_keys(read, self.hash_of(code)):  # the second one wins
                at = np.minimum(np.searchsorted(self.exceptions, keys), len(self.exceptions) - 1)
                scripts = np.where(self.exceptions[at] == keys, self.exception_scripts[at], scripts)
        return [
            (self.scripts[script].apply(form) if script >= 0 and len(form) < LONGEST else form) or form
            for form, script in zip(forms, scripts.tolist(), strict=True)
        ]

    def ranked(self, code: str, read: Read) -> Rows:
        """The best script of each word by the weights, -1 if none applies."""
        found = self.candidates(code, read)
        best = np.full(len(read.words.lengths), -1, dtype=np.int64)
        if len(found.words):
            scores = self.weights[self.features(code, read, found, self._is_known(found))].sum(
                axis=1, dtype=np.int64
            )
            firsts = np.flatnonzero(np.diff(found.words, prepend=-1))
            order = np.arange(len(scores)) - np.repeat(firsts, np.diff(firsts, append=len(scores)))
            scores = scores * 256 - order  # of equal ones the most frequent
            highest = np.repeat(np.maximum.reduceat(scores, firsts), np.diff(firsts, append=len(scores)))
            chosen = np.flatnonzero(scores == highest)
            best[found.words[chosen]] = found.scripts[chosen]
        return best

    def candidates(self, code: str, read: Read) -> Candidates:
        return self.arrays.candidates(read.words, read.upos, self._triggers_of(code))

    def features(self, code: str, read: Read, found: Candidates, known: npt.NDArray[np.bool_]) -> Rows:
        """The places of the weights of each candidate, int64 ``(n, n_features)``. known: bool ``(n,)``,
        whether the lemma is known of another form."""
        bits, own = int(self.weights.size).bit_length() - 1, self.hash_of(code)
        of_word = of_words(read.words, read.labels, own)[found.words]
        of_lemma = of_lemmas(found, known, read.labels.at(found.words), own)
        hashes = self.arrays.hashes[found.scripts]
        return np.concatenate([places(of_word, hashes, bits), places(of_lemma, None, bits)], axis=1)

    def hash_of(self, code: str) -> int | None:
        """What features and exceptions are told of the convention, None where there is but one."""
        return text_hash(code) if len(self.codes) > 1 else None

    @cached_property
    def arrays(self) -> ScriptArrays:
        return ScriptArrays.of(self.scripts, np.asarray(self.levels.any(axis=0)))

    def _triggers_of(self, code: str) -> Triggers:
        if code not in self._triggers:
            upos = _keys(mixed(np.asarray([text_hash(upos) for upos in self.upos], dtype=np.uint32)))
            shown = self.shown[self.codes.index(code)]
            self._triggers[code] = self.arrays.triggers(upos, self.levels, shown)
        return self._triggers[code]

    @cached_property
    def _triggers(self) -> dict[str, Triggers]:
        """Of conventions that were asked for."""
        return {}

    def _is_known(self, found: Candidates) -> npt.NDArray[np.bool_]:
        at = known_places(found.spellings, self.known_bits)
        return (self._known_set[at >> 3] >> (at & 7).astype(np.uint8) & 1).astype(bool)

    @cached_property
    def _known_set(self) -> npt.NDArray[np.uint8]:
        """A bit for each place."""
        found = np.zeros(1 << (self.known_bits - 3), dtype=np.uint8)
        np.bitwise_or.at(found, self.known >> 3, np.uint8(1) << (self.known & 7).astype(np.uint8))
        return found


def known_places(spellings: Hashes, bits: int) -> Rows:
    """Where lemmas of these `Candidates.spellings` stand among 2^bits."""
    return (spellings >> np.uint32(32 - bits)).astype(np.int64)


def exception_keys(read: Read, code: int | None) -> tuple[Hashes, Hashes]:
    """Of each word, uint32 ``(n_words,)``: for its UPOS alone, and for UPOS and FEATS."""
    words = read.words
    none = np.zeros_like(words.lengths)
    forms = with_shape(words.parts(np.arange(len(none)), none, words.lengths), words.shapes)
    forms = mixed(forms ^ np.uint32(code or 0))
    return mixed(forms ^ read.labels.upos), mixed(forms + read.labels.full)


def _keys(hashes: Hashes) -> npt.NDArray[np.uint64]:
    return hashes.astype(np.uint64) * np.uint64(0xA0761D6478BD642F)
