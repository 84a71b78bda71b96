"""How every command ends: what its user can mend is said in a line, a bug shows where it is."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

import typer

from .files import cut

LONGEST = 2000
"""Characters of an error that are shown."""
_SPACE = "free some space and run the command again, what is done is kept"
_RIGHTS = "allow it, or take another folder"
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
}


def run_command(main: Callable[..., Any]) -> None:
    """Run a function as a command, its parameters as arguments and options; see `reported`."""
    with reported():
        typer.run(main)


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that somebody wrote a message for into that message on stderr and status 1.

    These are OSError, ImportError of an extra that is not installed, and what a ``raise`` statement made of
    ValueError, RuntimeError and ImportError. Anything else is a bug, as is a ValueError by Python itself or
    by C code, such as that of arrays whose shapes differ: it passes, and shows its traceback.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        text = _text(error)
        if text is None:
            raise
        typer.echo(f"Error: {cut(text, LONGEST)}", err=True)
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
