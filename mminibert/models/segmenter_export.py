"""The trained segmenter for use without torch: tables in 8 bits and three graphs whose weights are in 8
bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper

from ..runtime.alphabet import Alphabet
from ..runtime.conventions import round_rows
from ..runtime.segmenter_model import SegmenterModel, Table
from ..runtime.types import Floats
from .export import IR_VERSION, OPSET
from .segmenter import CHARACTER_LABELS, KERNEL, UNIT_LABELS, SegmenterNet

__all__ = ["export_segmenter"]


def export_segmenter(
    net: SegmenterNet,
    alphabet: Alphabet,
    *,
    languages: tuple[str, ...],
    codes: tuple[str, ...],
) -> SegmenterModel:
    """Weights are rounded to 8 bits, with a scale each output channel, but pairs to fewer (`_pairs`); all
    else is float32.

    Raises ValueError if the names do not go with the network's sizes.
    """
    state: Mapping[str, Floats] = {
        name: value.detach().numpy().astype(np.float32) for name, value in net.state_dict().items()
    }
    if len(languages) != net.sizes.languages:
        raise ValueError(f"got {len(languages)} languages for a network of {net.sizes.languages}")
    return SegmenterModel(
        alphabet,
        languages,
        codes,
        characters=_table(state["characters.weight"]),
        categories=_table(state["categories.weight"]),
        pairs=_pairs(state["pairs.weight"]),
        gaps=state["gaps.weight"],
        character_codes=_table(state["character_codes.weight"]),
        unit_codes=_table(state["unit_codes.weight"]),
        label_codes=state["label_codes.weight"] + state["unit_labels.bias"],
        character_heads=_heads(state, "character"),
        unit_heads=_heads(state, "unit"),
        vector_width=net.sizes.vector_width,
        graphs={
            "characters": _characters(state),
            "spelling": _spelling(state),
            "units": _units(state, net.sizes.dilations),
        },
    )


def _table(weights: Floats) -> Table:
    return Table(*round_rows(weights))


def _heads(state: Mapping[str, Floats], kind: str) -> Table:
    """The layer for all codes and each one's own in one: a row a label, code after code."""
    shared = state[f"{kind}_labels.weight"][:, :, 0]
    own = state[f"{kind}_heads.weight"].reshape(-1, *shared.shape)
    return _table((shared + own).reshape(-1, shared.shape[1]))


def _pairs(weights: Floats) -> Table:
    """In steps of one size, the standard deviation of all weights: with a scale each, rows of pairs that were
    hardly seen would take as many bits of a compressed file as the others."""
    step = max(float(weights.std()), 1e-12)
    rows = np.clip(np.rint(weights / step), -127, 127).astype(np.int8)
    return Table(rows, np.full(len(rows), step, dtype=np.float32))


class _Graph:
    """Nodes and weights as they are added; each method gives the name of its result."""

    def __init__(self, state: Mapping[str, Floats]) -> None:
        self.state = state
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def node(self, kind: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        names = outputs or (f"{kind}_{len(self.nodes)}",)
        self.nodes.append(helper.make_node(kind, list(inputs), list(names), **attributes))
        return names[0]

    def constant(self, name: str, value: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str) -> str:
        """In 8 bits; ONNX Runtime folds the product when it makes a session (DequantizeLinear it would
        compute in each run)."""
        value = self.state[f"{name}.weight"]
        rows, scales = round_rows(value.reshape(len(value), -1))
        stored = self.constant(f"{name}.rows", rows.reshape(value.shape))
        scale = self.constant(f"{name}.scales", scales.reshape(-1, *[1] * (value.ndim - 1)))
        return self.node("Mul", self.node("Cast", stored, to=TensorProto.FLOAT), scale)

    def conv(self, inputs: str, name: str, *, padding: int, dilation: int = 1, output: str = "") -> str:
        bias = self.constant(f"{name}.bias", self.state[f"{name}.bias"])
        outputs = (output,) if output else ()
        weight = self.weight(name)
        return self.node(
            "Conv", inputs, weight, bias, outputs=outputs, pads=[padding, padding], dilations=[dilation]
        )

    def linear(self, inputs: str, name: str, *, output: str = "") -> str:
        bias = self.constant(f"{name}.bias", self.state[f"{name}.bias"])
        outputs = (output,) if output else ()
        return self.node("Gemm", inputs, self.weight(name), bias, outputs=outputs, transB=1)

    def build(
        self, inputs: Mapping[str, Sequence[str | int]], outputs: Mapping[str, Sequence[str | int]]
    ) -> bytes:
        def values(shapes: Mapping[str, Sequence[str | int]]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(self.nodes, "segmenter", values(inputs), values(outputs), self.tensors)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        checker.check_model(model)
        return bytes(model.SerializeToString())


def _characters(state: Mapping[str, Floats]) -> bytes:
    """`SegmenterNet.of_characters`."""
    g = _Graph(state)
    width = len(state["first.bias"])
    hidden = g.node("Add", g.conv("embedded", "first", padding=KERNEL // 2), "code")
    hidden = g.node("Mul", g.node("Relu", hidden), "mask")
    for i, dilation in enumerate((1, 2)):
        more = g.node("Relu", g.conv(hidden, f"within.{i}", padding=dilation, dilation=dilation))
        hidden = g.node("Mul", g.node("Add", hidden, more), "mask")
    bias = g.constant("character_labels.bias", state["character_labels.bias"][:, None])
    g.node("Add", g.node("MatMul", "head", hidden), bias, outputs=("labels",))
    axis = g.constant("axis", np.asarray([2], dtype=np.int64))
    largest = g.node("ReduceMax", hidden, axis, keepdims=0)
    zero = g.constant("zero", np.asarray(0, dtype=np.int64))
    first = g.node("Gather", hidden, zero, axis=2)
    # The last character is where the mask ends: a one less the next mask.
    start, end = (
        g.constant(f"slice.{n}", np.asarray([n], dtype=np.int64)) for n in (1, np.iinfo(np.int64).max)
    )
    pads = g.constant("pads", np.asarray([0, 0, 0, 0, 0, 1], dtype=np.int64))
    shifted = g.node("Slice", g.node("Pad", "mask", pads), start, end, axis)
    at_last = g.node("Mul", hidden, g.node("Sub", "mask", shifted))
    last = g.node("ReduceSum", at_last, axis, keepdims=0)
    joined = g.node("Concat", largest, first, last, axis=1)
    g.node("Relu", g.linear(joined, "vector"), outputs=("vectors",))
    return g.build(
        {
            "embedded": ("n", state["first.weight"].shape[1], "length"),
            "mask": ("n", 1, "length"),
            "code": (1, width, 1),
            "head": (CHARACTER_LABELS, width),
        },
        {
            "labels": ("n", CHARACTER_LABELS, "length"),
            "vectors": ("n", len(state["vector.bias"])),
        },
    )


def _spelling(state: Mapping[str, Floats]) -> bytes:
    """`SegmenterNet.of_spelling`."""
    g = _Graph(state)
    hidden = g.node("Relu", g.conv("embedded", "spelling", padding=KERNEL // 2))
    axis = g.constant("axis", np.asarray([2], dtype=np.int64))
    largest = g.node("ReduceMax", g.node("Mul", hidden, "mask"), axis, keepdims=0)
    g.linear(largest, "languages", output="logits")
    return g.build(
        {"embedded": ("n", state["spelling.weight"].shape[1], "length"), "mask": ("n", 1, "length")},
        {"logits": ("n", len(state["languages.bias"]))},
    )


def _units(state: Mapping[str, Floats], dilations: tuple[int, ...]) -> bytes:
    """`SegmenterNet.of_units` from the concatenated inputs on, less what the code adds to the labels."""
    g = _Graph(state)
    hidden = g.node("Relu", g.node("Add", g.conv("inputs", "between", padding=1), "code"))
    for i, dilation in enumerate(dilations):
        more = g.node("Relu", g.conv(hidden, f"further.{i}", padding=dilation, dilation=dilation))
        hidden = g.node("Add", hidden, more)
    g.node("MatMul", "head", hidden, outputs=("labels",))
    width = len(state["between.bias"])
    return g.build(
        {
            "inputs": ("rows", state["between.weight"].shape[1], "n"),
            "code": (1, width, 1),
            "head": (UNIT_LABELS, width),
        },
        {"labels": ("rows", UNIT_LABELS, "n")},
    )
