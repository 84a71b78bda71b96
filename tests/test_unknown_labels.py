"""Labels that a file says are missing or a guess: through convert into targets, and into the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from students import tabs

from mminibert.data.convert import convert
from mminibert.data.corpus import SUFFIXES, collect_labels, read_docs
from mminibert.data.targets import densify, read_shard
from mminibert.evaluation.evaluate import evaluate_treebank
from mminibert.runtime.doc_labels import doc_labels, gold_labels
from mminibert.runtime.labels import Label
from mminibert.systems.collect import gold_shards

TREEBANK = """\
1-2 nay _ _ _ _ _ _ _ _
1 na _ _ _ Case=Nom _ _ _ Upos=Unknown
2 y _ VERB _ Mood=Ind _ _ _ _
3 gu _ ADV _ Case=Acc _ _ _ UposGuess=Yes
4 fe _ NOUN _ _ _ _ _ Feats=Unknown
5 gf _ NOUN _ Case=Gen _ _ _ FeatsGuess=Yes
6 no _ _ _ _ _ _ _ Upos=Unknown|Feats=Unknown
7 ok _ NOUN _ Case=Nom _ _ _ _
8 no _ NOUN _ Case=Acc _ _ _ _
9 va _ X _ _ _ _ _ _

"""
KNOWN: dict[str, list[Label]] = {
    "na": [("", "Case=Nom")],
    "nay": [("", "Case=Nom")],
    "y": [("VERB", "Mood=Ind")],
    "gu": [("", "Case=Acc")],
    "fe": [("NOUN", "")],
    "gf": [("NOUN", "")],
    "no": [("", ""), ("NOUN", "Case=Acc")],
    "ok": [("NOUN", "Case=Nom")],
    "va": [("X", "_")],
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split in ("train", "dev"):
        path = tmp_path / "ud" / "aa_x" / f"aa_x-ud-{split}.conllu"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tabs(TREEBANK), encoding="utf-8")
    convert(tmp_path / "ud", tmp_path / "corpus")
    return tmp_path / "corpus"


def test_they_are_unknown_in_the_corpus(corpus: Path, tmp_path: Path) -> None:
    for unit in SUFFIXES:
        (doc,) = read_docs(corpus, "aa_x", "train", Vocab(), units=(unit,))
        example = Example(Doc(doc.vocab, words=[token.text for token in doc]), doc)
        for found in (doc_labels(doc), gold_labels(example)):
            for token, label in zip(doc, found, strict=True):
                assert label in KNOWN[token.text]
            assert found[-3:] == [("NOUN", "Case=Nom"), ("NOUN", "Case=Acc"), ("X", "_")]
            assert found.count(("", "")) == 1
    manifest = convert(tmp_path / "ud", corpus)
    splits = manifest["treebanks"]["aa_x"]["splits"]
    for split in ("train", "dev"):
        assert (splits[split]["masked_upos"], splits[split]["masked_feats"]) == (3, 3)


def test_they_are_no_target(corpus: Path, tmp_path: Path) -> None:
    inventory = collect_labels(corpus, ["aa_x"])
    assert set(inventory.combinations) == {
        *(("NOUN", "Case=Acc"), ("NOUN", "Case=Nom"), ("VERB", "Mood=Ind"), ("X", "_")),
    }
    seen = 0
    for path in gold_shards(corpus, ["aa_x"], inventory, tmp_path / "gold", shard_words=100):
        shard = read_shard(path)
        dense = densify(shard.targets, inventory.starts)
        words = [word for sentence in shard.sentences for word in sentence]
        for word, row in zip(words, dense, strict=True):
            sums = np.add.reduceat(row, inventory.starts[:-1])
            fields = [name for (name, _), total in zip(inventory.fields, sums, strict=True) if total]
            assert fields in [
                [name for name, _ in inventory.fields if (upos if name == "UPOS" else feats)]
                for upos, feats in KNOWN[word]
            ]
            for upos, _ in KNOWN[word][:1]:
                values = inventory.fields[0][1]
                if upos:
                    assert row[values.index(upos)] == 1.0
            seen += 1
    assert seen == 9 + 8


class Official:
    """Stands where the official scorer would, whose program has no unknown labels."""

    precision = recall = f1 = 0.25


@pytest.mark.parametrize("masked", [True, False])
def test_they_are_not_counted(tmp_path: Path, masked: bool) -> None:
    """Each answer is wrong but for that on `y`, whose UPOS is right, and on `ok`, whose FEATS are."""
    text = TREEBANK
    if not masked:
        for mark in ("Upos=Unknown|Feats=Unknown", "Upos=Unknown", "UposGuess=Yes", "Feats=Unknown"):
            text = text.replace(mark, "_")
        text = text.replace("FeatsGuess=Yes", "_")
    path = tmp_path / "dev.conllu"
    path.write_text(tabs(text), encoding="utf-8")
    answers = {"y": ("VERB", "Mood=Imp"), "ok": ("ADJ", "Case=Nom")}

    def tag(sentences: Sequence[Sequence[str]]) -> list[list[Label]]:
        return [[answers.get(word, ("INTJ", "Case=Voc")) for word in words] for words in sentences]

    scored: list[str] = []

    def score(gold: Path, system: Path) -> Mapping[str, Any]:
        scored.append(system.name)
        return dict.fromkeys(("Tokens", "Sentences", "Words", "UPOS", "UFeats"), Official)

    found = evaluate_treebank(spacy.blank("xx"), path, score=score, tag=tag)
    # 9 words, of which UPOS is unknown of 3, FEATS of 3.
    expected = {"UPOS": 1 / 6, "UFeats": 1 / 6, "FEATS": 1 / 6}
    official = {"UPOS": 0.25, "UFeats": 0.25, "FEATS": 1 / 9}
    assert found["gold_words"] == pytest.approx(expected if masked else official)
    assert (found["raw_text"], found["words"]) == (None, 9)
    raw = evaluate_treebank(spacy.blank("xx"), path, score=score)["raw_text"]
    assert (raw is None) == masked
    assert scored == ([] if masked else ["system.conllu"] * 3)  # gold words twice, raw text once
