"""Learn lemmas from the LEMMA column of the training sets, and of the dev sets that conventions learn from:
edit scripts, a ranker a language, exceptions."""

from __future__ import annotations

from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.files import atomic_path
from mminibert.project.profile import Profile
from mminibert.systems.lemmas import FILE, fit_lemmas


def main(profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")]) -> None:
    settings = Profile.read(profile)
    lemmas = fit_lemmas(
        settings.corpus,
        settings.treebanks,
        conventions=settings.settings.conventions,
        say=lambda line: print(line, flush=True),
    )
    path = settings.training("lemmatizer") / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(lemmas.to_bytes())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run_command(main)
