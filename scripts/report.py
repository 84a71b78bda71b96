"""Tabulate the evaluations of all systems: a row a treebank, macro averages, the paper's figures beside."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.evaluation.report import build_report
from mminibert.evaluation.report_html import to_html
from mminibert.evaluation.report_markdown import to_markdown
from mminibert.evaluation.report_sources import REPORT, read_paper, read_results, read_table7, read_udpipe
from mminibert.files import atomic_path, write_json


def main(
    metrics: Annotated[
        list[Path],
        typer.Argument(help="Folders with <system>/<ltcode>.json, as evaluate.py writes them; one a seed."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for report.md, report.html and report.json.")],
    paper: Annotated[Path, typer.Option(help="Folder with the paper's tables 7, 8 and 9.")] = Path(
        "configs/paper"
    ),
    udpipe: Annotated[Path, typer.Option(help="Table with the figures of UDPipe.")] = Path(
        "docs/results/udpipe_2.3.tsv"
    ),
) -> None:
    command = shlex.join(["python", *sys.argv])
    runs = [read_results(folder) for folder in metrics]
    report = build_report(
        runs, read_paper(paper), command=command, table7=read_table7(paper), udpipe=read_udpipe(udpipe)
    )
    text = to_markdown(report)
    write_json(out / REPORT, report)
    for name, content in (("report.md", text), ("report.html", to_html(report))):
        with atomic_path(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    typer.echo(text)


if __name__ == "__main__":
    run_command(main)
