"""The bar that a fit of conventions shows; needs no torch."""

from __future__ import annotations

from tqdm import tqdm


class FitBar:
    """Steps, their rate, the loss and the time left."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: tqdm[None] | None = None

    def __call__(self, step: int, steps: int, loss: float) -> None:
        """step: from 1."""
        if self.bar is None:
            self.bar = tqdm(desc=self.name, unit="step", mininterval=5)
        self.bar.total = steps
        if self.bar.update(step - self.bar.n):
            self.bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
        if step == steps:
            self.bar.close()


class ScoreRows:
    """A line a score, under a head, as `spacy train` has them; beside the bar, if there is one."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, step: int, loss: float, upos: float, feats: float) -> None:
        """upos, feats: accuracies on dev, in 0..1."""
        if self.n == 0:
            tqdm.write(f"{'#':>8}  {'LOSS':>8}  {'UPOS':>6}  {'FEATS':>6}")
        tqdm.write(f"{step:8,}  {loss:8.3f}  {100 * upos:6.2f}  {100 * feats:6.2f}")
        self.n += 1
