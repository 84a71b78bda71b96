"""Tabulate the evaluations of all systems: a row a treebank, macro averages, the paper's figures beside."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.files import atomic_path, write_json
from mminibert.report import build_report, read_paper, read_results, to_markdown


def main(
    metrics: Annotated[
        Path, typer.Argument(help="Folder with <system>/<ltcode>.json, as evaluate.py writes them.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder for report.md and report.json.")],
    paper: Annotated[Path, typer.Option(help="Folder with the paper's tables 8 and 9.")] = Path(
        "configs/paper"
    ),
) -> None:
    command = shlex.join(["python", *sys.argv])
    try:
        report = build_report(read_results(metrics), read_paper(paper), command=command)
    except (FileNotFoundError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    text = to_markdown(report)
    write_json(out / "report.json", report)
    with atomic_path(out / "report.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
