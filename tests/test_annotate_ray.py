"""Annotating by actors of Ray, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from annotators import make_pipeline, random_lines, run
from test_annotate_resume import CHARACTERS, contents

from mminibert.annotation import shards

pytest.importorskip("ray")
CODE = """
import os, signal, sys
from pathlib import Path
from annotators import run
from mminibert.annotation import shards
from mminibert.annotation.ray_workers import ray_workers

folder, characters = Path(sys.argv[1]), int(sys.argv[2])
shards.SHARD_CHARACTERS = characters
with ray_workers("local", 2) as workers:
    pids = {workers.submit(os.getpid)() for _ in range(2)}
    assert len(pids) == 2 and os.getpid() not in pids
    done = run([folder / "in"], folder / "out", folder / "pipeline", workers=workers)
    for _ in range(3):
        next(done)
    os.kill(min(pids), signal.SIGKILL)
    for _ in done:
        pass
    after = {workers.submit(os.getpid)() for _ in range(2)}
    assert len(after & pids) == 1 and len(after) == 2  # one was started again
    try:
        workers.submit(int, "x")()
    except ValueError as error:
        print(error)
"""


def test_a_killed_actor_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pipeline(tmp_path / "pipeline")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.txt").write_text("\n".join(random_lines(1000)), encoding="utf-8")
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", CHARACTERS)
    assert len(list(run([tmp_path / "in"], tmp_path / "expected", tmp_path / "pipeline"))) > 10
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HOME": str(tmp_path), "RAY_TMPDIR": "/tmp"}
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(tmp_path), str(CHARACTERS)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("invalid literal for int() with base 10: 'x'\n")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
