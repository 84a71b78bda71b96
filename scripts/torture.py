"""Attack the steps of a project and a pipeline, as docs/torture.md says, and write what became of it."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.experiments import torture
from mminibert.files import write_json

ROOT = Path(__file__).resolve().parents[1]


def main(
    output: Annotated[Path, typer.Argument(help="a JSON file to write")] = Path("metrics/torture.json"),
    pipeline: Annotated[str, typer.Option(help="what is cut to a small one")] = "xx_mminibert",
    minutes: Annotated[float, typer.Option(help="at most, about", min=1.0)] = 10.0,
) -> None:
    start, outcomes = time.monotonic(), []

    def tried(outcome: torture.Outcome) -> None:
        outcomes.append(outcome)
        typer.echo(f"{outcome.attack}: {outcome.well} of {outcome.tried} as it must be")

    with TemporaryDirectory() as folder:
        work = Path(folder).resolve()
        small = torture.prepare(ROOT, work, pipeline)
        tried(torture.attack_headers(3000))
        for outcome in torture.attack_files(work / small, work, each=1 + int(minutes / 4)):
            tried(outcome)
        steps = torture.steps(ROOT, small)
        for left, step in zip(range(len(steps), 0, -1), steps, strict=True):
            for outcome in torture.attack_step(
                step, work, (60 * minutes - (time.monotonic() - start)) / left
            ):
                tried(outcome)
    write_json(output, torture.to_json(outcomes))
    typer.echo(torture.outcome_table(outcomes))
    if any(outcome.wrong for outcome in outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
