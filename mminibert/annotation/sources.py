"""Which files are read, as what, and their bytes without compression."""

from __future__ import annotations

import gzip
import io
import lzma
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, cast

from ..files import CAUSE, listed

__all__ = [
    "MOST_BYTES",
    "Kind",
    "Source",
    "UnreadableError",
    "lines_of",
    "opened",
    "readable",
    "sources",
    "total_size",
    "whole",
]

STANDARD_INPUT = "-"
MOST_BYTES = 1 << 26
"""Of a line, or of a file that is one document, no more is read."""


class Kind(str, Enum):
    """What an input is."""

    text = "text"
    lines = "lines"
    jsonl = "jsonl"
    parquet = "parquet"
    conllu = "conllu"


ENDINGS = {
    ".jsonl": Kind.jsonl,
    ".ndjson": Kind.jsonl,
    ".parquet": Kind.parquet,
    ".conllu": Kind.conllu,
}
COMPRESSED = (".gz", ".xz", ".zst")


class UnreadableError(ValueError):
    """Bytes that are damaged, or not what the name says."""


@dataclass(frozen=True)
class Source:
    """An input. path: None for standard input. name: what it is called in the output."""

    path: Path | None
    name: str
    kind: Kind

    @property
    def size(self) -> int:
        """Bytes on disk, 0 if unknown."""
        return self.path.stat().st_size if self.path else 0


def sources(inputs: Sequence[str], *, kind: Kind | None = None, plain: Kind = Kind.text) -> list[Source]:
    """The files of the inputs in order, those of a folder sorted, hidden ones left out.

    kind: of all of them; else it is known by the ending, and plain is that of all other endings. The name is
    the path within the folder that was given, or that of the file. Raises FileNotFoundError for what is not
    there, ValueError for two of one name, ImportError if a package lacks that one of them needs.
    """
    found: list[Source] = []
    for text in inputs:
        path = Path(text)
        if text == STANDARD_INPUT:
            found.append(Source(None, "stdin", kind or plain))
        elif path.is_dir():
            files = (file for file in listed(path, "**/*") if file.is_file())
            found += [
                Source(file, file.relative_to(path).as_posix(), kind or _kind(file, plain)) for file in files
            ]
        elif path.exists():
            found.append(Source(path, path.name, kind or _kind(path, plain)))
        else:
            raise FileNotFoundError(
                f"{path} is not there; expected a file, a folder, or - for standard input"
            )
    if not found:
        raise FileNotFoundError(f"{', '.join(inputs)} has no files; expected some to annotate")
    names: dict[str, Source] = {}
    for source in found:
        if source.name in names:
            raise ValueError(
                f"{names[source.name].path} and {source.path} are both called {source.name}, expected one of "
                "each name; give the folder that has both"
            )
        names[source.name] = source
        if source.kind is Kind.parquet and (source.path is None or source.path.suffix in COMPRESSED):
            raise ValueError(f"got Parquet from {source.name}, expected an uncompressed file")
    if any(source.kind is Kind.parquet for source in found):
        import pyarrow  # noqa: F401
    if any(source.path and source.path.suffix == ".zst" for source in found):
        import zstandard  # noqa: F401
    return found


def _kind(path: Path, plain: Kind) -> Kind:
    endings = path.suffixes[:-1] if path.suffix in COMPRESSED else path.suffixes
    return ENDINGS.get(endings[-1].lower(), plain) if endings else plain


@contextmanager
def opened(source: Source) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file, whose `tell` says how far it was read, and its bytes without compression."""
    if source.path is None:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with source.path.open("rb") as file:
        yield file, _uncompressed(file, source.path.suffix)


def _uncompressed(file: IO[bytes], ending: str) -> IO[bytes]:
    if ending == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if ending == ".xz":
        return cast("IO[bytes]", lzma.LZMAFile(file))
    if ending == ".zst":
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return cast("IO[bytes]", io.BufferedReader(cast("io.RawIOBase", reader)))
    return file


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends, without a byte order mark; one of more than `MOST_BYTES` is cut after the byte
    that is too much. Raises UnreadableError."""
    first = True
    while line := _read(stream.readline):
        if first:
            line, first = line.removeprefix(b"\xef\xbb\xbf"), False
        rest = line
        while len(line) > MOST_BYTES and rest and not rest.endswith(b"\n"):
            rest = _read(stream.readline)
        yield line


def whole(stream: IO[bytes]) -> bytes:
    """The same of all bytes. Raises UnreadableError."""
    parts: list[bytes] = []
    while sum(map(len, parts)) <= MOST_BYTES and (part := _read(stream.read)):
        parts.append(part)
    return b"".join(parts).removeprefix(b"\xef\xbb\xbf")


def _read(read: Callable[[int], bytes]) -> bytes:
    with readable():
        return read(MOST_BYTES + 1)


@contextmanager
def readable() -> Iterator[None]:
    """Turn what content makes a reader raise, a dozen kinds of gzip, zlib, lzma, zstandard and pyarrow, into
    UnreadableError; errors of the file system pass."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:CAUSE]
        raise UnreadableError(f"damaged or of another kind ({cause})") from error


def total_size(found: Sequence[Source]) -> int | None:
    """Bytes on disk; None if that of one is unknown."""
    return sum(source.size for source in found) if all(source.path for source in found) else None
