"""How every command ends: what its user can mend is said in a line, a bug shows where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from .errors import told
from .files import cut

LONGEST = 2000
"""Characters of an error that are shown."""


def run_command(main: Callable[..., Any]) -> None:
    """Run a function as a command, its parameters as arguments and options; see `reported`."""
    with reported():
        typer.run(main)


@contextmanager
def reported() -> Iterator[None]:
    """Turn an error that its user can mend, see `told`, into a line on stderr and status 1. Anything else
    passes, and shows its traceback."""
    try:
        yield
    except Exception as error:
        text = told(error)
        if text is None:
            raise
        typer.echo(f"Error: {cut(text, LONGEST)}", err=True)
        raise SystemExit(1) from None
