"""Train a system: one model, or one a treebank; what is done is kept, an interrupted run continues."""

from __future__ import annotations

from typing import Annotated

import spacy
import torch
import typer
from transformers.utils.logging import set_verbosity_error

from mminibert.command import run_command
from mminibert.project.profile import Profile
from mminibert.systems.progress import Bar
from mminibert.systems.spacy_train import runs, train
from mminibert.systems.train import has_own_loop, make_training
from mminibert.training.model import device_of
from mminibert.training.ranks import Ranks, torchrun_ranks


def main(
    system: Annotated[str, typer.Argument(help="a row of configs/systems.toml, such as mbert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    threads: Annotated[int, typer.Option(help="processor threads", min=1)] = 1,
    gpu: Annotated[
        int,
        typer.Option(help="GPU id, -1 for CPU; of the first process where torchrun starts several", min=-1),
    ] = -1,
) -> None:
    """A model that fails is reported at the end, with status 1, and does not stop the others."""
    with torchrun_ranks() as ranks:
        gpu = gpu if gpu < 0 else gpu + ranks.local
        device_of(gpu)
        settings = Profile.read(profile)
        if has_own_loop(system):
            _train_together(system, settings, threads, gpu, ranks)
        elif ranks.size == 1:
            _train_each(system, settings, gpu)
        else:
            raise ValueError(f"got {ranks.size} processes, expected one for {system}; leave out torchrun")


def _train_together(system: str, settings: Profile, threads: int, gpu: int, ranks: Ranks) -> None:
    # Loading some layers of an encoder is meant; transformers warns of each weight that it leaves out.
    set_verbosity_error()
    spacy.util.logger.setLevel("WARNING")
    torch.set_num_threads(threads)
    training = make_training(system, settings, gpu=gpu, ranks=ranks)
    if not ranks.is_first:
        training.run()
        return
    done = training.run(Bar(training.schedule.words), say=typer.echo)
    typer.echo(f"{training.output / 'model-best'}: best dev score {done.best:.4f}")


def _train_each(system: str, settings: Profile, gpu: int) -> None:
    failed = []
    for run in runs(system, settings):
        if status := train(run, gpu=gpu, say=typer.echo):
            failed.append(f"{run.treebank or system} (spacy train: {status})")
    if failed:
        typer.echo(f"Error: not trained: {', '.join(failed)}; run the command again to continue", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
