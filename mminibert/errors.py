"""What to say of an error: a line that its user can act on, or nothing, of a bug."""

from __future__ import annotations

import errno
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from .files import reading

__all__ = ["run_and_tell", "told"]

_SPACE = "free some space and run the command again, what is done is kept"
_RIGHTS = "allow it, or take another folder"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
}

PIPELINE = "install its package again (pip install --force-reinstall), or make the folder anew"
"""What helps if a pipeline does not load."""


def told(error: Exception) -> str | None:
    """What to say of an error, in one line; None of a bug.

    Somebody wrote a message for OSError, for ImportError of an extra that is not installed, and for what a
    ``raise`` statement made; and whatever ended the loading of a pipeline is its files'. Anything else is a
    bug, as is a ValueError by Python itself or by C code, such as that of arrays whose shapes differ.
    """
    if hasattr(error, "told"):  # by the process that it is of
        return error.told
    text = _of_pipeline(error) or _text(error)
    return None if text is None else " ".join(part.strip() for part in text.splitlines() if part.strip())


def run_and_tell(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function for another process. Its error gets what is told of it as its attribute ``told``, as the
    frames that say so stay here; one that cannot go there becomes a RuntimeError."""
    try:
        return function(*arguments)
    except Exception as error:
        error.told = told(error)  # type: ignore[attr-defined]
        if not _can_go(error):
            instead = RuntimeError(f"{type(error).__name__}: {error}")
            instead.told = error.told  # type: ignore[attr-defined]
            raise instead from error
        raise


def _can_go(error: Exception) -> bool:
    try:
        return hasattr(pickle.loads(pickle.dumps(error)), "told")
    except Exception:  # anything, by a constructor that wants other arguments
        return False


def _text(error: Exception) -> str | None:
    if isinstance(error, ImportError) and error.name and (extra := _extra_of(error.name)):
        return f"no package {error.name}; it comes with the extra `{extra}`: pip install 'mminibert[{extra}]'"
    raised_by = traceback.extract_tb(error.__traceback__)[-1].line or ""
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error}; {REMEDIES[error.errno]}"
    if isinstance(error, OSError) or raised_by.startswith("raise "):
        return str(error)
    return None


def _of_pipeline(error: Exception) -> str | None:
    """What to say of an error that ended the loading of a pipeline; None of others, and of a package that
    lacks."""
    spacy = sys.modules.get("spacy.util")
    if spacy is None or isinstance(error, ImportError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    loader = spacy.load_model_from_path.__code__
    folder = next((Path(frame.f_locals["model_path"]) for frame in frames if frame.f_code is loader), None)
    if folder is None:
        return None
    said = str(error)
    if str(folder) in said and "install" in said:  # by one of our components, which knows the file
        return said
    try:
        for path, read in _of_spacy(folder):
            with reading(path, PIPELINE):
                read(path)
        with reading(_read_last(frames) or folder, PIPELINE):
            raise error
    except (OSError, ValueError) as found:
        return str(found) if PIPELINE in str(found) else f"{found}; {PIPELINE}"


def _of_spacy(folder: Path) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """The parts of a pipeline that spaCy reads before all others, and what reads them."""
    import srsly
    from thinc.api import Config

    yield folder / "meta.json", lambda path: srsly.json_loads(path.read_bytes())
    yield folder / "config.cfg", lambda path: Config().from_str(path.read_text("utf-8"))["nlp"]["pipeline"]


def _read_last(frames: list[Any]) -> Path | None:
    """The file or folder that spaCy's components were reading."""
    import spacy.util

    reader = spacy.util.from_disk.__code__
    found = [frame.f_locals for frame in frames if frame.f_code is reader and "key" in frame.f_locals]
    return found[-1]["path"] / found[-1]["key"] if found else None


def _extra_of(module: str) -> str | None:
    """The extra of this package whose requirements have a module, by the package's metadata."""
    name = re.escape(module.partition(".")[0])
    try:
        declared = requires("mminibert") or []
    except PackageNotFoundError:  # only the sources are there
        return None
    for requirement in declared:
        found = re.match(rf'{name}[\W_].*extra == "(\w+)"', requirement.replace("-", "_"))
        if found:
            return found[1]
    return None
