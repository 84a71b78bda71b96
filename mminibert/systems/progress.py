"""The bar that training shows."""

from __future__ import annotations

from torch import Tensor
from tqdm import tqdm

from ..training.checkpoint import Progress


class Bar:
    """Words of the schedule, words a second, loss and time left."""

    def __init__(self, words: int) -> None:
        self.bar = tqdm(total=words, unit="word", unit_scale=True, mininterval=5)

    def __call__(self, progress: Progress, loss: Tensor) -> None:
        if self.bar.n == 0 and progress.step > 1:  # it goes on
            self.bar.initial = self.bar.n = progress.words
        elif self.bar.update(progress.words - self.bar.n):
            self.bar.set_postfix(loss=f"{float(loss):.2f}", refresh=False)
