"""Training on an accelerator: make a profile's bundle, or pipelines of what `accelerate.py` returned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mminibert.accelerator.chain import make_bundle, unpack
from mminibert.config import Profile

app = typer.Typer(add_completion=False)
Name = Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")]


@app.command()
def make(profile: Name, target: Path) -> None:
    """Write the bundle, a folder of arrays."""
    make_bundle(Profile.read(profile), target, typer.echo)


@app.command(name="unpack")
def unpack_results(profile: Name, bundle: Path, results: Path) -> None:
    """Write the trained pipelines to training/<profile>, in place of those that are there."""
    unpack(Profile.read(profile), bundle, results, typer.echo)


if __name__ == "__main__":
    app()
