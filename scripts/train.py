"""Train a system on gold labels with `spacy train`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.config import Profile, compose
from mminibert.corpus import collect_labels
from mminibert.files import write_json


def main(
    system: Annotated[str, typer.Argument(help="a row of configs/systems.toml, such as mbert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU")] = -1,
) -> None:
    settings = Profile.read(profile)
    output = settings.training(system)
    output.mkdir(parents=True, exist_ok=True)
    labels = settings.corpus / "labels.json"
    write_json(labels, collect_labels(settings.corpus, settings.treebanks).to_json())
    config = output / "config.cfg"
    compose(system, settings).to_disk(config)
    command = [sys.executable, "-m", "spacy", "train", str(config), "--output", str(output)]
    sys.exit(subprocess.run([*command, "--gpu-id", str(gpu)]).returncode)


if __name__ == "__main__":
    typer.run(main)
