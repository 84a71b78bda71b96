"""Pack what training on a GPU needs into training/<profile>/bundle, a folder of arrays."""

from __future__ import annotations

from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.project.profile import Profile
from mminibert.systems.pack import make_bundle


def main(profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")]) -> None:
    settings = Profile.read(profile)
    make_bundle(settings, settings.training("bundle"), typer.echo)


if __name__ == "__main__":
    run_command(main)
