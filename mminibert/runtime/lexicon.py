"""What the forms of a treebank were annotated as: evidence beside that of the network.

A small encoder knows frequent forms. Of the others a treebank shows what they can be, as the dictionaries of
taggers do (Straková et al. 2014, *Open-Source Tools for Morphology, Lemmatization, POS Tagging and Named
Entity Recognition*, section 2). A combination of UPOS and features that a form had there is predicted if it
is at most `BONUS` nats less probable than what the network would predict.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .labels import Inventory
from .lemma_words import mixed, text_hash
from .normal_form import composed, normal_form
from .types import Floats, Ints

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["NONE", "Evidence", "Lexicon", "hash_of"]

BONUS = 6.0
"""Chosen on dev sets, see docs/results/release-0.2.md."""
NONE = -1
"""In the place of a set, for a form that is not there."""
CACHED_FORMS = 50_000


def hash_of(form: str, bits: int) -> int:
    """The highest ``bits`` bits of a hash of 32."""
    return int(mixed(np.asarray([text_hash(form)], dtype=np.uint32))[0]) >> (32 - bits)


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

    bits: of the hashes. hashes: uint32 ``(n,)``, rising. sets: uint16 ``(n,)``, the set of each form. starts:
    int32 ``(n_sets + 1,)``: set i has the candidates ``starts[i]:starts[i + 1]``. candidates: int32
    ``(n_candidates,)``, combinations of the convention's inventory. Raises ValueError if these do not go
    together.
    """

    bits: int
    hashes: npt.NDArray[np.uint32]
    sets: npt.NDArray[np.uint16]
    starts: Ints
    candidates: Ints
    _cache: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        n_sets = len(self.starts) - 1
        rising = bool((np.diff(self.starts) >= 0).all()) and n_sets >= 0
        if not (
            len(self.hashes) == len(self.sets)
            and rising
            and 0 <= self.bits <= 32
            and self.starts[0] == 0
            and self.starts[-1] == len(self.candidates)
            and (not len(self.sets) or int(self.sets.max()) < n_sets)
        ):
            raise ValueError(
                f"a lexicon of {len(self.hashes)} forms, {len(self.sets)} sets of {n_sets} and "
                f"{len(self.candidates)} candidates do not go together"
            )

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, form: str) -> int:
        """The set of a form, of its normal form, or of that in lower case, the first that is there; else
        `NONE`."""
        plain = composed(form)
        for spelling in dict.fromkeys((plain, normal_form(plain), plain.lower())):
            key = hash_of(spelling, self.bits)
            place = bisect_left(self.hashes, key)
            if place < len(self.hashes) and self.hashes[place] == key:
                found = int(self.sets[place])
                if self.starts[found] < self.starts[found + 1]:
                    return found
        return NONE

    def of_doc(self, doc: Doc, keys: Sequence[int], start: int) -> list[int]:
        """The set of each of the words ``doc[start : start + len(keys)]``, whose hashes of spaCy's are the
        keys."""
        cache = self._cache
        if len(cache) > CACHED_FORMS:
            cache.clear()
        found = []
        for i, key in enumerate(keys, start):
            known = cache.get(key)
            if known is None:
                known = cache[key] = self.find(doc[i].text)
            found.append(known)
        return found

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
        odds = inventory.odds(logits[np.repeat(rows, counts)], combinations)
        gains = np.float32(BONUS) - odds
        best = np.maximum.reduceat(gains, firsts)
        # The first candidate of each word that has the highest gain.
        hits = np.flatnonzero(gains == np.repeat(best, counts))
        words = np.repeat(np.arange(len(rows)), counts)[hits]
        chosen = hits[np.unique(words, return_index=True)[1]]
        return Evidence(rows + at, combinations[chosen], best)
