"""Whole-file writes and checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure.

    The folder is made if absent. The temporary name is unique, so processes that write the same file do
    not disturb each other, and keeps the suffixes of `path`. Raises FileNotFoundError if nothing was
    written to it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented UTF-8 JSON with a final newline, whole or not at all.

    Raises TypeError or ValueError (NaN, infinity) for what JSON cannot hold; `path` is then untouched.
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    return _hash(hashlib.sha256(), Path(path))


def folder_sha256(folder: Path) -> str:
    """One SHA-256 of the names and contents of all files below a folder, byte code left out."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" not in name:
            digest.update(f"{name}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def git_blob_id(path: str | Path) -> str:
    """The id git gives a file's bytes: SHA-1 of `blob <size>`, a zero byte and the content."""
    path = Path(path)
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % path.stat().st_size)
    return _hash(digest, path)


def _hash(digest: Any, path: Path) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())


def replace_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Write a folder beside the one that is there, then put it in its place."""
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    write(partial)
    if path.exists():
        shutil.rmtree(path)
    partial.rename(path)
