"""Which language each stretch of a text is of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .types import Floats, Ints
from .unit_cache import FINAL, UnitCache
from .units import Gap, UnitsOfText, is_unspaced

__all__ = ["Stretch", "mark_weights", "stretches_of"]

SENTENCES_AT_ONCE = 4096
STAY, STAY_OVER_LINES = 8.0, 4.0
"""What a change of language costs from one sentence to the next, as a logarithm of a probability, and over a
line break."""


WEIGHT_OF_MARKS = 0.2
"""Of what Chinese and Japanese punctuation says of the language: `。` is that of treebanks."""


class Stretch(NamedTuple):
    """Units in a row that are read as of one code: ``units[start:end]``."""

    start: int
    end: int
    code: str


def stretches_of(
    text: UnitsOfText,
    firsts: npt.NDArray[np.int64],
    cache: UnitCache,
    numbers: Ints,
    languages: Sequence[str],
) -> list[Stretch]:
    """Sentences, roughly, each in the language that is likeliest with regard to those before and after in its
    text.

    firsts: int64 ``(n_texts,)``, the first unit of each text, after which a line ends. cache, numbers: what
    the units, at least one, say of their language, float32 ``(n_languages,)`` each.
    """
    n = len(text.units)
    final = (cache.flags(numbers) & FINAL).astype(np.bool_) | (text.gaps >= Gap.LINE)
    starts = np.concatenate([[0], final[:-1].nonzero()[0] + 1])
    sums: list[Floats] = []
    for low in range(0, len(starts), SENTENCES_AT_ONCE):
        own = starts[low : low + SENTENCES_AT_ONCE]
        end = starts[low + len(own)] if low + len(own) < len(starts) else n
        logits = cache.vectors(numbers[own[0] : end])
        sums.append(np.add.reduceat(logits, own - own[0], axis=0))
    scores = np.concatenate(sums)
    best = scores.argmax(axis=1)
    if len(starts) > len(firsts):  # else each text is a sentence
        of_text = starts.searchsorted(firsts)
        for low, high in pairwise([*of_text.tolist(), len(starts)]):
            if high - low > 1 and (best[low + 1 : high] != best[low]).any():
                over_lines = text.gaps[starts[low + 1 : high] - 1] >= Gap.LINE
                stay = np.where(over_lines, STAY_OVER_LINES, STAY)
                best[low:high] = _best_path(scores[low:high], stay)
        begins = np.zeros(len(starts), dtype=np.bool_)
        begins[of_text] = True
        begins[1:] |= best[1:] != best[:-1]
        starts, best = starts[begins], best[begins]
    edges = [*starts.tolist(), n]
    codes = [languages[i] for i in best.tolist()]
    return [Stretch(start, end, code) for (start, end), code in zip(pairwise(edges), codes, strict=True)]


def mark_weights(units: Sequence[str]) -> Floats:
    """How much each unit counts for the language, float32 ``(n_units, 1)``."""
    weights = [WEIGHT_OF_MARKS if _is_mark(unit) else 1.0 for unit in units]
    return np.asarray(weights, dtype=np.float32)[:, None]


def _is_mark(unit: str) -> bool:
    return is_unspaced(unit) and not any(map(str.isalpha, unit))


def _best_path(scores: Floats, stay: Floats) -> npt.NDArray[np.int64]:
    """The path through scores ``(n, n_languages)`` of the largest sum, of which each change from i to i + 1
    costs ``stay[i]`` (Viterbi 1967)."""
    # The best sum that ends in each language, less the largest of these, so that it stays near 0.
    sums = scores - scores.max(axis=1, keepdims=True)
    for i in range(1, len(sums)):
        sums[i] += np.maximum(sums[i - 1], -stay[i - 1])
        sums[i] -= sums[i].max()
    path = sums.argmax(axis=1)
    for i in range(len(sums) - 2, -1, -1):
        if sums[i, path[i + 1]] >= -stay[i]:
            path[i] = path[i + 1]
    return path
