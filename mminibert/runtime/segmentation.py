"""Text to tokens, sentences and words by a segmenter's model: what is kept of units, what context decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .segmenter_model import FULL_STOP, SegmenterModel, UnitLabels
from .types import Floats, Ints
from .units import UNIT, Gap, gap_of, hash_unit, is_unspaced

__all__ = ["LONGEST_SENTENCE", "Piece", "Reader", "Stretch"]

KEPT_UNITS = 50_000
"""Of a language whose reading is kept."""
AT_ONCE = 512
"""Units that are read at once."""
LONGEST_SENTENCE = 400
"""Units of a sentence; a longer one ends where that is likeliest."""
STAY, STAY_OVER_LINES = 8.0, 4.0
"""What a change of language costs from one sentence to the next, as a logarithm of a probability, and over a
line break."""
SENTENCE_FINAL = frozenset(".!?…。！？।։؟۔")
TOKEN, SENTENCE, WORD = 1, 2, 3


class Piece(NamedTuple):
    """A token: its place in the text, where words end in it and how likely it is a multiword token, whether a
    sentence ends with it."""

    start: int
    end: int
    splits: tuple[int, ...]
    multiword: float
    last: bool


class Stretch(NamedTuple):
    """Units in a row that are read as of one code: ``units[start:end]``."""

    start: int
    end: int
    code: str


@dataclass(eq=False)
class _Kept:
    """What is known of units, by number; grows under a lock, so that threads may share it."""

    width: int
    numbers: dict[str, int] = field(default_factory=dict)
    values: Floats = field(init=False)
    hashes: npt.NDArray[np.uint64] = field(init=False)
    unspaced: npt.NDArray[np.bool_] = field(init=False)
    inside: list[tuple[tuple[int, int], ...]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.values = np.zeros((1024, self.width), dtype=np.float32)
        self.hashes = np.zeros(1024, dtype=np.uint64)
        self.unspaced = np.zeros(1024, dtype=bool)

    def add(self, units: Sequence[str], values: Floats, labels: Sequence[bytes] | None) -> None:
        with self.lock:
            for i, unit in enumerate(units):
                if unit in self.numbers:
                    continue
                number = len(self.numbers)
                if number == len(self.values):
                    self.values = np.concatenate([self.values, np.zeros_like(self.values)])
                    self.hashes = np.concatenate([self.hashes, np.zeros_like(self.hashes)])
                    self.unspaced = np.concatenate([self.unspaced, np.zeros_like(self.unspaced)])
                self.values[number] = values[i]
                self.hashes[number], self.unspaced[number] = hash_unit(unit), is_unspaced(unit)
                if labels is not None:
                    ends = enumerate(labels[i][:-1], start=1)
                    self.inside.append(tuple((at, label) for at, label in ends if label))
                self.numbers[unit] = number  # last: it tells other threads that the rest is there


class Reader:
    """Reads text with a model; what units tell by themselves is kept."""

    def __init__(self, model: SegmenterModel) -> None:
        self.model = model
        self._spelled = _Kept(len(model.languages))
        self._read: dict[str, _Kept] = {}

    def pieces(
        self, text: str, *, code: str | None, line_breaks: bool
    ) -> tuple[list[Piece], list[tuple[int, str]]]:
        """The tokens of a text, and where in the text which language begins.

        code: of the language or convention that the text is of; None: it is found, sentence by sentence.
        line_breaks: whether each ends a sentence.
        """
        spans = [match.span() for match in UNIT.finditer(text)]
        if not spans:
            return [], []
        units = [text[start:end] for start, end in spans]
        between = [text[end:start] for (_, end), (start, _) in pairwise(spans)]
        gaps = np.asarray(
            [0 if not gap else 1 if gap == " " else gap_of(gap) for gap in between] + [0], dtype=np.int32
        )
        stretches = [Stretch(0, len(units), code)] if code else self._stretches(units, gaps)
        found: list[Piece] = []
        for stretch in stretches:
            found += self._of_stretch(units, spans, gaps, stretch, line_breaks)
        return found, [(spans[stretch.start][0], stretch.code) for stretch in stretches]

    def _numbers(
        self,
        kept: _Kept,
        units: Sequence[str],
        read: Callable[[Sequence[str]], tuple[Floats, list[bytes] | None]],
    ) -> Ints:
        """The numbers of units; what is not known of them yet is read."""
        get = kept.numbers.get
        numbers = [get(unit, -1) for unit in units]
        if -1 in numbers:
            missing = sorted(
                {unit for unit, number in zip(units, numbers, strict=True) if number < 0}, key=len
            )
            for start in range(0, len(missing), AT_ONCE):
                part = missing[start : start + AT_ONCE]
                kept.add(part, *read(part))
            numbers = [kept.numbers[unit] for unit in units]
        return np.asarray(numbers, dtype=np.int32)

    def _stretches(self, units: Sequence[str], gaps: Ints) -> list[Stretch]:
        """Sentences, roughly, each in the language that is likeliest with regard to those before and
        after."""
        languages = self.model.languages
        if len(languages) == 1:
            return [Stretch(0, len(units), languages[0])]
        if len(self._spelled.numbers) > KEPT_UNITS:
            self._spelled = _Kept(len(languages))
        kept = self._spelled
        numbers = self._numbers(kept, units, lambda part: (self.model.spell(part), None))
        final = np.asarray([unit[-1] in SENTENCE_FINAL for unit in units]) | (gaps >= Gap.LINE)
        starts = np.concatenate([[0], np.flatnonzero(final[:-1]) + 1])
        scores = np.add.reduceat(kept.values[numbers], starts, axis=0)
        scores -= scores.max(axis=1, keepdims=True)
        over_lines = gaps[starts[1:] - 1] >= Gap.LINE
        best = _best_path(scores, np.where(over_lines, STAY_OVER_LINES, STAY))
        changes = np.concatenate([[0], np.flatnonzero(np.diff(best)) + 1])
        bounds = [*starts[changes].tolist(), len(units)]
        return [
            Stretch(start, end, languages[best[change]])
            for (start, end), change in zip(pairwise(bounds), changes.tolist(), strict=True)
        ]

    def _of_stretch(
        self,
        units: Sequence[str],
        spans: Sequence[tuple[int, int]],
        gaps: Ints,
        stretch: Stretch,
        line_breaks: bool,
    ) -> list[Piece]:
        start, end, code = stretch
        model = self.model.of(code)
        kept = self._read.get(code)
        if kept is None or len(kept.numbers) > KEPT_UNITS:
            kept = self._read[code] = _Kept(model.vector_width)

        def read(part: Sequence[str]) -> tuple[Floats, list[bytes] | None]:
            reading = model.read_units(part, code)
            return reading.vectors, reading.labels

        numbers = self._numbers(kept, units[start:end], read)
        own_gaps = gaps[start:end].copy()
        own_gaps[-1] = Gap.NONE if end < len(units) and gaps[end - 1] == Gap.NONE else Gap.BLANK
        pairs = model.pair_rows(kept.hashes[numbers], kept.unspaced[numbers], own_gaps, code)
        labels = model.label_units(kept.values[numbers], own_gaps, pairs, code)
        ends = _sentences(labels, own_gaps, line_breaks)
        return list(_pieces(units[start:end], spans[start:end], numbers.tolist(), kept, labels, ends))


def _best_path(scores: Floats, stay: Floats) -> npt.NDArray[np.int64]:
    """The path through scores ``(n, n_languages)`` of the largest sum, of which each change from i to i + 1
    costs ``stay[i]`` (Viterbi 1967)."""
    best = scores.argmax(axis=1)
    if len(set(best.tolist())) == 1:
        return best
    total = scores[0]
    froms = np.empty(scores.shape, dtype=np.int64)
    everyone = np.arange(scores.shape[1])
    for i in range(1, len(scores)):
        other = int(total.argmax())
        changed = total[other] - stay[i - 1] > total
        froms[i] = np.where(changed, other, everyone)
        total = np.where(changed, total[other] - stay[i - 1], total) + scores[i]
    path = np.empty(len(scores), dtype=np.int64)
    path[-1] = total.argmax()
    for i in range(len(scores) - 1, 0, -1):
        path[i - 1] = froms[i, path[i]]
    return path


def _sentences(labels: UnitLabels, gaps: Ints, line_breaks: bool) -> list[int]:
    """What ends with each unit, so that no token goes over a line break, and no sentence over an empty line
    or `LONGEST_SENTENCE`."""
    ends = np.where((labels.ends == 0) & (gaps >= Gap.LINE), TOKEN, labels.ends)
    ends[gaps >= (Gap.LINE if line_breaks else Gap.PARAGRAPH)] = SENTENCE
    ends[-1] = SENTENCE
    bounds = np.concatenate([[-1], np.flatnonzero(ends == SENTENCE)])
    for before, last in pairwise(bounds.tolist()):
        while last - before > LONGEST_SENTENCE:
            low = before + LONGEST_SENTENCE // 2
            before = low + int(labels.sentence[low : before + LONGEST_SENTENCE].argmax())
            ends[before] = SENTENCE
    found: list[int] = ends.tolist()
    return found


def _pieces(
    units: Sequence[str],
    spans: Sequence[tuple[int, int]],
    numbers: Sequence[int],
    kept: _Kept,
    labels: UnitLabels,
    ends: Sequence[int],
) -> Iterator[Piece]:
    inside = kept.inside
    stops, multiword = labels.stop.tolist(), labels.multiword.tolist()
    token = -1
    splits: list[int] = []
    likely = 0.0
    for i, (start, end) in enumerate(spans):
        if token < 0:
            token = start
        likely = max(likely, multiword[i])
        unit = units[i]
        cuts: Sequence[tuple[int, int]] = inside[numbers[i]]
        if unit[-1] == FULL_STOP and len(unit) > 1:
            cuts = [cut for cut in cuts if cut[0] != len(unit) - 1]
            if stops[i]:
                cuts.append((len(unit) - 1, TOKEN))
        for at, label in cuts:
            if label == WORD:
                splits.append(start + at - token)
            else:
                yield Piece(token, start + at, tuple(splits), likely, label == SENTENCE)
                token, splits = start + at, []
        if ends[i]:
            yield Piece(token, end, tuple(splits), likely, ends[i] == SENTENCE)
            token, splits, likely = -1, [], 0.0


def codes_by_language(codes: Sequence[str]) -> Mapping[str, list[str]]:
    """The codes of each language, itself first."""
    found: dict[str, list[str]] = {}
    for code in codes:
        found.setdefault(code.partition("_")[0], []).append(code)
    return found
