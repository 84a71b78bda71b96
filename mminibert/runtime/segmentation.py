"""Text to tokens, sentences and words by a segmenter's model: what is kept of units, what context decides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .segmenter_model import SegmenterModel, UnitLabels, UnitReading
from .special_cases import SpecialCases
from .stretches import Stretch, mark_weights, stretches_of, whole
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
    """The tokens of a text, each array ``(n_tokens,)``.

    starts, ends: int64, their places in it. begins: bool, whether a sentence begins with it. multiword:
    float32, how much likelier it is a multiword token than not, a logarithm. splits: of some, by number,
    after how many characters a word ends inside. stretches: the first token of each stretch that was read as
    of one code, and the code.
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
        """In a text that has the place i of this one at ``places[i]``."""
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
        self, texts: Sequence[str], *, code: str | None, line_breaks: bool, special: SpecialCases
    ) -> list[Segmentation]:
        """Of each text what it is alone; together they take less time, as what their units tell by themselves
        is read at once.

        code: of the language or convention that the texts are of; None: it is found, sentence by sentence.
        line_breaks: whether each ends a sentence.
        """
        if sum(map(len, list(self._caches.values()))) > KEPT_UNITS:
            self._caches = {}
        if code is None and len(self.model.languages) == 1:
            (code,) = self.model.languages
        read = [units_of(text) for text in texts]
        if code is None and len(read) > 1:
            self._spelled([unit for text in read for unit in text.units])
        stretches = [self._stretches(text, code) for text in read]
        if len(read) > 1:
            of_codes: defaultdict[str, list[str]] = defaultdict(list)
            for text, own in zip(read, stretches, strict=True):
                for start, end, of in own:
                    of_codes[of] += text.units[start:end]
            for of, units in of_codes.items():
                self._labelled(units, of)
        return [
            self._segmentation(*row, line_breaks, special) for row in zip(texts, read, stretches, strict=True)
        ]

    def _segmentation(
        self,
        text: str,
        units: UnitsOfText,
        stretches: Sequence[Stretch],
        line_breaks: bool,
        special: SpecialCases,
    ) -> Segmentation:
        if not stretches:
            return Segmentation.of_white_space()
        found = [self._ends(units, stretch, line_breaks) for stretch in stretches]
        places, kinds = special.applied(
            text,
            units,
            np.concatenate([part.places for part in found]),
            np.concatenate([part.kinds for part in found]),
        )
        words = [place for part in found for place in part.words]
        multiword = np.concatenate([part.multiword for part in found])
        return _tokens(units, _Ends(places, kinds, words, multiword), stretches)

    def _cache(self, code: str | None) -> UnitCache:
        found = self._caches.get(code)
        if found is None:
            width = len(self.model.languages) if code is None else self.model.of(code).vector_width
            found = self._caches[code] = UnitCache(width)
        return found

    def _spelled(self, units: Sequence[str]) -> tuple[UnitCache, Ints]:
        """What is kept of what units say of their language, and their numbers there."""
        cache = self._cache(None)

        def read(missing: Sequence[str]) -> UnitReading:
            return UnitReading([b""] * len(missing), self.model.spell(missing) * mark_weights(missing))

        return cache, cache.numbers(units, read)

    def _labelled(self, units: Sequence[str], code: str) -> tuple[UnitCache, Ints]:
        """What is kept of units of a code, and their numbers there."""
        cache, model = self._cache(code), self.model.of(code)
        return cache, cache.numbers(units, lambda missing: model.read_units(missing, code))

    def _stretches(self, text: UnitsOfText, code: str | None) -> list[Stretch]:
        if code is not None or not text.units:
            return whole(text, code or "")
        return stretches_of(text, *self._spelled(text.units), self.model.languages)

    def _ends(self, text: UnitsOfText, stretch: Stretch, line_breaks: bool) -> _Ends:
        start, end, code = stretch
        cache, numbers = self._labelled(text.units[start:end], code)
        gaps = text.gaps[start:end].copy()
        gaps[-1] = Gap.NONE if end < len(text.units) and gaps[-1] == Gap.NONE else Gap.BLANK
        labels = self._labels(cache, numbers, gaps, code)
        ends = _unit_ends(labels, gaps, line_breaks)
        which = ends.nonzero()[0]
        places, kinds = [text.ends[start:end][which]], [ends[which]]
        flags = cache.flags(numbers)
        stops = ((flags & STOP).astype(np.bool_) & labels.stop).nonzero()[0]
        if len(stops):
            places.append(text.ends[start:end][stops] - 1)
            kinds.append(np.full(len(stops), TOKEN))
        cuts = [
            (int(text.starts[start + i]) + after, kind)
            for i in (flags & CUTS).nonzero()[0].tolist()
            for after, kind in cache.cuts(int(numbers[i]))
        ]
        if cuts:
            inside = np.asarray(cuts)[[kind != WORD for _, kind in cuts]]
            places.append(inside[:, 0])
            kinds.append(inside[:, 1])
        words = [place for place, kind in cuts if kind == WORD]
        return _Ends(np.concatenate(places), np.concatenate(kinds), words, labels.multiword)

    def _labels(self, cache: UnitCache, numbers: Ints, gaps: Ints, code: str) -> UnitLabels:
        """In slices, so that long texts take linear time and little memory."""
        model = self.model.of(code)
        parts: list[Floats] = []
        for start in range(0, len(numbers), SLICE):
            low, high = max(0, start - REACH), start + SLICE + REACH
            own = numbers[low:high]
            unspaced = (cache.flags(own) & UNSPACED).astype(np.bool_)
            pairs = model.pair_rows(cache.hashes(own), unspaced, gaps[low:high])
            found = model.label_units(cache.vectors(own), gaps[low:high], pairs, code)
            parts.append(found.logits[:, start - low : start - low + SLICE])
        return UnitLabels(np.concatenate(parts, axis=1))


def _unit_ends(labels: UnitLabels, gaps: Ints, line_breaks: bool) -> npt.NDArray[np.int64]:
    """What ends with each unit, so that a token goes over blanks alone, and no sentence over an empty line or
    `LONGEST_SENTENCE`."""
    ends = labels.ends
    if int(gaps.max()) > Gap.BLANK:  # most often there is none
        ends[(ends == NOTHING) & (gaps > Gap.BLANK)] = TOKEN
        ends[gaps >= (Gap.LINE if line_breaks else Gap.PARAGRAPH)] = SENTENCE
    ends[-1] = SENTENCE
    if len(ends) > LONGEST_SENTENCE:
        bounds = [-1, *(ends == SENTENCE).nonzero()[0].tolist()]
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
