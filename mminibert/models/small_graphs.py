"""The graphs of heads, which take their weights as inputs: the runtime has them as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import TensorProto, checker, helper

from .export import IR_VERSION, OPSET

__all__ = ["convention_graph", "linear_graph"]


def linear_graph() -> bytes:
    """``y = x W^T + b`` with all three as inputs: `linear.onnx`, which needs no `onnx` to be read."""
    shapes = {"x": ["n", "nI"], "W": ["nO", "nI"], "b": ["nO"]}
    return _small_graph("linear", shapes, [("Gemm", ("x", "W", "b"), "y", {"transB": 1})], ["n", "nO"])


def convention_graph() -> bytes:
    """``y = W (h + U gelu(V h + x)) + b`` a row, with all as inputs: `convention.onnx`, see
    `runtime.conventions`."""
    shapes = {"h": ["n", "nI"], "x": ["n", "k"], "V": ["k", "nI"], "U": ["nI", "k"]}
    shapes |= {"W": ["nO", "nI"], "b": ["nO"]}
    nodes = [
        ("Gemm", ("h", "V", "x"), "hidden", {"transB": 1}),
        ("Gelu", ("hidden",), "active", {}),
        ("Gemm", ("active", "U", "h"), "adapted", {"transB": 1}),
        ("Gemm", ("adapted", "W", "b"), "y", {"transB": 1}),
    ]
    return _small_graph("convention", shapes, nodes, ["n", "nO"])


def _small_graph(
    name: str,
    shapes: Mapping[str, Sequence[str]],
    nodes: Sequence[tuple[str, tuple[str, ...], str, Mapping[str, Any]]],
    output: Sequence[str],
) -> bytes:
    """A graph from float32 inputs of these shapes to ``y``; nodes: operator, inputs, output, attributes."""
    values = {
        key: helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
        for key, shape in {**shapes, "y": output}.items()
    }
    made = [helper.make_node(kind, inputs, [out], **attributes) for kind, inputs, out, attributes in nodes]
    graph = helper.make_graph(made, name, [values[key] for key in shapes], [values["y"]])
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mminibert")
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
