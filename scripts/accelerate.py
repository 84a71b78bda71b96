"""Train on one accelerator from a bundle; needs mminibert's sources, PyTorch, NumPy, typer."""

from __future__ import annotations

import json
import platform
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mminibert.command import run_command
from mminibert.files import atomic_path, write_json
from mminibert.training.bundle import Bundle, read_weights, write_weights
from mminibert.training.loop import Schedule, accuracy, first_embeddings, fit, gold_epochs, taught_epochs
from mminibert.training.tagger import (
    WORDS,
    Data,
    Tagger,
    added,
    changes,
    load,
    make_student,
    make_teacher,
    state,
)


class System(str, Enum):
    mbert = "mbert"
    mminibert = "mminibert"
    minibert = "minibert"


def main(
    systems: Annotated[
        list[System], typer.Argument(help="one after the other; mbert is the others' teacher")
    ],
    bundle: Annotated[Path, typer.Option(help="what bundle.py wrote")],
    results: Annotated[Path, typer.Option(help="where the weights go, for unpack.py")],
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU")] = 0,
    seconds: Annotated[float, typer.Option(help="at most so many for the whole, 0 for no limit")] = 0.0,
) -> None:
    """Takes minutes, and is not continued: interrupted, begin it anew."""
    started = time.perf_counter()
    data = Data(Bundle.read(bundle), "cpu" if gpu < 0 else f"cuda:{gpu}")
    for system in systems:
        clock = _Clock(results, system.value, started)
        clock.say(f"{len(data.labels):,} words")
        train = _teach if system is System.mbert else _distil
        train(data, results, clock, seconds)
        clock.end(gpu, len(data.labels))


def _teach(data: Data, results: Path, clock: _Clock, seconds: float) -> None:
    model = make_teacher(data)
    start = state(model)
    schedule = clock.schedule(data, "teacher", seconds)
    trained = fit(model, "teacher", data, gold_epochs(data, "teacher", schedule), schedule, clock.row)
    # 8 bits for the difference to the pretrained weights, so that it loses next to nothing.
    found = changes(trained, start)
    matrices = {name for name, value in found.items() if value.ndim == 2 and name.startswith("bert.")}
    write_weights(results / "mbert.npz", found, matrices)


def load_teacher(data: Data, results: Path) -> Tagger:
    """The teacher that was trained. Raises typer.BadParameter if none was."""
    if not (results / "mbert.npz").exists():
        raise typer.BadParameter(f"no mbert.npz in {results}; train mbert first")
    model = make_teacher(data)
    start = state(model)
    load(model, {**start, **added(read_weights(results / "mbert.npz"), start)})
    return model


def _distil(data: Data, results: Path, clock: _Clock, seconds: float) -> None:
    teacher = load_teacher(data, results)
    width = data.bundle.settings["student"]["sizes"]["hidden_width"]
    embeddings, projection = first_embeddings(teacher, data, width)
    with atomic_path(results / "projection.npz") as path:
        np.savez(path, mean=projection.mean, matrix=projection.matrix)
    clock.say(f"first embeddings of {len(embeddings):,} pieces")
    schedule = clock.schedule(data, "student", seconds)
    if clock.system == "mminibert":
        if data.device != "cpu":
            teacher.half()  # more exact than mixed precision in bfloat16, and twice as fast
        dev = data.text(np.flatnonzero(data.bundle.dev))
        clock.say(f"teacher on dev: {accuracy(teacher, dev, data.sentences(dev, 'teacher'), data)}")
        replaced = data.bundle.settings["student"]["replaced"]
        epochs = taught_epochs(teacher, data, schedule, **replaced, say=clock.say)
    else:
        epochs = gold_epochs(data, "student", schedule)
    model = make_student(data, embeddings)
    trained = fit(model, "student", data, epochs, schedule, clock.row)
    write_weights(results / f"{clock.system}.npz", trained, {WORDS})


class _Clock:
    """Says what happens and when, and writes it down."""

    def __init__(self, results: Path, system: str, started: float) -> None:
        results.mkdir(parents=True, exist_ok=True)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.started, self.system, self.results = started, system, results
        self.steps: list[dict[str, float | str]] = []
        (results / f"{system}.jsonl").unlink(missing_ok=True)

    def say(self, what: str) -> None:
        seconds = time.perf_counter() - self.started
        self.steps.append({"what": what, "seconds": round(seconds, 1)})
        typer.echo(f"{self.system} {seconds:7.1f} s  {what}")

    def schedule(self, data: Data, role: str, seconds: float) -> Schedule:
        """The bundle's, shortened to what is left of the seconds."""
        settings = data.bundle.settings[role]["schedule"]
        left = seconds - (time.perf_counter() - self.started) if seconds else settings["seconds"]
        if left <= 0:
            raise typer.BadParameter(f"nothing is left of {seconds:.0f} seconds to train in; give more")
        return Schedule(**{**settings, "seconds": min(left, settings["seconds"])})

    def row(self, row: dict[str, float]) -> None:
        with (self.results / f"{self.system}.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        self.say(json.dumps(row))

    def end(self, gpu: int, words: int) -> None:
        self.say("done")
        name = torch.cuda.get_device_name(gpu) if gpu >= 0 else platform.machine()
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        record = {"device": name, "versions": versions, "words": words, "steps": self.steps}
        write_json(self.results / f"{self.system}.json", record)


if __name__ == "__main__":
    run_command(main)
