"""Which stretches of text the segmenter learns from, one batch after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..runtime.types import Floats, Ints
from ..runtime.units import SENTENCE, Gap
from .segmenter_data import Running

__all__ = ["Sampler", "Source", "Stretch", "with_line_breaks"]


@dataclass(frozen=True, eq=False)
class Source:
    """A treebank: its running text, the rows of pairs, the numbers of its code, of its language among the
    codes and of its language. share: of the treebank's stretches, if its text is written in several ways."""

    running: Running
    pairs: npt.NDArray[np.int64]
    code: int
    language_code: int
    language: int
    share: float = 1.0


class Stretch(NamedTuple):
    """Units in a row, ``source.running.units[where]``: the code that the network is told, and the gaps, int
    ``(n_units,)``."""

    source: Source
    where: slice
    code: int
    gaps: Ints


class Sampler:
    """Draws stretches. shares: of the sources, float64 ``(n_sources,)``, in proportion to their size to the
    power of `exponent`."""

    def __init__(
        self, sources: Sequence[Source], random: np.random.Generator, *, length: int, exponent: float
    ) -> None:
        self.sources, self.random, self.length = sources, random, length
        weights = np.asarray([len(source.running) ** exponent * source.share for source in sources])
        self.shares: Floats = weights / weights.sum()

    def __call__(self, n: int) -> Iterator[Stretch]:
        """So many, two in three told the convention, the others the language."""
        random = self.random
        for i in random.choice(len(self.sources), n, p=self.shares):
            source = self.sources[i]
            text = source.running
            start = int(random.integers(0, max(1, len(text) - self.length)))
            where = slice(start, start + self.length)
            code = source.code if random.random() < 2 / 3 else source.language_code
            yield Stretch(source, where, code, with_line_breaks(text.gaps[where], text.ends[where], random))


def with_line_breaks(gaps: Ints, ends: Ints, random: np.random.Generator) -> Ints:
    """Now and then with line breaks, within sentences as text that is wrapped has them, or after
    sentences."""
    kind = random.random()
    if kind > 0.4:
        return gaps
    after, within, paragraph = (0.5, 0.02, 0.1) if kind < 0.2 else (0.2, 0.06, 0.02)
    drawn = random.random(len(gaps))
    blank, end = gaps == Gap.BLANK, ends == SENTENCE
    after_end = end & (gaps <= Gap.BLANK) & (drawn < after)
    found = np.where(after_end | blank & ~end & (drawn < within), Gap.LINE, gaps)
    kept: Ints = np.where(end & (drawn > 1 - paragraph), Gap.PARAGRAPH, found)
    return kept
