"""What a training is made with, which models a system has, and that a bad one does not stop the others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from ranked import torchrun
from spacy.util import dict_to_dot
from students import make_corpus, make_project, write_soft_shards, write_vocabulary

from mminibert.project.profile import Profile, compose
from mminibert.project.settings import OverridingSection
from mminibert.systems.collect import collect_gold
from mminibert.systems.manifest import write_manifest
from mminibert.systems.model import pipeline_model
from mminibert.systems.resume import resumed
from mminibert.systems.spacy_train import runs, train
from mminibert.systems.train import make_training
from mminibert.training.checkpoint import Progress
from mminibert.training.fields import Fields

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


STUDENT = """
assets = "folder"
treebanks = ["en_a", "de_a"]
[collect]
train_words = 0
text_words = 0
replaced = 0.0
shard_words = 100
[student.overrides]
components.morphologizer.model.tok2vec.hidden_width = 16
components.morphologizer.model.tok2vec.intermediate_width = 32
components.morphologizer.model.tok2vec.num_hidden_layers = 1
components.morphologizer.model.tok2vec.num_attention_heads = 2
distillation.embeddings = ""
distillation.words = 300
distillation.batch_pieces = 200
"""


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """A profile with gold targets, for `minibert`."""
    make_project(tmp_path, STUDENT)
    corpus = make_corpus(tmp_path / "made", {"en_a": 30, "de_a": 20})
    (tmp_path / "corpus").mkdir()
    corpus.rename(tmp_path / "corpus" / "p")
    (tmp_path / "assets/p").mkdir(parents=True)
    write_vocabulary(tmp_path / "assets/p/vocab.txt")
    monkeypatch.chdir(tmp_path)
    profile = Profile.read("p")
    assert len(list(collect_gold(profile))) > 2
    return profile


def test_processes_of_torchrun_speak_with_one_voice(student: Profile) -> None:
    refused = torchrun(2, ROOT / "scripts" / "train.py", "meta_lstm", "p")
    assert refused.returncode == 1
    lines = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert lines == ["Error: got 2 processes, expected one for meta_lstm; leave out torchrun"], refused.stderr
    done = torchrun(2, ROOT / "scripts" / "train.py", "minibert", "p")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("training/p/minibert/model-best: best dev score 0.")
    assert done.stderr.count(" 0.00/300 ") == 1  # one bar
    assert {path.name for path in Path("training/p/minibert").iterdir()} == {
        *("checkpoint.pt", "config.cfg", "log.jsonl", "model-best", "run.json")
    }
    spacy.load("training/p/minibert/model-best")


def changed(profile: Profile, **settings: Any) -> Profile:
    overrides = dict_to_dot(profile.settings.student.overrides)
    overrides |= {f"distillation.{name}": value for name, value in settings.items()}
    student = OverridingSection(overrides=overrides)
    return Profile("p", profile.settings.model_copy(update={"student": student}))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_refused_run_changes_nothing(student: Profile) -> None:
    make_training("minibert", student).run()
    folder = Path("training/p/minibert")
    before = contents(folder)
    assert {"config.cfg", "run.json", "log.jsonl"} <= {path.name for path in before}
    with pytest.raises(ValueError, match=r"training/p/minibert: the run there had another config"):
        make_training("minibert", changed(student, words=123))
    assert contents(folder) == before
    manifest = Path("corpus/p/manifest.json")
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="other inputs"):
        make_training("minibert", student)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"words": 0}, "words is 0, expected more than 0"),
        ({"targets": ["soft_targets"]}, "soft_targets"),
        ({"start": "xx_absent"}, "'xx_absent'.*pip install"),
        ({"embeddings": "absent.npy"}, "absent"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder(
    student: Profile, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make_training("minibert", changed(student, **settings))
    assert not Path("training").exists()


def test_temperature_and_masking_reach_the_targets(student: Profile) -> None:
    training = make_training("minibert", changed(student, temperature=3.0, word_masking=0.5))
    assert training.targets.temperature == 3.0
    epoch = training.targets(0)
    mask_id = training.model.pieces.mask_id
    masked = [(batch.piece_ids == mask_id).any() for batch, _ in epoch.batches()]
    assert all(masked) and masked


def test_a_training_ends_after_its_seconds(student: Profile) -> None:
    training = make_training("minibert", changed(student, seconds=1e-9))
    assert training.run().step == 1
    (stage,) = spacy.load("training/p/minibert/model-best").meta["training"]
    assert stage["schedule"]["seconds"] == 1e-9
    assert 0 < stage["seen_words"] < stage["schedule"]["words"]


def test_a_student_goes_on_from_a_trained_one(student: Profile) -> None:
    first = make_training("minibert", student)
    first.run()
    again = make_training(
        "minibert", changed(student, start="training/p/minibert/model-best"), output=Path("training/again")
    )
    record = srsly.read_json("training/again/run.json")
    assert "training/p/minibert/model-best/morphologizer/model" in record["inputs"]
    before, now = spacy.load("training/p/minibert/model-best").meta["training"], again.nlp.meta["training"]
    assert now[:1] == before and [stage.get("start") for stage in now] == [None, "xx_pipeline 0.0.0"]
    assert now[1]["schedule"].keys() == before[0]["schedule"].keys()
    assert now[1]["schedule"]["words"] == first.schedule.words and before[0]["seen_words"] > 0
    assert "seen_words" not in now[1]
    assert now[1]["encoder"]["hidden_width"] == again.model.head.in_features
    best = pipeline_model(spacy.load("training/p/minibert/model-best")).state_dict()
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, best[name]), name


def test_a_student_tells_who_taught_it(student: Profile) -> None:
    folder = Path("corpus/p/soft_targets")
    folder.mkdir()
    teacher = [{"encoder": {"num_hidden_layers": 12}, "schedule": {"words": 900}}]
    paths = write_soft_shards(folder, en=8)
    manifest = write_manifest(folder, paths, training=teacher, labelled_by="xx_p 0.1.0")
    taught = changed(student, targets=["soft_targets", "gold_targets"], embeddings="")
    (stage,) = make_training("mminibert", taught).nlp.meta["training"]
    assert stage["teacher"] == teacher and stage["soft_words"] == manifest["words"] > 0
    assert stage["labelled_by"] == "xx_p 0.1.0"
    (alone,) = make_training("minibert", student).nlp.meta["training"]
    assert not alone.keys() & {"teacher", "soft_words", "labelled_by"}


def test_a_student_is_not_trained_over_the_one_that_it_starts_from(student: Profile) -> None:
    make_training("minibert", student).run()
    Path("training/p/minibert/run.json").unlink()
    Path("link").symlink_to("training")
    before = contents(Path("training"))
    for start in ("training/p/minibert/model-best", "link/p/minibert/model-best"):
        with pytest.raises(ValueError, match="lies in the input"):
            make_training("minibert", changed(student, start=start))
        assert contents(Path("training")) == before


def test_a_changed_vocabulary_is_another_run(student: Profile) -> None:
    make_training("minibert", student).run()
    path = student.assets / "vocab.txt"
    pieces = path.read_text(encoding="utf-8").split("\n")
    pieces[5], pieces[6] = pieces[6], pieces[5]
    path.write_text("\n".join(pieces), encoding="utf-8")
    with pytest.raises(ValueError, match=r"training/p/minibert: the run there had another inputs"):
        make_training("minibert", student)


def test_the_record_of_a_run_stays(student: Profile) -> None:
    """A later call that finds all done may have other versions."""
    make_training("minibert", student).run()
    path = Path("training/p/minibert/run.json")
    old = path.read_text(encoding="utf-8").replace(torch.__version__, "1.0")
    path.write_text(old, encoding="utf-8")
    make_training("minibert", student).run()
    assert path.read_text(encoding="utf-8") == old


def test_a_pipeline_that_was_removed_is_made_again(student: Profile) -> None:
    make_training("minibert", student).run()
    best = Path("training/p/minibert/model-best")
    said: list[str] = []
    before = contents(best)
    shutil.rmtree(best)
    make_training("minibert", student).run(say=said.append)
    assert contents(best) == before
    assert said == [f"{best}/meta.json is gone, and the checkpoint has later weights: training anew"]
    best.rename(best.with_name(".old-model-best"))  # killed between the renames of its replacement
    make_training("minibert", student).run(say=said.append)
    assert contents(best) == before and len(said) == 1


def test_a_model_of_spacy_train_that_was_removed_is_trained_anew(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on: list[bool] = []

    def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        output = Path(command[command.index("--output") + 1])
        goes_on.append((output / "model-last").exists())
        for name in ("model-best", "model-last"):
            (output / name).mkdir(parents=True, exist_ok=True)
            (output / name / "meta.json").touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("mminibert.systems.spacy_train.subprocess.run", run)
    first = next(runs("meta_lstm", Profile.read("p")))
    said: list[str] = []
    assert [train(first, say=said.append) for _ in range(2)] == [0, 0]
    shutil.rmtree(first.output / "model-best")
    assert [train(first, say=said.append) for _ in range(2)] == [0, 0]
    assert goes_on == [False, False]
    assert [line.partition(": ")[2][:13] for line in said] == [
        "trained alrea", "training anew", "trained alrea"
    ]  # fmt: skip


def test_the_weight_of_upos_reaches_the_loss(student: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    training = make_training("minibert", student)
    training.model.pipe.upos_weight = 7.0
    seen: list[Fields] = []

    def stop(model: Any, targets: Any, schedule: Any, fields: Fields, *_: Any, **__: Any) -> Progress:
        seen.append(fields)
        return Progress()

    monkeypatch.setattr("mminibert.systems.train.fit", stop)
    training.run()
    (fields,) = seen
    logits = torch.zeros(1, sum(fields.sizes))
    only_upos, only_last = torch.zeros_like(logits), torch.zeros_like(logits)
    only_upos[0, 0] = only_last[0, -1] = 1.0
    assert fields.loss(logits, only_upos).item() == pytest.approx(7 * np.log(fields.sizes[0]))
    assert fields.loss(logits, only_last).item() == pytest.approx(np.log(fields.sizes[-1]))
