"""Cross-entropy over factored labels, with gradients, in NumPy.

A word has several labels at once: UPOS and one value for each UD feature. Each such *field* is a softmax
of its own over its slice of one logit matrix: field ``f`` owns the columns ``starts[f]`` to
``starts[f + 1]``.
"""

from __future__ import annotations

import numpy as np

from .types import Floats, Ints


def log_softmax(logits: Floats, starts: Ints) -> Floats:
    """Log-probabilities, normalised within each field.

    logits: float32 ``(n_words, n_outputs)``. starts: int32 ``(n_fields + 1,)``, first 0, last
    ``n_outputs``. Returns float32 ``(n_words, n_outputs)``.
    """
    sizes = np.diff(starts)
    shifted = logits - np.repeat(np.maximum.reduceat(logits, starts[:-1], axis=1), sizes, axis=1)
    totals = np.add.reduceat(np.exp(shifted), starts[:-1], axis=1)
    return shifted - np.repeat(np.log(totals), sizes, axis=1)


def one_hot(values: Ints, starts: Ints) -> Floats:
    """Gold labels as target distributions.

    values: int32 ``(n_words, n_fields)``, the index of the right value within its field, or -1 where it
    is unknown. Returns float32 ``(n_words, n_outputs)``; an unknown field has an all-zero slice, which
    the loss ignores.
    """
    targets = np.zeros((len(values), int(starts[-1])), dtype=np.float32)
    rows, fields = np.nonzero(values >= 0)
    targets[rows, starts[fields] + values[rows, fields]] = 1.0
    return targets


def soft_cross_entropy(
    logits: Floats, targets: Floats, starts: Ints, *, weights: Floats, temperature: float = 1.0
) -> tuple[float, Floats]:
    """Cross-entropy between target distributions and a softmax at a temperature, scaled by its square.

    ``T² · Σ_f w_f · Σ_v −t_fv · log softmax(logits_f / T)_v``, the mean over words (Hinton et al. 2015,
    *Distilling the Knowledge in a Neural Network*, section 2; the square keeps the gradient's size
    independent of T). With one-hot targets and ``T = 1`` this is the usual cross-entropy.

    logits, targets: float32 ``(n_words, n_outputs)``; targets sum to 1 within each field, or are all 0
    where the field is masked. weights: float32 ``(n_fields,)``.
    Returns the loss and its gradient by the logits, float32 ``(n_words, n_outputs)``.
    """
    sizes = np.diff(starts)
    log_probs = log_softmax(logits / np.float32(temperature), starts)
    mass = np.repeat(np.add.reduceat(targets, starts[:-1], axis=1), sizes, axis=1)
    scale = np.repeat(weights, sizes) / max(len(logits), 1)
    loss = -float((scale * targets * log_probs).sum(dtype=np.float64)) * temperature**2
    gradient = np.float32(temperature) * scale * (mass * np.exp(log_probs) - targets)
    return loss, gradient.astype(np.float32, copy=False)
