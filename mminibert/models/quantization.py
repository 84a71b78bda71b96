"""Eight-bit numbers for the student: rows of embeddings, columns of weights, ranges of activations.

All scales are fixed before inference (static quantization), so that a word's result depends on its sentence
alone: dynamic quantization takes one scale over a whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx

from .session import make_session

__all__ = ["Ranges", "activation_ranges", "quantize_columns", "quantize_ranges", "quantize_rows"]

Floats = npt.NDArray[np.float32]
Ranges = tuple[Floats, Floats]
"""The lowest and the highest value seen of each channel, float32 (channels,)."""

COLUMN_LIMIT = 63
"""Of the weights' seven bits: on x86 without VNNI, two products of uint8 and int8 are added in 16 bits, which
255 * 63 * 2 does not overflow and 255 * 127 * 2 does."""


def quantize_rows(matrix: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], Floats]:
    """Symmetric int8 quantization a row: `matrix ≈ rows * scales[:, None]`.

    matrix (n, width). Returns rows int8 (n, width) in [-127, 127] and scales float32 (n,): a row's largest
    absolute value / 127, so that no element is off by more than half a scale.
    Raises ValueError if a value is not finite.
    """
    return _symmetric(matrix, 127)


def quantize_columns(matrix: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int8], Floats]:
    """The same a column of (inputs, outputs), in [-COLUMN_LIMIT, COLUMN_LIMIT]; scales float32 (outputs,)."""
    columns, scales = _symmetric(matrix.T, COLUMN_LIMIT)
    return np.ascontiguousarray(columns.T), scales


def _symmetric(matrix: npt.NDArray[np.floating], limit: int) -> tuple[npt.NDArray[np.int8], Floats]:
    if not np.isfinite(matrix).all():
        raise ValueError("The matrix has values that are not finite; the training has diverged")
    scales = (np.abs(matrix).max(axis=1) / limit).astype(np.float32)
    divisors = np.where(scales > 0, scales, np.float32(1))
    return np.clip(np.rint(matrix / divisors[:, None]), -limit, limit).astype(np.int8), scales


def quantize_ranges(ranges: Ranges) -> tuple[Floats, np.float32, np.uint8]:
    """Sizes of the channels, and a scale and zero point for all: `x ≈ (q - zero_point) * scale * sizes`.

    sizes float32 (channels,): a channel's largest absolute value, by which it is divided, and the weights
    that read it multiplied, so that few large channels do not cost the others their precision (as in Xiao et
    al. 2023, *SmoothQuant*, section 4, with alpha = 1). The rest is Jacob et al. 2018, *Quantization and
    Training of Neural Networks*, section 2.1: uint8 with 0 exact; values outside become the range's ends.
    """
    lows, highs = np.minimum(ranges[0], 0), np.maximum(ranges[1], 0)
    sizes = np.maximum(-lows, highs).astype(np.float32)
    sizes[sizes == 0] = 1
    low, high = float((lows / sizes).min()), float((highs / sizes).max())
    scale = np.float32((high - low) / 255 or 1.0)
    return sizes, scale, np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255))


def activation_ranges(graph: bytes, batches: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Ranges]:
    """The ranges of the input of each dense layer of a float graph, by the name of the layer's weight.

    batches: inputs of the graph, of text such as it will see. Raises ValueError if there are none.
    """
    model = onnx.load_from_string(graph)
    sources = {node.input[1]: node.input[0] for node in model.graph.node if node.op_type == "Gemm"}
    names = list(dict.fromkeys(sources.values()))
    for name in names:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = make_session(model.SerializeToString(), threads=1)
    seen: dict[str, Ranges] = {}
    for batch in batches:
        for name, values in zip(names, session.run(names, dict(batch)), strict=True):
            low, high = values.min(axis=0), values.max(axis=0)
            old_low, old_high = seen.get(name, (low, high))
            seen[name] = (np.minimum(low, old_low), np.maximum(high, old_high))
    if not seen:
        raise ValueError("got no text to calibrate the activations' ranges with; give at least one sentence")
    return {weight: seen[name] for weight, name in sources.items()}
