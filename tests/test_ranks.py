"""Several processes train as one does: losses, weights, breaks, errors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import ranked
import torch
from ranked import STEPS, torchrun, train, training_in
from students import make_corpus

from mminibert.training import loop
from mminibert.training.checkpoint import read_state
from mminibert.training.fields import Fields
from mminibert.training.ranks import Ranks

BROKEN = 14
"""The step after which a training is broken, between two of its evaluations."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With `one`, a training of one process."""
    folder = tmp_path_factory.mktemp("ranks")
    make_corpus(folder, {"en_a": 60, "de_a": 20})
    alone(folder, "one")
    return folder


def alone(folder: Path, output: str, stop: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(loop), "time", vars(loop)["time"])  # as it was, afterwards
        train(folder, output, stop)


def together(size: int, folder: Path, output: str, stop: int = 0) -> subprocess.CompletedProcess[str]:
    return torchrun(size, Path(ranked.__file__), folder, output, stop)


def assert_same(folder: Path, one: str, other: str) -> None:
    """Each row of the log, and all that a training would go on from."""
    rows, others = (
        [json.loads(line) for line in (folder / name / "log.jsonl").read_text("utf-8").splitlines()]
        for name in (one, other)
    )
    assert [row["step"] for row in others] == [row["step"] for row in rows] and rows[-1]["step"] > STEPS
    for row, its in zip(rows, others, strict=True):
        assert its == pytest.approx(row, rel=1e-5)
    state, its_state = (read_state(folder / name / "checkpoint.pt") for name in (one, other))
    assert state["weights"].keys() == its_state["weights"].keys()
    for name, value in state["weights"].items():
        torch.testing.assert_close(its_state["weights"][name], value, rtol=0, atol=1e-5, msg=name)
    progress, its = ({name: float(v) for name, v in s["progress"].items()} for s in (state, its_state))
    assert its == pytest.approx(progress, rel=1e-5)
    assert (folder / other / "model-best" / "meta.json").exists()


def test_two_processes_train_as_one(folder: Path) -> None:
    done = together(2, folder, "two")
    assert done.returncode == 0, done.stderr
    assert_same(folder, "one", "two")
    drawn = [(folder / f"{name}.txt").read_text() for name in ("one-0", "two-0", "two-1")]
    assert drawn[0] == drawn[1] != drawn[2]  # so their dropout is not the same


def test_an_error_of_one_ends_all_and_any_number_goes_on(folder: Path) -> None:
    with pytest.raises(ValueError, match=f"enough after {BROKEN}"):
        alone(folder, "broken", BROKEN)
    done = together(2, folder, "broken", BROKEN + 5)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert lines == [f"Error: enough after {BROKEN + 5}"], done.stderr
    assert "[rank" not in done.stderr and "Traceback" not in done.stderr.partition(lines[0])[0]
    alone(folder, "broken")
    assert_same(folder, "one", "broken")


def test_the_parts_of_the_ranks_are_the_batch(folder: Path) -> None:
    """And losses of parts, most of which are empty, have the whole's as their mean."""
    size = 16  # more than a batch has words, at times
    training = training_in(folder, "parts")
    sizes = [len(values) for _, values in training.model.pipe.inventory.fields]
    fields, epoch, empty = Fields(sizes, 4.0, "cpu"), training.targets(0), 0
    ranks = [Ranks(rank, size) for rank in range(size)]
    for whole, *parts in zip(epoch.batches(), *(epoch.batches(0, r.part) for r in ranks), strict=True):
        (batch, wanted), n = whole, len(whole[0].words)
        assert torch.cat([part.words for part, _ in parts]).tolist() == batch.words.tolist()
        losses = []
        with torch.no_grad():
            logits = training.model(*batch.inputs)
            found = torch.cat([training.model(*part.inputs) for part, _ in parts])
            torch.testing.assert_close(found, logits, rtol=0, atol=1e-5)
            for part, its in parts:
                assert part.n_words == n
                losses.append(float(fields.loss(training.model(*part.inputs), its, 1.0, n / size)))
            assert np.mean(losses) == pytest.approx(float(fields.loss(logits, wanted)), rel=1e-5)
        empty += sum(len(part.words) == 0 for part, _ in parts)
    assert empty
