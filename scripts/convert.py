"""Convert the treebanks of a folder into the corpus that training and evaluation read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.data.convert import COUNTS, convert
from mminibert.data.treebanks import find_treebanks


def main(
    source: Annotated[Path, typer.Argument(help="folder with <ltcode>/<ltcode>-ud-{train,dev,test}.conllu")],
    target: Annotated[Path, typer.Argument(help="folder of the corpus; what is up to date there is kept")],
    treebanks: Annotated[str, typer.Option(help="codes with commas between; all if empty")] = "",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="leave out sentences that are in error")
    ] = False,
    seed: Annotated[int, typer.Option(help="choice of dev sentences where there is no dev file", min=0)] = 0,
) -> None:
    """Write <ltcode>/{train,dev,test}.spacy, .tokens.spacy, .conllu and manifest.json to TARGET."""
    names = [name.strip() for name in treebanks.split(",") if name.strip()] or None
    total = len(find_treebanks(source, names))
    with tqdm(total=total, unit="treebank", disable=None) as bar:

        def progress(ltcode: str) -> None:
            bar.set_postfix_str(ltcode)
            bar.update()

        manifest = convert(source, target, names, skip_bad=skip_bad, seed=seed, progress=progress)
    rows = [("treebank", "split", "labels", "role", *COUNTS)]
    for ltcode, record in manifest["treebanks"].items():
        for split, counts in record["splits"].items():
            kinds = (counts["labels"], record["role"])
            rows.append((ltcode, split, *kinds, *(str(counts[name]) for name in COUNTS)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    run_command(main)
