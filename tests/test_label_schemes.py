"""The two label schemes: alike but for the component, trained, scored and timed side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from students import make_project, write_treebank, write_vocabulary

from mminibert.data.convert import convert
from mminibert.experiments.label_schemes import compare, scheme_config, score
from mminibert.experiments.label_schemes import write_vocabulary as write_small_vocabulary
from mminibert.project.profile import Profile
from mminibert.runtime.wordpieces import WordPieces

ROOT = Path(__file__).parents[1]
PROFILE = """
assets = "folder"
treebanks = ["en_a"]
[student.overrides]
components.morphologizer.model.tok2vec = { hidden_width = 16, intermediate_width = 16, num_hidden_layers = 1 }
training.max_steps = 4
training.eval_frequency = 2
corpora.train.epoch_words = 100
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path, PROFILE)
    for seed, ltcode in enumerate(("en_a", "de_a")):
        write_treebank(tmp_path / "ud", ltcode, seed=seed, joined=False, train=12, dev=4, test=6)
    convert(tmp_path / "ud", tmp_path / "corpus" / "p")
    (tmp_path / "assets" / "p").mkdir(parents=True)
    write_vocabulary(tmp_path / "assets" / "p" / "vocab.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_schemes_differ_in_the_component_alone(here: Path) -> None:
    paths = {"vocabulary": Path("v.txt"), "labels": Path("l.json")}
    factored, strings = (
        dict(scheme_config(scheme, Profile.read("p"), ["de_a"], **paths))
        for scheme in ("factored", "strings")
    )
    components = factored.pop("components"), strings.pop("components")
    assert components[0]["morphologizer"]["factory"] == "factored_morphologizer"
    assert components[1]["morphologizer"]["factory"] == "morphologizer"
    encoders = [c["morphologizer"]["model"]["tok2vec"] for c in components]
    assert encoders[0] == encoders[1]
    assert encoders[0]["@architectures"] == "mminibert.MiniBert.v1"
    assert factored.pop("initialize") != strings.pop("initialize")
    assert factored == strings
    assert factored["corpora"]["train"]["limit"] is None
    with pytest.raises(ValueError, match=r"got scheme 'x', expected one of \['factored', 'strings'\]"):
        scheme_config("x", Profile.read("p"), ["de_a"], **paths)


def test_the_vocabulary_has_the_pieces_that_occur(here: Path) -> None:
    write_small_vocabulary(Profile.read("p"), here / "small.txt")
    small, whole = (WordPieces.from_file(p) for p in (here / "small.txt", here / "assets/p/vocab.txt"))
    assert len(small) < len(whole)
    for word in ("a", "cabs", "faced", "."):
        assert [small.vocab[i] for i in small.pieces(word)] == [whole.vocab[i] for i in whole.pieces(word)]


def test_scores_are_plain_counts() -> None:
    nlp = spacy.blank("xx")

    @Language.component("all_nouns")
    def all_nouns(doc: Doc) -> Doc:
        token: Any
        for token in doc:
            token.pos_ = "NOUN"
            token.set_morph("Case=Nom|Clusivity=In")
        return doc

    nlp.add_pipe("all_nouns")
    sentences: Any = [
        [("a", ("NOUN", "Case=Nom|Clusivity=In")), ("b", ("NOUN", "Case=Nom"))],
        [("c", ("VERB", "Case=Nom|Clusivity=In")), ("d", ("NOUN", "_"))],
    ]
    assert score(nlp, sentences, {("NOUN", "_")}) == {
        "UPOS": 75.0,
        "UFeats": 75.0,
        "FEATS": 50.0,
        "unseen": pytest.approx(100 / 3),
        "unseen_words": 3,
    }


def test_both_are_trained_and_compared(here: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "labels.py"), "p", "out"]
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    (row,) = srsly.read_json(here / "out" / "labels.json")["models"]
    factored, strings = row["schemes"]["factored"], row["schemes"]["strings"]
    assert factored["unseen_words"] == strings["unseen_words"]
    assert factored["words_per_second"] > 0
    assert strings["seconds"] > 0
    assert strings["head_bytes"] == 4 * (16 + 1) * strings["outputs"]  # float32 weights and biases
    text = (here / "out" / "labels.md").read_text(encoding="utf-8")
    assert sum(line.startswith("| ") for line in text.splitlines()) == 2 + 2
    folders = {scheme: here / "training/p/labels/en_a" / scheme for scheme in ("factored", "strings")}
    seconds = (folders["strings"] / "seconds").read_text()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert (folders["strings"] / "seconds").read_text() == seconds

    both = compare("all", folders, here / "corpus" / "p", ["en_a", "de_a"])["schemes"]["factored"]
    assert both["treebanks"]["en_a"] == pytest.approx(factored["treebanks"]["en_a"])
    mean = sum(found["UPOS"] for found in both["treebanks"].values()) / 2
    assert both["UPOS"] == pytest.approx(mean)
