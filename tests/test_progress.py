"""The bar of a training counts from where the training begins, or goes on."""

from __future__ import annotations

import torch

from mminibert.systems.progress import Bar
from mminibert.training.checkpoint import Progress


def test_it_begins_with_the_first_step_and_goes_on_where_a_run_was_cut() -> None:
    loss = torch.tensor(1.5)
    for first, initial in ((Progress(step=1, words=10), 0), (Progress(step=7, words=40), 40)):
        bar = Bar(100)
        assert bar.bar is None
        bar(first, loss)
        assert bar.bar is not None
        assert (bar.bar.initial, bar.bar.n, bar.bar.total) == (initial, first.words, 100)
        bar(Progress(step=first.step + 1, words=60), loss)
        assert (bar.bar.initial, bar.bar.n) == (initial, 60)
        bar.bar.close()
