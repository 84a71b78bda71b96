"""Compare a packaged pipeline with spaCy's small models on test files of their languages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from udtools import udeval  # GPL: a development dependency, used by scripts and never by the package

from mminibert.cli import ONE_THREAD
from mminibert.command import run_command
from mminibert.experiments.benchmark import machine
from mminibert.experiments.small_models import compare, table
from mminibert.files import atomic_path, write_json


def main(
    pipeline: Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")],
    corpus: Annotated[Path, typer.Argument(help="folder with <ltcode>/test.conllu")],
    output: Annotated[Path, typer.Argument(help="folder of small-models.json and .md")],
    peers: Annotated[
        list[str], typer.Argument(help="installed pipelines of one language, such as fr_core_news_sm")
    ],
    rounds: Annotated[int, typer.Option(help="of each measurement of speed", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="a round at most", min=0.01)] = 2.0,
) -> None:
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these variables when they are imported.
        raise typer.Exit(
            subprocess.run([sys.executable, *sys.argv], env={**os.environ, **ONE_THREAD}).returncode
        )
    records = []
    for record in compare(pipeline, peers, corpus, score=official, rounds=rounds, seconds=seconds):
        records.append(record)
        print(table([record]), flush=True)
        write_json(output / "small-models.json", {"machine": machine(), "peers": records})
        with atomic_path(output / "small-models.md") as temporary:
            temporary.write_text(table(records), encoding="utf-8")


def official(gold: Path, system: Path) -> dict[str, Any]:
    sides = []
    for path in (gold, system):
        with path.open(encoding="utf-8") as file:
            sides.append(udeval.load_conllu(file, str(path), {}))
    return dict(udeval.evaluate(*sides))


if __name__ == "__main__":
    run_command(main)
