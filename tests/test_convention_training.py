"""Conventions from the treebanks to a pipeline: two that annotate the same words otherwise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.tokens import Doc
from spacy.util import dict_to_dot
from students import make_project, random_sentences, write_treebank, write_vocabulary
from torch import nn

from mminibert.data.convert import convert
from mminibert.data.corpus import collect_labels, conventions_of
from mminibert.data.targets import densify, read_shard
from mminibert.project.profile import CONFIGS, Profile, compose
from mminibert.project.settings import OverridingSection
from mminibert.runtime.labels import Inventory
from mminibert.runtime.losses import log_softmax
from mminibert.runtime.pipeline import tagger
from mminibert.systems.collect import Job, collect, collect_gold
from mminibert.systems.heads import make_conventions, read_deltas, shared_outputs
from mminibert.systems.labelling import make_labeller
from mminibert.systems.model import pipeline_model
from mminibert.systems.train import Training, make_training
from mminibert.training.conventions import NOT_GIVEN, ConventionHead

ROOT = Path(__file__).parents[1]
PROFILE = """
assets = "folder"
treebanks = ["en_a", "en_b", "de_a", "en_test"]
conventions = true
not_given = 0.2
[collect]
train_words = 0
text_words = 0
replaced = 0.0
shard_words = 200
[student.overrides]
components.morphologizer.model.tok2vec.hidden_width = 32
components.morphologizer.model.tok2vec.intermediate_width = 64
components.morphologizer.model.tok2vec.num_hidden_layers = 1
components.morphologizer.model.tok2vec.num_attention_heads = 2
distillation.embeddings = ""
distillation.words = 6000
distillation.batch_pieces = 200
distillation.learn_rate = 0.005
distillation.embedding_learn_rate = 0.005
"""
CODES = ["en_a", "en_b", "de_a"]
WORDS = [["a", "cab", "faced", "."], ["bad", "a", "face"], ["cabs"]]


def write_corpus(folder: Path) -> None:
    """English treebanks of which one calls determiners pronouns and has no Degree."""
    for seed, (code, splits) in enumerate(
        {"en_a": {"train": 80}, "en_b": {"train": 60}, "de_a": {"train": 40}, "en_test": {}}.items()
    ):
        write_treebank(folder / "ud", code, seed=seed, joined=False, **splits, dev=6)
    for path in (folder / "ud/en_b").iterdir():
        text = path.read_text(encoding="utf-8").replace("\tDET\t", "\tPRON\t")
        for value in ("Degree=Pos", "Degree=Cmp"):
            text = text.replace(value, "_")
        path.write_text(text, encoding="utf-8")
    convert(folder / "ud", folder / "corpus/p")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conventions")
    make_project(folder, PROFILE)
    write_corpus(folder)
    (folder / "assets/p").mkdir(parents=True)
    write_vocabulary(folder / "assets/p/vocab.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        list(collect_gold(Profile.read("p")))
    return folder


@pytest.fixture
def profile(here: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(here)
    return Profile.read("p")


@pytest.fixture(scope="module")
def trained(here: Path) -> Training:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        training = make_training("minibert", Profile.read("p"), output=here / "training/p/minibert")
        training.run()
    return training


def head_of(training: Training) -> ConventionHead:
    assert isinstance(training.model.head, ConventionHead)
    return training.model.head


def test_sentences_of_a_treebank_are_told_to_be_of_its_convention(profile: Profile) -> None:
    training = make_training("minibert", profile, output=Path("training/told"))
    assert list(training.model.conventions) == CODES  # en_test has no training sentence
    told, counts = Counter[int](), Counter[int]()
    names = sorted(Path("corpus/p/gold_targets").glob("*.npz"))
    for path in names:
        shard = read_shard(path)
        code = path.name.rpartition("-")[0]
        assert set(shard.conventions) == {code}
        counts[CODES.index(code)] += len(shard.sentences)
    targets: Any = training.targets
    for convention in targets._sentences.conventions.tolist():
        told[convention] += 1
    assert told == counts
    dev = training.dev.sentences.conventions
    assert dev is not None and Counter(dev.tolist()) == {0: 6, 1: 6, 2: 6, NOT_GIVEN: 6}
    config = srsly.read_json("training/told/run.json")["config"]["distillation"]
    assert (config["conventions"], config["not_given"]) == (True, 0.2)
    hidden = [b.conventions for n in range(20) for b, _ in training.targets(n).batches()]
    every = torch.cat([part for part in hidden if part is not None])
    assert (every == NOT_GIVEN).float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_a_pipeline_tags_as_each_treebank_does(trained: Training, profile: Profile) -> None:
    nlp = spacy.load(trained.output / "model-best")
    pipe = tagger(nlp)
    assert pipe.conventions is not None and pipe.conventions.codes == ("de_a", "en_a", "en_b")
    assert dict(pipe.conventions.defaults) == {"de": "de_a", "en": "en_a"}
    for code in CODES:
        assert pipe.conventions.inventory(code) == collect_labels(profile.corpus, [code])
    found = {}
    for code in CODES:
        pipe.convention = code
        docs = [nlp(Doc(nlp.vocab, words=words)) for words in WORDS]
        found[code] = [(token.pos_, str(token.morph)) for doc in docs for token in doc]
    assert found["en_a"][0] == ("DET", "") and found["en_b"][0] == ("PRON", "")
    assert found["en_a"][4] == ("ADJ", "Degree=Pos") and found["en_b"][4] == ("ADJ", "")


def test_the_heads_of_a_pipeline_are_what_was_trained(trained: Training) -> None:
    trained.model.write_back()
    model, pipe = trained.model.eval(), tagger(trained.nlp)
    conventions, head = pipe.conventions, head_of(trained)
    assert conventions is not None
    docs = [Doc(trained.nlp.vocab, words=words) for words in random_sentences(5, seed=8)]
    rows: Any = pipe.tok2vec.predict(docs)
    vectors = np.concatenate(rows)
    assert np.abs(head.weight_deltas.detach().numpy()).max() > 0.05
    for i, code in enumerate(model.conventions):
        told = torch.full((len(vectors),), i)
        expected = head(torch.from_numpy(vectors), told).detach().numpy()
        values = {(n, v): j for j, (n, v) in enumerate(all_values(pipe.inventory))}
        own = [values[value] for value in all_values(conventions.inventory(code))]
        (logits,) = conventions.logits(code, [vectors])
        np.testing.assert_allclose(logits, expected[:, own], atol=0.05)  # 8 bits


def all_values(inventory: Inventory) -> list[tuple[str, str]]:
    return [(name, value) for name, values in inventory.fields for value in values]


def test_a_student_goes_on_with_the_heads_of_a_trained_one(trained: Training, profile: Profile) -> None:
    start = str(trained.output / "model-best")
    overrides = {**dict_to_dot(profile.settings.student.overrides), "distillation.start": start}
    settings = profile.settings.model_copy(update={"student": OverridingSection(overrides=overrides)})
    again = make_training("minibert", Profile("p", settings), output=Path("training/again"))
    best = pipeline_model(spacy.load(start), conventions_of(profile.corpus, CODES))
    assert isinstance(best.head, ConventionHead)
    moved = best.head.weight_deltas.abs().amax((1, 2))
    assert (moved > 0.05).all()
    for name, value in again.model.state_dict().items():
        torch.testing.assert_close(value, best.state_dict()[name], atol=0, rtol=0, msg=name)
    # Outputs that the convention does not have are the shared head's.
    values = all_values(tagger(again.nlp).inventory)
    assert not head_of(again).weight_deltas[1][values.index(("UPOS", "DET"))].any()


def test_without_the_setting_nothing_is_told(profile: Profile) -> None:
    plain = profile.settings.model_copy(update={"conventions": False})
    training = make_training("minibert", Profile("p", plain), output=Path("training/plain"))
    assert type(training.model.head) is nn.Linear and not training.model.conventions
    assert training.dev.sentences.conventions is None
    assert all(batch.conventions is None for batch, _ in training.targets(0).batches())
    training.run()
    assert tagger(spacy.load("training/plain/model-best")).conventions is None


def test_of_all_profiles_those_that_are_packaged_have_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for path in (CONFIGS / "profiles").glob("*.toml"):
        profile = Profile.read(path.stem)
        told = path.stem in ("release", "permissive")
        for system in ("mbert", "mminibert", "minibert"):
            section = compose(system, profile)["distillation"]
            assert (section["conventions"], section["not_given"]) == (told, 0.1 if told else 0.0)


# By hand


def test_rows_are_those_of_the_same_value() -> None:
    whole = Inventory.from_labels([("A", "Case=X|Num=1"), ("B", "Case=Y"), ("C", "Num=2")])
    own = Inventory.from_labels([("C", "Case=Y"), ("A", "Gender=F")])
    # A, B, C, Case "" X Y, Num "" 1 2; and A, C, Case "" Y, Gender "" F.
    ours, theirs = shared_outputs(own, whole)
    assert (ours.tolist(), theirs.tolist()) == ([0, 1, 2, 3], [0, 2, 3, 5])


def test_deltas_are_what_a_head_adds() -> None:
    whole = Inventory.from_labels([("A", "Case=X"), ("B", "Case=Y")])
    own = {"xx_b": Inventory.from_labels([("B", "Case=Y")]), "xx_a": Inventory.from_labels([("A", "_")])}
    random = np.random.default_rng(0)
    weights, bias = (random.normal(size=(5, *shape)).astype(np.float32) for shape in ((4,), ()))
    w, b = (random.normal(size=(2, 5, *shape)).astype(np.float32) for shape in ((4,), ()))
    made = make_conventions(own, whole, w, b)
    assert made.codes == ("xx_a", "xx_b") and dict(made.defaults) == {"xx": "xx_a"}
    dw, db = read_deltas(made, "xx_b", whole, weights, bias)
    has = [1, 2, 4]  # B, no Case, Y
    np.testing.assert_allclose(weights[has] + dw[has], w[0][has], atol=0.02)  # 8 bits
    np.testing.assert_allclose(bias[has] + db[has], b[0][has], atol=1e-6)
    assert not dw[[0, 3]].any() and not db[[0, 3]].any()


# The teacher's labels


def test_a_teacher_labels_in_the_convention_that_it_is_told(trained: Training, tmp_path: Path) -> None:
    nlp = spacy.load(trained.output / "model-best")
    pipe = tagger(nlp)
    inventory, conventions = pipe.inventory, pipe.conventions
    assert conventions is not None
    told = ["en_b", "", "en_a"]
    path = tmp_path / "model"
    nlp.to_disk(path)
    job = Job(tmp_path / "en-00000.npz", WORDS, told)
    list(collect([job], path, temperature=1.0, processes=1))
    shard = read_shard(job.path)
    assert list(shard.conventions) == told
    dense = densify(shard.targets, inventory.starts)
    whole = np.exp(log_softmax(make_labeller(nlp)(WORDS, told), inventory.starts))
    assert np.isfinite(whole).all()
    values, at = all_values(inventory), 0
    for words, code in zip(WORDS, told, strict=True):
        vectors: Any = pipe.tok2vec.predict([Doc(nlp.vocab, words=words)])[0]
        logits: Any
        if code:
            own = conventions.inventory(code)
            (logits,) = conventions.logits(code, [vectors])
            probs = dict(zip(all_values(own), np.exp(log_softmax(logits, own.starts)).T, strict=True))
        else:
            logits = pipe.output_layer.predict(vectors)
            probs = dict(zip(values, np.exp(log_softmax(logits, inventory.starts)).T, strict=True))
        for j, (name, value) in enumerate(values):
            lacks = 0.0 if value or name == "UPOS" else float((name, "") not in probs)
            expected = probs.get((name, value), np.full(len(words), lacks))
            np.testing.assert_allclose(dense[at : at + len(words), j], expected, atol=0.01)
            np.testing.assert_allclose(whole[at : at + len(words), j], expected, atol=1e-5)
        at += len(words)
    upos = [inventory.fields[0][1][row[: inventory.starts[1]].argmax()] for row in dense]
    assert upos[0] == "PRON"


def test_an_unknown_convention_is_refused_by_the_teacher(trained: Training) -> None:
    label = make_labeller(spacy.load(trained.output / "model-best"))
    with pytest.raises(ValueError, match="got convention 'en_c', expected one of en_a, en_b"):
        label(WORDS, ["en_a", "en_c", "en_a"])
    nlp = spacy.load(trained.output / "model-best")
    tagger(nlp).conventions = None
    with pytest.raises(ValueError, match="the teacher has no conventions, got 'en_a'"):
        make_labeller(nlp)(WORDS, ["en_a", "", ""])
