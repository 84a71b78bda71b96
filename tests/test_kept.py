"""A trained teacher as a small file, and back again."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import dict_to_dot
from students import make_project
from teachers import ROOT, write_bert
from test_convention_training import CODES, WORDS, write_corpus

from mminibert.data.corpus import conventions_of
from mminibert.packaging.stages import stages
from mminibert.project.profile import Profile
from mminibert.runtime.pipeline import tagger
from mminibert.systems.collect import collect_gold
from mminibert.systems.kept import keep, restore
from mminibert.systems.model import pipeline_model
from mminibert.systems.train import Training, make_training
from mminibert.systems.transfer import continue_from

PROFILE = """
assets = "folder"
treebanks = ["en_a", "en_b", "de_a", "en_test"]
conventions = true
not_given = 0.2
[teacher]
name = "bert"
licence = "MIT"
[teacher.overrides]
initialize.after_init.freeze_embeddings = true
distillation.words = 3000
distillation.batch_pieces = 200
distillation.learn_rate = 0.005
distillation.evaluations = 2
[collect]
train_words = 0
text_words = 0
replaced = 0.0
shard_words = 200
"""


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, here: Path) -> Profile:
    monkeypatch.chdir(here)
    return Profile.read("p")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> Path:
    """A project whose teacher was trained, and kept as `kept.npz`."""
    folder = tmp_path_factory.mktemp("kept")
    make_project(folder, PROFILE)
    write_corpus(folder)
    write_bert(folder / "bert", vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        profile = Profile.read("p")
        list(collect_gold(profile))
        make_training("mbert", profile).run()
        keep(profile, Path("kept.npz"))
        shutil.copytree("training/p/mbert", "trained")
    return folder


def logits(nlp: Language, code: str) -> np.ndarray:
    pipe = tagger(nlp)
    with pipe.tagging_in(code):
        vectors = pipe.vectors([Doc(nlp.vocab, words=words) for words in WORDS])
        assert pipe.conventions is not None
        return np.concatenate(list(pipe.conventions.logits(code, map(np.asarray, vectors))))


def test_what_is_restored_tags_as_what_was_kept(profile: Profile) -> None:
    shutil.rmtree(profile.training("mbert"))
    main = runpy.run_path(str(ROOT / "scripts/keep.py"))["main"]
    main("p", Path("kept.npz"), again=True)
    old, new = spacy.load("trained/model-best"), spacy.load(profile.training("mbert") / "model-best")
    assert stages(new.meta) == stages(old.meta) != []
    for code in CODES:
        before, after = logits(old, code), logits(new, code)
        assert after == pytest.approx(before, abs=0.03 * float(before.std()))
    pretrained = spacy.load("trained/model-best")
    tagger(pretrained).conventions = tagger(new).conventions
    assert logits(pretrained, "en_a") == pytest.approx(logits(new, "en_a"), abs=0.03 * float(before.std()))


def test_only_what_training_changed_is_kept(profile: Profile) -> None:
    names = set(np.load("kept.npz").files)
    assert not {name for name in names if "word_embeddings" in name}
    dense = {name for name in names if name.endswith(":rows")}
    assert "bert.encoder.layer.1.output.dense.weight:rows" in dense and "head.weight_deltas:rows" in dense
    record = srsly.read_json("kept.json")
    assert record["conventions"] == CODES
    assert record["log"] == list(srsly.read_jsonl("trained/log.jsonl")) != []


def test_a_teacher_goes_on_from_a_trained_one(profile: Profile, tmp_path: Path) -> None:
    def started(output: str, **overrides: Any) -> Training:
        named = {**dict_to_dot(profile.settings.teacher.overrides), **overrides}
        section = profile.settings.teacher.model_copy(update={"overrides": named})
        settings = profile.settings.model_copy(update={"teacher": section})
        return make_training("mbert", Profile("p", settings), output=tmp_path / output)

    start = {"distillation.start": "trained/model-best"}
    again, trained = started("again", **start), spacy.load("trained/model-best")
    best = pipeline_model(trained, conventions_of(profile.corpus, CODES)).state_dict()
    for name, value in again.model.state_dict().items():
        torch.testing.assert_close(value, best[name], atol=0, rtol=0, msg=name)
    assert [stage.get("start") for stage in stages(again.nlp.meta)] == [None, "xx_pipeline 0.0.0"]
    layers = {"components.transformer.model.transformer_config.num_hidden_layers": 1}
    with pytest.raises(ValueError, match="the trained teacher's encoder has other sizes"):
        started("fewer", **start, **layers)
    continue_from(again.nlp, trained)
    trained.remove_pipe("transformer")
    with pytest.raises(ValueError, match="the pipeline has no component 'transformer'"):
        continue_from(again.nlp, trained)


def test_a_teacher_of_other_labels_is_refused(profile: Profile, tmp_path: Path) -> None:
    before = sorted(Path("training").rglob("*"))
    for name, wrong in (("conventions", CODES[:2]), ("labels", {"fields": [], "combinations": []})):
        shutil.copy("kept.npz", tmp_path / "other.npz")
        srsly.write_json(tmp_path / "other.json", {**srsly.read_json("kept.json"), name: wrong})
        with pytest.raises(ValueError, match=rf"other\.npz: its {name} are not those of corpus"):
            restore(profile, tmp_path / "other.npz")
    (tmp_path / "other.npz").write_bytes(b"PK")
    shutil.copy("kept.json", tmp_path / "other.json")
    with pytest.raises(ValueError, match=r"other\.npz: .*take the files that `keep\.py` wrote"):
        restore(profile, tmp_path / "other.npz")
    assert sorted(Path("training").rglob("*")) == before


def test_trained_embeddings_cannot_be_kept(profile: Profile, tmp_path: Path) -> None:
    nlp = spacy.load("trained/model-best")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Profile, "training", lambda self, system: tmp_path)
        with pytest.raises(FileNotFoundError, match=r"model-best; train it first: scripts/train\.py mbert p"):
            keep(profile, tmp_path / "new.npz")
        bert = nlp.get_pipe("transformer").model.transformer  # type: ignore[attr-defined]
        bert.embeddings.word_embeddings.weight.data += 1
        nlp.to_disk(tmp_path / "model-best")
        with pytest.raises(ValueError, match="its word embeddings are not the pretrained ones"):
            keep(profile, tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()
