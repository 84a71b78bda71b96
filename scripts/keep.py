"""Keep a trained teacher as a file of some 40 MB, from which no later run needs to train it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.project.profile import Profile
from mminibert.systems.kept import keep, restore


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    weights: Annotated[Path, typer.Argument(help="the file, such as packages/mbert.npz")],
    again: Annotated[
        bool, typer.Option("--restore", help="make training/<profile>/mbert/model-best of the file")
    ] = False,
) -> None:
    """Write what training changed in the teacher, in 8 bits, or read it."""
    (restore if again else keep)(Profile.read(profile), weights)
    typer.echo(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)
