"""The bar that a fit of conventions shows; needs no torch."""

from __future__ import annotations

from tqdm import tqdm


class FitBar:
    """Steps, their rate, the loss and the time left."""

    def __init__(self, name: str) -> None:
        self.bar = tqdm(desc=name, unit="step", mininterval=5)

    def __call__(self, step: int, steps: int, loss: float) -> None:
        """step: from 1."""
        self.bar.total = steps
        if self.bar.update(step - self.bar.n):
            self.bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
        if step == steps:
            self.bar.close()
