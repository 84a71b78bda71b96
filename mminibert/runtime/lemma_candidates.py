"""Which scripts apply to which of many words, and what is known of the lemmas that they would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .lemma_endings import FACTORS, SEEN, ending, salt
from .lemma_scripts import KEEP, TITLE, UPPER, Script
from .lemma_words import (
    BEYOND,
    LONGEST,
    TAIL,
    Hashes,
    Words,
    char_hash,
    mixed,
    powers,
    spelled,
    text_hash,
)

__all__ = ["MOST", "Candidates", "Rows", "ScriptArrays", "Triggers", "with_shape"]

MOST = 16
"""Scripts that are ranked for a word at most."""
TRIED = 2 * MOST
"""Scripts of one UPOS and one suffix that are tried at most: some have a prefix that the word has not."""
SIEVE_BITS = 18
"""Of a key, by which most that are not there are told from those that are, without a search."""
Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


class Candidates(NamedTuple):
    """n scripts that apply, those of a word together and the most frequent first. words, scripts: int64
    ``(n,)``, their numbers. Of the lemmas that they give, firsts: uint32 ``(n,)``, hashes of the first
    character; tails: uint32 ``(n, SEEN)``, hashes of characters from the last one on; lengths: int64
    ``(n,)``; spellings: uint32 ``(n,)``, that of all characters in lower case, and of their `shape`."""

    words: Rows
    scripts: Rows
    firsts: Hashes
    tails: Hashes
    lengths: Rows
    spellings: Hashes


class Triggers(NamedTuple):
    """The scripts of a convention by what makes them apply. keys: uint64, sorted; the scripts of each are
    those from starts to ends, int64, of ``scripts``, which have these ranks, from 0 on, the lower the
    better. sieve: bool ``(2^SIEVE_BITS,)``, whether a key begins with these bits."""

    keys: Keys
    starts: Rows
    ends: Rows
    scripts: Rows
    ranks: Rows
    sieve: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ScriptArrays:
    """Scripts as arrays, a row each. hashes: uint32. cut, put: characters that go and come; prefixes,
    starts, suffixes: lengths; shapes: of the lemma, -1 for the form's; all int64 ``(n_scripts,)``.
    prefix_spelled, start_spelled, end_spelled: uint32, see `spelled`, the last one without wildcards.
    start_firsts, end_firsts: uint32, hashes of their first characters, 0 for none and for a wildcard,
    which stands for the form's character at end_first_offsets, int64, from the end. literals: uint32
    ``(n_scripts, SEEN)``, hashes of the lemma's last characters, 0 where it has the form's that stands at
    ``offsets`` from the end. wild_places, wild_offsets: int64 ``(n_scripts, n)``, where wildcards stand in
    the end, -1 for none, and the characters that they stand for, from the form's end. patterns: uint64
    ``(TAIL, n_patterns)``, with the salt of each; asked: uint64 ``(n_scripts,)``, the value of its own
    pattern that a script asks for."""

    hashes: Hashes
    cut: Rows
    put: Rows
    prefixes: Rows
    starts: Rows
    suffixes: Rows
    shapes: Rows
    prefix_spelled: Hashes
    start_spelled: Hashes
    end_spelled: Hashes
    start_firsts: Hashes
    end_firsts: Hashes
    end_first_offsets: Rows
    literals: Hashes
    offsets: Rows
    wild_places: Rows
    wild_offsets: Rows
    patterns: Keys
    salts: Keys
    asked: Keys

    @classmethod
    def of(cls, scripts: Sequence[Script], used: npt.NDArray[np.bool_]) -> ScriptArrays:
        """used: bool ``(n_scripts,)``, those that may be candidates, whose patterns words are matched
        with."""

        def ints(values: list[Any]) -> Rows:
            return np.asarray(values, dtype=np.int64)

        def hashes(values: list[Any]) -> Hashes:
            return np.asarray(values, dtype=np.uint32)

        endings = [ending(script.suffix, script.end) for script in scripts]
        kinds = list(dict.fromkeys(each.kind for each, own in zip(endings, used, strict=True) if own))
        patterns = np.zeros((TAIL, len(kinds)), dtype=np.uint64)
        for i, kind in enumerate(kinds):
            patterns[: len(kind), i] = FACTORS[: len(kind)] * np.asarray(kind, dtype=np.uint64)
        most = max((len(each.wild) for each in endings), default=0)
        wild = ints([[*each.wild, *[(-1, 0)] * (most - len(each.wild))] for each in endings])
        wild = wild.reshape(len(scripts), most, 2)
        shapes = {KEEP: -1, TITLE: 1, UPPER: 2}
        return cls(
            mixed(hashes([text_hash("\t".join(script)) for script in scripts])),
            ints([len(script.prefix) + len(script.suffix) for script in scripts]),
            ints([len(script.start) + len(script.end) for script in scripts]),
            ints([len(script.prefix) for script in scripts]),
            ints([len(script.start) for script in scripts]),
            ints([len(script.suffix) for script in scripts]),
            ints([shapes.get(script.case, 0) for script in scripts]),
            hashes([spelled(script.prefix) for script in scripts]),
            hashes([spelled(script.start) for script in scripts]),
            hashes([each.spelled for each in endings]),
            hashes([char_hash(script.start[0]) if script.start else 0 for script in scripts]),
            hashes([each.first for each in endings]),
            ints([each.first_offset for each in endings]),
            hashes([each.literals for each in endings]).reshape(-1, SEEN),
            ints([each.offsets for each in endings]).reshape(-1, SEEN),
            wild[:, :, 0],
            wild[:, :, 1],
            patterns,
            np.asarray([salt(kind) for kind in kinds], dtype=np.uint64),
            np.asarray([each.asked for each in endings], dtype=np.uint64),
        )

    def triggers(self, upos: Keys, levels: npt.NDArray[np.uint8], shown: npt.NDArray[np.bool_]) -> Triggers:
        """upos: uint64 ``(n_upos,)``, their hashes. levels: uint8 ``(n_upos, n_scripts)``, how frequent a
        script is with a UPOS, 0 if it is no candidate. shown: bool ``(n_scripts,)``, those of the
        convention, which come first."""
        tags, scripts = np.nonzero(levels)
        keys = self.asked[scripts] ^ upos[tags]
        ranks = (256 * ~shown[scripts] + 255 - levels[tags, scripts].astype(np.int64)) * (1 << 32) + scripts
        order = np.lexsort((ranks, keys))
        keys, scripts, ranks = keys[order], scripts[order], ranks[order]
        tried = np.arange(len(keys)) - np.searchsorted(keys, keys) < TRIED
        keys, scripts, ranks = keys[tried], scripts[tried], ranks[tried]
        found, starts = np.unique(keys, return_index=True)
        sieve = np.zeros(1 << SIEVE_BITS, dtype=np.bool_)
        sieve[found >> np.uint64(64 - SIEVE_BITS)] = True
        dense = np.unique(ranks, return_inverse=True)[1]
        return Triggers(found, starts, np.append(starts[1:], len(keys)), scripts, dense, sieve)

    def applies(self, words: Words, rows: Rows) -> Rows:
        """int64 ``(n_scripts,)``: to how many of the words of these numbers each script applies, whatever
        their prefix."""
        values = words.tails[rows].astype(np.uint64) @ self.patterns + self.salts
        found, counts = np.unique(values, return_counts=True)
        at = np.minimum(np.searchsorted(found, self.asked), max(len(found) - 1, 0))
        return (
            np.where(found[at] == self.asked, counts[at], 0)
            if len(found)
            else np.zeros(len(self.asked), np.int64)
        )

    def candidates(self, words: Words, upos: Keys, triggers: Triggers) -> Candidates:
        """upos: uint64 ``(n_words,)``, the hash of each word's."""
        word, script, rank = _triggered(
            words.tails.astype(np.uint64) @ self.patterns + self.salts, upos, triggers
        )
        lengths = words.lengths[word]
        fits = (lengths >= self.cut[script]) & (lengths - self.cut[script] + self.put[script] > 0)
        nothing = np.zeros_like(word)
        prefix = words.parts(word, nothing, np.minimum(self.prefixes[script], lengths))
        fits &= (prefix == self.prefix_spelled[script]) & (lengths < LONGEST)
        word, script, rank = word[fits], script[fits], rank[fits]
        order = np.argsort(word * (len(triggers.ranks) + 1) + rank)  # all different
        word, script = word[order], script[order]
        best = np.arange(len(word)) - np.searchsorted(word, word) < MOST
        word, script = word[best], script[best]
        lengths = words.lengths[word] - self.cut[script] + self.put[script]
        firsts, tails, spellings = (
            make(words, word, script) for make in (self._firsts, self._tails, self._spellings)
        )
        return Candidates(word, script, firsts, tails, lengths, spellings)

    def _firsts(self, words: Words, word: Rows, script: Rows) -> Hashes:
        inside = words.lengths[word] > self.cut[script]
        own = words.at(words.starts[word] + self.prefixes[script], inside)
        of_form = words.tails[word, self.end_first_offsets[script]]
        of_end = self.end_firsts[script]
        own = np.where(inside, own, np.where(of_end != 0, of_end, of_form))
        return np.where(self.starts[script] > 0, self.start_firsts[script], own)

    def _tails(self, words: Words, word: Rows, script: Rows) -> Hashes:
        offsets = self.offsets[script]
        own = words.tails[word[:, None], np.minimum(offsets, TAIL - 1)]
        inside = (offsets < TAIL) & (words.lengths[word] - self.prefixes[script] > offsets.T).T
        literals = self.literals[script]
        return np.where(literals != 0, literals, np.where(inside, own, np.uint32(BEYOND)))

    def _spellings(self, words: Words, word: Rows, script: Rows) -> Hashes:
        prefixes, starts = self.prefixes[script], self.starts[script]
        ends = words.lengths[word] - self.suffixes[script]
        found = words.parts(word, prefixes, ends) * powers(starts - prefixes)
        after = starts + ends - prefixes
        end = self.end_spelled[script]
        for places, offsets in zip(self.wild_places.T, self.wild_offsets.T, strict=True):
            place, offset = places[script], offsets[script]
            kept = words.tails[word, offset] * powers(np.maximum(place, 0))
            end = end + np.where(place >= 0, kept, np.uint32(0))
        found += self.start_spelled[script] + end * powers(after)
        shapes = self.shapes[script]
        return with_shape(found, np.where(shapes < 0, words.shapes[word], shapes).astype(np.uint32))


def with_shape(spellings: Hashes, shapes: Hashes) -> Hashes:
    """uint32 ``(n,)``: hashes of strings by those of their characters in lower case and by their `shape`."""
    return mixed(spellings ^ (shapes * np.uint32(0x2545F491)))


def _triggered(values: Keys, upos: Keys, triggers: Triggers) -> tuple[Rows, Rows, Rows]:
    """Words, scripts and their ranks. values: uint64 ``(n_words, n_patterns)``."""
    if not len(triggers.keys):
        return (np.zeros(0, dtype=np.int64),) * 3
    keys = values ^ upos[:, None]
    word, kind = np.nonzero(triggers.sieve[keys >> np.uint64(64 - SIEVE_BITS)])
    keys = keys[word, kind]
    at = np.minimum(np.searchsorted(triggers.keys, keys), len(triggers.keys) - 1)
    there = triggers.keys[at] == keys
    word, at = word[there], at[there]
    counts = triggers.ends[at] - triggers.starts[at]
    firsts = np.cumsum(counts) - counts
    places = np.repeat(triggers.starts[at] - firsts, counts) + np.arange(int(counts.sum()))
    return np.repeat(word, counts), triggers.scripts[places], triggers.ranks[places]
