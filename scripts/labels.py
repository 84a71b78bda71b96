"""Compare the label schemes: factored heads and spaCy's morphologizer, a model a treebank and one for all."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.experiments.label_schemes import SCHEMES, compare, to_markdown, train_scheme, write_vocabulary
from mminibert.files import atomic_path, write_json
from mminibert.project.profile import Profile


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    out: Annotated[Path, typer.Argument(help="folder for labels.json and labels.md")],
) -> None:
    """What fails is named at the end, with status 1, and does not stop the others; call again to continue."""
    settings = Profile.read(profile)
    folder = settings.training("labels")
    vocabulary = folder / "vocab.txt"
    if not vocabulary.exists():
        write_vocabulary(settings, vocabulary)
    found, failed = [], []
    scopes = {name: [name] for name in settings.treebanks}
    if len(scopes) > 1:
        scopes["all"] = settings.treebanks
    for scope, treebanks in scopes.items():
        folders = {scheme: folder / scope / scheme for scheme in SCHEMES}
        status = {
            scheme: train_scheme(scheme, settings, treebanks, path, vocabulary=vocabulary)
            for scheme, path in folders.items()
        }
        if any(status.values()):
            failed.append(scope)
            continue
        found.append(compare(scope, folders, settings.corpus, treebanks))
        command = shlex.join(["python", *sys.argv])
        write_json(out / "labels.json", {"command": command, "models": found})
        with atomic_path(out / "labels.md") as temporary:
            temporary.write_text(to_markdown(found, command=command), encoding="utf-8")
    if failed:
        raise RuntimeError(f"not trained: {', '.join(failed)}; run the command again to continue")


if __name__ == "__main__":
    run_command(main)
