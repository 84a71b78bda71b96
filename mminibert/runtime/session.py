"""Sessions of ONNX Runtime on the CPU."""

from __future__ import annotations

import os

from onnxruntime import InferenceSession, SessionOptions

THREADS_VARIABLE = "MMINIBERT_THREADS"


def make_session(graph: bytes, *, threads: int) -> InferenceSession:
    """A session of a serialized ONNX model; it must not be used after a fork."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings are about graph optimizations
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def threads(configured: int) -> int:
    """The environment's number of threads, or else the configured one. Raises ValueError if it is none."""
    text = os.environ.get(THREADS_VARIABLE, str(configured))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"{THREADS_VARIABLE} or the setting threads is {text!r}; expected a number from 1 up"
        )
    return int(text)
