"""A training by the processes that torchrun starts, of `ranked.py FOLDER OUTPUT STOP`, or by this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch
from students import SCHEDULE, make_training
from torch import Tensor, nn

from mminibert.command import reported
from mminibert.systems.train import Training
from mminibert.training import loop, model
from mminibert.training.checkpoint import Progress
from mminibert.training.ranks import ALONE, Ranks, torchrun_ranks

STEPS = 24
PLAN = replace(SCHEDULE, words=100_000, seconds=float(STEPS), batch_pieces=60, evaluations=6)


def training_in(folder: Path, output: str, ranks: Ranks = ALONE) -> Training:
    """Without dropout, which is another one on each rank; with weights that are never used, as BERT's pooler
    has them; in float32, as sums of a batch's parts are not those of the batch in bfloat16."""
    vars(model)["has_bfloat16"] = lambda: False
    training = make_training(folder, PLAN, output=output, told=True)
    training.model.pooler = nn.Linear(2, 2)
    for module in training.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0  # type: ignore[assignment]
    return replace(training, ranks=ranks)


def train(folder: Path, output: str, stop: int = 0, ranks: Ranks = ALONE) -> None:
    """A step takes a second on the first rank, and ten on the others. stop: the step after which the last
    rank has enough, 0 for never. What each would draw next, for dropout, is in `OUTPUT-RANK.txt`."""
    now = [0.0]
    vars(loop)["time"] = SimpleNamespace(perf_counter=lambda: now[0])

    def step(progress: Progress, loss: Tensor) -> None:
        now[0] += 1.0 if ranks.is_first else 10.0
        if progress.step == stop and ranks.rank == ranks.size - 1:
            raise ValueError(f"enough after {stop}")

    training_in(folder, output, ranks).run(step)
    (folder / f"{output}-{ranks.rank}.txt").write_text(str(float(torch.rand(()))))


def torchrun(size: int, script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A script as so many processes of one thread each."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(size), str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


if __name__ == "__main__":
    with reported(), torchrun_ranks() as ranks:
        train(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), ranks)
