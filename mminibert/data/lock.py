"""One run at a time in a folder of outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["LOCK", "only_run"]

LOCK = ".lock"
"""A hidden file of the folder, so that nothing lists it, there while a run writes."""


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made if absent, and goes again if nothing was written to it.

    The lock is the operating system's, which a process that is killed loses, whatever file it leaves. Raises
    RuntimeError if another run has it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, blocking=False):
            try:
                yield
            finally:
                with suppress(OSError):  # Windows keeps a file that is open
                    (folder / LOCK).unlink()
    except Timeout:
        raise RuntimeError(f"{folder}: another run writes there; wait for its end, or stop it") from None
    finally:
        with suppress(OSError):  # one that holds something stays
            for path in made:
                path.rmdir()
