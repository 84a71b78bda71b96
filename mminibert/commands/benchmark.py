"""Speeds, side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..processes import ONE_THREAD
from .options import Conllu, Pipeline


def benchmark(
    pipeline: Pipeline,
    sentences: Conllu,
    beside: Annotated[
        list[str],
        typer.Option(help="another pipeline, such as the student in torch or an earlier package; repeat it"),
    ] = [],  # noqa: B006
    udpipe: Annotated[Path | None, typer.Option(help="a model of UDPipe 1")] = None,
    convention: Annotated[
        str | None,
        typer.Option(help="that PIPELINE tags in, see `conventions`; else it is found in the text"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="of each measurement", min=1)] = 5,
    seconds: Annotated[
        float, typer.Option(help="a round at most, for a slow system by fewer sentences", min=0.001)
    ] = 2.0,
    output: Annotated[Path, typer.Option(help="folder of benchmark.json, .md and .svg")] = Path("benchmark"),
) -> None:
    """Compare speeds on one core in one run: this engine, others, spacy-transformers, spaCy's CNN, UDPipe."""
    from ..files import check_apart, write_json

    check_apart(output / "benchmark.json", map(Path, (pipeline, *beside)))
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these variables when they are imported.
        command = [sys.executable, "-m", "mminibert", *sys.argv[1:]]
        raise typer.Exit(subprocess.run(command, env={**os.environ, **ONE_THREAD}).returncode)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from ..experiments.benchmark import machine, measure, plot, read_samples, summary, table
    from ..experiments.peers import open_systems

    samples = read_samples(sentences)
    systems, missing = open_systems(pipeline, beside=beside, udpipe_model=udpipe, convention=convention)
    for name, reason in missing.items():
        typer.echo(f"missing: {name} ({reason})")
    rows = {}
    with typer.progressbar(length=1, label="measuring") as bar:
        before = 0
        for done, total, row in measure(systems, samples, rounds=rounds, seconds=seconds):
            bar.length = total
            bar.update(done - before)
            before = done
            rows[id(row)] = row
    results = summary(list(rows.values()))
    text = table(results)
    output.mkdir(parents=True, exist_ok=True)
    write_json(
        output / "benchmark.json",
        {
            "pipeline": Path(pipeline).name,
            "convention": convention,
            "machine": machine(),
            "missing": missing,
            "results": results,
        },
    )
    (output / "benchmark.md").write_text(text, encoding="utf-8")
    typer.echo(text)
    try:
        plot(results, output / "benchmark.svg")
    except ImportError as error:
        typer.echo(f"no plot: {error}")
    typer.echo(json.dumps({"written": str(output)}))
