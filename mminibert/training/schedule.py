"""How long a training goes on and how fast it learns; needs the standard library alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """words: how many the model sees, repetitions included. seconds: a limit beside it; whichever share is
    larger says how far training is. exponent: a group of n words is drawn in proportion to ``n **
    exponent``. batch_pieces: padded wordpieces a step. learn_rate, embedding_learn_rate: at their peak, after
    ``warmup`` (a share of the training); from there they fall linearly to 0. evaluations: how many, at equal
    distances.

    Raises ValueError for values with which nothing can be learnt.
    """

    words: int
    seconds: float = inf
    exponent: float
    batch_pieces: int
    learn_rate: float
    embedding_learn_rate: float
    warmup: float
    weight_decay: float
    evaluations: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("words", "seconds", "batch_pieces", "evaluations"):
            if not (value := getattr(self, name)) > 0:
                raise ValueError(f"the schedule's {name} is {value!r}, expected more than 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"the schedule's warmup is {self.warmup!r}, expected a share from 0 to below 1")

    def share(self, words: int, seconds: float) -> float:
        """How far a training is that has seen so many words in so many seconds, from 0 to 1."""
        return min(max(words / self.words, seconds / self.seconds), 1.0)

    def rate(self, start: float, end: float) -> float:
        """The factor on the learning rates of a batch, by the shares that are done before and after it."""
        rising = end / self.warmup if self.warmup else inf
        return min(rising, (1 - start) / (1 - self.warmup))
