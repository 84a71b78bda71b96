"""Two runs that write to the same folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from students import make_corpus, make_project, make_training
from test_evaluate import script
from thinc.api import Config

from mminibert.data.convert import convert
from mminibert.data.lock import LOCK, only_run
from mminibert.project.profile import Profile
from mminibert.systems.collect import collect_gold
from mminibert.systems.segmenter import segmenter_folder, train_segmenter
from mminibert.systems.spacy_train import spacy_train

HOLD = """
import sys
from pathlib import Path
from mminibert.data.lock import only_run
with only_run(Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of a folder until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "holds\n"
    return process


def test_the_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    first = hold(folder)
    for _ in range(2):
        second, says = only_run(folder), r"/a/b: another run writes there; wait for its end"
        with pytest.raises(RuntimeError, match=says), second:
            pytest.fail("it is held")
    assert (folder / LOCK).exists()
    first.communicate()
    assert first.returncode == 0 and not (tmp_path / "a").exists()  # nothing was written
    with only_run(folder):
        (folder / "made").touch()
    assert [path.name for path in folder.iterdir()] == ["made"]


def test_a_killed_run_blocks_nobody(tmp_path: Path) -> None:
    first = hold(tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert (tmp_path / LOCK).exists()
    with only_run(tmp_path):
        pass
    assert not any(tmp_path.iterdir())


def test_a_run_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), only_run(tmp_path / "new"):
        raise KeyError
    assert not any(tmp_path.iterdir())


STEPS: dict[str, tuple[Callable[[Profile], Path], Callable[[Path, Profile], object]]] = {
    "convert": (lambda _: Path("corpus"), lambda folder, _: convert(Path("ud"), folder)),
    "collect-gold": (lambda p: p.corpus / "gold_targets", lambda _, p: list(collect_gold(p))),
    "segment": (segmenter_folder, lambda _, p: train_segmenter(p, lambda _: None)),
    "train": (lambda _: Path("training"), lambda _, p: make_training(Path(), output="training").run()),
    "evaluate": (
        lambda _: Path("scores"),
        lambda folder, p: script("evaluate").main("model", p.corpus, folder),
    ),
    "spacy train": (lambda _: Path("one"), lambda folder, _: spacy_train(Config(), Path(), [], folder)),
}


@pytest.mark.parametrize("step", STEPS)
def test_steps_are_refused(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, 'treebanks = ["en_a", "de_a"]\nassets = "folder"\n')
    monkeypatch.chdir(tmp_path)
    make_corpus(tmp_path, {"en_a": 30, "de_a": 30})
    profile = Profile.read("p")
    profile.corpus.parent.mkdir(exist_ok=True)
    make_corpus(tmp_path / "again", {"en_a": 20, "de_a": 20})
    (tmp_path / "again/corpus").rename(profile.corpus)
    place, run = STEPS[step]
    folder = place(profile)
    with only_run(folder):
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(RuntimeError, match=f"^{folder}: another run writes there"):
            run(folder, profile)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
