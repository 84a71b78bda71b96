"""Sessions of ONNX Runtime on the CPU, of a process of its own each."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping

import numpy as np

# It would report to its maker when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
from onnxruntime import InferenceSession, SessionOptions, __version__

from .graph_check import check_graph

__all__ = ["THREADS_VARIABLE", "Session", "threads"]

THREADS_VARIABLE = "MMINIBERT_THREADS"
MOST_THREADS = 1024


class Session:
    """A serialized ONNX model, which each process runs in a session that it makes when it first needs it.

    The threads of a session do not survive a fork: in a child an inherited session can neither run nor be
    destroyed, which would wait for them for ever. There it is kept, and another one made.
    """

    def __init__(self, graph: bytes, *, threads: int) -> None:
        """Raises ValueError for a graph that is not made of what ours are (`check_graph`)."""
        check_graph(graph)
        self.graph, self.threads = graph, threads
        self._session: InferenceSession | None = None
        _SESSIONS.add(self)

    def run(self, inputs: Mapping[str, np.ndarray], outputs: list[str] | None = None) -> list[np.ndarray]:
        """The graph's outputs, all or those of these names."""
        return self._made().run(outputs, inputs)

    def input_shape(self, index: int) -> list[int | str]:
        """Of one of the graph's inputs. Raises ValueError if ONNX Runtime refuses the graph."""
        return list(self._made().get_inputs()[index].shape)

    @property
    def inputs(self) -> set[str]:
        """The names of the graph's inputs. Raises ValueError if ONNX Runtime refuses the graph."""
        return {each.name for each in self._made().get_inputs()}

    def _made(self) -> InferenceSession:
        session = self._session
        if session is None:
            options = SessionOptions()
            options.intra_op_num_threads = self.threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3  # errors; warnings are about graph optimizations
            try:
                session = InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # ONNX Runtime has a dozen kinds, without a base
                raise ValueError(f"ONNX Runtime {__version__} cannot read the graph: {error}") from error
            self._session = session
        return session


_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()


def _keep_inherited() -> None:
    for holder in list(_SESSIONS):
        if holder._session is not None:
            _never_destroy(holder._session)
            holder._session = None


def _never_destroy(session: InferenceSession) -> None:
    """Also not when the interpreter ends: one reference too many."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)


def threads(configured: int) -> int:
    """The environment's number of threads, or else the configured one. Raises ValueError if it is none."""
    text = os.environ.get(THREADS_VARIABLE)
    name = "the encoder's setting `threads`" if text is None else THREADS_VARIABLE
    text = str(configured) if text is None else text
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise ValueError(f"{name} is {text!r}; expected a whole number from 1 to {MOST_THREADS}")
    return int(text)
