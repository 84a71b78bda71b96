"""Labels of a packaged pipeline, for students to learn from: its conventions with their adapter."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from segmenters import write_plain_segmenter
from spacy.language import Language
from spacy.tokens import Doc
from students import make_corpus, make_project, random_sentences, tagger, write_vocabulary
from test_conventions import folder as folder  # a packaged pipeline with the conventions aa_x, aa_y, bb_z
from test_conventions import reference

from mminibert.data.targets import read_shard
from mminibert.project.profile import Profile
from mminibert.runtime.labels import Inventory
from mminibert.runtime.losses import log_softmax
from mminibert.systems.collect import Job, collect, collect_gold, collect_soft
from mminibert.systems.collect_teacher import folder_of, teacher_of
from mminibert.systems.labelling import make_labeller

WORDS = [["a", "cab", "faced"], ["cab"], ["bad", "a"]]
OTHER = Inventory.from_labels(
    [("DET", "Definite=Def"), ("X", "Foreign=Yes"), ("SYM", "_"), ("NOUN", "Number=Plur")]
)
"""Labels of a corpus that the pipeline was not trained with."""


@pytest.fixture
def nlp(folder: Path) -> Language:
    return spacy.load(folder / "xx")


def probs_by_value(logits: Any, inventory: Inventory) -> dict[tuple[str, str], np.ndarray]:
    probs = np.exp(log_softmax(np.asarray(logits, dtype=np.float32), inventory.starts))
    return {value: probs[:, place] for value, place in inventory.outputs.items()}


@pytest.mark.parametrize(("inventory", "told"), [(None, ["aa_y", "", "aa_x"]), (OTHER, ["aa_y", "", "bb_z"])])
def test_labels_are_those_of_the_formula(nlp: Language, inventory: Inventory | None, told: list[str]) -> None:
    pipe = tagger(nlp)
    conventions, wanted = pipe.conventions, inventory or pipe.inventory
    assert conventions is not None
    found = make_labeller(nlp, inventory=inventory)(WORDS, told)
    assert found.shape == (6, wanted.n_outputs)
    at = 0
    for words, code in zip(WORDS, told, strict=True):
        doc = Doc(nlp.vocab, words=words)
        (vectors,) = pipe.vectors([doc])
        logits: Any
        if code:
            own, table = conventions.inventory(code), conventions.forms(code)
            rows = [np.zeros(3, np.float32) if table is None else table.vector(word) for word in words]
            logits = reference(conventions, code, vectors, np.asarray(rows, dtype=np.float32))
        else:
            own, logits = pipe.inventory, pipe.output_layer.predict(vectors)
        expected = probs_by_value(logits, own)
        given = found[at : at + len(words)]
        at += len(words)
        upos = [value for value in wanted.outputs if value[0] == "UPOS"]
        shares = sum(expected.get(value, np.zeros(len(words))) for value in upos)
        for value, probs in probs_by_value(given, wanted).items():
            if value[0] == "UPOS":  # of the values that both have
                lacks = np.zeros(len(words))
                with np.errstate(invalid="ignore"):
                    np.testing.assert_allclose(probs, expected.get(value, lacks) / shares, atol=1e-4)
            elif value in expected and inventory is None:
                np.testing.assert_allclose(probs, expected[value], atol=1e-4)


def test_without_conventions_it_is_the_head_for_all(nlp: Language) -> None:
    pipe = tagger(nlp)
    found = make_labeller(nlp)(WORDS)
    vectors: Any = pipe.vectors([Doc(nlp.vocab, words=words) for words in WORDS])
    expected = pipe.output_layer.predict(np.concatenate(vectors))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_labels_without_a_common_upos_are_refused(nlp: Language) -> None:
    with pytest.raises(ValueError, match="labels have the UPOS INTJ, SYM, expected some of ADJ, DET"):
        make_labeller(nlp)(WORDS, ["bb_z"] * 3)


def test_shards_are_of_the_labels_of_the_corpus(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(OTHER.to_json()))
    job = Job(tmp_path / "aa-00000.npz", [["a", "cab"]], ["aa_y"])
    arguments: dict[str, Any] = {"temperature": 1.0, "processes": 1, "labels": labels}
    list(collect([job], folder / "xx", **arguments))
    assert read_shard(job.path).targets.upos.shape == (2, len(OTHER.fields[0][1]))
    before = job.path.stat().st_mtime_ns
    list(collect([job], folder / "xx", **arguments))
    assert job.path.stat().st_mtime_ns == before
    labels.write_text(json.dumps(Inventory.from_labels([("X", "Foreign=Yes"), ("DET", "_")]).to_json()))
    list(collect([job], folder / "xx", **arguments))  # other labels, another shard
    assert read_shard(job.path).targets.upos.shape == (2, 2)


PROFILE = """
assets = "folder"
treebanks = ["en_a"]
[student.overrides]
distillation.embeddings = ""
[collect]
teacher = "TEACHER"
train_words = 50
text_words = 0
replaced = 0.0
shard_words = 1000
"""


def test_a_profile_names_the_pipeline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, PROFILE.replace("TEACHER", str(folder / "xx")))
    (tmp_path / "corpus").mkdir()
    make_corpus(tmp_path / "made", {"en_a": 30}).rename(tmp_path / "corpus" / "p")
    (tmp_path / "assets/p").mkdir(parents=True)
    write_vocabulary(tmp_path / "assets/p/vocab.txt")
    monkeypatch.chdir(tmp_path)
    profile = Profile.read("p")
    assert teacher_of(profile) == folder / "xx"
    list(collect_gold(profile))
    list(collect_soft(profile, processes=1))
    (path,) = Path("corpus/p/soft_targets").glob("*.npz")
    n_upos = len(json.loads(Path("corpus/p/labels.json").read_text())["fields"][0][1])
    assert read_shard(path).targets.upos.shape[1] == n_upos
    meta = json.loads((folder / "xx/meta.json").read_text())
    manifest = json.loads(Path("corpus/p/soft_targets/manifest.json").read_text())
    assert manifest["labelled_by"] == f"{meta['lang']}_{meta['name']} {meta['version']}"


def test_a_student_that_wants_embeddings_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanting = PROFILE.replace('distillation.embeddings = ""', "")
    make_project(tmp_path, wanting.replace("TEACHER", str(folder / "xx")))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"begin with soft_targets/embeddings\.npy; set"):
        next(collect_soft(Profile.read("p"), processes=1))
    assert not Path("corpus").exists()


def test_a_pipeline_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, PROFILE.replace("TEACHER", "xx_nobody"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"collect\.teacher is 'xx_nobody', expected an installed"):
        teacher_of(Profile.read("p"))


def test_where_an_installed_pipeline_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "xx_some"
    nlp = spacy.load(folder / "xx")
    nlp.meta.update({"name": "some", "version": "1.2.3"})
    site.mkdir()
    nlp.to_disk(site / "xx_some-1.2.3")
    (site / "__init__.py").write_text("")
    (site / "meta.json").write_text((site / "xx_some-1.2.3/meta.json").read_text())
    info = tmp_path / "xx_some-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xx_some\nVersion: 1.2.3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert folder_of("xx_some") == site / "xx_some-1.2.3"
    with pytest.raises(OSError, match="xx_other is not installed"):
        folder_of("xx_other")


def test_text_is_labelled_in_conventions_of_its_language(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the profile has conventions, each of them in as many words."""
    codes = ["aa_x", "aa_y"]
    toml = PROFILE.replace("TEACHER", str(folder / "xx")).replace('["en_a"]', json.dumps(codes))
    toml = toml.replace("train_words = 50", "train_words = 0").replace("text_words = 0", "text_words = 60")
    (tmp_path / "corpus").mkdir()
    make_corpus(tmp_path / "made", dict.fromkeys(codes, 10)).rename(tmp_path / "corpus" / "p")
    (tmp_path / "assets/p/unlabelled").mkdir(parents=True)
    lines = "".join(" ".join(words) + " and more\n" for words in random_sentences(60, seed=3))
    (tmp_path / "assets/p/unlabelled/aa.txt").write_text(lines, encoding="utf-8")
    write_vocabulary(tmp_path / "assets/p/vocab.txt")
    write_plain_segmenter(tmp_path / "training/p/segmenter/segmenter")
    monkeypatch.chdir(tmp_path)
    for conventions, n in (("true", 120), ("false", 60)):
        shutil.rmtree("configs", ignore_errors=True)
        make_project(tmp_path, f"conventions = {conventions}\n{toml}")
        profile = Profile.read("p")
        list(collect_gold(profile))
        list(collect_soft(profile, processes=1))
        shards = [read_shard(path) for path in Path("corpus/p/soft_targets").glob("*.npz")]
        words = Counter[str]()
        for shard in shards:
            for sentence, code in zip(shard.sentences, shard.conventions, strict=True):
                words[code] += len(sentence)
        assert n <= words.total() < n + 14
        assert words.keys() == (set(codes) if conventions == "true" else {""})
