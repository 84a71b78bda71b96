"""Collect the student's targets: the teacher's probabilities and embeddings, or the gold labels."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Annotated

import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.files import read_json
from mminibert.project.profile import Profile
from mminibert.systems.collect import collect_gold, collect_soft


class Labels(str, Enum):
    teacher = "teacher"
    gold = "gold"


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    labels: Annotated[Labels, typer.Option(help="whose labels")] = Labels.teacher,
    jobs: Annotated[int, typer.Option(help="processes, one core each", min=1)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="address of a Ray cluster, whose processes work; `local` for one of this machine"),
    ] = None,
) -> None:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    settings = Profile.read(profile)
    if labels is Labels.gold:
        target = settings.corpus / "gold_targets"
        for _ in tqdm(collect_gold(settings), desc="gold labels", unit="shard"):
            pass
    else:
        target = settings.corpus / "soft_targets"
        bars: dict[str, tqdm] = {}
        for unit, done, total in collect_soft(settings, processes=jobs, ray=ray):
            if unit not in bars:
                bars[unit] = tqdm(total=total, desc="teacher", unit=unit, unit_scale=True)
            bars[unit].update(done - bars[unit].n)
    manifest = read_json(target / "manifest.json", "run `collect` again")
    print(f"{target}: {manifest['words']:,} words, {manifest['bytes_per_word']} bytes a word")


if __name__ == "__main__":
    run_command(main)
