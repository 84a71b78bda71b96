"""Train the variants of a file of ablations, each with one setting changed, and tabulate their dev scores."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import spacy
import torch
import typer

from mminibert.command import run_command
from mminibert.experiments.ablate import Ablations, make_corpus, to_markdown
from mminibert.files import atomic_path, write_json
from mminibert.systems.progress import Bar
from mminibert.systems.train import make_training
from mminibert.training.model import device_of


def main(
    path: Annotated[Path, typer.Argument(help="the file of ablations", metavar="FILE")],
    out: Annotated[Path, typer.Argument(help="folder for ablations.json and ablations.md")],
    mirror: Annotated[str, typer.Option(help="copy of UD 2.3, for variants with own treebanks")] = "",
    threads: Annotated[int, typer.Option(help="processor threads", min=1)] = 1,
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU", min=-1)] = -1,
) -> None:
    """The tables are written anew after each training; called again, it continues."""
    device_of(gpu)
    spacy.util.logger.setLevel("WARNING")
    torch.set_num_threads(threads)
    ablations = Ablations.read(path)
    for variant in ablations.variants:
        typer.echo(f"== {variant.name}: {variant.change}")
        folder, profile = ablations.folder(variant), ablations.settings(variant)
        if variant.settings:
            for line in make_corpus(profile, Path(mirror) if mirror else None):
                typer.echo(line)
        training = make_training(ablations.system, profile, output=folder, gpu=gpu)
        training.run(Bar(training.schedule.words))
        _write(ablations, out)


def _write(ablations: Ablations, out: Path) -> None:
    rows, command = ablations.rows(), shlex.join(["python", *sys.argv])
    description = f"System `{ablations.system}`, profile `{ablations.profile.name}`, scores on dev sets."
    write_json(out / "ablations.json", {"command": command, "description": description, "rows": rows})
    with atomic_path(out / "ablations.md") as temporary:
        text = to_markdown(rows, description=description, command=command)
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
