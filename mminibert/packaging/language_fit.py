"""How the language of a sentence is told: a softmax regression on vectors and levels of wordpieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..runtime.languages import Languages, Levels, Observations
from ..runtime.types import Floats, Ints

__all__ = ["fit", "loss_and_gradient"]

STEPS = 1500
BATCH = 512
"""Sentences a step, drawn with the same chance for each language."""
LEARN_RATE = 0.01
BETAS, EPSILON = (0.9, 0.999), 1e-8


def fit(
    codes: Sequence[str],
    levels: Levels,
    observations: Sequence[Observations],
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Languages:
    """Weights, bias and scale that tell the languages apart, by observations of sentences of each.

    levels: see `Languages`. Adam (Kingma and Ba 2015) on the cross-entropy, the rate falling to 0 in a line.
    Equal arguments give equal weights. Raises ValueError for a language without a sentence.
    """
    for code, own in zip(codes, observations, strict=True):
        if not len(own):
            raise ValueError(f"language {code!r} has no sentence, expected some; give its treebank or text")
    by_piece = np.ascontiguousarray(levels.T)
    means = np.concatenate([own.means for own in observations])
    sums = np.concatenate([own.levels(by_piece) for own in observations])
    sizes = np.asarray([len(own) for own in observations])
    starts = np.cumsum(sizes) - sizes

    random = np.random.default_rng(seed)
    parameters = [
        np.zeros((means.shape[1], len(codes)), dtype=np.float32),
        np.zeros(len(codes), dtype=np.float32),
        np.ones(1, dtype=np.float32),
    ]
    firsts, seconds = ([np.zeros_like(parameter) for parameter in parameters] for _ in range(2))
    for step in range(1, STEPS + 1):
        gold = random.integers(len(codes), size=BATCH)
        rows = starts[gold] + (random.random(BATCH) * sizes[gold]).astype(np.int64)
        loss, gradients = loss_and_gradient(parameters, means[rows], sums[rows], gold)
        rate = LEARN_RATE * (1 - (step - 1) / STEPS)
        for parameter, gradient, first, second in zip(parameters, gradients, firsts, seconds, strict=True):
            first += (1 - BETAS[0]) * (gradient - first)
            second += (1 - BETAS[1]) * (gradient**2 - second)
            mean, square = first / (1 - BETAS[0] ** step), second / (1 - BETAS[1] ** step)
            parameter -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(EPSILON))
        if step % 500 == 0:
            progress(f"step {step} of {STEPS}, loss {loss:.3f}")
    weights, bias, scale = parameters
    return Languages(tuple(codes), levels, weights, bias, float(scale[0]))


def loss_and_gradient(
    parameters: Sequence[Floats], means: Floats, levels: Floats, gold: npt.NDArray[np.int64] | Ints
) -> tuple[float, list[Floats]]:
    """The mean cross-entropy of n sentences, in nats, and its gradient for each parameter.

    parameters: weights, bias and scale of `Languages`, the last one float32 (1,). means: float32 (n, width).
    levels: float32 (n, n_languages), see `Observations.levels`. gold: indices of languages, (n,).
    """
    weights, bias, scale = parameters
    logits = means @ weights + bias + scale * levels
    logits -= logits.max(axis=1, keepdims=True)
    errors = np.exp(logits)
    errors /= errors.sum(axis=1, keepdims=True)
    rows = np.arange(len(gold))
    loss = -float(np.log(np.maximum(errors[rows, gold], np.finfo(np.float32).tiny)).mean())
    errors[rows, gold] -= 1
    errors /= np.float32(len(gold))
    return loss, [means.T @ errors, errors.sum(axis=0), np.asarray([(errors * levels).sum()])]
