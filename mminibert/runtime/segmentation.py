"""Text to tokens, sentences and words by a segmenter's model: what is kept of units, what context decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .joined_texts import JoinedTexts
from .segmenter_model import UNIT_LABELS, SegmenterModel, UnitLabels, UnitReading
from .special_cases import SpecialCases
from .stretches import Stretch, mark_weights, stretches_of
from .types import Floats, Ints
from .unit_cache import CUTS, STOP, UNSPACED, UnitCache
from .units import NOTHING, SENTENCE, TOKEN, WORD, Gap, UnitsOfText, units_of

__all__ = ["LONGEST_SENTENCE", "Reader", "Segmentation"]

KEPT_UNITS = 50_000
"""Units whose reading is kept, some 40 MB; and those of the text at hand."""
SLICE, REACH = 4096, 24
"""Units that are labelled at once, and how many on each side are read besides: more than the network sees."""
LONGEST_SENTENCE = 400
"""Units of a sentence; a longer one ends where that is likeliest."""


class Segmentation(NamedTuple):
    """The tokens of texts that are joined, each array ``(n_tokens,)``.

    starts, ends: int64, their places in it. begins: bool, whether a sentence begins with it. multiword:
    float32, how much likelier it is a multiword token than not, a logarithm. splits: of some, by number,
    after how many characters a word ends inside. stretches: the first token of each stretch that was read as
    of one code, and the code; none goes over a text's end.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    begins: npt.NDArray[np.bool_]
    multiword: Floats
    splits: dict[int, list[int]]
    stretches: list[tuple[int, str]]

    @classmethod
    def of_white_space(cls) -> Segmentation:
        places = np.zeros(0, dtype=np.int64)
        return cls(places, places, np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.float32), {}, [])

    def at(self, places: npt.NDArray[np.int64]) -> Segmentation:
        """Where the place i is at ``places[i]``."""
        return self._replace(starts=places[self.starts], ends=places[self.ends])

    def stretch_bounds(self) -> Iterator[tuple[int, int, str]]:
        """First token, end and code of each stretch that has tokens."""
        ends = [*(first for first, _ in self.stretches[1:]), len(self.starts)]
        for (first, code), end in zip(self.stretches, ends, strict=False):
            if first < end:
                yield first, end, code


class _Ends(NamedTuple):
    """What ends. places, kinds: int64 ``(n,)``, ends of tokens, those of sentences among them, in any order.
    words: places inside of tokens. multiword: float32 ``(n_units,)``."""

    places: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    words: list[int]
    multiword: Floats


class Reader:
    """Reads text with a model; what units tell by themselves is kept."""

    def __init__(self, model: SegmenterModel) -> None:
        self.model = model
        self._caches: dict[str | None, UnitCache] = {}

    def read(
        self, texts: JoinedTexts, *, code: str | None, line_breaks: bool, special: SpecialCases
    ) -> Segmentation:
        """Of each text what it is alone.

        code: of the language or convention that the texts are of; None: it is found, sentence by sentence.
        line_breaks: whether each ends a sentence.
        """
        if sum(map(len, list(self._caches.values()))) > KEPT_UNITS:
            self._caches = {}
        units = units_of(texts.text)
        if not units.units:
            return Segmentation.of_white_space()
        stretches = self._stretches(units, _first_units(units, texts), code)
        ends = self._ends(units, stretches, line_breaks)
        places, kinds = special.applied(texts.text, units, ends.places, ends.kinds)
        return _tokens(units, ends._replace(places=places, kinds=kinds), stretches)

    def _stretches(
        self, units: UnitsOfText, firsts: npt.NDArray[np.int64], code: str | None
    ) -> list[Stretch]:
        """firsts: int64 ``(n_texts,)``, the first unit of each text that has any."""
        if code is None and len(self.model.languages) == 1:
            (code,) = self.model.languages
        if code is not None:
            bounds = [*firsts.tolist(), len(units.units)]
            return [Stretch(start, end, code) for start, end in pairwise(bounds)]
        cache = self._cache(None)

        def read(missing: Sequence[str]) -> UnitReading:
            return UnitReading([b""] * len(missing), self.model.spell(missing) * mark_weights(missing))

        return stretches_of(units, firsts, cache, cache.numbers(units.units, read), self.model.languages)

    def _cache(self, code: str | None) -> UnitCache:
        found = self._caches.get(code)
        if found is None:
            width = len(self.model.languages) if code is None else self.model.of(code).vector_width
            found = self._caches[code] = UnitCache(width)
        return found

    def _read(self, units: Sequence[str], code: str) -> tuple[UnitCache, Ints]:
        """What is kept of units of a code, and their numbers there."""
        cache, model = self._cache(code), self.model.of(code)
        return cache, cache.numbers(units, lambda missing: model.read_units(missing, code))

    def _ends(self, units: UnitsOfText, stretches: Sequence[Stretch], line_breaks: bool) -> _Ends:
        lasts = np.asarray([stretch.end for stretch in stretches]) - 1
        gaps = units.gaps.copy()
        gaps[lasts] = np.where(gaps[lasts] == Gap.NONE, Gap.NONE, Gap.BLANK)
        gaps[-1] = Gap.BLANK
        logits = np.empty((UNIT_LABELS, len(gaps)), dtype=np.float32)
        numbers = np.zeros(len(gaps), dtype=np.int32)
        stops = np.zeros(len(gaps), dtype=np.bool_)
        cuts: list[tuple[int, int]] = []
        of_codes: defaultdict[str, list[Stretch]] = defaultdict(list)
        for stretch in stretches:
            of_codes[stretch.code].append(stretch)
        for code, own in of_codes.items():
            texts, which = units.units, np.arange(len(gaps))
            if len(of_codes) > 1:
                which = np.concatenate([which[start:end] for start, end, _ in own])
                texts = [texts[i] for i in which.tolist()]
            cache, numbers[which] = self._read(texts, code)
            _label(self.model.of(code), cache, numbers, gaps, own, logits)
            flags = cache.flags(numbers[which])
            stops[which] = flags & STOP
            cuts += [
                (int(units.starts[i]) + after, kind)
                for i in which[(flags & CUTS).nonzero()[0]].tolist()
                for after, kind in cache.cuts(int(numbers[i]))
            ]
        labels = UnitLabels(logits)
        ends = _unit_ends(labels, gaps, lasts, line_breaks)
        which = ends.nonzero()[0]
        stops &= labels.stop
        inside = np.asarray([cut for cut in cuts if cut[1] != WORD], dtype=np.int64).reshape(-1, 2)
        places = [units.ends[which], units.ends[stops] - 1, inside[:, 0]]
        kinds = [ends[which], np.full(np.count_nonzero(stops), TOKEN), inside[:, 1]]
        words = [place for place, kind in cuts if kind == WORD]
        return _Ends(np.concatenate(places), np.concatenate(kinds), words, labels.multiword)


def _first_units(units: UnitsOfText, texts: JoinedTexts) -> npt.NDArray[np.int64]:
    """The first unit of each text that has any."""
    found = units.starts.searchsorted(texts.starts)
    following = np.concatenate([found[1:], [len(units.units)]])
    return found[found < following]


def _label(
    model: SegmenterModel,
    cache: UnitCache,
    numbers: Ints,
    gaps: Ints,
    stretches: Sequence[Stretch],
    logits: Floats,
) -> None:
    """Write the logits, float32 ``(UNIT_LABELS, n_units)``, of the units of stretches of a code. Stretches of
    equal length are read together, long ones in slices, so that they take linear time and little memory.

    numbers: int32 ``(n_units,)``, of these units in the cache.
    """
    rows: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
    for stretch_start, stretch_end, _ in stretches:
        for start in range(stretch_start, stretch_end, SLICE):
            end = min(stretch_end, start + SLICE)
            low, high = max(stretch_start, start - REACH), min(stretch_end, end + REACH)
            rows[high - low, start - low, end - low].append(low)
    for (length, start, end), lows in rows.items():
        n_rows = max(1, SLICE // length)
        for first in range(0, len(lows), n_rows):
            which = np.asarray(lows[first : first + n_rows])[:, None] + np.arange(length)
            own = numbers[which]
            unspaced = (cache.flags(own) & UNSPACED).astype(np.bool_)
            pairs = model.pair_rows(cache.hashes(own), unspaced, gaps[which])
            found = model.label_rows(cache.vectors(own), gaps[which], pairs, stretches[0].code)
            logits[:, which[:, start:end]] = found[:, :, start:end].transpose(1, 0, 2)


def _unit_ends(
    labels: UnitLabels, gaps: Ints, lasts: npt.NDArray[np.int64], line_breaks: bool
) -> npt.NDArray[np.int64]:
    """What ends with each unit, so that a token goes over blanks alone, and no sentence over an empty line,
    the last unit of a stretch or `LONGEST_SENTENCE`."""
    ends = labels.ends
    if int(gaps.max()) > Gap.BLANK:  # most often there is none
        ends[(ends == NOTHING) & (gaps > Gap.BLANK)] = TOKEN
        ends[gaps >= (Gap.LINE if line_breaks else Gap.PARAGRAPH)] = SENTENCE
    ends[lasts] = SENTENCE
    bounds = [-1, *(ends == SENTENCE).nonzero()[0].tolist()] if len(ends) > LONGEST_SENTENCE else []
    for before, last in pairwise(bounds):
        while last - before > LONGEST_SENTENCE:
            low = before + LONGEST_SENTENCE // 2
            before = low + int(labels.sentence[low : before + LONGEST_SENTENCE].argmax())
            ends[before] = SENTENCE
    return ends


def _tokens(text: UnitsOfText, ends: _Ends, stretches: Sequence[Stretch]) -> Segmentation:
    order = ends.places.argsort()
    places, kinds = ends.places[order], ends.kinds[order]
    # A token begins where the last one ended inside of a unit, or else with the next unit.
    following = text.starts.searchsorted(places)
    inside = text.ends[following - 1] > places
    starts = np.empty_like(places)
    starts[0] = text.starts[0]
    starts[1:] = np.where(inside, places, text.starts.take(following, mode="clip"))[:-1]
    first = np.zeros_like(following)
    first[1:] = (following - inside)[:-1]
    multiword = np.maximum(np.maximum.reduceat(ends.multiword, first), ends.multiword[following - 1])
    splits: dict[int, list[int]] = {}
    for token, place in zip(places.searchsorted(ends.words, side="right").tolist(), ends.words, strict=True):
        splits.setdefault(token, []).append(place - int(starts[token]))
    begins = np.ones(len(places), dtype=np.bool_)
    begins[1:] = kinds[:-1] == SENTENCE
    firsts = starts.searchsorted([text.starts[stretch.start] for stretch in stretches]).tolist()
    of_codes = [(token, stretch.code) for token, stretch in zip(firsts, stretches, strict=True)]
    return Segmentation(starts, places, begins, multiword, splits, of_codes)
