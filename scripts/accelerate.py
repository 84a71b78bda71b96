"""Train on one GPU from a bundle; needs mminibert's sources, PyTorch, NumPy, typer."""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from mminibert.command import run_command
from mminibert.files import atomic_path, folder_sha256, read_json, sha256, write_json
from mminibert.training.bundle import Bundle, read_weights, write_weights
from mminibert.training.checkpoint import Run
from mminibert.training.dataset import Dataset, make_student, make_teacher
from mminibert.training.embeddings import first_embeddings
from mminibert.training.loop import fit
from mminibert.training.model import DELTAS, WORDS, Tagger, added, changes, device_of, load, state
from mminibert.training.predict import accuracy
from mminibert.training.schedule import Schedule
from mminibert.training.targets import Gold, Replaced, Strategy, Taught


class SystemName(str, Enum):
    mbert = "mbert"
    mminibert = "mminibert"
    minibert = "minibert"


def main(
    systems: Annotated[
        list[SystemName], typer.Argument(help="one after the other; mbert is the others' teacher")
    ],
    bundle: Annotated[Path, typer.Option(help="what bundle.py wrote")],
    results: Annotated[Path, typer.Option(help="where the weights go, for unpack.py")],
    gpu: Annotated[int, typer.Option(help="GPU id, -1 for CPU", min=-1)] = 0,
    seconds: Annotated[
        float,
        typer.Option(
            help="at most so many a call, 0 for no limit; a system's time before a break counts", min=0.0
        ),
    ] = 0.0,
    words: Annotated[
        int,
        typer.Option(
            help="learn from about so many of each treebank and language alone, 0 for all: to try a bundle "
            "without a GPU",
            min=0,
        ),
    ] = 0,
) -> None:
    """Takes minutes. The best weights so far are always there; called again, it goes on."""
    started = time.perf_counter()
    made = {"bundle": folder_sha256(bundle)} | ({"words": str(words)} if words else {})
    device = device_of(gpu)
    whole = Bundle.read(bundle)
    data = Dataset(whole.part(words) if words else whole, device)
    for system in systems:
        teacher = results / "mbert.npz"
        if system is not SystemName.mbert and not teacher.exists():
            raise FileNotFoundError(f"no {teacher}; train mbert first")
        inputs = made | ({} if system is SystemName.mbert else {"teacher": sha256(teacher)})
        record = Record(results, system.value, inputs, data, started)
        weights = results / f"{system.value}.npz"
        if record.complete and weights.exists():
            typer.echo(f"{system.value}: trained already; delete {record.path} to train anew")
            continue
        if record.complete:
            record.say(f"{weights} is gone: training anew")
        record.left(seconds)
        record.say(f"{len(data.labels):,} words")
        train = _teach if system is SystemName.mbert else _distil
        train(data, results, record, seconds)
        record.end()


def _teach(data: Dataset, results: Path, record: Record, seconds: float) -> None:
    schedule = Schedule(**data.bundle.settings["teacher"]["schedule"])
    model = make_teacher(data)
    start = state(model)

    def keep() -> None:
        # 8 bits for the difference to the pretrained weights, so that it loses next to nothing.
        found = changes(state(model), start)
        matrices = {name for name, value in found.items() if value.ndim == 2 and name.startswith("bert.")}
        write_weights(results / "mbert.npz", found, {*matrices, DELTAS})

    targets = Gold(data, "teacher", schedule)
    held_out = data.held_out("teacher")
    schedule = record.shortened(schedule, seconds)
    fit(model, targets, schedule, data.fields, held_out, record.run, on_best=keep, **record.told)


def load_teacher(data: Dataset, results: Path) -> Tagger:
    """The teacher that was trained."""
    model = make_teacher(data)
    start = state(model)
    load(model, {**start, **added(read_weights(results / "mbert.npz"), start)})
    return model


def _distil(data: Dataset, results: Path, record: Record, seconds: float) -> None:
    settings = data.bundle.settings["student"]
    schedule = Schedule(**settings["schedule"])
    teacher = load_teacher(data, results)
    embeddings, projection = first_embeddings(teacher, data, settings["sizes"]["hidden_width"])
    with atomic_path(results / "projection.npz") as path:
        np.savez(path, mean=projection.mean, matrix=projection.matrix)
    record.say(f"first embeddings of {len(embeddings):,} pieces")
    model = make_student(data, embeddings)
    targets: Strategy = Gold(data, "student", schedule)
    if record.system == "mminibert":
        if data.device != "cpu":
            teacher.half()  # more exact than mixed precision in bfloat16, and twice as fast
        record.say(f"teacher on dev: {accuracy(teacher, data.held_out('teacher'), data.fields)}")
        replaced = Replaced(**settings["replaced"])
        temperature = settings["temperature"]
        targets = Taught(teacher, data, schedule, replaced, temperature=temperature, say=record.say)

    def keep() -> None:
        write_weights(results / f"{record.system}.npz", state(model), {WORDS, DELTAS})

    held_out = data.held_out("student")
    schedule = record.shortened(schedule, seconds)
    fit(model, targets, schedule, data.fields, held_out, record.run, on_best=keep, **record.told)


class Record:
    """Says what happens and when, and writes it down beside the results."""

    def __init__(
        self, results: Path, system: str, inputs: dict[str, str], data: Dataset, started: float
    ) -> None:
        """Raises ValueError if the results are of other inputs."""
        self.system, self.path = system, results / f"{system}.json"
        self._started = started
        cuda = data.device != "cpu"
        name = torch.cuda.get_device_name(data.device) if cuda else platform.machine()
        versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
        self._facts: dict[str, Any] = {
            "complete": False,
            "inputs": inputs,
            "device": name,
            "versions": versions,
            "words": len(data.labels),
            "steps": [],
        }
        if self.path.exists():
            old = read_json(self.path, "delete it to train anew", "complete", "steps")
            if old.get("inputs") != inputs:
                raise ValueError(
                    f"{self.path}: of another bundle, teacher or --words; take another folder for the results"
                )
            self._facts |= {"complete": old["complete"], "steps": old["steps"]}
        inputs_of_run = json.dumps(inputs, sort_keys=True)
        log, checkpoint, best = (results / f"{system}.{end}" for end in ("jsonl", "checkpoint.pt", "npz"))
        self.run = Run(log, checkpoint, inputs_of_run, best)

    @property
    def complete(self) -> bool:
        return bool(self._facts["complete"])

    def say(self, what: str) -> None:
        seconds = time.perf_counter() - self._started
        self._facts["steps"].append({"what": what, "seconds": round(seconds, 1)})
        write_json(self.path, self._facts)
        typer.echo(f"{self.system} {seconds:7.1f} s  {what}")

    def left(self, seconds: float) -> float:
        """What is left of the seconds of this call, 0 of which are no limit. Raises ValueError if that is
        nothing."""
        left = seconds - (time.perf_counter() - self._started) if seconds else math.inf
        if left <= 0:
            raise ValueError(f"nothing is left of {seconds:.0f} seconds to train in; give more")
        return left

    def shortened(self, schedule: Schedule, seconds: float) -> Schedule:
        """The schedule, shortened to what is left of the seconds."""
        return replace(schedule, seconds=min(self.left(seconds), schedule.seconds))

    @property
    def told(self) -> dict[str, Any]:
        """What `fit` tells."""
        return {"on_row": self.row, "say": self.say}

    def row(self, row: dict[str, float]) -> None:
        self.say(json.dumps(row))

    def end(self) -> None:
        self._facts["complete"] = True
        self.say("done")
        self.run.checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run_command(main)
