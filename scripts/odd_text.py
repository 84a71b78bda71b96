"""Score text that is not written as treebanks are: decomposed, in capitals, with ligatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import spacy
import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.experiments.odd_text import scores, table
from mminibert.files import atomic_path, write_json


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    corpus: Annotated[Path, typer.Argument(help="a folder of treebanks, as `convert` writes them")],
    output: Annotated[Path, typer.Argument(help="a folder for odd-text.md and odd-text.json")],
    treebanks: Annotated[list[str], typer.Argument(help="their test files are read")],
    most: Annotated[int, typer.Option(help="sentences of each", min=1)] = 500,
) -> None:
    nlp = spacy.load(pipeline)
    found = {}
    for code in tqdm(treebanks, unit="treebank"):
        found[code] = dict(scores(nlp, corpus / code / "test.conllu", most=most))
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "odd-text.json", {"pipeline": nlp.meta, "sentences": most, "scores": found})
    text = table(found)
    with atomic_path(output / "odd-text.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    run_command(main)
