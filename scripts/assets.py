"""Prepare the assets of a profile: treebanks, unlabelled text, vocabulary and teacher; download and check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.project.assets import prepare
from mminibert.project.profile import Profile, check_overrides
from mminibert.project.step_lock import check_step_lock


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    mirror: Annotated[str, typer.Option(help="folder with a copy of UD 2.3, for profiles that need it")] = "",
) -> None:
    """Write assets/PROFILE; what is there already is kept, so that an interrupted run continues."""
    check_step_lock()
    settings = Profile.read(profile)
    check_overrides(settings)
    with tqdm(unit="file", disable=None, leave=False, delay=0.5) as bar:

        def progress(name: str, total: int) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        for line in prepare(settings, Path(mirror) if mirror else None, progress):
            tqdm.write(line)


if __name__ == "__main__":
    run_command(main)
