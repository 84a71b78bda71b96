"""The bar that training shows."""

from __future__ import annotations

from torch import Tensor
from tqdm import tqdm

from ..training.checkpoint import Progress


class Bar:
    """Words of the schedule, words a second, loss and time left."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.bar: tqdm[None] | None = None  # from the first step on, as what comes before is none of its time

    def __call__(self, progress: Progress, loss: Tensor) -> None:
        if self.bar is None:
            done = progress.words if progress.step > 1 else 0  # it goes on
            self.bar = tqdm(total=self.words, initial=done, unit="word", unit_scale=True, mininterval=5)
        if self.bar.update(progress.words - self.bar.n):
            self.bar.set_postfix(loss=f"{float(loss):.2f}", refresh=False)
