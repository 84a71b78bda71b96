"""Which models a system has, and that one that fails does not stop the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import srsly
from students import make_corpus, make_project

from mminibert.project.profile import Profile, compose
from mminibert.systems.resume import resumed
from mminibert.systems.train import runs

ROOT = Path(__file__).parents[1]
PROFILE = """
assets = "folder"
treebanks = ["en_a", "de_a", "xx_none"]
[systems.meta_lstm.overrides]
components.morphologizer.model.tok2vec.hidden_width = 8
components.morphologizer.model.tok2vec.embedding_width = 8
training.max_steps = 4
training.eval_frequency = 2
corpora.train.epoch_words = 100
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two treebanks to train on and one to evaluate."""
    make_project(tmp_path, PROFILE)
    corpus = make_corpus(tmp_path / "made", {"en_a": 12, "de_a": 8})
    (tmp_path / "corpus").mkdir()
    corpus.rename(tmp_path / "corpus" / "p")
    manifest = srsly.read_json(tmp_path / "corpus/p/manifest.json")
    manifest["treebanks"]["xx_none"] = {"splits": {"test": {}}}
    srsly.write_json(tmp_path / "corpus/p/manifest.json", manifest)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_system_has_one_model_or_one_a_treebank(here: Path) -> None:
    profile = Profile.read("p")
    assert [run.output for run in runs("mmeta_lstm", profile)] == [Path("training/p/mmeta_lstm")]
    assert [run.output for run in runs("meta_lstm", profile)] == [
        Path("training/p/meta_lstm/en_a"),
        Path("training/p/meta_lstm/de_a"),
    ]
    one = compose("meta_lstm", profile, ["de_a"])
    assert (one["paths"]["labels"], one["paths"]["treebanks"]) == ("corpus/p/de_a/labels.json", ["de_a"])
    assert compose("mmeta_lstm", profile)["paths"]["labels"] == "corpus/p/labels.json"
    (here / "corpus/p/manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="run the step `convert` first"):
        list(runs("bert", profile))


def run_script() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), "meta_lstm", "p"]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_model_that_fails_is_named_and_the_others_are_trained(here: Path) -> None:
    bad = here / "corpus/p/en_a/dev.spacy"
    good = bad.read_bytes()
    bad.write_bytes(b"damaged")
    first = run_script()
    assert first.returncode == 1
    assert "not trained: en_a (spacy train: 1)" in first.stderr
    assert (here / "training/p/meta_lstm/de_a/done").exists()
    assert not (here / "training/p/meta_lstm/en_a/done").exists()
    bad.write_bytes(good)
    second = run_script()
    assert second.returncode == 0, second.stderr
    assert "de_a: trained already" in second.stdout
    assert (here / "training/p/meta_lstm/en_a/model-best/meta.json").exists()


def test_a_decaying_rate_goes_on_where_it_was(here: Path) -> None:
    config = compose("meta_lstm", Profile.read("p"), ["en_a"])
    schedule = config["training"]["optimizer"]["learn_rate"]
    assert (schedule["start"], schedule["compound"]) == (0.002, 0.999994)
    config["training"]["max_steps"] = 100_000
    rest = resumed(config, 50_000, Path("model-last"))
    assert rest["training"]["optimizer"]["learn_rate"]["start"] == pytest.approx(0.002 * 0.999994**50_000)
    assert rest["training"]["max_steps"] == 50_000
