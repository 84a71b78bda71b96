"""The bar that training shows."""

from __future__ import annotations

from tqdm import tqdm

from .distill import Trainer


class Bar:
    """Steps, words a second, loss and time left."""

    def __init__(self) -> None:
        self.bar: tqdm | None = None

    def __call__(self, trainer: Trainer, loss: float) -> None:
        if self.bar is None:
            self.bar = tqdm(total=trainer.total, initial=trainer.step - 1, unit="step", mininterval=5)
        self.bar.set_postfix(
            loss=f"{loss:.2f}", words_s=round(trainer.words / trainer.seconds), refresh=False
        )
        self.bar.update()
