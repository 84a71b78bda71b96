"""The loss over factored labels, against PyTorch a field at a time and against NumPy's gradient."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from students import field_softmax
from torch.nn import functional

from mminibert.runtime.losses import one_hot, soft_cross_entropy
from mminibert.training.fields import Fields

SIZES = [4, 2, 3, 6]
STARTS = np.cumsum([0, *SIZES], dtype=np.int32)
N = int(STARTS[-1])
FIELDS = Fields(SIZES, 4.0, "cpu")


def drawn(seed: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and targets of which some fields are unknown."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=scale, size=(7, N)).astype(np.float32)
    targets = field_softmax(random.normal(size=(7, N)), STARTS).astype(np.float32)
    for word, (start, end) in enumerate(pairwise(STARTS)):
        targets[word, start:end] = 0.0
    targets[5] = 0.0
    return torch.from_numpy(logits).requires_grad_(), torch.from_numpy(targets)


@given(st.integers(0, 2**31), st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.5, 6.0, 60.0]))
def test_loss_and_gradient_equal_those_of_torch_and_numpy(
    seed: int, temperature: float, scale: float
) -> None:
    logits, targets = drawn(seed, scale)
    loss = FIELDS.loss(logits, targets, temperature)
    (gradient,) = torch.autograd.grad(loss, logits)

    parts = zip(logits.split(SIZES, 1), targets.split(SIZES, 1), [4.0, 1.0, 1.0, 1.0], strict=True)
    expected = sum(
        weight * functional.cross_entropy(part / temperature, target, reduction="sum")
        for part, target, weight in parts
    )
    assert isinstance(expected, torch.Tensor)
    expected = expected * temperature**2 / len(logits)
    (plain,) = torch.autograd.grad(expected, logits)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    torch.testing.assert_close(gradient, plain, atol=2e-6, rtol=1e-4)

    weights = np.asarray([4.0, 1.0, 1.0, 1.0], dtype=np.float32)
    arrays = logits.detach().numpy(), targets.numpy()
    by_hand = soft_cross_entropy(*arrays, STARTS, weights=weights, temperature=temperature)
    assert loss.item() == pytest.approx(by_hand[0], rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(gradient.numpy(), by_hand[1], atol=2e-6, rtol=1e-4)


def test_no_words_are_no_loss() -> None:
    assert float(FIELDS.loss(torch.zeros(0, N), torch.zeros(0, N))) == 0.0


def test_probabilities_and_the_best_values_are_those_of_each_field() -> None:
    logits, _ = drawn(3, 30.0)
    probabilities = FIELDS.log_softmax(logits.detach()).exp().numpy()
    np.testing.assert_allclose(probabilities, field_softmax(logits.detach().numpy(), STARTS), atol=1e-6)
    best = [part.argmax(1) for part in np.split(logits.detach().numpy(), STARTS[1:-1], axis=1)]
    assert FIELDS.best(logits).tolist() == np.stack(best, axis=1).tolist()


@given(st.lists(st.tuples(*(st.integers(-1, size - 1) for size in SIZES)), min_size=1, max_size=5))
def test_labels_are_one_hot_where_they_are_known(rows: list[tuple[int, ...]]) -> None:
    found = FIELDS.one_hot(torch.tensor(rows))
    assert np.array_equal(found.numpy(), one_hot(np.asarray(rows, dtype=np.int32), STARTS))
