"""The head's linear layer, which predicts in ONNX Runtime.

On an AMD EPYC thinc's BLIS took three to four times as long; NumPy's product would take every core.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from thinc.api import Linear, Model, NumpyOps
from thinc.layers.linear import forward as linear_forward
from thinc.types import Floats2d

from .session import Session, threads
from .types import Floats

GRAPH = Path(__file__).with_suffix(".onnx")
"""``y = x W^T + b``, written by `small_graphs.linear_graph`."""


def FastLinear(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, Floats2d]:  # noqa: N803
    """thinc's ``Linear``: float32 ``(n, nI)`` to ``(n, nO)``, ``y = x W^T + b``."""
    return Model(
        "linear",
        _forward,
        init=Linear().init,
        dims={"nO": nO, "nI": nI},
        params={"W": None, "b": None},
    )


def _forward(
    model: Model[Floats2d, Floats2d], x: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    if is_train or not isinstance(model.ops, NumpyOps):
        return linear_forward(model, x, is_train)

    def backprop(_: Floats2d) -> Floats2d:
        raise ValueError("got a gradient for a prediction; call begin_update to train")

    weights: Any = {"W": model.get_param("W"), "b": model.get_param("b")}
    return cast(Floats2d, linear(cast(Floats, x), **weights)), backprop


def linear(x: Floats, W: Floats, b: Floats) -> Floats:  # noqa: N803
    """``y = x W^T + b``, float32, by ONNX Runtime."""
    (y,) = _session().run({"x": x, "W": W, "b": b})
    return y


@lru_cache(maxsize=1)
def _session() -> Session:
    return Session(GRAPH.read_bytes(), threads=threads(1))
