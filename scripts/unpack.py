"""Make pipelines of what `accelerate.py` left in training/<profile>/returned."""

from __future__ import annotations

from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.project.profile import Profile
from mminibert.systems.unpack import unpack


def main(profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")]) -> None:
    """They take the place of what is in training/<profile>/mbert, mminibert and minibert."""
    settings = Profile.read(profile)
    unpack(settings, settings.training("bundle"), settings.training("returned"), typer.echo)


if __name__ == "__main__":
    run_command(main)
