"""The student's weights as an ONNX graph. Training side: needs `onnx`, not torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from .quantization import Activations, quantize_columns, quantize_ranges

__all__ = ["IR_VERSION", "OPSET", "build_graph", "read_weights"]

# Opset 23 is the first with an operator for attention; IR version 11 belongs to it, so that all runtimes that
# have the operator read it.
OPSET, IR_VERSION = 23, 11
# The domain of ONNX Runtime's own operators.
RUNTIME = "com.microsoft"
PIECE_SCALES = "piece_scales"
"""Of `bert.BertEncoder`."""

Floats = npt.NDArray[np.float32]


def build_graph(
    weights: Mapping[str, npt.NDArray[np.floating]],
    *,
    num_attention_heads: int,
    layer_norm_eps: float,
    word_layers: int = 0,
    activations: Mapping[str, Activations] | None = None,
) -> bytes:
    """The encoder of BERT (Devlin et al. 2019) from summed embeddings on, as a serialized ONNX model.

    weights: under the names of Hugging Face's `BertModel`; its embedding tables and pooler are not read.
    Input `embeddings`, float32 (batch, length, width): word + position + token type embeddings before
    LayerNorm. Input `first`, int64 (n,): the positions wanted, as indices of the flattened batch * length.
    Output `hidden`, float32 (n, width): the last hidden states there; the last layer's feed-forward part runs
    on these positions only. There is no mask: all sequences of a batch have the same length.

    word_layers: how many of the layers, the last ones, read a vector a word (`bert.Sizes`). Then the inputs
    are `embeddings` and those of `runtime.word_grid.word_places`, `first` of words.

    activations: typical inputs of the dense layers, see `quantization.observe_activations`; with them these
    layers multiply uint8 activations by int8 weights (a scale a column), everything else stays float32.

    Raises ValueError if a weight is missing or of another shape than the others imply.
    """
    num_layers = 1 + max((int(m[1]) for m in map(_LAYER.match, weights) if m), default=-1)
    if num_layers == 0:
        raise ValueError(
            f"No weight is named encoder.layer.<i>.…; got {', '.join(list(weights)[:3]) or 'none'}. "
            "Give the state of a Hugging Face BertModel, without a prefix such as 'bert.'"
        )
    return _Graph(weights, num_layers, word_layers, num_attention_heads, layer_norm_eps, activations).build()


_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")


class _Graph:
    def __init__(
        self,
        weights: Mapping[str, npt.NDArray[np.floating]],
        num_layers: int,
        word_layers: int,
        num_attention_heads: int,
        layer_norm_eps: float,
        activations: Mapping[str, Activations] | None,
    ) -> None:
        self.activations = activations
        self.quantized: dict[str, tuple[Floats, str, str, str]] = {}
        self.weights = weights
        self.num_layers, self.word_layers = num_layers, word_layers
        self.heads = num_attention_heads
        self.eps = layer_norm_eps
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.width = len(self._weight("embeddings.LayerNorm.weight"))
        if self.width % self.heads:
            raise ValueError(
                f"The width {self.width} of the weights is not a multiple of num_attention_heads={self.heads}"
            )

    def build(self) -> bytes:
        x = self._layer_norm("embeddings", "embeddings.LayerNorm")
        x = self._op("Reshape", x, self._constant("flat_shape", [-1, self.width]))
        sizes = self._op("Shape", "embeddings", end=2)
        shape = self._op("Concat", sizes, self._constant("width", [self.width]), axis=0)
        below = self.num_layers - self.word_layers
        for i in range(self.num_layers):
            if i == below:
                x, shape = self._words(x), ""
            wanted = {below - 1: "read", self.num_layers - 1: "first"}.get(i, "")
            x = self._layer(x, shape, f"encoder.layer.{i}", wanted)
        self._op("Identity", x, output="hidden")
        f32 = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "mminibert",
            inputs=[
                helper.make_tensor_value_info("embeddings", f32, ["batch", "length", self.width]),
                *self._places(),
            ],
            outputs=[helper.make_tensor_value_info("hidden", f32, ["tokens", self.width])],
            initializer=self.tensors,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="mminibert"
        )
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))

    def _places(self) -> list[ValueInfoProto]:
        """The inputs that say where pieces and words are."""
        i64, boolean = TensorProto.INT64, TensorProto.BOOL
        first = helper.make_tensor_value_info("first", i64, ["tokens"])
        if not self.word_layers:
            return [first]
        return [
            helper.make_tensor_value_info("read", i64, ["pieces"]),
            helper.make_tensor_value_info("begins", i64, ["words"]),
            helper.make_tensor_value_info("ends", i64, ["words"]),
            helper.make_tensor_value_info("grid", i64, ["batch", "longest"]),
            helper.make_tensor_value_info("mask", boolean, ["batch", 1, "longest", "longest"]),
            helper.make_tensor_value_info("places", i64, ["words"]),
            first,
        ]

    def _words(self, x: str) -> str:
        """A vector a word of those of its first and its last piece."""
        scales = self._weight(PIECE_SCALES)
        first, last = (
            self._op("Mul", self._op("Gather", x, places), self._constant(f"{PIECE_SCALES}.{i}", scales[i]))
            for i, places in enumerate(("begins", "ends"))
        )
        return self._op("Add", first, last)

    def _layer(self, x: str, shape: str, name: str, wanted: str) -> str:
        """softmax(Q K^T / sqrt(d)) V a head, then the feed-forward part, each with residual and LayerNorm.
        shape: the name of that of a batch of pieces, "" where x is of words. wanted: the input that says of
        which rows alone there is to be a result, "" for all."""
        scale = 1 / np.sqrt(self.width // self.heads)  # in the weights of Q, where it costs nothing
        output, inverse_sizes = f"{name}.attention.output.dense", ""
        if self.activations is not None:
            seen = self.activations[f"{output}.weight"]
            sizes, *_ = quantize_ranges(seen.lows, seen.highs)
            inverse_sizes = self._constant(f"{output}.inverse_sizes", 1 / sizes)
        query = self._dense(x, f"{name}.attention.self.query", self.width, scale=scale)
        key = self._dense(x, f"{name}.attention.self.key", self.width)
        value = self._dense(x, f"{name}.attention.self.value", self.width, factors=inverse_sizes)
        batch, mask = (("Reshape", shape), ()) if shape else (("Gather", "grid"), ("mask",))
        context = self._op(
            "Attention",
            *(self._op(batch[0], part, batch[1]) for part in (query, key, value)),
            *mask,
            q_num_heads=self.heads,
            kv_num_heads=self.heads,
            scale=1.0,
        )
        context = self._op("Reshape", context, "flat_shape")
        if not shape:
            context = self._op("Gather", context, "places")
        if wanted:
            context, x = self._op("Gather", context, wanted), self._op("Gather", x, wanted)
        attended = self._op("Add", self._dense(context, output, self.width, is_divided=True), x)
        x = self._layer_norm(attended, f"{name}.attention.output.LayerNorm")
        inner = self._op("Gelu", self._dense(x, f"{name}.intermediate.dense", None))
        outer = self._op("Add", self._dense(inner, f"{name}.output.dense", self.width), x)
        return self._layer_norm(outer, f"{name}.output.LayerNorm")

    def _dense(
        self,
        x: str,
        name: str,
        outputs: int | None,
        *,
        scale: float = 1.0,
        factors: str = "",
        is_divided: bool = False,
    ) -> str:
        """scale, factors: of the outputs, the latter a constant (outputs,). is_divided: x comes divided by
        the sizes of its channels."""
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        n = outputs or len(bias)
        if weight.ndim != 2 or len(weight) != n or bias.shape != (n,):
            raise ValueError(
                f"{name}: weight is {weight.shape} and bias {bias.shape}; expected ({n}, …) and ({n},) "
                f"in a model of width {self.width}"
            )
        columns = np.ascontiguousarray(weight.T) * np.float32(scale)
        bias_name = self._constant(f"{name}.bias", bias * np.float32(scale))
        if self.activations is None:
            return self._op("Gemm", x, self._constant(f"{name}.weight", columns), bias_name)
        seen = self.activations[f"{name}.weight"]
        sizes, values, value_scale, zero_point = self._quantize(x, seen, is_divided=is_divided)
        integers, scales = quantize_columns(columns * sizes[:, None], seen.products / np.outer(sizes, sizes))
        scales_name = self._constant(f"{name}.scales", scales)
        if factors:  # the runtime multiplies constants once, when it loads
            scales_name, bias_name = (self._op("Mul", part, factors) for part in (scales_name, bias_name))
        return self._op(
            "MatMulIntegerToFloat",
            values,
            self._constant(f"{name}.weight", integers),
            value_scale,
            scales_name,
            zero_point,
            "",
            bias_name,
            domain=RUNTIME,
        )

    def _quantize(self, x: str, seen: Activations, *, is_divided: bool) -> tuple[Floats, str, str, str]:
        """Sizes of x's channels, and the names of its integers, of their scale and of their zero point; made
        once for all layers that read x."""
        if x not in self.quantized:
            sizes, scale, zero_point = quantize_ranges(seen.lows, seen.highs)
            divided = x if is_divided else self._op("Mul", x, self._constant(f"{x}.inverse_sizes", 1 / sizes))
            names = (
                self._constant(f"{x}.scale", np.asarray(scale)),
                self._constant(f"{x}.zero_point", np.asarray(zero_point)),
            )
            self.quantized[x] = (sizes, self._op("QuantizeLinear", divided, *names), *names)
        return self.quantized[x]

    def _layer_norm(self, x: str, name: str) -> str:
        parts = [
            self._constant(f"{name}.{part}", self._weight(f"{name}.{part}")) for part in ("weight", "bias")
        ]
        return self._op("LayerNormalization", x, *parts, axis=-1, epsilon=self.eps)

    def _weight(self, name: str) -> Floats:
        if name not in self.weights:
            raise ValueError(f"The weights lack {name}. Give the whole state of a Hugging Face BertModel")
        return np.asarray(self.weights[name], dtype=np.float32)

    def _constant(self, name: str, value: np.ndarray | Sequence[int]) -> str:
        array = np.asarray(value) if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.int64)
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def _op(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output


def read_weights(graph: bytes) -> tuple[dict[str, Floats], int, int]:
    """The inverse of `build_graph`: weights by the names of Hugging Face's `BertModel`, without
    embeddings, the number of attention heads, and that of layers that read words.

    8-bit weights come back as float32, as near to the first ones as their scales allow.
    """
    model = onnx.load_from_string(graph)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    attention = [node for node in model.graph.node if node.op_type == "Attention"]
    heads = next(int(a.i) for a in attention[0].attribute if a.name == "q_num_heads")
    word_layers = sum("mask" in node.input for node in attention)
    found = {name: tensors[name] for name in tensors if _PARAMETER.search(name)}
    for node in model.graph.node:
        if node.op_type not in ("Gemm", "MatMulIntegerToFloat"):
            continue
        name = node.input[1].removesuffix(".weight")
        columns = tensors[f"{name}.weight"].astype(np.float32)
        if node.op_type == "MatMulIntegerToFloat":
            divided = makers[makers[node.input[0]].input[0]]
            inverse = divided.input[1] if divided.op_type == "Mul" else f"{name}.inverse_sizes"
            columns = columns * tensors[f"{name}.scales"] * tensors[inverse][:, None]
        found[f"{name}.weight"], found[f"{name}.bias"] = columns.T, tensors[f"{name}.bias"]
        if name.endswith(".query"):
            size = np.float32(np.sqrt(len(tensors[f"{name}.bias"]) // heads))
            found[f"{name}.weight"] = found[f"{name}.weight"] * size
            found[f"{name}.bias"] = found[f"{name}.bias"] * size
    weights = {name: np.ascontiguousarray(value) for name, value in found.items()}
    if word_layers:
        weights[PIECE_SCALES] = np.stack([tensors[f"{PIECE_SCALES}.{i}"] for i in range(2)])
    return weights, heads, word_layers


_PARAMETER = re.compile(r"^(embeddings|encoder\.layer\.\d+)\..*\.(weight|bias)$")
