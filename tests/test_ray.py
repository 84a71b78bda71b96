"""Annotating and collecting by actors of Ray, one of which is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from annotators import make_pipeline, random_lines, run
from students import inventory, make_teacher
from test_annotate_resume import CHARACTERS, contents
from test_collect import jobs_in

from mminibert.annotation import shards
from mminibert.systems.collect import collect

pytest.importorskip("ray")
ANNOTATE = """
import os, signal, sys
from pathlib import Path
from annotators import run
from mminibert.annotation import shards
from mminibert.workers.ray_workers import ray_workers

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
COLLECT = """
import os, signal, sys
from contextlib import nullcontext
from pathlib import Path
import ray
from mminibert.command import reported
from mminibert.systems import collect as module
from mminibert.workers.ray_workers import ray_workers
from test_collect import jobs_in

folder, plain = Path(sys.argv[1]), ray.init

def elsewhere(**settings):
    # As processes of a cluster do not begin in the folder of whoever asks them.
    os.chdir("/")
    plain(**settings)
    os.chdir(folder)

ray.init = elsewhere
os.chdir(folder)
with ray_workers("local", 2) as workers:
    pids = [workers.submit(os.getpid)() for _ in range(2)]
    module.start_workers = lambda size, ray: nullcontext(workers)

    def collect(teacher):
        return module.collect(jobs_in(Path("out")), Path(teacher), temperature=1.0, processes=2, ray="local")

    done = collect("teacher")
    for _ in range(3):
        next(done)
    os.kill(pids[0], signal.SIGKILL)
    assert 25 < len(list(done))
    after = [workers.submit(os.getpid)() for _ in range(2)]
    assert pids[0] not in after and pids[1] in after  # one was started again
    with reported():
        next(collect("damaged"))
"""


def in_a_process(code: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HOME": str(folder), "RAY_TMPDIR": "/tmp"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(folder), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def test_a_killed_actor_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pipeline(tmp_path / "pipeline")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.txt").write_text("\n".join(random_lines(1000)), encoding="utf-8")
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", CHARACTERS)
    assert len(list(run([tmp_path / "in"], tmp_path / "expected", tmp_path / "pipeline"))) > 10
    done = in_a_process(ANNOTATE, tmp_path, CHARACTERS)
    assert done.returncode == 0, done.stderr
    assert "invalid literal for int() with base 10: 'x'" in done.stdout.splitlines(), done.stdout
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_killed_actor_changes_no_targets(tmp_path: Path) -> None:
    """And a damaged teacher is said in a line."""
    for name in ("teacher", "damaged"):
        make_teacher(inventory()).to_disk(tmp_path / name)
    model = tmp_path / "damaged" / "morphologizer" / "model"
    model.write_bytes(model.read_bytes()[:-100])
    list(collect(jobs_in(tmp_path / "expected"), tmp_path / "teacher", temperature=1.0, processes=1))
    done = in_a_process(COLLECT, tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: damaged/morphologizer/model: "), done.stderr
    assert "Traceback" not in done.stderr
    expected = contents(tmp_path / "expected")
    assert contents(tmp_path / "out") == expected and len(expected) == len(jobs_in(tmp_path))
