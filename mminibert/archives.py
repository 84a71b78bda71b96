"""Compressed files and archives, unpacked within bounds, so that a small one cannot fill the memory."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast
from zipfile import ZipFile

import numpy as np

from .files import reading

__all__ = ["MOST_BYTES", "MOST_TIMES", "members", "read_arrays", "unpacking"]

MOST_TIMES, MOST_BYTES = 200, 1 << 26
"""A file may unpack to so many times its size, or to 64 MB if that is more. Treebanks take 10 to 20 times."""
_OPEN: dict[str, Callable[[Path], Any]] = {".xz": lzma.open, ".bz2": bz2.open}


def _bound(path: Path) -> int:
    return max(MOST_TIMES * path.stat().st_size, MOST_BYTES)


def _too_big(most: int) -> ValueError:
    return ValueError(f"it unpacks to more than {most:,} bytes")


class _Bounded(io.RawIOBase):
    """What can be read from another file, ValueError once it is more than so many bytes."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most, self._left = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = int(cast("Any", self._file).readinto(buffer))
        self._left -= n
        if self._left < 0:
            raise _too_big(self._most)
        return n


@contextmanager
def unpacking(path: Path, remedy: str) -> Iterator[BinaryIO]:
    """The content of an .xz or .bz2 file. Raises ValueError with the file and the remedy if it is damaged, or
    more than it may be; see `files.reading`."""
    with reading(path, remedy), _OPEN[path.suffix](path) as file:
        yield cast("BinaryIO", io.BufferedReader(_Bounded(file, _bound(path))))


def members(path: Path, remedy: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a ``.tar.xz``. Raises ValueError as `unpacking` does, and for a link,
    a device or a name that leads out of the archive, though nothing is written by these names."""
    with unpacking(path, remedy) as file, tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                raise ValueError(f"got {member.name!r}, expected plain files within the archive")
            if (content := tar.extractfile(member)) is not None:
                yield member.name, content.read()


def read_arrays(path: Path, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file; nothing is unpickled. Raises ValueError as `unpacking` does."""
    with reading(path, remedy), path.open("rb") as file:
        with ZipFile(file) as archive:
            if sum(info.file_size for info in archive.infolist()) > (most := _bound(path)):
                raise _too_big(most)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
