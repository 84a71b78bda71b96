"""Running text of treebanks as the segmenter learns it: units, what stands between them, what ends where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..data.segmented import Segmented
from ..data.word_ends import word_ends
from ..runtime.alphabet import Alphabet
from ..runtime.segmenter_model import FULL_STOP
from ..runtime.types import Ints
from ..runtime.units import NOTHING, SENTENCE, TOKEN, UNIT, WORD, Gap, gap_of, hash_unit, is_unspaced

__all__ = ["Running", "Units", "running"]

UNKNOWN = -1


class Units:
    """All different units of the training text, by number."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._ids: dict[str, int] = {}

    def add(self, text: str) -> int:
        found = self._ids.get(text)
        if found is None:
            found = self._ids[text] = len(self.texts)
            self.texts.append(text)
        return found

    def characters(self, ids: Ints) -> Counter[str]:
        """In how many of these units each character is."""
        found: Counter[str] = Counter()
        for id, count in zip(*(one.tolist() for one in np.unique(ids, return_counts=True)), strict=True):
            found.update(dict.fromkeys(self.texts[id], count))
        return found

    def encoded(self, alphabet: Alphabet) -> tuple[list[Ints], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
        """Of each unit its characters' numbers, its hash, and whether it is of a script without blanks."""
        hashes = np.asarray([hash_unit(text) for text in self.texts], dtype=np.uint64)
        unspaced = np.asarray([is_unspaced(text) for text in self.texts], dtype=bool)
        return [alphabet.numbers(text) for text in self.texts], hashes, unspaced


@dataclass(frozen=True, eq=False)
class Running:
    """The text of a treebank, unit after unit. All but `inside` int, ``(n_units,)``.

    gaps: `Gap` to the next unit. ends: what ends with the unit. stops: whether a final full stop is a token,
    -1 where there is none. multiword: whether a multiword token is in it. inside: what ends after each
    character but the last, a byte each.
    """

    units: Ints
    gaps: Ints
    ends: Ints
    stops: Ints
    multiword: Ints
    inside: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.units)

    @property
    def joins(self) -> float:
        """The share of units that a token goes beyond."""
        return float((self.ends == NOTHING).mean()) if len(self) else 0.0


def running(sentences: Iterable[Segmented], units: Units) -> Running:
    """The sentences, one after the other, in their order."""
    ids: list[int] = []
    gaps: list[int] = []
    ends: list[int] = []
    stops: list[int] = []
    multiword: list[bool] = []
    inside: list[bytes] = []
    for row in _rows(sentences):
        text, labels, in_multiword = _labels(row)
        spans = [match.span() for match in UNIT.finditer(text)]
        if not spans:
            continue
        if row[0].paragraph and gaps:
            gaps[-1] = Gap.PARAGRAPH
        after = [gap_of(text[end:start]) for (_, end), (start, _) in pairwise(spans)]
        gaps += [*after, gap_of(row[-1].gap)]
        for start, end in spans:
            unit = text[start:end]
            ids.append(units.add(unit))
            # A word of a multiword token may end with a unit, which the token does not.
            ends.append(NOTHING if labels[end] == WORD else int(labels[end]))
            stop = unit[-1] == FULL_STOP and len(unit) > 1
            stops.append(int(labels[end - 1] in (TOKEN, SENTENCE)) if stop else UNKNOWN)
            multiword.append(bool(in_multiword[start:end].any()))
            inside.append(labels[start + 1 : end].tobytes())
        ends[-1] = SENTENCE

    def column(values: Sequence[int]) -> Ints:
        return np.asarray(values, dtype=np.int32)

    return Running(column(ids), column(gaps), column(ends), column(stops), column(multiword), tuple(inside))


def _rows(sentences: Iterable[Segmented]) -> Iterator[list[Segmented]]:
    """Sentences that nothing parts stand together: a unit may reach from one into the next."""
    row: list[Segmented] = []
    for sentence in sentences:
        if row and (row[-1].gap or sentence.paragraph):
            yield row
            row = []
        row.append(sentence)
    if row:
        yield row


def _labels(row: Sequence[Segmented]) -> tuple[str, npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """The text of sentences; what ends before each character and its end; which characters are of multiword
    tokens."""
    text = "".join(sentence.text for sentence in row)
    labels = np.zeros(len(text) + 1, dtype=np.int8)
    inside = np.zeros(len(text), dtype=bool)
    begin = 0
    for sentence in row:
        for _, end in sentence.tokens:
            labels[begin + end] = TOKEN
        for i, words in sentence.words.items():
            start, end = sentence.tokens[i]
            inside[begin + start : begin + end] = True
            for at in word_ends(sentence.text[start:end], words):
                if labels[begin + start + at] == NOTHING:
                    labels[begin + start + at] = WORD
        if sentence.tokens:
            labels[begin + sentence.tokens[-1][1]] = SENTENCE
        begin += len(sentence.text)
    return text, labels, inside
