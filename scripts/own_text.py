"""Write what a pipeline makes of text that is segmented by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import spacy
import typer

from mminibert.command import run_command
from mminibert.experiments.own_text import read_own_text, table
from mminibert.files import atomic_path


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    sentences: Annotated[Path, typer.Argument(help="as docs/own_text/sentences.txt")],
    output: Annotated[Path, typer.Argument(help="a Markdown file to write")],
) -> None:
    text = table(spacy.load(pipeline), read_own_text(sentences))
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    run_command(main)
