"""Pipelines beside each other on test files of their language: figures are those of the official program."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from test_evaluate import official, pipeline, sentences
from test_evaluate_raw_text import official_of_raw

from mminibert.evaluation.evaluate import RAW_METRICS
from mminibert.experiments.small_models import compare, table


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str, Path]:
    """Ours, a French one that knows no tags, and a corpus."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    pipeline("evaluate_test_tagger", "sentencizer").to_disk(ours)
    french = spacy.blank("fr")
    french.add_pipe("sentencizer")
    french.to_disk(theirs)
    for code in ("fr_x", "es_x"):
        folder = tmp_path / "corpus" / code
        folder.mkdir(parents=True)
        sentences(folder / "test.conllu")
    return str(ours), str(theirs), tmp_path / "corpus"


def test_figures_are_the_official_ones(folders: tuple[str, str, Path], tmp_path: Path) -> None:
    ours, theirs, corpus = folders
    (record,) = compare(ours, [theirs], corpus, score=official, rounds=2, seconds=0.01)
    assert [(row["system"], row["mode"], row["treebank"]) for row in record["accuracy"]] == [
        ("ours", "", "fr_x"),
        ("theirs", "", "fr_x"),
    ]
    gold = sentences(corpus / "fr_x/test.conllu")
    for row, name in zip(record["accuracy"], (ours, theirs), strict=True):
        expected = official_of_raw(spacy.load(name), gold, tmp_path)
        assert {metric: row[metric] for metric in RAW_METRICS} == {
            metric: pytest.approx(100 * expected[metric].f1) for metric in RAW_METRICS
        }
    assert record["accuracy"][0]["UPOS"] > record["accuracy"][1]["UPOS"]
    assert {row["system"] for row in record["speed"]} == {"ours", "theirs"}
    assert all(len(row["rounds"]) == 2 for row in record["speed"])
    text = table([record])
    assert f" {record['accuracy'][0]['Words']:.1f} |" in text and text.startswith("## theirs 0.0.0")


def test_a_language_without_test_files(folders: tuple[str, str, Path], tmp_path: Path) -> None:
    spacy.blank("fi").to_disk(tmp_path / "finnish")
    with pytest.raises(ValueError, match=r"no fi_\*/test.conllu"):
        next(
            compare(folders[0], [str(tmp_path / "finnish")], folders[2], score=official, rounds=1, seconds=1)
        )
