"""Measure what share of a pipeline's time its lemmas take: test text, after dev text, in one process."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.experiments.lemma_speed import speed, table, texts_of
from mminibert.files import atomic_path, write_json


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    corpus: Annotated[Path, typer.Argument(help="of the step `convert`")],
    output: Annotated[Path, typer.Argument(help="a folder for lemma-speed.md and lemma-speed.json")],
    treebanks: Annotated[list[str], typer.Argument(help="such as fi_tdt")],
) -> None:
    found = {}
    for code in tqdm(treebanks, unit="treebank"):
        dev, test = (texts_of(corpus / code / f"{split}.conllu") for split in ("dev", "test"))
        found[code] = speed(pipeline, dev, test)
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "lemma-speed.json", {"pipeline": pipeline, "treebanks": found})
    with atomic_path(output / "lemma-speed.md") as temporary:
        temporary.write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
