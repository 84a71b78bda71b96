"""The head's linear layer, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from thinc.api import Linear

from mminibert.models.small_graphs import linear_graph
from mminibert.runtime.linear import GRAPH, FastLinear
from mminibert.runtime.types import Floats

N_IN, N_OUT = 24, 7


def layer() -> Any:
    made: Any = FastLinear(nO=N_OUT, nI=N_IN)
    made.initialize()
    made.set_param("b", np.linspace(-1, 1, N_OUT, dtype=np.float32))
    return made


def rows(n: int) -> Floats:
    return np.random.default_rng(n).normal(size=(n, N_IN)).astype(np.float32)


def torch_parameters(made: Any) -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = (torch.tensor(made.get_param(name), requires_grad=True) for name in ("W", "b"))
    return weight, bias


@pytest.mark.parametrize("n", [0, 1, 3, 500])
def test_predictions(n: int) -> None:
    made, x = layer(), rows(n)
    weight, bias = torch_parameters(made)
    expected = torch.nn.functional.linear(torch.tensor(x), weight, bias).detach().numpy()
    found = made.predict(x)
    assert found.shape == (n, N_OUT)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)
    assert made.begin_update(x)[0] == pytest.approx(expected, abs=1e-5)


def test_new_weights_count_at_once() -> None:
    made, x = layer(), rows(3)
    before = made.predict(x)
    made.set_param("W", 2 * made.get_param("W"))
    made.set_param("b", 2 * made.get_param("b"))
    assert made.predict(x) == pytest.approx(2 * before, abs=1e-5)


def test_gradients() -> None:
    made, x, direction = layer(), rows(5), np.ones((5, N_OUT), dtype=np.float32)
    weight, bias = torch_parameters(made)
    inputs = torch.tensor(x, requires_grad=True)
    torch.nn.functional.linear(inputs, weight, bias).backward(torch.tensor(direction))
    _, backprop = made.begin_update(x)
    assert inputs.grad is not None
    assert backprop(direction) == pytest.approx(inputs.grad.numpy(), abs=1e-5)
    assert made.get_grad("W") == pytest.approx(weight.grad.numpy(), abs=1e-5)  # type: ignore[union-attr]
    assert made.get_grad("b") == pytest.approx(bias.grad.numpy(), abs=1e-5)  # type: ignore[union-attr]


def test_a_prediction_has_no_gradient() -> None:
    _, backprop = layer()(rows(2), is_train=False)
    with pytest.raises(ValueError, match="begin_update"):
        backprop(np.ones((2, N_OUT), dtype=np.float32))


def test_it_is_stored_as_a_linear_layer_of_thinc() -> None:
    made, x = layer(), rows(4)
    other = Linear(nO=N_OUT, nI=N_IN).from_bytes(made.to_bytes())
    assert other.predict(x) == pytest.approx(made.predict(x), abs=1e-5)


def test_the_graph_is_the_one_that_is_built() -> None:
    assert GRAPH.read_bytes() == linear_graph()
