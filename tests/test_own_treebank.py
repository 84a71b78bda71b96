"""What is said of treebanks that a pipeline learned of the most part of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_new_convention import own_file, segmenting

from mminibert.data.conllu import read_conllu
from mminibert.experiments import own_treebank
from mminibert.systems.new_convention import add_convention

__all__ = ["segmenting"]


def test_a_tenth_is_scored_and_the_rest_is_learned(
    segmenting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own_file(tmp_path / "en_new-ud-test.conllu", 50)
    seen: dict[str, list[str]] = {}

    def watched(trained: Any, train: Path, output: Path, *, lang: str, test: Path) -> Any:
        assert lang == "en"
        for name, file in (("train", train), ("test", test)):
            seen[name] = [sentence.to_conllu() for sentence in read_conllu(file)]
        return add_convention(trained, train, output, lang=lang, test=test)

    monkeypatch.setattr(own_treebank, "add_convention", watched)
    found = own_treebank.learn(str(segmenting / "xx"), path)
    whole = [sentence.to_conllu() for sentence in read_conllu(path)]
    assert (seen["test"], seen["train"]) == (whole[:5], whole[5:])
    assert found["words"] == 4 * 45 and found["seconds"] > 0
    assert found["after"]["raw_text"]["Tokens"] > found["before"]["raw_text"]["Tokens"]


def test_the_table_has_means_of_what_is_known() -> None:
    def row(upos: float, feats: float | None) -> dict[str, Any]:
        raw = dict.fromkeys(("Tokens", "Sentences", "Words", "UPOS"), upos)
        known = {} if feats is None else {"UFeats": feats, "Lemmas": feats / 5}
        scores = {"gold_words": {"UPOS": upos, **known}, "raw_text": {**raw, **known}}
        better = {"gold_words": {**scores["gold_words"], "UPOS": 1.0}, "raw_text": scores["raw_text"]}
        return {"words": 1234, "before": scores, "after": better, "seconds": 9.6}

    lines = own_treebank.table({"aa_x": row(0.5, 0.25), "bb_y": row(0.7, None)}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == [
        "aa_x",
        "1,234",
        "50.0 → 100.0",
        *["25.0 → 25.0", "5.0 → 5.0"],
        *["50.0 → 50.0"] * 4,
        *["25.0 → 25.0", "5.0 → 5.0"],
        "10",
    ]
    assert cells[3][2] == "70.0 → 100.0"
    with_feats = ["25.0 → 25.0", "5.0 → 5.0"]
    assert cells[4] == ["mean", "", "60.0 → 100.0", *with_feats, *["60.0 → 60.0"] * 4, *with_feats, ""]
    assert cells[3][3] == ""  # FEATS that are unknown
    half = row(0.7, None)
    half["after"] = row(0.7, 0.5)["after"]
    line = own_treebank.table({"cc_z": half}).splitlines()[2]
    assert line.split("|")[4].strip() == "– → 50.0"
