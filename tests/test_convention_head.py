"""The head that is told the convention: against a plain loop, and that what it is told reaches the loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_loop import CONVENTIONS, DEVICES, LENGTHS, PLAN, Recorder, held_out, run_fit, sentences, targets
from torch import Tensor
from torch.nn import functional

from mminibert.training.conventions import CHUNK, NOT_GIVEN, ConventionHead
from mminibert.training.model import Optimizers
from mminibert.training.predict import predict

WIDTH, OUTPUTS = 6, 5


def random_head(n_conventions: int, device: str = "cpu") -> ConventionHead:
    torch.manual_seed(0)
    head = ConventionHead(WIDTH, OUTPUTS, n_conventions)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head.to(device)


def alone(head: ConventionHead, hidden: Tensor, convention: int) -> Tensor:
    """The logits of words of one convention, by the formula."""
    if convention == NOT_GIVEN:
        return functional.linear(hidden, head.weight, head.bias)
    weight, bias = head.weight + head.weight_deltas[convention], head.bias + head.bias_deltas[convention]
    return functional.linear(hidden, weight, bias)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("lengths", "conventions"),
    [
        ([3, 7, 2, 9, 4], [2, NOT_GIVEN, 0, 2, 4]),
        ([CHUNK, CHUNK + 1, 2 * CHUNK, 1], [1, 0, 1, 2]),
        ([5, 6], [NOT_GIVEN, NOT_GIVEN]),
        ([1] * 60, [i % 5 for i in range(60)]),
        ([], []),
    ],
)
def test_values_and_gradients_are_those_of_a_loop_over_sentences(
    lengths: list[int], conventions: list[int], device: str
) -> None:
    head = random_head(5, device)
    hidden = torch.randn(sum(lengths), WIDTH, device=device, requires_grad=True)
    towards = torch.randn(sum(lengths), OUTPUTS, device=device)
    told = torch.tensor(conventions, dtype=torch.int64).repeat_interleave(torch.tensor(lengths).long())
    found = head(hidden, told.to(device))
    (found * towards).sum().backward()
    gradients = {name: value.grad for name, value in head.named_parameters()}
    gradient, hidden.grad = hidden.grad, None

    head.zero_grad()
    rows: list[Tensor] = [hidden.new_zeros(0, OUTPUTS)]
    for vectors, convention in zip(hidden.split(lengths), conventions, strict=True):
        rows.append(alone(head, vectors, convention))
    expected = torch.cat(rows)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    if not lengths:
        return
    (expected * towards).sum().backward()
    torch.testing.assert_close(gradient, hidden.grad, atol=1e-5, rtol=1e-5)
    for name, value in head.named_parameters():
        wanted = torch.zeros_like(value) if value.grad is None else value.grad
        torch.testing.assert_close(gradients[name], wanted, atol=1e-4, rtol=1e-4, msg=name)


def test_it_begins_as_a_plain_layer_and_its_deltas_decay() -> None:
    model = Recorder(conventions=3)
    fresh = ConventionHead(WIDTH, OUTPUTS, 3)
    hidden = torch.randn(4, WIDTH)
    told = torch.tensor([0, 1, 2, NOT_GIVEN])
    assert torch.equal(fresh(hidden, told), functional.linear(hidden, fresh.weight, fresh.bias))
    (adam, _) = Optimizers(model, PLAN).all
    decays = {id(p): group["weight_decay"] for group in adam.param_groups for p in group["params"]}
    for name in ("weight_deltas", "bias_deltas"):
        assert decays[id(model.head.get_parameter(name))] == PLAN.weight_decay > 0


def test_the_convention_of_a_sentence_reaches_its_words() -> None:
    """A batch of several, each sentence with the logits that it has alone."""
    model = Recorder(conventions=3).eval()
    found = torch.full((int(LENGTHS.sum()), sum(p for p in (4, 2, 3))), torch.nan)
    for words, logits in predict(model, sentences(told=True)):
        found[words] = logits
    hidden = torch.full((len(found), 16), torch.nan)
    for batch in sentences().batches(targets()._plans(0)):
        with torch.no_grad():
            hidden[batch.words] = model.hidden(batch.piece_ids, batch.mask, batch.first)
    head = model.head
    assert isinstance(head, ConventionHead)
    for rows, logits, convention in zip(
        hidden.split(LENGTHS.tolist()), found.split(LENGTHS.tolist()), CONVENTIONS.tolist(), strict=True
    ):
        expected = alone(head, rows, convention)
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_training_tells_the_model_the_conventions(tmp_path: Path) -> None:
    """The heads of those that occur learn, no other does, and without being told none."""
    schedule = replace(PLAN, weight_decay=0.0)

    def learnt(told: bool, not_given: float) -> list[bool]:
        model = Recorder(conventions=4)
        before = model.head.get_parameter("weight_deltas").detach().clone()
        run_fit(
            model, tmp_path / f"{told}{not_given}", schedule, targets=targets(told=told, not_given=not_given)
        )
        return [bool(change) for change in (model.head.get_parameter("weight_deltas") != before).any((1, 2))]

    # With a gradient of None, or of zeros, Adam does not move a weight.
    assert learnt(True, 0.0) == [True, True, True, False]
    assert learnt(True, 1.0) == [False] * 4
    assert learnt(False, 0.0) == [False] * 4


def given(number: int, not_given: float = 0.25, seed: int = 3) -> list[list[int]]:
    strategy = targets(replace(PLAN, seed=seed), told=True, not_given=not_given)
    batches = (batch.conventions for batch, _ in strategy(number).batches())
    return [conventions.tolist() for conventions in batches if conventions is not None]


def test_a_share_of_the_conventions_is_not_given_each_time_another() -> None:
    assert given(0) == given(0)
    # The plan of an epoch differs too: compare what is hidden within the batches of one.
    whole, some = given(0, 0.0), given(0)
    assert [len(part) for part in whole] == [len(part) for part in some]
    flat = [(a, b) for one, other in zip(whole, some, strict=True) for a, b in zip(one, other, strict=True)]
    assert sorted(a for a, _ in flat) == sorted(CONVENTIONS.tolist())
    assert all(b in (a, NOT_GIVEN) for a, b in flat)
    counted = []
    for number in range(40):
        told = sum(a >= 0 for part in given(number, 0.0) for a in part)
        left = sum(b >= 0 for part in given(number) for b in part)
        counted.append(1 - left / told)
    assert len(set(counted)) > 5
    assert np.mean(counted) == pytest.approx(0.25, abs=0.04)
    assert given(0) != given(0, seed=4)
    assert all(conventions is None for conventions in (b.conventions for b, _ in targets()(0).batches()))
    assert held_out().sentences.conventions is None
