"""Functions that other processes run, of this machine or of a cluster, and their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from .pool import pool
from .ray_workers import ray_workers

__all__ = ["Workers", "ahead", "start_workers"]

T = TypeVar("T")
AHEAD = 2
"""Calls that are submitted before the first result is waited for, for each process."""


class Workers(Protocol):
    """What runs functions elsewhere. size: how many at a time."""

    size: int

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Returns a function that waits for the result. Raises what the function raised, and RuntimeError if
        its process ended."""


def start_workers(size: int, ray: str | None = None) -> AbstractContextManager[Workers]:
    """So many processes of one thread each, of this machine, or of the Ray cluster of an address."""
    return pool(size) if ray is None else ray_workers(ray, size)


def ahead(submitted: Iterable[T], workers: Workers) -> Iterator[T]:
    """What is submitted, in order. So much more is asked for than the processes work at, so that none of them
    waits, and no more, so that little is held in memory."""
    pending: deque[T] = deque()
    for one in submitted:
        pending.append(one)
        if len(pending) >= workers.size * AHEAD:
            yield pending.popleft()
    while pending:
        yield pending.popleft()
