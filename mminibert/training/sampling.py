"""Which sentences an epoch has; needs NumPy alone."""

from __future__ import annotations

import math

import numpy as np


def draw(groups: np.ndarray, n_words: np.ndarray, exponent: float, random: np.random.Generator) -> np.ndarray:
    """The sentences of an epoch, about as many words as there are: a group of n words is drawn in proportion
    to ``n ** exponent`` (see ``soft_corpus.Schedule``)."""
    sizes = np.bincount(groups, n_words)
    present = np.flatnonzero(sizes)
    weights = sizes[present] ** exponent
    times = weights * (sizes.sum() / weights.sum()) / sizes[present]
    chosen = []
    for group, factor in zip(present, times, strict=True):
        pool = np.flatnonzero(groups == group)
        sample = np.concatenate([random.permutation(pool) for _ in range(math.ceil(factor))])
        chosen.append(sample[: max(round(len(pool) * factor), 1)])
    return np.concatenate(chosen)
