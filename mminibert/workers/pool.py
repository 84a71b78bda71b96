"""Workers that are processes of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from ..errors import run_and_tell
from ..processes import ONE_THREAD, end_with_parent, environment

__all__ = ["Pool", "pool"]


class Pool:
    """See `Workers`."""

    def __init__(self, executor: ProcessPoolExecutor, size: int) -> None:
        self.executor = executor
        self.size = size

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        try:
            with environment(ONE_THREAD):  # a process is started when there is work for it
                future = self.executor.submit(run_and_tell, function, *arguments)
        except BrokenProcessPool as error:
            raise _ended() from error
        return lambda: _result(future)


def _result(future: Future) -> Any:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _ended() from error


def _ended() -> RuntimeError:
    return RuntimeError(
        "a process ended before its work was done, killed or out of memory; run the command again, it goes "
        "on, with fewer --jobs in less memory"
    )


@contextmanager
def pool(size: int) -> Iterator[Pool]:
    """So many processes of one thread each; they end with this one, however that ends."""
    with ProcessPoolExecutor(size, mp_context=get_context("spawn"), initializer=end_with_parent) as executor:
        try:
            yield Pool(executor, size)
        except BaseException:
            executor.shutdown(cancel_futures=True)  # waits: at the end of Python it would, too, noisily
            raise
