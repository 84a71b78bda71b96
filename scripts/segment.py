"""Train the segmenter, which finds tokens, sentences and multiword tokens in raw text."""

from __future__ import annotations

from typing import Annotated

import torch
import typer

from mminibert.command import run_command
from mminibert.project.profile import Profile
from mminibert.systems.segmenter import train_segmenter
from mminibert.systems.segmenter_again import learn_again


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    threads: Annotated[int, typer.Option(help="threads of PyTorch", min=1)] = 1,
    again: Annotated[
        str,
        typer.Option(
            help="codes of treebanks, with commas between, to learn anew on the networks that there are"
        ),
    ] = "",
) -> None:
    torch.set_num_threads(threads)
    settings = Profile.read(profile)

    def say(line: str) -> None:
        print(line, flush=True)

    if again:
        learn_again(settings, [code.strip() for code in again.split(",") if code.strip()], say)
    else:
        train_segmenter(settings, say)
    path = settings.segmenter
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    run_command(main)
