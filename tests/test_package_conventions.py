"""What a package says of its conventions: meta.json, model card and the command `conventions`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from test_evaluate_conventions import with_conventions
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.experiments.peers import open_systems
from mminibert.packaging.cards import model_card
from mminibert.packaging.conventions_default import LARGEST, ONLY, Default
from mminibert.packaging.conventions_meta import conventions_meta
from mminibert.packaging.quantize import quantize
from mminibert.packaging.records import Records, ScoreRecord, TreebankRecord
from mminibert.project.parts import Part
from mminibert.project.vocabulary import Source
from mminibert.runtime.pipeline import tagger

CODES = ["de_x", "fr_a", "fr_c"]


def score(ltcode: str, convention: str | None) -> ScoreRecord:
    scores = {"UPOS": 0.75, "UFeats": 0.5, "FEATS": 0.25}
    lang = ltcode.partition("_")[0]
    return ScoreRecord(
        ltcode, lang, "test", "Latin", 1000.0, None, scores, {}, convention, {"gold_words": scores}
    )


DEV = (Part("dev", "fr_a-ud-dev.conllu", "gold", 1, 4), Part("rebuilt", "x", "silver UPOS", 1, 5))
RECORDS = Records(
    licence="CC BY-SA 4.0",
    teacher=Source("some/encoder"),
    treebanks=(
        TreebankRecord("fr_a", "fr", "silver", 9, DEV, "CC BY 4.0", "https://example.org/a"),
        TreebankRecord("fr_c", "fr", "gold", 20, (Part("dev", "y", "gold", 0, 0),)),
        TreebankRecord("fr_pud", "fr", "gold", None),
        TreebankRecord("de_x", "de", "gold", 5),
    ),
    scores=(score("fr_a", "fr_a"), score("fr_pud", "fr_c"), score("de_x", None)),
)


@pytest.fixture
def nlp(make_student: Callable[..., Language]) -> Language:
    return with_conventions(quantize(make_student(), []), CODES)


def rows_of(nlp: Language, chosen: dict[str, Default] | None = None) -> list[dict[str, Any]]:
    conventions = tagger(nlp).conventions
    assert conventions is not None
    return conventions_meta(conventions, RECORDS, chosen or {})


def test_meta_by_hand(nlp: Language) -> None:
    assert rows_of(nlp) == [
        {
            **{"code": "de_x", "language": "de", "default": True, "reason": ONLY},
            **{"words": 5, "licence": "", "url": ""},
        },
        {
            **{"code": "fr_a", "language": "fr", "default": False, "words": 9, "licence": "CC BY 4.0"},
            **{"url": "https://example.org/a", "scores": {"UPOS": 0.75, "UFeats": 0.5}},
        },
        {
            **{"code": "fr_c", "language": "fr", "default": True, "reason": LARGEST},
            **{"words": 20, "licence": "", "url": ""},
        },
    ]
    assert rows_of(nlp, {"fr": Default("fr_c", "why")})[2]["reason"] == "why"


def test_a_pipeline_that_is_not_of_the_profile_is_refused(nlp: Language) -> None:
    with pytest.raises(
        ValueError, match=r"default convention of 'fr' is fr_c in the pipeline, expected fr_a"
    ):
        rows_of(nlp, {"fr": Default("fr_a", "why")})
    conventions = tagger(nlp).conventions
    assert conventions is not None
    fewer = replace(RECORDS, treebanks=RECORDS.treebanks[:-1])
    with pytest.raises(ValueError, match=r"without training sentences in the corpus: de_x; package it"):
        conventions_meta(conventions, fewer, {})


def test_card(nlp: Language) -> None:
    meta = {"description": "D", "license": "L", "sources": [], "languages": ["fr", "de"]}
    nlp.meta.update({**meta, "conventions": rows_of(nlp)})
    card = re.sub(" +", " ", model_card(RECORDS, nlp, nlp))
    assert "| de | de_x | de_x | the only one |" in card
    assert "| fr | fr_a, fr_c | fr_c | the most training words |" in card
    assert "Sentences of their dev sets were trained on: fr_a." in card
    assert "not recorded from which dev sets" in card
    nlp.meta["dev_in_training"] = ["de_x"]
    recorded = model_card(RECORDS, nlp, nlp)
    assert "Sentences of their dev sets were trained on: de_x, fr_a." in recorded
    assert "not recorded from which dev sets" not in recorded
    assert "words of text" not in card
    for by, said in (("xx_y 1.0.0", "`xx_y 1.0.0`"), ("", "the teacher")):
        nlp.meta["convention_text"] = {"words": 1200, "labelled_by": by}
        assert f"learned from 1,200 words of text that {said} had labelled" in model_card(RECORDS, nlp, nlp)
    assert "predicted only if it is 100 times as probable" in card
    assert "Only combinations of features" not in card
    assert "test sets, by the treebank's convention or else its language's default, in percent" in card
    nlp.meta["languages"] = ["fr"]  # as in the package of one language
    light = re.sub(" +", " ", model_card(RECORDS, nlp, nlp))
    assert "| fr | fr_a, fr_c |" in light and "| de | de_x |" not in light
    del nlp.meta["conventions"]
    scores = tuple(replace(each, convention=None) for each in RECORDS.scores)
    without = model_card(replace(RECORDS, scores=scores), nlp, nlp)
    assert "## Conventions" not in without and "treebank's convention" not in without
    assert "Only combinations of features that the training treebanks have can be predicted" in without


@pytest.fixture
def folder(nlp: Language, tmp_path: Path) -> str:
    nlp.meta["conventions"] = rows_of(nlp)
    nlp.to_disk(tmp_path / "model")
    return str(tmp_path / "model")


def test_command_lists_the_conventions(folder: str) -> None:
    done = CliRunner().invoke(app, ["conventions", folder])
    assert done.exit_code == 0, done.output
    lines = [re.sub(" +", " ", line) for line in done.output.splitlines()]
    assert lines[2:] == [
        "| de_x* | de | 5 | | | |",
        "| fr_a | fr | 9 | 75.0% | 50.0% | CC BY 4.0 |",
        "| fr_c* | fr | 20 | | | |",
    ]
    done = CliRunner().invoke(app, ["conventions", folder, "--language", "de"])
    assert len(done.output.splitlines()) == 3 and "fr_" not in done.output


def test_command_in_json(folder: str, nlp: Language) -> None:
    done = CliRunner().invoke(app, ["conventions", folder, "--json"])
    assert json.loads(done.output) == rows_of(nlp)
    done = CliRunner().invoke(app, ["conventions", folder, "--json", "--language", "fr"])
    assert [row["code"] for row in json.loads(done.output)] == ["fr_a", "fr_c"]


def test_conventions_that_meta_does_not_describe_are_listed(nlp: Language, tmp_path: Path) -> None:
    """As those of a pipeline that was not packaged, or that was trained further."""
    nlp.to_disk(tmp_path)
    done = CliRunner().invoke(app, ["conventions", str(tmp_path)])
    assert [line.split("|")[1].strip() for line in done.output.splitlines()[2:]] == ["de_x*", "fr_a", "fr_c*"]


def test_what_the_command_refuses(folder: str, nlp: Language, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["conventions", folder, "--language", "fi"])
    assert "got language 'fi', expected one of de, fr" in str(done.exception)
    tagger(nlp).conventions = None
    nlp.to_disk(tmp_path / "without")
    done = CliRunner().invoke(app, ["conventions", str(tmp_path / "without")])
    assert "without has no conventions; take a pipeline that has" in str(done.exception)


def test_the_benchmark_refuses_an_unknown_convention(folder: str) -> None:
    with pytest.raises(
        ValueError, match="got convention 'fr_x', expected one of fr_a, fr_c, or 'fr' for fr_c"
    ):
        open_systems(folder, beside=[], udpipe_model=None, convention="fr_x")


def test_the_benchmark_tags_in_the_convention(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: Any, **sizes: Any) -> Language:
        raise ImportError("too slow for a test")

    monkeypatch.setattr("mminibert.experiments.peers.spacy.load", lambda name: nlp)
    monkeypatch.setattr("mminibert.experiments.peers.transformer", absent)
    open_systems("model", beside=[], udpipe_model=None, convention="fr")
    assert tagger(nlp).convention == "fr_c"
