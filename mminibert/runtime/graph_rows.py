"""Graphs that were written for one row at a time, for any number of rows."""

from __future__ import annotations

from collections.abc import Iterator

from .graph_check import fields

__all__ = ["with_free_rows"]

GRAPH, VALUES, NAME, TYPE, TENSOR, SHAPE, DIMENSION = 7, (11, 12), 1, 2, 1, 2, 1
"""Fields of ONNX's messages (github.com/onnx/onnx, onnx/onnx.proto); values: inputs and outputs."""
ROWS = (b"inputs", b"labels")
ONE, ANY = b"\x08\x01", b"\x12\x00"
"""A dimension of 1, and one that is not said."""


def with_free_rows(graph: bytes) -> bytes:
    """A serialized ONNX model whose ``inputs`` and ``labels`` may have any first dimension where it was to be
    1, as in the segmenter's graphs of releases up to 0.6.7.

    Raises ValueError for bytes that are no protobuf message.
    """
    found = bytearray(graph)
    try:
        values = [value for each in VALUES for value in _inner(memoryview(found), GRAPH, each)]
        for value in values:
            if next(_inner(value, NAME), None) not in ROWS:
                continue
            for shape in _inner(value, TYPE, TENSOR, SHAPE):
                first = next(_inner(shape, DIMENSION), None)
                if first == ONE:
                    first[:] = ANY
    except IndexError as error:
        raise ValueError(f"the ONNX graph is no protobuf message ({len(graph)} bytes): {error}") from error
    return bytes(found)


def _inner(data: memoryview, *path: int) -> Iterator[memoryview]:
    """The messages within a message that have a path of fields."""
    if not path:
        yield data
        return
    for field, value in fields(data):
        if field == path[0] and not isinstance(value, int):
            yield from _inner(value, *path[1:])
