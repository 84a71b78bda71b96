"""How readily a sentence ends, so that most sentences of dev text are found.

Where punctuation does not tell, as in spoken or ancient text, no bound is likelier than not and few would be
predicted. The threshold that gives the best F1 lies lower, the lower that F1 is (Lipton et al. 2014, *Optimal
Thresholding of Classifiers to Maximize F1 Measure*).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..runtime.languages import language_of
from ..runtime.segmenter_model import SegmenterModel
from ..runtime.types import Floats
from ..runtime.units import SENTENCE, hash_unit, is_unspaced
from .segmenter_data import Running, Units

__all__ = ["SENTENCE_LABEL", "Reading", "best_bias", "read_running", "sentence_f1", "with_sentence_bias"]

STEPS = np.arange(-1.0, 4.01, 0.25)
"""Added to the score that a sentence ends, a logarithm of odds."""
AT_ONCE = 512
SENTENCE_LABEL = 2
"""The score of `label_codes` that is of the end of a sentence."""


def with_sentence_bias(model: SegmenterModel, dev: Mapping[str, Running], units: Units) -> SegmenterModel:
    """The model with a bias for each convention that has dev text, the one with the largest F1 of its
    sentences, and for each language, told the language, the median of the best of its treebanks, so that one
    without final punctuation does not cut the text of all others."""
    biases = model.label_codes.copy()
    of_language: dict[str, list[float]] = {}
    for code, text in dev.items():
        if not len(text):
            continue
        lang = language_of(code)
        if code in model.code_numbers:
            biases[model.code_numbers[code], SENTENCE_LABEL] += best_bias(model, text, units, code)
        if lang in model.code_numbers:
            of_language.setdefault(lang, []).append(best_bias(model, text, units, lang))
    for lang, found in of_language.items():
        biases[model.code_numbers[lang], SENTENCE_LABEL] += float(np.median(found))
    return replace(model, label_codes=biases)


def sentence_f1(gold: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> float:
    """Of sentences, in 0..1. bool ``(n_units,)``: whether one ends with the unit; both end with the last."""
    bounds = [[-1, *np.flatnonzero(ends).tolist()] for ends in (gold, found)]
    sentences = [set(pairwise(of_one)) for of_one in bounds]
    return 2 * len(sentences[0] & sentences[1]) / (len(sentences[0]) + len(sentences[1]))


def _best(f1: Floats) -> float:
    """The step with the largest F1; of equal ones the nearest to none."""
    best = np.flatnonzero(f1 >= f1.max() - 1e-9)
    return float(STEPS[best[np.abs(STEPS[best]).argmin()]])


def best_bias(model: SegmenterModel, text: Running, units: Units, code: str) -> float:
    """What is to be added to the score that a sentence ends, so that most sentences of a text are found."""
    return _best(_f1_by_step(model, text, units, code))


@dataclass(frozen=True, eq=False)
class Reading:
    """Running text as a network reads it, told of a code. vectors float32 ``(n_units, vector_width)``, pairs
    int64 ``(n_units,)``, see `SegmenterModel.label_units`."""

    code: str
    vectors: Floats
    pairs: npt.NDArray[np.int64]


def read_running(model: SegmenterModel, text: Running, units: Units, code: str) -> Reading:
    different, which = np.unique(text.units, return_inverse=True)
    texts = [units.texts[i] for i in different.tolist()]
    vectors = _vectors(model, texts, code)
    hashes = np.asarray([hash_unit(unit) for unit in texts], dtype=np.uint64)
    unspaced = np.asarray([is_unspaced(unit) for unit in texts], dtype=bool)
    return Reading(code, vectors[which], model.pair_rows(hashes[which], unspaced[which], text.gaps))


def _f1_by_step(model: SegmenterModel, text: Running, units: Units, code: str) -> Floats:
    gold = text.ends == SENTENCE
    gold[-1] = True
    read = read_running(model, text, units, code)
    scores = model.label_units(read.vectors, text.gaps, read.pairs, code).sentence
    found = []
    for step in STEPS:
        ends = scores + step > 0
        ends[-1] = True
        found.append(sentence_f1(gold, ends))
    return np.asarray(found, dtype=np.float32)


def _vectors(model: SegmenterModel, texts: Sequence[str], code: str) -> Floats:
    """The vectors of units, those of like length computed together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = [order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]
    vectors = np.empty((len(texts), model.vector_width), dtype=np.float32)
    for part in parts:
        vectors[part] = model.read_units([texts[i] for i in part], code).vectors
    return vectors
