"""What the forms of a treebank were annotated as: evidence beside that of the network.

A small encoder knows frequent forms. Of the others a treebank shows what they can be, as the dictionaries of
taggers do, and of forms that it lacks what forms of the same ending were, as their guessers do (Straková et
al. 2014, *Open-Source Tools for Morphology, Lemmatization, POS Tagging and Named Entity Recognition*, section
2). A combination of UPOS and features that a form had there is predicted if it is at most `BONUS` nats less
probable than what the network would predict, one of its ending if it is at most `ENDING_BONUS` nats less so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .form_cache import FormCache
from .labels import Inventory
from .lemma_words import mixed, text_hash
from .normal_form import composed, normal_form
from .types import Floats, Ints

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["NONE", "Evidence", "Lexicon", "ending_keys", "hash_of"]

BONUS, ENDING_BONUS = 6.0, 2.5
"""Chosen on dev sets, see docs/results/release-0.2.md."""
SHORTEST_ENDING, LONGEST_ENDING = 2, 5
NONE = -1
"""In the place of a set, for a form that is not there."""


def hash_of(form: str, bits: int) -> int:
    """The highest ``bits`` bits of a hash of 32."""
    return int(mixed(np.asarray([text_hash(form)], dtype=np.uint32))[0]) >> (32 - bits)


def ending_keys(form: str) -> list[str]:
    """What stands for the endings of a form, which are shorter than it, the longest first. Those of forms
    that begin with a capital letter are others."""
    start, lower = "^$" if form[:1].isupper() else "$", form.lower()
    longest = min(LONGEST_ENDING, len(lower) - 1)
    return [start + lower[-n:] for n in range(longest, SHORTEST_ENDING - 1, -1)]


@dataclass(frozen=True)
class Evidence:
    """Of words of a convention, some after the others: rows int64 ``(n,)``, the words that have a set;
    combinations int32 ``(n,)``, the best of it; gains float32 ``(n,)``: by how much it is better, in nats,
    than each field's argmax with no evidence."""

    rows: npt.NDArray[np.int64]
    combinations: Ints
    gains: Floats


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Of one convention.

    bits: of the hashes. ending_set: the first set of endings; those before are of forms. hashes: uint32
    ``(n,)``, rising, of forms and `ending_keys`. sets: uint16 ``(n,)``, the set of each. starts: int32
    ``(n_sets + 1,)``: set i has the candidates ``starts[i]:starts[i + 1]``. candidates: int32
    ``(n_candidates,)``, combinations of the convention's inventory. Raises ValueError if these do not go
    together.
    """

    bits: int
    ending_set: int
    hashes: npt.NDArray[np.uint32]
    sets: npt.NDArray[np.uint16]
    starts: Ints
    candidates: Ints

    def __post_init__(self) -> None:
        n_sets = len(self.starts) - 1
        rising = bool((np.diff(self.starts) >= 0).all()) and n_sets >= 0
        if not (
            len(self.hashes) == len(self.sets)
            and rising
            and 0 <= self.bits <= 32
            and 0 <= self.ending_set <= n_sets
            and self.starts[0] == 0
            and self.starts[-1] == len(self.candidates)
            and (not len(self.sets) or int(self.sets.max()) < n_sets)
        ):
            raise ValueError(
                f"a lexicon of {len(self.hashes)} forms, {len(self.sets)} sets of {n_sets}, of endings from "
                f"{self.ending_set} on, and {len(self.candidates)} candidates do not go together"
            )

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, form: str) -> int:
        """The set of a form, of its normal form, of that in lower case, or of its longest ending, the first
        that is there; else `NONE`."""
        plain = composed(form)
        normal = normal_form(plain)
        for key in dict.fromkeys((plain, normal, normal.lower())):
            if NONE < (found := self._set(key)) < self.ending_set:
                return found
        endings = (self._set(key) for key in ending_keys(normal))
        return next((found for found in endings if found >= self.ending_set), NONE)

    def _set(self, key: str) -> int:
        number = hash_of(key, self.bits)
        place = bisect_left(self.hashes, number)
        if place < len(self.hashes) and self.hashes[place] == number:
            found = int(self.sets[place])
            if self.starts[found] < self.starts[found + 1]:
                return found
        return NONE

    def of_doc(self, doc: Doc, keys: Sequence[int], start: int) -> list[int]:
        """The set of each of the words ``doc[start : start + len(keys)]``, whose hashes of spaCy's are the
        keys."""
        return self._found.of_doc(doc, keys, start)

    @cached_property
    def _found(self) -> FormCache[int]:
        return FormCache(self.find)

    def weigh(
        self, logits: Iterable[Floats], sets: Ints, inventory: Inventory, found: list[Evidence]
    ) -> Iterator[Floats]:
        """The logits, float32 ``(n, n_outputs)`` of some words after the other; ``found`` gets what their
        sets say, int32 ``(n_words,)``. inventory: the convention's."""
        at = 0
        for part in logits:
            found.append(self._evidence(part, sets[at : at + len(part)], inventory, at))
            at += len(part)
            yield part

    def _evidence(self, logits: Floats, sets: Ints, inventory: Inventory, at: int) -> Evidence:
        rows = np.flatnonzero(sets >= 0)
        own = sets[rows]
        counts = self.starts[own + 1] - self.starts[own]
        firsts = np.cumsum(counts) - counts
        places = np.arange(counts.sum()) + np.repeat(self.starts[own] - firsts, counts)
        if not len(places):
            return Evidence(rows[:0] + at, self.candidates[:0], np.zeros(0, dtype=np.float32))
        combinations = self.candidates[places]
        words = np.repeat(np.arange(len(rows)), counts)
        odds = inventory.odds(logits[rows], combinations, words)
        bonus = np.where(own < self.ending_set, np.float32(BONUS), np.float32(ENDING_BONUS))
        gains = np.repeat(bonus, counts) - odds
        best = np.maximum.reduceat(gains, firsts)
        # The first candidate of each word that has the highest gain.
        hits = np.flatnonzero(gains == np.repeat(best, counts))
        chosen = hits[np.unique(words[hits], return_index=True)[1]]
        return Evidence(rows + at, combinations[chosen], best)
