"""Train a system on gold labels with `spacy train`: one model, or one a treebank; what is done is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from mminibert.config import Profile
from mminibert.train import runs, train


def main(
    system: Annotated[str, typer.Argument(help="a row of configs/systems.toml, such as mbert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU")] = -1,
) -> None:
    """A model that fails is reported at the end, with status 1, and does not stop the others."""
    failed = []
    for run in runs(system, Profile.read(profile)):
        if status := train(run, gpu=gpu, say=typer.echo):
            failed.append(f"{run.treebank or system} (spacy train: {status})")
    if failed:
        typer.echo(f"Error: not trained: {', '.join(failed)}; run the command again to continue", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
