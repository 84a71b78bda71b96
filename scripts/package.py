"""Make the wheels of a profile: the library, the multilingual pipeline, and one a language."""

from __future__ import annotations

from typing import Annotated

import typer

from mminibert.config import Profile
from mminibert.package import package


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    languages: Annotated[str, typer.Option(help="codes with commas between; by default all")] = "",
) -> None:
    wanted = [code.strip() for code in languages.split(",") if code.strip()] or None
    try:
        for path in package(Profile.read(profile), wanted):
            typer.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
