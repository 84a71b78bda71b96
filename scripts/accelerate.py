"""Train on one accelerator from a bundle; needs mminibert's sources, PyTorch, NumPy, typer."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mminibert.accelerator.bundle import Bundle, read_weights, write_weights
from mminibert.accelerator.tagger import (
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
from mminibert.accelerator.training import Schedule, accuracy, first_embeddings, fit, label_all
from mminibert.files import atomic_path, write_json

app = typer.Typer(add_completion=False)
Folder = Annotated[Path, typer.Argument()]
Device = Annotated[str, typer.Option(help="cuda or cpu")]
Seconds = Annotated[float, typer.Option(help="at most so many for the whole command, 0 for no limit")]


@app.command()
def teach(bundle: Folder, results: Folder, device: Device = "cuda", seconds: Seconds = 0.0) -> None:
    """Fine-tune the teacher on the gold labels: ``mbert.npz``."""
    clock = _Clock(results, "mbert")
    data = Data(Bundle.read(bundle), device)
    sentences = data.sentences("teacher")
    model = make_teacher(data)
    start = state(model)
    clock.say(f"read {len(data.labels):,} words")
    chosen = np.flatnonzero(data.labelled & ~data.bundle.dev)
    schedule = clock.schedule(data, "teacher", seconds)
    trained = fit(model, sentences, data, chosen, data.gold_targets, schedule, clock.row)
    # 8 bits for the difference to the pretrained weights, so that it loses next to nothing.
    found = changes(trained, start)
    matrices = {name for name, value in found.items() if value.ndim == 2 and name.startswith("bert.")}
    write_weights(results / "mbert.npz", found, matrices)
    clock.end(device, len(data.labels))


def _load_teacher(data: Data, results: Path) -> Tagger:
    model = make_teacher(data)
    start = state(model)
    load(model, {**start, **added(read_weights(results / "mbert.npz"), start)})
    return model


@app.command()
def distil(
    bundle: Folder, results: Folder, system: str, device: Device = "cuda", seconds: Seconds = 0.0
) -> None:
    """Train a student: ``mminibert`` on the teacher's labels and gold ones, ``minibert`` on gold ones."""
    clock = _Clock(results, system)
    data = Data(Bundle.read(bundle), device)
    teacher = _load_teacher(data, results)
    clock.say(f"read {len(data.labels):,} words")
    width = data.bundle.settings["student"]["sizes"]["hidden_width"]
    embeddings, projection = first_embeddings(teacher, data, width)
    with atomic_path(results / "projection.npz") as path:
        np.savez(path, mean=projection.mean, matrix=projection.matrix)
    clock.say(f"first embeddings of {len(embeddings):,} pieces")
    if system == "mminibert":
        reading = data.sentences("teacher")
        clock.say(f"teacher on dev: {accuracy(teacher, reading, data)}")
        soft = label_all(teacher, reading, data)
        clock.say(f"teacher's labels of {len(soft):,} words")
        targets, chosen = data.mixed_targets(soft), np.flatnonzero(~data.bundle.dev)
        del reading
    else:
        targets, chosen = data.gold_targets, np.flatnonzero(data.labelled & ~data.bundle.dev)
    del teacher
    model = make_student(data, embeddings)
    schedule = clock.schedule(data, "student", seconds)
    trained = fit(model, data.sentences("student"), data, chosen, targets, schedule, clock.row)
    write_weights(results / f"{system}.npz", trained, {WORDS})
    clock.end(device, len(data.labels))


class _Clock:
    """Says what happens and when, and writes it down."""

    def __init__(self, results: Path, system: str) -> None:
        results.mkdir(parents=True, exist_ok=True)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.started, self.system, self.results = time.perf_counter(), system, results
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

    def end(self, device: str, words: int) -> None:
        self.say("done")
        name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        record = {"device": name, "versions": versions, "words": words, "steps": self.steps}
        write_json(self.results / f"{self.system}.json", record)


if __name__ == "__main__":
    app()
