"""Heads of conventions fitted in NumPy: values and gradients by PyTorch, what a fit learns and what it leaves
alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_conventions import make_conventions

from mminibert.runtime.labels import Inventory
from mminibert.systems.convention_fit import (
    N_FEATURES,
    Adam,
    ConventionFit,
    FitSettings,
    Words,
    form_features_of,
    form_ids,
    gelu,
    gelu_slope,
)

WIDTH = 8
INVENTORY = Inventory.from_labels([("NOUN", "Case=Nom|Number=Sing"), ("VERB", "_"), ("NOUN", "Case=Gen")])
FEATURES = ["^a", "$a", "$ba", "$cba"]


def make_words(random: np.random.Generator, n: int) -> Words:
    sizes = np.diff(INVENTORY.starts)
    values = np.stack([random.integers(-1, size, n) for size in sizes], axis=1).astype(np.int32)
    forms = random.integers(-1, len(FEATURES), (n, N_FEATURES)).astype(np.int32)
    return Words(INVENTORY, random.standard_normal((n, WIDTH)).astype(np.float32), forms, values)


def make_fit(settings: FitSettings) -> ConventionFit:
    random = np.random.default_rng(0)
    n = INVENTORY.n_outputs
    heads = {
        code: (random.standard_normal((n, WIDTH)).astype(np.float32), np.zeros(n, dtype=np.float32))
        for code in ("fi_a", "sv_b")
    }
    fit = ConventionFit.begin(settings, heads, {"fi": FEATURES})
    fit.up.value[:] = random.standard_normal(fit.up.value.shape)  # at first it would hide the rest
    return fit


@given(arrays(np.float32, 5, elements=st.floats(-30, 30, width=32)))
def test_gelu_and_its_slope_are_those_of_pytorch(values: np.ndarray) -> None:
    x = torch.tensor(values, requires_grad=True)
    y = torch.nn.functional.gelu(x)
    y.sum().backward()
    assert np.allclose(gelu(values), y.detach().numpy(), atol=1e-5)
    assert x.grad is not None and np.allclose(gelu_slope(values), x.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("code", ["fi_a", "sv_b"])
def test_loss_and_gradients_are_those_of_pytorch(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = FitSettings(width=3, learn_rate=1.0, head_learn_rate=1.0, forms_learn_rate=1.0)
    fit, words = make_fit(settings), make_words(np.random.default_rng(1), 40)
    chosen = np.asarray([3, 5, 5, 8, 20])
    head = fit.heads[code]
    parameters = {
        "weights": head.weights,
        "bias": head.bias,
        "embedding": head.embedding,
        "down": fit.down,
        "up": fit.up,
        "forms": fit.forms["fi"],
    }
    by_torch = {name: torch.tensor(each.value, requires_grad=True) for name, each in parameters.items()}
    h = torch.tensor(words.vectors[chosen])
    ids = torch.tensor(words.forms[chosen]).long()
    x = (by_torch["forms"][ids.clamp(min=0)] * (ids >= 0)[..., None]).sum(1)
    inner = h @ by_torch["down"].T + by_torch["embedding"] + (x if code == "fi_a" else 0)
    g = h + torch.nn.functional.gelu(inner) @ by_torch["up"].T
    logits = g @ by_torch["weights"].T + by_torch["bias"]
    loss = torch.zeros(())
    for i, (a, b) in enumerate(zip(INVENTORY.starts[:-1], INVENTORY.starts[1:], strict=True)):
        target = torch.tensor(words.values[chosen, i]).long()
        part = torch.nn.functional.cross_entropy(logits[:, a:b], target, ignore_index=-1, reduction="sum")
        loss = loss + (settings.upos_weight if i == 0 else 1.0) * part / len(chosen)
    loss.backward()
    found: dict[str, np.ndarray] = {}

    def step(self: Adam, gradient: np.ndarray, rate: float, rows: Any = slice(None)) -> None:
        name = next(name for name, each in parameters.items() if each is self)
        found[name] = np.zeros_like(self.value)
        found[name][rows] = gradient

    monkeypatch.setattr(Adam, "step", step)
    assert np.allclose(
        fit.logits(code, words.vectors[chosen], words.forms[chosen]), logits.detach(), atol=1e-4
    )
    assert fit.learn(code, words, chosen, 1.0) == pytest.approx(loss.item(), rel=1e-5)
    fit.learn_shared(1.0)
    assert found.keys() == parameters.keys() - (set() if code == "fi_a" else {"forms"})
    for name, gradient in found.items():
        expected = by_torch[name].grad
        assert expected is not None and np.allclose(gradient, expected.numpy(), atol=1e-4), name


@given(st.integers(0, 1000))
def test_adam_is_that_of_pytorch(seed: int) -> None:
    random = np.random.default_rng(seed)
    start = random.standard_normal((3, 2)).astype(np.float32)
    ours, theirs = Adam(start), torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([theirs], lr=0.01)
    for _ in range(4):
        gradient = random.standard_normal((3, 2)).astype(np.float32)
        ours.step(gradient, 0.01)
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    assert np.allclose(ours.value, theirs.detach().numpy(), atol=1e-5)


def test_rows_that_are_not_given_stay() -> None:
    table = Adam(np.ones((3, 2), dtype=np.float32))
    table.step(np.ones((1, 2), dtype=np.float32), 0.1, np.asarray([1]))
    assert np.allclose(table.value, np.asarray([[1, 1], [0.9, 0.9], [1, 1]]), atol=1e-5)


def separable(random: np.random.Generator, n: int, offset: int) -> Words:
    """The value of each field follows from the vector's first number; in two conventions it does
    otherwise."""
    vectors = random.standard_normal((n, WIDTH)).astype(np.float32)
    sizes = np.diff(INVENTORY.starts)
    values = np.stack([((vectors[:, 0] > 0) + offset) % size for size in sizes], axis=1).astype(np.int32)
    return Words(INVENTORY, vectors, np.full((n, N_FEATURES), -1, dtype=np.int32), values)


def share_right(fit: ConventionFit, code: str, words: Words) -> float:
    logits = fit.logits(code, words.vectors, words.forms)
    parts = np.split(logits, INVENTORY.starts[1:-1], axis=1)
    return float((np.stack([part.argmax(1) for part in parts], axis=1) == words.values).mean())


def test_conventions_that_disagree_are_both_learned() -> None:
    random = np.random.default_rng(2)
    words = {"fi_a": separable(random, 500, 0), "sv_b": separable(random, 500, 1)}
    fit = make_fit(FitSettings(width=3, visits=600, head_learn_rate=0.05))
    losses: list[float] = []
    fit.run(words, lambda step, loss: losses.append(loss))
    assert len(losses) == fit.steps(2) == 600
    assert losses[-1] < 0.2 * losses[0]
    for code, own in words.items():
        assert share_right(fit, code, own) > 0.95


def test_it_is_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(3)
    words = {"fi_a": make_words(random, 60), "sv_b": make_words(random, 60)}
    found = []
    for seed in (0, 0, 1):
        fit = make_fit(FitSettings(width=3, visits=5, seed=seed))
        fit.run(words)
        found.append(fit.heads["fi_a"].weights.value)
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_a_new_convention_changes_nothing_that_is_shared() -> None:
    conventions = make_conventions()
    n = INVENTORY.n_outputs
    weights, bias = np.zeros((n, WIDTH), dtype=np.float32), np.zeros(n, dtype=np.float32)
    settings = FitSettings(visits=600, conventions=1, head_learn_rate=0.05)
    fit = ConventionFit.one_more(settings, conventions, "fi_own", weights, bias)
    near = [conventions.head(code).embedding for code in ("fi_a", "fi_b")]
    assert np.allclose(fit.heads["fi_own"].embedding.value, np.mean(near, axis=0))
    words = separable(np.random.default_rng(4), 300, 0)
    before = share_right(fit, "fi_own", words)
    fit.run({"fi_own": words})
    assert share_right(fit, "fi_own", words) > max(before, 0.9)
    adapter = conventions.adapter
    assert adapter is not None
    assert np.array_equal(fit.down.value, adapter.down) and np.array_equal(fit.up.value, adapter.up)
    table = adapter.forms["fi"]
    assert np.allclose(fit.forms["fi"].value, table.rows * table.scales[:, None])


def test_what_was_learned_is_what_predicts() -> None:
    """In 8 bits a head says nearly what it said before."""
    random = np.random.default_rng(5)
    words = {"fi_a": make_words(random, 60), "sv_b": make_words(random, 60)}
    fit = make_fit(FitSettings(width=3, visits=10))
    fit.run(words)
    made = fit.conventions(dict.fromkeys(words, INVENTORY), {"fi": FEATURES}, {"fi": "fi_a", "sv": "sv_b"})
    for code, own in words.items():
        table = made.forms(code)
        forms = np.zeros((60, 3), dtype=np.float32)
        if table is not None:
            scaled = table.rows * table.scales[:, None]
            forms = (scaled[own.forms] * (own.forms >= 0)[..., None]).sum(1).astype(np.float32)
        (logits,) = made.logits(code, [own.vectors.astype(np.float32)], forms)
        assert np.allclose(logits, fit.logits(code, own.vectors, own.forms), atol=0.3)


def test_features_are_the_most_frequent() -> None:
    assert form_features_of(["ba", "ba", "a"], 3) == ["$a", "$^ba", "$ba"]
    ids = form_ids(["ba", "a", "zzzzz"], {"$a": 0, "^ba": 1, "$ba": 2})
    assert ids.tolist() == [[1, 0, 2, -1, -1], [-1, 0, -1, -1, -1], [-1] * 5]
    assert form_ids([], {}).shape == (0, N_FEATURES)
    assert math.isclose(FitSettings().upos_weight, 4.0)
