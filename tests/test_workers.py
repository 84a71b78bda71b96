"""Processes of a pool: their errors, one that is killed; a cluster without its package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mminibert.command import reported
from mminibert.errors import run_and_tell, told
from mminibert.workers.pool import pool
from mminibert.workers.workers import start_workers

SCRIPT = """
import sys
from mminibert.command import reported
from mminibert.workers.pool import pool

class Odd(ValueError):
    def __init__(self, *, line):
        super().__init__(f"x.txt, line {line}: odd")

def of_a_user():
    raise ValueError("p.toml: no key words; add it")

def odd():
    raise Odd(line=3)

def bug():
    return int("one")

def odd_bug():
    return Odd(lines=3)

if __name__ == "__main__":
    with reported(), pool(1) as workers:
        workers.submit(globals()[sys.argv[1]])()
"""


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("of_a_user", "Error: p.toml: no key words; add it\n"),
        ("odd", "Error: x.txt, line 3: odd\n"),
        ("bug", None),
        ("odd_bug", None),
    ],
)
def test_an_error_of_a_process_ends_the_command_as_its_own_does(
    function: str, line: str | None, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script), function], capture_output=True, text=True, env=env, timeout=120
    )
    assert done.returncode == 1
    if line is None:
        assert "Traceback" in done.stderr and f"in {function}\n" in done.stderr
    else:
        assert done.stderr == line


class OddError(Exception):
    """Which is not there any more once it was sent to another process."""

    def __init__(self, *, line: int) -> None:
        super().__init__(f"x.txt, line {line}")


def odd() -> None:
    raise OddError(line=3)


def test_what_cannot_be_sent_is_told_all_the_same() -> None:
    with pytest.raises(RuntimeError) as found:
        run_and_tell(odd)
    assert told(found.value) == "x.txt, line 3"
    with pytest.raises(ValueError) as bug:
        run_and_tell(int, "one")
    assert told(bug.value) is None


def test_nothing_is_submitted_to_a_pool_that_lost_a_process() -> None:
    with pytest.raises(RuntimeError, match="a process ended before its work was done"), pool(1) as workers:
        wait = workers.submit(os._exit, 1)
        with pytest.raises(RuntimeError, match="a process ended before its work was done"):
            wait()
        workers.submit(os.getpid)


def test_a_cluster_without_ray_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit), reported(), start_workers(1, "local"):
        pass
    told_of_it = "no package ray; it comes with the extra `ray`: pip install 'mminibert[ray]'"
    assert capsys.readouterr().err == f"Error: {told_of_it}\n"
