"""Learn treebanks that a pipeline does not know as `mminibert finetune` does, and score a tenth of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.experiments.own_treebank import learn, table
from mminibert.files import atomic_path, write_json


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    output: Annotated[Path, typer.Argument(help="a folder for own-treebank.md and own-treebank.json")],
    treebanks: Annotated[list[Path], typer.Argument(help="CoNLL-U, such as de_pud-ud-test.conllu")],
) -> None:
    found = {path.name.split("-")[0]: learn(pipeline, path) for path in tqdm(treebanks, unit="treebank")}
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "own-treebank.json", {"pipeline": pipeline, "treebanks": found})
    text = table(found)
    with atomic_path(output / "own-treebank.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    run_command(main)
