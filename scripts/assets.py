"""Prepare the assets of a profile: treebanks, unlabelled text, vocabulary and teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.project.assets import prepare
from mminibert.project.profile import Profile


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    mirror: Annotated[str, typer.Option(help="folder with a copy of UD 2.3, for profiles that need it")] = "",
) -> None:
    """Write assets/PROFILE; what is there already is kept."""
    for line in prepare(Profile.read(profile), Path(mirror) if mirror else None):
        typer.echo(line)


if __name__ == "__main__":
    run_command(main)
