"""What becomes of `project.lock` when `spacy project run` is killed while it writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import srsly
from weasel.cli.run import check_rerun, update_lockfile

from mminibert.project.step_lock import check_step_lock

ROOT = Path(__file__).parents[1]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Of the file that weasel itself writes of two steps of ours."""
    steps = {step["name"]: step for step in srsly.read_yaml(ROOT / "project.yml")["commands"]}
    for name in ("assets", "convert"):
        update_lockfile(tmp_path, steps[name])
    return (tmp_path / "project.lock").read_bytes()


def test_workflows_begin_with_the_step_that_looks_at_it() -> None:
    """weasel reads the file before a step that may be skipped, and after every one."""
    project = srsly.read_yaml(ROOT / "project.yml")
    (step,) = (step for step in project["commands"] if step["name"] == "assets")
    assert step["no_skip"]
    assert {steps[0] for name, steps in project["workflows"].items() if name != "baseline"} == {"assets"}


def test_what_weasel_wrote_whole_is_left_alone(tmp_path: Path, content: bytes) -> None:
    check_step_lock(tmp_path / "project.lock")
    assert (tmp_path / "project.lock").read_bytes() == content
    check_step_lock(tmp_path / "absent.lock")


def test_a_part_passes_if_weasel_can_read_it_and_is_refused_if_not(tmp_path: Path, content: bytes) -> None:
    path, refused = tmp_path / "project.lock", 0
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        try:
            check_step_lock(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: damaged") and "delete it: steps" in str(error)
            assert path.read_bytes() == content[:size]
            refused += 1
        else:
            assert check_rerun(tmp_path, {"name": "new step", "script": []})
    assert 5 < refused < len(content) / 7


@pytest.mark.parametrize("damage", [b"", b"- a\n- b\n", b"assets: 3\n", b"a: {\n", b"\xff\xfe\x00"])
def test_the_first_step_says_it_in_a_line_before_it_does_anything(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "project.lock").write_bytes(damage)
    command = [sys.executable, str(ROOT / "scripts/assets.py"), "sample"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: project.lock: damaged or of another kind")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs", "project.lock"]
