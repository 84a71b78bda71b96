"""Losses against PyTorch's autograd, field by field."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from mminibert.runtime.losses import log_softmax, one_hot, soft_cross_entropy
from mminibert.runtime.types import Floats, Ints

STARTS = np.asarray([0, 5, 7, 8, 12], dtype=np.int32)
WEIGHTS = np.asarray([4.0, 1.0, 0.5, 2.0], dtype=np.float32)


def random_floats(shape: tuple[int, ...], *, seed: int, scale: float = 3.0) -> Floats:
    return np.random.default_rng(seed).normal(scale=scale, size=shape).astype(np.float32)


def soft_targets(n: int, starts: Ints, *, seed: int, masked: float = 0.0) -> Floats:
    """Random distributions; a share of the fields is masked."""
    random = np.random.default_rng(seed)
    targets = np.zeros((n, int(starts[-1])), dtype=np.float32)
    for row in targets:
        for a, b in pairwise(starts):
            if random.random() >= masked:
                row[a:b] = random.dirichlet(np.full(b - a, 0.5))
    return targets


def torch_loss(
    logits: Floats, targets: Floats, starts: Ints, weights: Floats, temperature: float
) -> tuple[float, np.ndarray]:
    """The formula of the docstring in float64, one field after the other, and its autograd gradient."""
    leaf = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    gold = torch.tensor(targets, dtype=torch.float64)
    loss = leaf.sum() * 0
    for (a, b), weight in zip(pairwise(starts.tolist()), weights.tolist(), strict=True):
        log_probs = torch.log_softmax(leaf[:, a:b] / temperature, dim=1)
        loss = loss - weight * (gold[:, a:b] * log_probs).sum()
    loss = temperature**2 * loss / len(logits)
    loss.backward()
    assert leaf.grad is not None
    return loss.item(), leaf.grad.numpy()


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, Ints]:
    """The number of words, and fields of different sizes, 1 among them."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    return draw(st.integers(1, 5)), np.cumsum([0, *sizes], dtype=np.int32)


@given(shape=shapes(), seed=st.integers(0, 2**32), scale=st.sampled_from([0.1, 3.0, 100.0]))
def test_log_softmax_equals_torch(shape: tuple[int, Ints], seed: int, scale: float) -> None:
    n, starts = shape
    logits = random_floats((n, int(starts[-1])), seed=seed, scale=scale)
    expected = [torch.log_softmax(torch.from_numpy(logits[:, a:b]), dim=1) for a, b in pairwise(starts)]
    found = log_softmax(logits, starts)
    assert found.dtype == np.float32
    assert found == pytest.approx(torch.cat(expected, dim=1).numpy(), rel=1e-5, abs=1e-5)


@given(
    shape=shapes(),
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.5, 1.0, 3.0, 10.0]),
    masked=st.sampled_from([0.0, 0.5]),
)
def test_loss_and_gradient_equal_autograd(
    shape: tuple[int, Ints], seed: int, temperature: float, masked: float
) -> None:
    n, starts = shape
    logits = random_floats((n, int(starts[-1])), seed=seed)
    targets = soft_targets(n, starts, seed=seed, masked=masked)
    weights = np.random.default_rng(seed).uniform(0.1, 5.0, len(starts) - 1).astype(np.float32)
    loss, gradient = soft_cross_entropy(logits, targets, starts, weights=weights, temperature=temperature)
    expected, expected_gradient = torch_loss(logits, targets, starts, weights, temperature)
    assert gradient.dtype == np.float32
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert gradient == pytest.approx(expected_gradient, rel=1e-4, abs=1e-5)


def test_masked_fields_have_no_gradient() -> None:
    logits = random_floats((3, 12), seed=0)
    targets = soft_targets(3, STARTS, seed=1)
    targets[1, 5:7] = targets[2, :] = 0.0
    _, gradient = soft_cross_entropy(logits, targets, STARTS, weights=WEIGHTS, temperature=2.0)
    assert not gradient[1, 5:7].any()
    assert not gradient[2].any()
    assert gradient[0, :7].all()
    assert gradient[1, :5].all()


def test_one_hot_at_temperature_one_is_the_usual_cross_entropy() -> None:
    values = np.asarray([[4, 1, 0, 3], [0, -1, 0, 2], [2, 0, -1, -1]], dtype=np.int32)
    logits = random_floats((3, 12), seed=2)
    leaf = torch.tensor(logits, requires_grad=True)
    expected = sum(
        float(weight)
        * functional.cross_entropy(
            leaf[:, a:b], torch.from_numpy(values[:, i]).long(), ignore_index=-1, reduction="sum"
        )
        for i, ((a, b), weight) in enumerate(zip(pairwise(STARTS), WEIGHTS, strict=True))
    ) / len(values)
    assert isinstance(expected, torch.Tensor)
    expected.backward()
    loss, gradient = soft_cross_entropy(logits, one_hot(values, STARTS), STARTS, weights=WEIGHTS)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert leaf.grad is not None
    assert gradient == pytest.approx(leaf.grad.numpy(), abs=1e-6)


def test_one_hot_by_hand() -> None:
    starts = np.asarray([0, 2, 5], dtype=np.int32)
    values = np.asarray([[1, 2], [0, -1], [-1, 0]], dtype=np.int32)
    expected = [[0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    found = one_hot(values, starts)
    assert found.dtype == np.float32
    assert found.tolist() == expected


def test_the_gradient_keeps_its_size_at_high_temperatures() -> None:
    # Hinton et al. 2015, section 2.1: in the limit, T² times the gradient is (z - v) / N without its mean.
    starts = np.asarray([0, 4], dtype=np.int32)
    student, teacher = random_floats((1, 4), seed=3), random_floats((1, 4), seed=4)
    temperature = 500.0
    targets = np.exp(log_softmax(teacher / np.float32(temperature), starts))
    weights = np.ones(1, dtype=np.float32)
    _, gradient = soft_cross_entropy(student, targets, starts, weights=weights, temperature=temperature)
    difference = student - teacher
    assert gradient == pytest.approx((difference - difference.mean()) / 4, rel=0.02, abs=0.02)


def test_huge_logits_stay_finite() -> None:
    logits = np.asarray([[3e4, -3e4, 0, 0, 0, 1e30, -1e30, 5, 1, 2, 3, 4]], dtype=np.float32)
    targets = one_hot(np.zeros((1, 4), dtype=np.int32), STARTS)
    loss, gradient = soft_cross_entropy(logits, targets, STARTS, weights=WEIGHTS)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_no_words() -> None:
    empty = np.zeros((0, 12), dtype=np.float32)
    loss, gradient = soft_cross_entropy(empty, empty, STARTS, weights=WEIGHTS)
    assert loss == 0.0
    assert gradient.shape == (0, 12)
    assert one_hot(np.zeros((0, 4), dtype=np.int32), STARTS).shape == (0, 12)
