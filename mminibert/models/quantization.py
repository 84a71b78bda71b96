"""Eight-bit numbers for the student: columns of weights, ranges of activations.

All scales are fixed before inference (static quantization), so that a word's result depends on its sentence
alone: dynamic quantization takes one scale over a whole batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from ..runtime.session import Session

__all__ = ["Activations", "observe_activations", "quantize_columns", "quantize_ranges"]

Floats = npt.NDArray[np.float32]
LIMIT = 127
PAIR_LIMIT = 128
"""Of two neighbouring weights of one sign: x86 without VNNI adds their products with two uint8 values in 16
bits, which 255 * 128 does not overflow."""
DAMPING = 0.01
"""Of the products' mean diagonal, added to the diagonal, as in Frantar et al. 2023."""


class Activations(NamedTuple):
    """What was seen of the channels that a layer reads: lowest and highest values, float32 (channels,), and
    the sums of the products of every two, float64 (channels, channels)."""

    lows: Floats
    highs: Floats
    products: npt.NDArray[np.float64]


def quantize_columns(
    matrix: npt.NDArray[np.floating], products: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.int8], Floats]:
    """Symmetric int8 quantization a column of (inputs, outputs), for small errors of the layer's outputs.

    products: (inputs, inputs), sums over typical inputs x of x x^T. One input's weights are rounded after
    the other, and those still to come are changed so that they make up for its error (Frantar et al. 2023,
    *GPTQ*, section 3, with the Cholesky factor of section 3.3).
    Returns columns int8 (inputs, outputs) in [-127, 127], where the inputs 2i and 2i + 1 have weights whose
    sum is at most `PAIR_LIMIT` if both have one sign, and scales float32 (outputs,), as small as this allows.
    Raises ValueError if a value is not finite.
    """
    _check_finite(matrix)
    _check_finite(products)
    n = len(matrix)
    weights = np.zeros((n + n % 2, matrix.shape[1]))
    weights[:n] = matrix
    first, second = weights[::2], weights[1::2]
    sums = np.where(first * second > 0, np.abs(first + second), np.maximum(np.abs(first), np.abs(second)))
    scales = (sums.max(axis=0) / LIMIT).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1).astype(np.float64)
    factor = _inverse_factor(products)
    columns = np.zeros((n, matrix.shape[1]), dtype=np.int8)
    for i in range(n):
        before = columns[i - 1].astype(np.int64) if i % 2 else np.zeros(len(scales), dtype=np.int64)
        low = np.maximum(-LIMIT, -PAIR_LIMIT - np.minimum(before, 0))
        high = np.minimum(LIMIT, PAIR_LIMIT - np.maximum(before, 0))
        columns[i] = np.clip(np.rint(weights[i] / divisors), low, high)
        error = (weights[i] - columns[i] * divisors) / factor[i, i]
        weights[i + 1 : n] -= factor[i, i + 1 :, None] * error
    return columns, scales


def _inverse_factor(products: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The upper Cholesky factor of the inverse of the damped products."""
    mean = float(np.mean(np.diag(products))) or 1.0
    damped = np.asarray(products, dtype=np.float64) / mean + DAMPING * np.eye(len(products))
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T)


def _check_finite(matrix: npt.NDArray[np.floating]) -> None:
    if not np.isfinite(matrix).all():
        raise ValueError("The matrix has values that are not finite; the training has diverged")


def quantize_ranges(lows: Floats, highs: Floats) -> tuple[Floats, np.float32, np.uint8]:
    """Sizes of the channels, and a scale and zero point for all: `x ≈ (q - zero_point) * scale * sizes`.

    sizes float32 (channels,): a channel's largest absolute value, by which it is divided, and the weights
    that read it multiplied, so that few large channels do not cost the others their precision (as in Xiao et
    al. 2023, *SmoothQuant*, section 4, with alpha = 1). The rest is Jacob et al. 2018, *Quantization and
    Training of Neural Networks*, section 2.1: uint8 with 0 exact; values outside become the range's ends.
    """
    lows, highs = np.minimum(lows, 0), np.maximum(highs, 0)
    sizes = np.maximum(-lows, highs).astype(np.float32)
    sizes[sizes == 0] = 1
    low, high = float((lows / sizes).min()), float((highs / sizes).max())
    scale = np.float32((high - low) / 255 or 1.0)
    return sizes, scale, np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255))


def observe_activations(graph: bytes, batches: Iterable[Mapping[str, np.ndarray]]) -> dict[str, Activations]:
    """What the dense layers of a float graph read, by the name of the layer's weight.

    batches: inputs of the graph, of text such as it will see. Raises ValueError if there are none.
    """
    model = onnx.load_from_string(graph)
    sources = {node.input[1]: node.input[0] for node in model.graph.node if node.op_type == "Gemm"}
    names = list(dict.fromkeys(sources.values()))
    for name in names:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = Session(model.SerializeToString(), threads=1)
    seen: dict[str, Activations] = {}
    for batch in batches:
        for name, values in zip(names, session.run(dict(batch), names), strict=True):
            products = (values.T @ values).astype(np.float64)
            new = Activations(values.min(axis=0), values.max(axis=0), products)
            old = seen.get(name, Activations(new.lows, new.highs, np.zeros_like(products)))
            seen[name] = Activations(
                np.minimum(old.lows, new.lows), np.maximum(old.highs, new.highs), old.products + new.products
            )
    if not seen:
        raise ValueError("got no text to calibrate the activations' ranges with; give at least one sentence")
    return {weight: seen[name] for weight, name in sources.items()}
