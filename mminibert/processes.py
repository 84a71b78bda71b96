"""What processes that work for another one have in common: one thread each, and an end with their parent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "MMINIBERT_THREADS"),
    "1",
)
"""Variables that libraries read while they are imported, before any code of ours runs in a process."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """For a while these variables, for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end_with_parent() -> None:
    """Called in a process of a pool, which would wait for work for ever if its parent were killed."""
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
