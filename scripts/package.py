"""Make the wheels of a profile: the library, the multilingual pipeline, and one a language."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.files import atomic_path
from mminibert.packaging.build import package
from mminibert.packaging.records import SUFFIXES, SYSTEM
from mminibert.project.package_names import PACKAGE
from mminibert.project.profile import RELEASE, Profile

RELEASES = Path("packages")
RELEASED = {
    RELEASE: (f"{PACKAGE}-", *(f"xx_{PACKAGE}{suffix}-" for suffix in SUFFIXES.values())),
    "permissive": (f"fi_{PACKAGE}_permissive-",),
}
"""By profile, how the names of the wheels begin that are committed."""


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    languages: Annotated[str, typer.Option(help="`all`, `none`, or codes with commas between")] = "all",
    system: Annotated[
        str, typer.Option(help="mminibert, the student, or mbert, the teacher, as the large pipeline")
    ] = SYSTEM,
    publish: Annotated[
        bool, typer.Option("--publish", help="copy what a release is to packages/, which is committed")
    ] = False,
) -> None:
    settings = Profile.read(profile)
    if publish and profile not in RELEASED:
        known = " or ".join(RELEASED)
        raise ValueError(f"got --publish with the profile {profile}, expected {known}: no other is released")
    codes = [] if languages == "none" else [code.strip() for code in languages.split(",") if code.strip()]
    for path in package(settings, None if languages == "all" else codes, system=system):
        typer.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
        if publish and path.name.startswith(RELEASED[profile]):
            with atomic_path(RELEASES / path.name) as temporary:
                shutil.copyfile(path, temporary)
            for old in RELEASES.glob(f"{path.name.split('-')[0]}-*.whl"):
                if old.name != path.name:
                    old.unlink()


if __name__ == "__main__":
    run_command(main)
