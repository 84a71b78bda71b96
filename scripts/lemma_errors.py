"""List the most frequent wrong lemmas of treebanks, on gold words in their convention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import spacy
import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.data.conllu import read_conllu
from mminibert.data.corpus import forms_of
from mminibert.experiments.lemma_errors import lemma_errors, table
from mminibert.files import atomic_path, write_json


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    corpus: Annotated[Path, typer.Argument(help="of the step `convert`")],
    output: Annotated[Path, typer.Argument(help="a folder for lemma-errors.md and lemma-errors.json")],
    treebanks: Annotated[list[str], typer.Argument(help="such as fi_tdt")],
    split: Annotated[str, typer.Option(help="dev or test")] = "dev",
) -> None:
    nlp = spacy.load(pipeline)
    found = {}
    for code in tqdm(treebanks, unit="treebank"):
        sentences = list(read_conllu(corpus / code / f"{split}.conllu"))
        found[code] = lemma_errors(nlp, sentences, code, forms_of(corpus, code, "train"))
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "lemma-errors.json", {"pipeline": pipeline, "split": split, "treebanks": found})
    with atomic_path(output / "lemma-errors.md") as temporary:
        temporary.write_text(table(found), encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
