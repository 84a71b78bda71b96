"""Which sentences an epoch has; needs NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


def draw(groups: np.ndarray, n_words: np.ndarray, exponent: float, random: np.random.Generator) -> np.ndarray:
    """The sentences of an epoch, about as many words as there are: a group of n words is drawn in proportion
    to ``n ** exponent`` (see `Schedule`)."""
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


class Ahead(Generic[T]):
    """A function of whole numbers, computed for the next number while its last result is in use."""

    def __init__(self, function: Callable[[int], T]) -> None:
        self._function, self._pool = function, ThreadPoolExecutor(1)
        self._coming: dict[int, Future[T]] = {}

    def __call__(self, number: int) -> T:
        coming = self._coming.pop(number, None) or self._pool.submit(self._function, number)
        found = coming.result()
        self._coming = {number + 1: self._pool.submit(self._function, number + 1)}
        return found
