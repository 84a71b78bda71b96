"""Writes of whole files and folders, where they may go, and checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time
TEMPORARY = ".tmp-"
"""What names begin with while they are being written, so that `listed` has none of them."""
CAUSE = 200
"""Characters of the cause that an error repeats."""
SWAPS = 100
"""Attempts to put a folder in its place while others do."""
LEFT_OVER_SECONDS = 3600
"""What nobody wrote to for so long is of a run that was killed."""


def listed(folder: Path, pattern: str) -> list[Path]:
    """The paths below a folder that match a pattern, sorted. Hidden ones, as what is half written is, and
    what hidden folders hold are left out."""
    found = sorted(folder.glob(pattern))
    return [path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts)]


def cut(text: str, most: int = CAUSE) -> str:
    """The text as a message repeats it: cut, with … after it, if it has more characters than these."""
    return text if len(text) <= most else text[:most] + "…"


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """Turn whatever content makes a reader raise into a ValueError of one line with file, cause and remedy.

    Readers raise a dozen kinds for it, of zipfile, lzma, NumPy, codecs and JSON, and KeyError where something
    lacks. Errors of the file system, such as that it is absent, pass.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        cause = cut(" ".join(f"{type(error).__name__}: {error}".split()))
        raise ValueError(f"{path}: damaged or of another kind ({cause}); {remedy}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in errors of the file system that do not, as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:  # NumPy's, when the disk is full
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path, remedy: str, *keys: str) -> dict[str, Any]:
    """The object of a JSON file that has these keys; see `reading`."""
    with reading(path, remedy):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"got {type(found).__name__}, expected an object")
        for key in keys:
            found[key]
    return found


def read_text(path: Path) -> str:
    """The content of a text file of the user. Raises ValueError if it is not in UTF-8, see `reading`."""
    with reading(path, "save it in UTF-8"):
        return path.read_text(encoding="utf-8")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it on success and removed on failure.

    The folder is made if absent. The temporary name is unique, so processes that write the same file do
    not disturb each other, and keeps the suffixes of `path`. What killed runs left in the folder is removed.
    Raises FileNotFoundError if nothing was written to it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}")
    try:
        with writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Another run may be writing at this moment: what is fresh may be its own."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError):  # renamed meanwhile
            if path.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


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
    """One SHA-256 of the names and contents of all files below a folder, less byte code and hidden ones."""
    digest = hashlib.sha256()
    for path in (path for path in listed(folder, "**/*") if path.is_file()):
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
    """Write a folder under a temporary name beside `path`, then put it in the place of what is there.

    write: gets the temporary path, where nothing is. If it fails, all is as it was. Of a link the folder that
    it leads to is replaced. The temporary name is unique: of processes that write the same folder the last
    one leaves its own, whole. Raises NotADirectoryError, before anything is written, if `path` is a file.
    """
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, expected a folder or a new name")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}")
    recover_folder(path)
    _sweep(path.parent)
    try:
        with writing(path):
            write(new)
        _swap(new, path)
    finally:
        recover_folder(path)
        for rest in (new, _old(path)):
            shutil.rmtree(rest, ignore_errors=True)


def _old(path: Path) -> Path:
    return path.with_name(f".old-{path.name}")


def _swap(new: Path, path: Path) -> None:
    """Put a folder in the place of another, while other processes may do so too."""
    for left in reversed(range(SWAPS)):
        try:
            if path.exists():
                shutil.rmtree(_old(path), ignore_errors=True)
                path.rename(_old(path))
            new.rename(path)
            return
        except OSError:  # another one was between its two renames
            if not left or not new.exists():
                raise
            time.sleep(0.01)


def recover_folder(path: Path) -> None:
    """Put back what was there before, if a run of `replace_folder` was killed between its two renames."""
    path = path.resolve()
    if _old(path).exists() and not path.exists():
        with suppress(OSError):  # another process did, or put a new one there
            _old(path).rename(path)


def check_apart(output: Path, inputs: Iterable[str | Path | None]) -> None:
    """Raises ValueError if an output is, contains or lies in one of the inputs, whatever links lead there.

    Inputs that are None, or that do not exist, are passed over.
    """
    for path in inputs:
        if path is not None and (_lies_in(output, Path(path)) or _lies_in(Path(path), output)):
            raise ValueError(
                f"got the output {output}, which is, contains or lies in the input {path}; give another place"
            )


def _lies_in(path: Path, folder: Path) -> bool:
    path = path.resolve()
    places = (place for place in (path, *path.parents) if place.exists())
    return folder.exists() and any(place.samefile(folder) for place in places)


def check_vacant(
    output: Path, *, unless: str | None = None, mend: str = "give another name, or delete it"
) -> None:
    """Raises FileExistsError if something other than an empty folder is there.

    unless: a file by which a folder is known as what the caller makes, and may replace. mend: what to do.
    What a run that was killed was writing (`TEMPORARY`) counts as nothing.
    """
    if not output.exists():
        return
    if output.is_dir() and all(path.name.startswith(TEMPORARY) for path in output.iterdir()):
        return
    if unless is None or not (output / unless).is_file():
        kind = f" without {unless}" if unless else ""
        raise FileExistsError(f"{output} is there already{kind}; {mend}")
