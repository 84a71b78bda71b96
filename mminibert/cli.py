"""The command `mminibert`: for trained pipelines, without the repository."""

from __future__ import annotations

import os

import typer

from .command import reported
from .commands.annotate import annotate
from .commands.benchmark import benchmark
from .commands.conventions import conventions
from .commands.finetune import finetune
from .commands.quantize import quantize
from .commands.serve import serve
from .commands.show import show
from .commands.subset import subset
from .processes import ONE_THREAD

__all__ = ["ONE_THREAD", "app", "main"]

# Read when torch is imported: threads that wait for others must not take the core of another process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    help="One small, fast, multilingual tagger: tools for trained pipelines.", no_args_is_help=True
)
for command in (annotate, serve, show, quantize, finetune, subset, conventions, benchmark):
    app.command()(command)


def main() -> None:
    """The command; see `reported` for its errors."""
    with reported():
        app(prog_name="mminibert")
