"""Fits what is known of the lemmas of a language, see `runtime.lemma_table`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..runtime.lemma_candidates import Candidates, ScriptArrays, with_shape
from ..runtime.lemma_endings import pattern
from ..runtime.lemma_features import UNKNOWN_FEATS
from ..runtime.lemma_scripts import WILDCARD, Script, lowered, shape
from ..runtime.lemma_table import LemmaTable, Read, exception_keys, known_places
from ..runtime.lemma_words import LONGEST, TAIL, spelled, text_hash
from .lemma_scripts import choose_scripts

__all__ = ["LemmaFit", "WordCounts", "fit_table"]

WordCounts: TypeAlias = Counter[tuple[str, str, str | None, str]]
"""How often training text has a form, UPOS, FEATS (None: unknown), lemma."""
PATTERNS = 96
"""Different ones (`lemma_candidates.pattern`) that words are matched with at most, the most frequent."""
SMOOTHING = 2.0
"""Words more that a script counts as wrong for."""
_RESERVED = frozenset(f"{WILDCARD}\t\n")
"""Characters that no form or lemma may have."""
FALSE_BITS = 8
"""Of lemmas that are not known one in 2^8 at most counts as known."""


@dataclass(frozen=True)
class LemmaFit:
    """How weights are fitted: by softmax regression over the scripts of a word, with Adagrad (Duchi et al.
    2011).

    types: different words a weight; there is a power of two of weights, from 2^12 to 2^18. batch: words a
    step. levels: a weight is stored as an integer of -levels to levels."""

    types: float = 0.5
    epochs: int = 3
    learn_rate: float = 0.1
    batch: int = 64
    levels: int = 7
    seed: int = 0


@dataclass(frozen=True)
class _Types:
    """Different words of a convention: their most frequent lemma, how often it occurs, and its script's
    number."""

    forms: list[str]
    labels: list[tuple[str, str]]
    lemmas: list[str]
    counts: npt.NDArray[np.int64]
    scripts: npt.NDArray[np.int64]


def fit_table(
    words: Mapping[str, WordCounts], settings: LemmaFit | None = None, *, base: LemmaTable | None = None
) -> LemmaTable:
    """words: of each convention, ``""`` for a pipeline that has none. base: a table of the same language
    to go on from, whose scripts and lemmas stay known. Raises ValueError if there is no word."""
    settings = settings or LemmaFit()
    if not any(words.values()):
        raise ValueError(
            f"got no word with a lemma for {', '.join(words)}, expected some; see the LEMMA column"
        )
    scripts, types = _types(words, () if base is None else base.scripts)
    upos = sorted({tag for own in types.values() for tag, _ in own.labels}.union(base.upos if base else ()))
    counts = np.zeros((len(upos), len(scripts)), dtype=np.int64)
    shown = np.zeros((len(types), len(scripts)), dtype=bool)
    for i, own in enumerate(types.values()):
        tags = np.asarray([upos.index(tag) for tag, _ in own.labels], dtype=np.int64)
        np.add.at(counts, (tags, own.scripts), 1)
        shown[i, own.scripts] = True
    counts[:, ~_candidates(scripts, counts.sum(axis=0))] = 0
    levels = _levels(counts, scripts, upos, types)
    if base is not None:
        old = np.zeros_like(levels)
        old[np.ix_([upos.index(tag) for tag in base.upos], range(len(base.scripts)))] = base.levels
        levels = np.maximum(levels, old)
    lemmas = _Lemmas.of(types, base)
    table = LemmaTable(
        tuple(types),
        scripts,
        tuple(upos),
        levels,
        shown,
        np.zeros(1 << _weight_bits(types, settings), dtype=np.int8) if base is None else base.weights,
        1.0 if base is None else base.scale,
        lemmas.places,
        lemmas.bits,
        np.zeros(0, dtype=np.uint32),
        np.zeros(0, dtype=np.int64),
    )
    weights, scale = _fitted(table, types, lemmas, settings)
    return _with_exceptions(replace(table, weights=weights, scale=scale), types)


def _types(
    words: Mapping[str, WordCounts], old: Sequence[Script]
) -> tuple[tuple[Script, ...], dict[str, _Types]]:
    """The old scripts and after them new ones, the most frequent first, and the types of each convention."""
    rows: dict[str, list[tuple[str, str, str, str, int]]] = {}
    for code, counts in words.items():
        lemmas: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        for (form, upos, feats, lemma), n in counts.items():
            if form and lemma and len(form) < LONGEST and not _RESERVED & set(form + lemma):
                lemmas[form, upos, UNKNOWN_FEATS if feats is None else feats][lemma] += n
        rows[code] = [
            (*word, *max(own.items(), key=lambda item: (item[1], item[0]))) for word, own in lemmas.items()
        ]
    flat = choose_scripts([(form, upos, lemma) for own in rows.values() for form, upos, _, lemma, _ in own])
    scripts = tuple(dict.fromkeys([*old, *(script for script, _ in Counter(flat).most_common())]))
    numbers = {script: i for i, script in enumerate(scripts)}
    ids = iter([numbers[script] for script in flat])
    types = {}
    for code, own in rows.items():
        types[code] = _Types(
            [form for form, *_ in own],
            [(upos, feats) for _, upos, feats, *_ in own],
            [lemma for *_, lemma, _ in own],
            np.asarray([n for *_, n in own], dtype=np.int64),
            np.fromiter(ids, dtype=np.int64, count=len(own)),
        )
    return scripts, types


def _candidates(scripts: Sequence[Script], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """bool ``(n_scripts,)``: those that words are tried with; the rest is for exceptions alone."""
    fit = [len(script.suffix) < TAIL for script in scripts]
    kinds: Counter[tuple[bool, ...]] = Counter()
    for script, n, own in zip(scripts, counts.tolist(), fit, strict=True):
        kinds[pattern(script.suffix)] += n * own
    frequent = {kind for kind, _ in kinds.most_common(PATTERNS)}
    return np.asarray(
        [own and pattern(script.suffix) in frequent for script, own in zip(scripts, fit, strict=True)]
    )


def _weight_bits(types: Mapping[str, _Types], settings: LemmaFit) -> int:
    words = sum(len(own.forms) for own in types.values())
    return min(max(int(np.rint(np.log2(max(words, 1) / settings.types))), 12), 18)


def _levels(
    counts: npt.NDArray[np.int64], scripts: Sequence[Script], upos: Sequence[str], types: Mapping[str, _Types]
) -> npt.NDArray[np.uint8]:
    """uint8 ``(n_upos, n_scripts)``: how often a script is right among the words of a UPOS that it applies
    to."""
    arrays = ScriptArrays.of(scripts, np.asarray(counts.any(axis=0)))
    applies = np.zeros(counts.shape, dtype=np.int64)
    for own in types.values():
        read = Read.of(own.forms, own.labels)
        for i, tag in enumerate(upos):
            rows = np.asarray(
                [j for j, (word_tag, _) in enumerate(own.labels) if word_tag == tag], dtype=np.int64
            )
            applies[i] += arrays.applies(read.words, rows)
    shares = counts / (np.maximum(applies, counts) + SMOOTHING)
    return np.where(counts > 0, 1 + np.rint(254 * np.sqrt(shares)), 0).astype(np.uint8)


@dataclass(frozen=True)
class _Lemmas:
    """Lemmas of the training words: their places among 2^bits, sorted, and the hash of the only form that
    has each in lower case, 0 for several forms."""

    places: npt.NDArray[np.int64]
    bits: int
    only: npt.NDArray[np.int64]

    @classmethod
    def of(cls, types: Mapping[str, _Types], base: LemmaTable | None) -> _Lemmas:
        forms: dict[str, set[str]] = defaultdict(set)
        for own in types.values():
            for form, lemma in zip(own.forms, own.lemmas, strict=True):
                forms[lemma].add(lowered(form))
        bits = base.known_bits if base is not None else FALSE_BITS + (len(forms) - 1).bit_length()
        spellings = with_shape(
            np.asarray([spelled(lowered(lemma)) for lemma in forms], dtype=np.uint32),
            np.asarray([shape(lemma) for lemma in forms], dtype=np.uint32),
        )
        places = known_places(spellings, bits)
        own_forms = [text_hash(next(iter(own))) if len(own) == 1 else 0 for own in forms.values()]
        if base is not None:
            places, own_forms = np.append(places, base.known), [*own_forms, *[0] * len(base.known)]
        found, first, n = np.unique(places, return_index=True, return_counts=True)
        return cls(found, bits, np.where(n == 1, np.asarray(own_forms, dtype=np.int64)[first], 0))

    def known(self, found: Candidates, forms: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether another form has the lemma, bool ``(n,)``. forms: of all words."""
        at = known_places(found.spellings, self.bits)
        place = np.minimum(np.searchsorted(self.places, at), len(self.places) - 1)
        own = np.asarray([text_hash(lowered(form)) for form in forms], dtype=np.int64)[found.words]
        return (self.places[place] == at) & (self.only[place] != own)


def _fitted(
    table: LemmaTable, types: Mapping[str, _Types], lemmas: _Lemmas, settings: LemmaFit
) -> tuple[npt.NDArray[np.int8], float]:
    """int8 ``(2^n,)``, from those of the table on, and their unit."""
    places, firsts, rights, weights = [], [], [], []
    n = 0
    for code, own in types.items():
        read = Read.of(own.forms, own.labels)
        found = table.candidates(code, read)
        right = found.scripts == own.scripts[found.words]
        sizes = np.bincount(found.words, minlength=len(own.forms))
        hits = np.bincount(found.words, weights=right, minlength=len(own.forms))
        kept = ((sizes > 1) & (hits == 1))[found.words]
        found = Candidates(*(column[kept] for column in found))
        features = table.features(code, read, found, lemmas.known(found, own.forms))
        places.append(features.astype(np.uint32))
        starts = np.flatnonzero(np.diff(found.words, prepend=-1))
        firsts.append(starts + n)
        rights.append(np.flatnonzero(right[kept]) + n)
        weights.append(1 + np.log(own.counts[found.words[starts]]))
        n += len(features)
    return _regression(
        np.concatenate(places),
        np.append(np.concatenate(firsts), n),
        np.concatenate(rights),
        np.concatenate(weights).astype(np.float32),
        table.weights.astype(np.float32) * np.float32(table.scale),
        settings,
    )


def _regression(
    places: npt.NDArray[np.uint32],
    bounds: npt.NDArray[np.int64],
    rights: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32],
    found: npt.NDArray[np.float32],
    settings: LemmaFit,
) -> tuple[npt.NDArray[np.int8], float]:
    """found: float32 ``(2^n,)``, where it begins. places: ``(n_candidates, n_features)``; a word has the
    candidates from one of the bounds to the next, of which one is right, and this weight."""
    random = np.random.default_rng(settings.seed)
    squares = np.full(len(found), 1e-6, dtype=np.float32)
    for _ in range(settings.epochs):
        order = random.permutation(len(weights))
        for start in range(0, len(order), settings.batch):
            words = order[start : start + settings.batch]
            sizes = bounds[words + 1] - bounds[words]
            firsts = np.cumsum(sizes) - sizes
            rows = np.repeat(bounds[words] - firsts, sizes) + np.arange(int(sizes.sum()))
            batch = places[rows]
            scores = found[batch].sum(axis=1)
            scores = np.exp(scores - np.repeat(np.maximum.reduceat(scores, firsts), sizes))
            scores /= np.repeat(np.add.reduceat(scores, firsts), sizes)
            scores[firsts + rights[words] - bounds[words]] -= 1
            scores *= np.repeat(weights[words], sizes)
            gradient = np.bincount(batch.ravel(), np.repeat(scores, batch.shape[1]), len(found)).astype(
                np.float32
            )
            squares += gradient * gradient
            found -= settings.learn_rate * gradient / np.sqrt(squares)
    unit = float(np.quantile(np.abs(found[found != 0]), 0.999)) / settings.levels if found.any() else 1.0
    return np.clip(np.rint(found / unit), -settings.levels, settings.levels).astype(np.int8), unit


def _with_exceptions(table: LemmaTable, types: Mapping[str, _Types]) -> LemmaTable:
    """For training words that would get another lemma: by form and UPOS where FEATS do not matter, else
    with FEATS."""
    found: dict[int, int] = {}
    for code, own in types.items():
        read = Read.of(own.forms, own.labels)
        alone, full = (keys.tolist() for keys in exception_keys(read, table.hash_of(code)))
        got = table.lemmas(code, own.forms, own.labels)
        groups: dict[int, list[int]] = defaultdict(list)
        for i, key in enumerate(alone):
            groups[key].append(i)
        for key, group in groups.items():
            wrong = [i for i in group if got[i] != own.lemmas[i]]
            if wrong and len({own.lemmas[i] for i in group}) == 1:
                found[key] = int(own.scripts[wrong[0]])
            else:
                found.update((full[i], int(own.scripts[i])) for i in wrong)
    keys = np.asarray(sorted(found), dtype=np.uint32)
    scripts = np.asarray([found[key] for key in keys.tolist()], dtype=np.int64)
    return replace(table, exceptions=keys, exception_scripts=scripts)
