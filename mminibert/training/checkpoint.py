"""The log of a training, and the checkpoint from which it goes on exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import atomic_path, writing
from .model import Optimizers, Tagger


@dataclass
class Progress:
    """How far a training is. epoch, batch: the next one. step, words, seconds: done so far. evaluated: of the
    schedule's evaluations; rows: of the log. best: the highest score. loss, losses: the sum of the losses
    since the last evaluation, and how many they are."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    words: int = 0
    seconds: float = 0.0
    evaluated: int = 0
    rows: int = 0
    best: float = -1.0
    losses: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))


@dataclass(frozen=True)
class Run:
    """The files of a training. log: rows of JSON. checkpoint: weights, optimizers, random states, progress.
    inputs: what a checkpoint depends on, so that one of another training is refused. best: a file that is
    there whenever the weights with the best score are kept, if these are kept on disk."""

    log: Path
    checkpoint: Path
    inputs: str = ""
    best: Path | None = None

    def append(self, row: dict[str, Any]) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.log), self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def save(self, model: Tagger, optimizers: Optimizers, progress: Progress) -> None:
        """Write the checkpoint, whole or not at all."""
        write_state(self.checkpoint, {"inputs": self.inputs, **state_of(model, optimizers, progress)})

    @property
    def lost(self) -> bool:
        """Whether there is a checkpoint of this training, which kept best weights, and these are gone."""
        if self.best is None or self.best.exists() or not self.checkpoint.exists():
            return False
        state = read_state(self.checkpoint)
        return bool(state["inputs"] == self.inputs and state["progress"]["best"] > Progress.best)

    def has_best(self, ended: Callable[[Progress], bool]) -> bool:
        """Whether the weights of the checkpoint are those with the best score: the training has ended, and
        its last row alone has that score."""
        progress = Progress(**read_state(self.checkpoint)["progress"])
        if not (ended(progress) and self.log.exists() and progress.rows):
            return False
        rows = self.log.read_text(encoding="utf-8").splitlines()[: progress.rows]
        scores = [score_of(json.loads(row)) for row in rows]
        return len(scores) == progress.rows and scores.index(progress.best) == len(scores) - 1

    def restore(self, model: Tagger, optimizers: Optimizers) -> Progress:
        """Continue from the checkpoint, if there is one; later lines of the log are dropped.

        Raises ValueError, and changes nothing, if it is damaged or of another training.
        """
        if not self.checkpoint.exists():
            self.log.unlink(missing_ok=True)
            return Progress(loss=torch.zeros((), dtype=torch.float64, device=model.device))
        state = read_state(self.checkpoint)
        weights = model.trained()
        other = {n for n in weights.keys() | state["weights"].keys() if not _same(n, weights, state)}
        if other or state["inputs"] != self.inputs:
            what = f"other weights ({', '.join(sorted(other)[:3])})" if other else "other inputs or settings"
            raise ValueError(
                f"{self.checkpoint}: of a training with {what}; delete it to train anew, or take another folder"
            )
        progress = load_state(state, model, optimizers)
        if self.log.exists():
            rows = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
            with atomic_path(self.log) as temporary:
                temporary.write_text("".join(rows[: progress.rows]), encoding="utf-8")
        return progress


def state_of(model: Tagger, optimizers: Optimizers, progress: Progress) -> dict[str, Any]:
    """All that a training goes on from: weights, optimizers, random states, progress."""
    cuda = model.device.type == "cuda"
    return {
        "weights": {name: value.detach() for name, value in model.trained().items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers.all],
        "random": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(model.device) if cuda else None,
        "progress": asdict(progress),
    }


def load_state(state: Mapping[str, Any], model: Tagger, optimizers: Optimizers) -> Progress:
    """Continue from what `state_of` gave."""
    with torch.no_grad():
        for name, value in model.trained().items():
            value.copy_(state["weights"][name])
    for optimizer, saved in zip(optimizers.all, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    torch.set_rng_state(state["random"])
    if state["cuda"] is not None and model.device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], model.device)
    progress = Progress(**state["progress"])
    progress.loss = progress.loss.to(model.device)
    return progress


def score_of(scores: Mapping[str, float]) -> float:
    """What the best state is chosen by: the mean of the accuracies of UPOS and features."""
    return (scores["pos_acc"] + scores["morph_acc"]) / 2


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write what `torch.save` makes of a state, after its SHA-256, whole or not at all."""
    content = packed(state)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(sha256(content).digest())
        file.write(content)


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote, on the CPU. Raises ValueError if a byte of it has changed: most changes would
    give another model without a word."""
    with path.open("rb") as file:
        digest, content = file.read(sha256().digest_size), file.read()
    if digest != sha256(content).digest():
        raise ValueError(f"{path}: damaged, or of an earlier release; delete it to train anew")
    return unpacked(content)


def packed(state: dict[str, Any]) -> memoryview:
    """What `torch.save` makes of a state."""
    content = BytesIO()
    torch.save(state, content)
    return content.getbuffer()


def unpacked(content: bytes | memoryview) -> dict[str, Any]:
    """What `packed` was given, on the CPU."""
    return dict(torch.load(BytesIO(content), map_location="cpu", weights_only=True))


def _same(name: str, weights: dict[str, Any], state: dict[str, Any]) -> bool:
    saved = state["weights"].get(name)
    return name in weights and saved is not None and saved.shape == weights[name].shape
