"""How every command ends: what its user can mend is said in a line, a bug shows where it is."""

from __future__ import annotations

import errno
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import typer

from .files import cut, reading

LONGEST = 2000
"""Characters of an error that are shown."""
_SPACE = "free some space and run the command again, what is done is kept"
_RIGHTS = "allow it, or take another folder"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
}

PIPELINE = "install its package again (pip install --force-reinstall), or make the folder anew"
"""What helps if a pipeline does not load."""


def run_command(main: Callable[..., Any]) -> None:
    """Run a function as a command, its parameters as arguments and options; see `reported`."""
    with reported():
        typer.run(main)


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that somebody wrote a message for into that message on stderr and status 1.

    These are OSError, ImportError of an extra that is not installed, and what a ``raise`` statement made of
    ValueError, RuntimeError and ImportError; and whatever ended the loading of a pipeline. Anything else is a
    bug, as is a ValueError by Python itself or by C code, such as that of arrays whose shapes differ: it
    passes, and shows its traceback.
    """
    try:
        yield
    except Exception as error:
        text = _of_pipeline(error) or _text(error)
        if text is None:
            raise
        line = " ".join(part.strip() for part in text.splitlines() if part.strip())
        typer.echo(f"Error: {cut(line, LONGEST)}", err=True)
        raise SystemExit(1) from None


def _text(error: Exception) -> str | None:
    """What to say of an error, None of a bug."""
    if isinstance(error, ImportError) and error.name and (extra := _extra_of(error.name)):
        # First, as one of another process is raised again here.
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
    loader = spacy.load_model_from_path.__code__
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    folder = next((Path(frame.f_locals["model_path"]) for frame in frames if frame.f_code is loader), None)
    if folder is None:
        return None
    told = str(error)
    if str(folder) in told and "install" in told:  # by one of our components, which knows the file
        return told
    try:
        for path, read in _of_spacy(folder):
            with reading(path, PIPELINE):
                read(path)
        with reading(folder, PIPELINE):
            raise error
    except (OSError, ValueError) as found:
        return str(found) if PIPELINE in str(found) else f"{found}; {PIPELINE}"


def _of_spacy(folder: Path) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """The parts of a pipeline that spaCy reads without saying which is damaged, and what reads them."""
    import srsly
    from spacy.vocab import Vocab
    from thinc.api import Config

    yield folder / "meta.json", lambda path: srsly.json_loads(path.read_bytes())
    yield folder / "config.cfg", lambda path: Config().from_str(path.read_text("utf-8"))["nlp"]["pipeline"]
    if (folder / "vocab").exists():
        yield folder / "vocab", lambda path: Vocab().from_disk(path)


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
