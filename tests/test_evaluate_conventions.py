"""A pipeline with conventions is scored in each mode as by hand, and encodes a text once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from test_evaluate import GOLD, official, tagger_of

from mminibert.evaluation import tagging
from mminibert.evaluation.conventions import Told, dev_in_training, modes_of, tokenizing_in
from mminibert.evaluation.evaluate import evaluate_corpus, evaluate_treebank
from mminibert.packaging.quantize import quantize
from mminibert.runtime.conventions import Convention, Conventions
from mminibert.runtime.encoder import SharedEncoder
from mminibert.runtime.labels import Inventory
from mminibert.runtime.pipeline import tagger

ROOT = Path(__file__).parents[1]
# Each word gets its convention's first label, but those of letters, which are never punctuation, the second.
LABELS = {
    "de_x": [("X", "_"), ("NOUN", "Case=Nom")],
    "fr_a": [("PRON", "Case=Nom|Number=Sing"), ("ADP", "_")],
    "fr_c": [("PUNCT", "Mood=Ind"), ("VERB", "_")],
}
# Of the 8 words of GOLD by hand: one PRON with these features, two PUNCT, one VERB (with Mood=Ind), no X;
# five words without universal features, of which `!` has Typo=Yes and `de` and `Oui` are of letters.
SCORES = {
    "de_x": {"UPOS": 0.0, "UFeats": 5 / 8, "FEATS": 4 / 8},
    "fr_a": {"UPOS": 1 / 8, "UFeats": 1 / 8, "FEATS": 1 / 8},
    "fr_c": {"UPOS": 3 / 8, "UFeats": 2 / 8, "FEATS": 2 / 8},
}


def with_conventions(nlp: Language, codes: list[str], *, weight: float = 0.0) -> Language:
    """weight: of random numbers in the heads; 0: their first label always wins."""
    rng = np.random.default_rng(0)
    width = tagger(nlp).output_layer.get_dim("nI")
    heads = []
    for code in codes:
        inventory = Inventory.from_labels(LABELS[code])
        values = inventory.encode([LABELS[code][0]])[0]
        bias = np.zeros(inventory.n_outputs, dtype=np.float32)
        bias[inventory.starts[:-1] + values] = 1 - weight
        weights = weight * rng.standard_normal((inventory.n_outputs, width)).astype(np.float32)
        heads.append(Convention.of(code, inventory, weights, bias, np.zeros(0, dtype=np.float32)))
    tagger(nlp).conventions = Conventions(tuple(heads), None, {"fr": "fr_c", "de": "de_x"})
    return nlp


@pytest.fixture
def packaged(make_student: Callable[..., Language]) -> Language:
    return quantize(make_student(), [])


@pytest.fixture
def nlp(packaged: Language, monkeypatch: pytest.MonkeyPatch) -> Language:
    """All text is found to be German."""
    with_conventions(packaged, sorted(LABELS))
    monkeypatch.setattr(tagger(packaged), "_languages", SimpleNamespace(codes=("de",)))
    monkeypatch.setattr(
        "mminibert.runtime.convention_pipe.of_languages", lambda *args: [[(0, "de_x")] for _ in args[2]]
    )
    return packaged


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    path = tmp_path / "gold.conllu"
    path.write_text(GOLD, encoding="utf-8", newline="\n")
    return path


def test_modes(nlp: Language) -> None:
    found = Told()
    assert list(modes_of(nlp, "fr_a").items()) == [
        ("given", Told("fr_a")),
        ("default", Told("fr_c")),
        ("found", found),
    ]
    assert modes_of(nlp, "fr_c") == {"given": Told("fr_c"), "default": Told("fr_c"), "found": found}
    assert list(modes_of(nlp, "fr_pud").items()) == [("default", Told("fr_c")), ("found", found)]
    assert modes_of(nlp, "qtd_sagt") == modes_of(nlp, "am_att") == {"found": found}
    assert modes_of(spacy.blank("xx"), "fr_a") == {}
    tagger(nlp)._languages = None  # as in training
    assert modes_of(nlp, "fr_a") == {"given": Told("fr_a"), "default": Told("fr_c")}


class TokenizerOfLanguages:
    """Cuts at blanks in French and after each character in the way of `fr_a`; what it does not know the
    language of is one token."""

    languages = ("fr", "fr_a")

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self._language: str | None = None

    @property
    def language(self) -> str | None:
        return self._language

    @language.setter
    def language(self, language: str | None) -> None:
        if language not in (None, *self.languages):
            raise ValueError(f"got language {language!r}")
        self._language = language

    def __call__(self, text: str) -> Doc:
        words = {"fr": text.split(" "), "fr_a": list(text), None: [text]}[self.language]
        return Doc(self.vocab, words=words, spaces=[self.language == "fr"] * (len(words) - 1) + [False])


def test_the_tokenizer_is_told_too(nlp: Language, gold: Path) -> None:
    tokenizer = nlp.tokenizer = TokenizerOfLanguages(nlp.vocab)
    tokenizer.language = "fr_a"
    modes = modes_of(nlp, "fr_a")
    assert modes == {"given": Told("fr_a", "fr_a"), "default": Told("fr_c", "fr"), "found": Told()}
    # Of a treebank that it does not know it is told the language, of another language nothing.
    assert modes_of(nlp, "fr_c")["given"] == Told("fr_c", "fr")
    assert modes_of(nlp, "de_x")["given"] == Told("de_x", None)
    record = evaluate_treebank(nlp, gold, score=official, modes=modes)
    raw = {mode: row["raw_text"]["Tokens"] for mode, row in record["modes"].items()}
    # Of gold's 7 tokens, from `Il va du 10_000. Oui!`, where `_` is no blank: `.` and `!` among 16 characters
    # that are not blank; `Il`, `va` and `du` among 5 chunks; nothing in one token.
    assert [raw[mode]["precision"] for mode in raw] == [2 / 16, 3 / 5, 0.0]
    assert [raw[mode]["recall"] for mode in raw] == [2 / 7, 3 / 7, 0.0]
    assert [row["tokenizer"] for row in record["modes"].values()] == ["fr_a", "fr", None]
    assert record["raw_text"]["Tokens"] == raw["given"]
    found = {mode: (row["convention"], row["gold_words"]) for mode, row in record["modes"].items()}
    assert found["default"] == ("fr_c", SCORES["fr_c"])  # words that are given are not tokenized
    assert tokenizer.language == "fr_a"


def test_the_tokenizer_is_told_for_a_while(nlp: Language) -> None:
    with tokenizing_in(nlp, "xx"):  # spaCy's own cannot be told
        assert not hasattr(nlp.tokenizer, "language")
    tokenizer = nlp.tokenizer = TokenizerOfLanguages(nlp.vocab)
    tokenizer.language = "fr"
    with pytest.raises(RuntimeError, match="no more"), tokenizing_in(nlp, None):
        assert tokenizer.language is None
        raise RuntimeError("no more")
    assert tokenizer.language == "fr"
    with pytest.raises(ValueError, match="got language 'xx'"), tokenizing_in(nlp, "xx"):
        pass
    assert tokenizer.language == "fr"


def test_whether_dev_was_trained_on(nlp: Language) -> None:
    assert dev_in_training(spacy.blank("xx"), "fr_a", {"rebuilt": 5}) is False
    assert dev_in_training(spacy.blank("xx"), "fr_a", {"rebuilt": 5, "dev": 5}) is True
    assert dev_in_training(nlp, "fr_a", {"rebuilt": 5}) is None  # the fit may have read it
    nlp.meta["dev_in_training"] = ["fr_a"]
    assert dev_in_training(nlp, "fr_a", {}) is True
    assert dev_in_training(nlp, "fr_c", {}) is False
    assert dev_in_training(nlp, "fr_c", {"dev": 1}) is True


def test_each_mode_by_hand(nlp: Language, gold: Path) -> None:
    tagger(nlp).convention = "fr"
    record = evaluate_treebank(nlp, gold, score=official, modes=modes_of(nlp, "fr_a"))
    found = {mode: (row["convention"], row["gold_words"]) for mode, row in record["modes"].items()}
    assert found == {
        "given": ("fr_a", SCORES["fr_a"]),
        "default": ("fr_c", SCORES["fr_c"]),
        "found": (None, SCORES["de_x"]),
    }
    # Of raw text `du` is one token, and `10 000` two: `de` and the number, without features, are not found.
    raw = {mode: row["raw_text"] for mode, row in record["modes"].items()}
    assert [raw[mode]["UPOS"]["f1"] for mode in raw] == [1 / 8, 3 / 8, 0.0]
    assert [raw[mode]["UFeats"]["f1"] for mode in raw] == [1 / 8, 1 / 8, 3 / 8]
    assert {key: record[key] for key in record["modes"]["given"]} == record["modes"]["given"]
    assert record["tokenizer"] is None  # spaCy's own cannot be told
    assert tagger(nlp).convention == "fr_c"  # as it was
    assert nlp.pipe_names == ["sentencizer", "tok2vec", "morphologizer"]


def test_the_most_that_is_known_stands_for_the_treebank(nlp: Language, gold: Path) -> None:
    foreign = evaluate_treebank(nlp, gold, score=official, modes=modes_of(nlp, "fr_pud"))
    assert (foreign["convention"], foreign["gold_words"]) == ("fr_c", SCORES["fr_c"])
    assert list(foreign["modes"]) == ["default", "found"]
    mixed = evaluate_treebank(nlp, gold, score=official, modes=modes_of(nlp, "qtd_sagt"))
    assert (mixed["convention"], mixed["gold_words"]) == (None, SCORES["de_x"])


def test_a_text_is_encoded_once_for_all_modes(
    nlp: Language, gold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_conventions(nlp, sorted(LABELS), weight=1.0)
    monkeypatch.setattr(tagger(nlp), "_languages", SimpleNamespace(codes=("de",)))
    apart = {
        mode: evaluate_treebank(nlp, gold, score=official, modes={mode: told})["modes"][mode]
        for mode, told in modes_of(nlp, "fr_a").items()
    }
    encoded: list[str] = []
    predict = SharedEncoder.predict

    def count(self: SharedEncoder, docs: Any) -> Any:
        docs = list(docs)
        encoded.extend(doc.text for doc in docs)
        return predict(self, docs)

    monkeypatch.setattr(SharedEncoder, "predict", count)
    together = evaluate_treebank(nlp, gold, score=official, modes=modes_of(nlp, "fr_a"))["modes"]
    assert together == apart
    assert len({json.dumps(row["gold_words"]) for row in together.values()}) > 1
    assert len(encoded) == 3  # two sentences of gold words, one text


def test_a_failure_leaves_the_convention(nlp: Language, gold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> str:
        raise RuntimeError("no more")

    tagger(nlp).convention = "fr_c"
    monkeypatch.setattr(tagging, "_with_tags", fail)
    with pytest.raises(RuntimeError, match="no more"):
        evaluate_treebank(nlp, gold, score=official, modes={"given": Told("fr_a")})
    assert tagger(nlp).convention == "fr_c"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two treebanks that the pipeline has conventions of, and one of their language."""
    entry = {"lang": "fr", "labels": "gold", "splits": {"train": {"words": 9}, "test": {}}}
    codes = ["fr_a", "fr_c", "fr_pud"]
    for code in codes:
        (tmp_path / "corpus" / code).mkdir(parents=True)
        (tmp_path / "corpus" / code / "test.conllu").write_text(GOLD, encoding="utf-8", newline="\n")
    manifest = {"treebanks": dict.fromkeys(codes, entry)}
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path / "corpus"


def test_a_record_without_a_mode_is_not_kept(packaged: Language, corpus: Path, tmp_path: Path) -> None:
    with_conventions(packaged, ["fr_a", "fr_c"]).to_disk(tmp_path / "model")
    nlp, out = spacy.load(tmp_path / "model"), tmp_path / "out"

    def kept(**options: Any) -> list[bool]:
        found = list(evaluate_corpus(nlp, corpus, out, score=official, **options))
        assert all(outcome.record is not None for outcome in found), found
        return [outcome.kept for outcome in found]

    assert kept(tag=tagger_of(nlp)) == [False, False, False]
    assert json.loads((out / "fr_a.json").read_text())["modes"] == {}
    assert kept() == [False, False, False]
    record = json.loads((out / "fr_a.json").read_text())
    assert list(record["modes"]) == ["given", "default", "found"]
    assert kept() == kept(tag=tagger_of(nlp)) == [True, True, True]
    del record["modes"]["found"]
    (out / "fr_a.json").write_text(json.dumps(record))
    assert kept() == [False, True, True]
    for part in ("raw_text", "modes"):
        record = json.loads((out / "fr_pud.json").read_text())
        del (record["modes"]["found"] if part == "modes" else record)["raw_text"]["Sentences"]
        (out / "fr_pud.json").write_text(json.dumps(record))
        assert kept() == [True, True, False]


def test_treebanks_side_by_side_have_the_same_records(
    packaged: Language, corpus: Path, tmp_path: Path
) -> None:
    with_conventions(packaged, ["fr_a", "fr_c"], weight=1.0).to_disk(tmp_path / "model")
    manifest = json.loads((corpus / "manifest.json").read_text())
    manifest["treebanks"]["fr_absent"] = manifest["treebanks"]["fr_a"]
    (corpus / "manifest.json").write_text(json.dumps(manifest))
    script = [sys.executable, str(ROOT / "scripts/evaluate.py"), str(tmp_path / "model"), str(corpus)]
    records, lines = [], []
    for jobs in ("1", "2"):
        out = tmp_path / f"out{jobs}"
        done = subprocess.run([*script, str(out), "--jobs", jobs], capture_output=True, text=True)
        assert done.returncode == 1
        assert "fr_absent: failed: FileNotFoundError" in done.stderr, done.stderr
        lines.append([line.split(",")[0] for line in done.stdout.splitlines()])
        found = {path.name: json.loads(path.read_text()) for path in out.iterdir()}
        assert sorted(found) == ["fr_a.json", "fr_c.json", "fr_pud.json"]
        for record in found.values():
            for name in ("seconds", "words_per_second", "raw_seconds", "raw_words_per_second"):
                del record[name]
        records.append(found)
    assert records[0] == records[1]
    assert lines[0] == lines[1]
    again = subprocess.run([*script, str(out), "--jobs", "2"], capture_output=True, text=True)
    assert again.stdout.count("(kept)") == 3
