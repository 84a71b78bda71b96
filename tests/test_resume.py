"""Continuing `spacy train`: the config of the rest of a run, and a run that is cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import registry
from students import make_profile
from teachers import write_bert
from thinc.api import Config

from mminibert.files import sha256, write_json
from mminibert.project.profile import compose
from mminibert.systems.manifest import shards_of
from mminibert.systems.provenance import check_unchanged, pretrained, provenance, teacher_files
from mminibert.systems.resume import remember_step, resumed, steps_done
from mminibert.systems.segmenter_teacher import UnitStates
from mminibert.training.checkpoint import read_state, write_state

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(ROOT)
    config = compose("mbert", make_profile("tiny"))
    config["training"]["max_steps"] = 1000
    return config


def test_the_rest_of_a_run_goes_on_down_the_same_line(config: Any) -> None:
    peak = config["training"]["optimizer"]["learn_rate"]["initial_rate"]
    rest = resumed(config, 400, Path("training/tiny/mbert/model-last"))
    schedule = rest["training"]["optimizer"]["learn_rate"]
    assert rest["training"]["max_steps"] == 600
    # By hand: the rate falls from its peak at step 100 to 0 at step 1000; at step 400 it is 600/900 of it.
    assert schedule["initial_rate"] == pytest.approx(peak * 600 / 900)
    assert rest["training"]["before_update"]["start"] == 400
    assert rest["corpora"]["train"]["seed"] != config["corpora"]["train"]["seed"]
    assert rest["components"]["transformer"] == {"source": "training/tiny/mbert/model-last"}
    assert config["training"]["max_steps"] == 1000, "the config of the whole run is left as it was"
    during_warmup = resumed(config, 10, Path("x"))
    assert during_warmup["training"]["optimizer"]["learn_rate"]["initial_rate"] == peak


def test_steps_done(tmp_path: Path) -> None:
    assert steps_done(tmp_path) == (0, None)
    nlp = spacy.blank("xx")
    remember_step(300)(nlp, {"step": 45, "epoch": 0})
    nlp.to_disk(tmp_path / "model-best")
    assert steps_done(tmp_path) == (345, tmp_path / "model-best")
    remember_step(300)(nlp, {"step": 99, "epoch": 0})
    nlp.to_disk(tmp_path / "model-last")
    assert steps_done(tmp_path) == (399, tmp_path / "model-last")
    (tmp_path / "model-last" / "config.cfg").write_text("[nlp")  # killed while it was being written
    assert steps_done(tmp_path) == (345, tmp_path / "model-best")


def test_spacy_train_continues(
    config: Any,
    make_student: Callable[..., Language],
    toy_examples: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """A student stands in for the teacher: the same loop, callbacks and sources, without a transformer."""
    registry.readers("tests.toy.v1", func=lambda: lambda nlp: iter(toy_examples(nlp, n=30)))
    student = make_student().config
    config["components"] = {"morphologizer": student["components"]["morphologizer"]}
    config["nlp"]["pipeline"] = ["morphologizer"]
    config["initialize"]["after_init"] = None
    config["initialize"]["components"] = {}
    config["corpora"] = {"train": {"@readers": "tests.toy.v1"}, "dev": {"@readers": "tests.toy.v1"}}
    config["training"]["max_epochs"] = 0
    config["training"].update(max_steps=10, eval_frequency=5)
    config["training"]["optimizer"]["learn_rate"].update(warmup_steps=2, initial_rate=0.003)
    train(init_nlp(config), tmp_path)
    done, source = steps_done(tmp_path)
    assert done == 10 and source == tmp_path / "model-last"
    before = spacy.load(source).get_pipe("morphologizer")
    config["training"]["max_steps"] = 20
    config["corpora"]["train"] = {"@readers": "tests.toy.v1"}
    rest = resumed(config | {"corpora": {"train": {"seed": 0}}}, done, source)
    rest["corpora"] = config["corpora"]
    nlp = init_nlp(rest)
    sourced: Any = nlp.get_pipe("morphologizer")
    assert sourced.inventory == before.inventory  # type: ignore[attr-defined]
    train(nlp, tmp_path)
    assert steps_done(tmp_path)[0] == 20


def test_what_is_installed_has_the_same_name_on_every_machine(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for machine in ("a", "b"):
        installed = tmp_path / machine / "site-packages"
        (installed / "package").mkdir(parents=True)
        (installed / "package" / "model").write_text("weights")
        monkeypatch.setattr("sysconfig.get_path", lambda name, at=installed: str(at))
        found.append(provenance(config, [installed / "package" / "model"])["inputs"])
    assert found[0] == found[1]
    assert list(found[0]) == ["package/model"]


def test_a_run_of_another_config_is_refused(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    text = tmp_path / "manifest.json"
    text.write_text("{}")
    check_unchanged(path, provenance(config, [text]))
    srsly.write_json(path, provenance(config, [text]))
    check_unchanged(path, provenance(config, [text]))
    config["training"]["max_steps"] = 7
    with pytest.raises(ValueError, match="another config"):
        check_unchanged(path, provenance(config, [text]))
    text.write_text("[]")
    with pytest.raises(ValueError, match="another config and other inputs"):
        check_unchanged(path, provenance(config, [text]))


def test_a_changed_byte_of_a_checkpoint_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_state(path, {"weights": torch.arange(4.0)})
    assert read_state(path)["weights"].tolist() == [0.0, 1.0, 2.0, 3.0]
    whole = path.read_bytes()
    for at in range(0, len(whole), 31):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"checkpoint\.pt: damaged"):
            read_state(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="delete it to train anew"):
        read_state(path)


def test_a_shard_that_the_manifest_does_not_name_so_is_seen(tmp_path: Path) -> None:
    path, manifest = tmp_path / "en-00000.npz", tmp_path / "manifest.json"
    path.write_bytes(b"shard")
    write_json(manifest, {"shards": {path.name: {"sha256": sha256(path)}}})
    assert shards_of(manifest) == [path]
    path.write_bytes(b"shord")
    with pytest.raises(ValueError, match=r"en-00000\.npz: not the shard"):
        shards_of(manifest)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_teacher_that_is_cut_off_is_said_in_a_line(tmp_path: Path, vocabulary: Path, name: str) -> None:
    """By all that hand its folder to transformers: a training, a segmenter that is to be taught, a bundle."""
    folder = write_bert(tmp_path / "teacher", vocabulary)
    assert {path.name for path in teacher_files(folder)} >= {name}
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    says = rf"^{folder / name}: damaged or of another kind \(.*\); delete the folder and run"
    for read in (
        lambda: pretrained(Config({"paths": {"teacher": str(folder)}})),
        lambda: UnitStates(folder, [1]),
        lambda: teacher_files(folder),
    ):
        with pytest.raises(ValueError, match=says):
            read()
