"""What a graph may consist of: ONNX Runtime would also run endless loops, and read files that a graph names.

A serialized ONNX model is a protobuf message (https://protobuf.dev/programming-guides/encoding). It is walked
here without the package `onnx`, and may have the fields alone that `models.export` writes. So graphs within
operators, functions and external data are refused, and whatever later versions of ONNX add.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["check_graph", "fields"]

# By message (github.com/onnx/onnx, onnx/onnx.proto) its fields, and what is looked at in them.
FIELDS = {
    "model": {1: "", 2: "", 3: "", 7: "graph", 8: ""},
    "graph": {1: "node", 2: "", 5: "tensor", 11: "", 12: ""},
    "node": {1: "", 2: "", 3: "", 4: "operator", 5: "attribute", 7: "domain"},
    "attribute": {1: "", 2: "", 3: "number", 8: "number", 20: ""},
    "tensor": {1: "", 2: "type", 8: "", 9: "data"},
}
REFUSED = {
    ("model", 25): "functions of its own",
    ("attribute", 6): "an operator with a graph inside",
    ("attribute", 11): "an operator with graphs inside",
    ("tensor", 13): "data outside of the file",
    ("tensor", 14): "data outside of the file",
}
# fmt: off
OPERATORS = {
    "": frozenset({
        "Add", "Attention", "Cast", "Concat", "Conv", "Gather", "Gelu", "Gemm", "Identity",
        "LayerNormalization", "MatMul", "Mul", "Pad", "QuantizeLinear", "ReduceMax", "ReduceSum", "Relu",
        "Reshape", "Shape", "Slice", "Sub",
    }),
    "com.microsoft": frozenset({"MatMulIntegerToFloat"}),
}
# fmt: on
MOST_NODES = 5000
LARGEST = 1 << 16
"""The largest whole number of attributes and constants, but for the end of `Slice`."""
INT64, UNBOUNDED = 7, np.iinfo(np.int64).max


def check_graph(graph: bytes) -> None:
    """Raises ValueError, with the reason, for a graph of other operators or fields than ours, of more than
    `MOST_NODES` nodes or numbers over `LARGEST`, and for bytes that are no protobuf message."""
    try:
        nodes = _check(memoryview(graph), "model")
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"the ONNX graph is no protobuf message ({len(graph)} bytes): {error}") from error
    if nodes > MOST_NODES:
        raise _refusal(f"{nodes} nodes, more than {MOST_NODES}")


def _check(data: memoryview, message: str) -> int:
    """The number of nodes."""
    known, nodes = FIELDS[message], int(message == "node")
    found: dict[str, list[int | memoryview]] = {}
    for field, value in fields(data):
        kind = known.get(field)
        if kind is None:
            raise _refusal(REFUSED.get((message, field), f"the field {field} of the message {message!r}"))
        if kind in FIELDS:
            if isinstance(value, int):
                raise _refusal(f"a number for the field {field} of the message {message!r}")
            nodes += _check(value, kind)
        elif kind:
            found.setdefault(kind, []).append(value)
    if message == "node":
        operator, domain = (_text(found.get(kind, [])) for kind in ("operator", "domain"))
        if operator not in OPERATORS.get(domain, ()):
            raise _refusal(f"the operator {operator[:40]!r}" + (f" of {domain[:40]!r}" if domain else ""))
    elif message == "attribute":
        _check_numbers([number for value in found.get("number", []) for number in _varints(value)])
    elif message == "tensor" and found.get("type") == [INT64]:
        for value in found.get("data", []):
            numbers = np.frombuffer(b"" if isinstance(value, int) else value, dtype="<i8").tolist()
            _check_numbers([number for number in numbers if number != UNBOUNDED])
    return nodes


def _check_numbers(numbers: list[int]) -> None:
    for number in numbers:
        if abs(number) > LARGEST:
            raise _refusal(f"the number {number}, beyond {LARGEST},")


def _refusal(what: str) -> ValueError:
    return ValueError(
        f"the ONNX graph has {what}, which no graph of this project has; install the pipeline's package "
        "again, and mminibert of the same version"
    )


def _text(values: list[int | memoryview]) -> str:
    """Of a field that is there once at most."""
    if len(values) > 1 or any(isinstance(value, int) for value in values):
        raise _refusal("a name that is not one text")
    return "".join(bytes(value).decode() for value in values if not isinstance(value, int))


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; of those with a length the bytes, of others the number or, of floats,
    0."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire} at byte {at}")
        if size < 0 or at + size > len(data):
            raise IndexError(f"a field of {size} bytes at byte {at} of {len(data)}")
        yield field, data[at : at + size] if wire == 2 else 0
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, as int64, and the place after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            number &= (1 << 64) - 1
            return number - (1 << 64 if number >> 63 else 0), at
    raise IndexError(f"a number of more than 10 bytes before byte {at}")


def _varints(value: int | memoryview) -> list[int]:
    """One number, or several that are packed."""
    if isinstance(value, int):
        return [value]
    numbers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(number)
    return numbers
