"""Workers that are processes of a Ray cluster: actors, which keep what they have loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from ..errors import run_and_tell
from ..processes import ONE_THREAD

__all__ = ["RayWorkers", "ray_workers"]


class _Actor:
    def __init__(self, folder: Path) -> None:
        if folder.is_dir():  # where a machine has it, a relative path is what it is for who asks
            os.chdir(folder)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return run_and_tell(function, *arguments)


class RayWorkers:
    """See `Workers`. An actor whose process ends is started again, and does its work again."""

    def __init__(self, actors: list[Any]) -> None:
        self.size = len(actors)
        self._next = cycle(actors)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        reference = next(self._next).run.remote(function, *arguments)
        return lambda: _result(reference)


def _result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        first = str(error).strip().partition("\n")[0]
        raise RuntimeError(f"Ray: {first}; run the command again, it goes on") from error


@contextmanager
def ray_workers(address: str, size: int) -> Iterator[RayWorkers]:
    """So many actors of one core each. address: of a cluster, or `local` for one that lives as long as this.

    Raises ConnectionError if there is no cluster.
    """
    import ray

    ray.init(
        address=address,
        num_cpus=size if address == "local" else None,
        runtime_env={"env_vars": ONE_THREAD},
        log_to_driver=False,
        include_dashboard=False if address == "local" else None,
    )
    try:
        kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Actor)
        yield RayWorkers([kind.remote(Path.cwd()) for _ in range(size)])
    finally:
        ray.shutdown()
