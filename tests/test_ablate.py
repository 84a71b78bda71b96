"""Variants of a training differ in what their file says, and the table has the last dev scores of each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from students import make_project

from mminibert.experiments.ablate import Ablations, to_markdown
from mminibert.project.profile import compose
from mminibert.systems.collect import asked_of
from mminibert.systems.train import make_training

ROOT = Path(__file__).parents[1]
FILE = """
system = "mminibert"
profile = "p"
[overrides.distillation]
words = 500
temperature = 2.0
[variants.base]
question = "Baseline"
change = "as it is"
[variants.cold]
question = "Temperature"
change = "temperature 1"
overrides.distillation.temperature = 1.0
"""
PROFILE = """
assets = "folder"
treebanks = ["en_a"]
[systems.mminibert.overrides]
distillation.words = 9
distillation.exponent = 0.25
"""


@pytest.fixture
def ablations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ablations:
    make_project(tmp_path, PROFILE)
    (tmp_path / "a.toml").write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return Ablations.read(Path("a.toml"))


def log(ablations: Ablations, number: int, **last: float) -> None:
    folder = ablations.folder(ablations.variants[number])
    folder.mkdir(parents=True)
    first = {"pos_acc": 0.0, "morph_acc": 0.0, "words": 1, "seconds": 1.0}
    lines = [json.dumps(row) + "\n" for row in (first, {**first, **last})]
    (folder / "log.jsonl").write_text("".join(lines), encoding="utf-8")


def test_a_variant_has_its_own_settings_over_the_shared_ones(ablations: Ablations) -> None:
    sections = [
        dict(compose(ablations.system, ablations.settings(variant))["distillation"])
        for variant in ablations.variants
    ]
    assert [section["temperature"] for section in sections] == [2.0, 1.0]
    assert all((section["words"], section["exponent"]) == (500, 0.25) for section in sections)
    assert ablations.profile.settings.systems["mminibert"].overrides["distillation"]["words"] == 9
    assert [str(ablations.folder(v)) for v in ablations.variants] == [
        "training/p/ablations/base",
        "training/p/ablations/cold",
    ]


def test_a_training_goes_to_the_folder_of_its_variant(ablations: Ablations) -> None:
    variant = ablations.variants[1]
    with pytest.raises(FileNotFoundError, match="collect-gold"):
        make_training("mminibert", ablations.settings(variant), output=ablations.folder(variant))
    assert not Path("training").exists()


def test_the_table_has_the_last_scores_and_differences(ablations: Ablations) -> None:
    log(ablations, 0, pos_acc=0.9, morph_acc=0.8, words=1234, seconds=61.0)
    assert [row["name"] for row in ablations.rows()] == ["base"]
    log(ablations, 1, pos_acc=0.895, morph_acc=0.81)
    text = to_markdown(ablations.rows(), description="What.", command="python x")
    tables = [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("| ")]
    assert "\n\n## Temperature\n\n" in text
    assert "## Baseline" not in text
    assert tables[2:] == [
        "| as it is | 90.00 | 80.00 | 1,234 | 61 |",
        "| temperature 1 | 89.50 (-0.50) | 81.00 (+1.00) | 1 | 1 |",
    ]


def test_a_file_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text('system = "mminibert"\nprofile = "sample"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.toml: no key 'variants'; expected system, profile, variants"):
        Ablations.read(path)
    path.write_text("system =", encoding="utf-8")
    with pytest.raises(ValueError, match=r"b\.toml: Invalid value"):
        Ablations.read(path)


def test_the_project_has_such_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = Ablations.read(Path("configs/ablations.toml"))
    for variant in found.variants:
        assert compose(found.system, found.settings(variant))["distillation"]["words"]


@pytest.mark.parametrize("name", ["ablations.toml", "encoder_ablations.toml", "stand_ins.toml"])
def test_targets_hold_at_the_temperatures_of_all_trainings(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    ablations = Ablations.read(Path("configs") / name)
    for variant in ablations.variants:
        profile = ablations.settings(variant)
        section = compose(ablations.system, profile).interpolate()["distillation"]
        if "soft_targets" in section["targets"]:
            assert section["temperature"] <= asked_of(ablations.profile).temperature, variant.name
