"""Lemmas in records, reports, pages and the chain's step."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import spacy
import typer
from annotators import run
from packaged import random_segmenter, three_languages, with_conventions
from spacy.language import Language
from test_evaluate import official, script
from test_report_raw import RECORDS, scored
from typer.testing import CliRunner

from mminibert.annotation.outputs import Format
from mminibert.data.conllu import read_conllu
from mminibert.data.convert import convert
from mminibert.evaluation.conventions import DEV_IN_TRAINING, Told
from mminibert.evaluation.evaluate import evaluate_corpus, evaluate_treebank
from mminibert.evaluation.metrics import lemma_accuracies
from mminibert.evaluation.own_scores import own_scores
from mminibert.evaluation.report import build_report
from mminibert.evaluation.report_html import by_lemmas, to_html
from mminibert.evaluation.report_markdown import to_markdown
from mminibert.packaging.cards import model_card
from mminibert.packaging.lemma_card import lemma_section
from mminibert.packaging.page import page, performance
from mminibert.packaging.quantize import with_lemmas, with_segmenter
from mminibert.packaging.records import Records, TreebankRecord
from mminibert.project.vocabulary import Source
from mminibert.runtime.lemmas import Lemmas
from mminibert.systems.lemma_fit import WordCounts, fit_table
from mminibert.systems.lemmas import fit_lemmas

ROW = "{}\t{}\t{}\t{}\t_\t_\t{}\tdep\t_\t_\n"


def conllu(*words: tuple[str, str]) -> str:
    """A sentence of forms and lemmas."""
    rows = [ROW.format(i, form, lemma, "NOUN", int(i > 1)) for i, (form, lemma) in enumerate(words, 1)]
    return "".join(rows).replace("\t0\tdep", "\t0\troot") + "\n"


GOLD = conllu(("abc", "ABC"), ("bad", "x"), ("cab", "_"), ("ace", "ACE"), ("abc", "other")) * 3
LABELS = [
    ("NOUN", "Number=Sing"),
    ("NOUN", "Number=Plur"),
    ("VERB", "Tense=Past"),
    ("PUNCT", "_"),
    ("VERB", "Number=Plur"),
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    """Whose lemmas are capitals."""
    counts: WordCounts = Counter(
        {(form, upos, feats, form.upper()): 1 for form in ("abc", "bad", "ace") for upos, feats in LABELS}
    )
    packaged = with_segmenter(with_conventions(three_languages()), random_segmenter())
    return with_lemmas(packaged, Lemmas.of([fit_table({"en_x": counts, "en_y": counts})]))


def test_a_record_has_lemmas_seen_and_unseen_ones(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "gold.conllu"
    path.write_text(GOLD, encoding="utf-8")
    modes = {"given": Told("en_x", "en")}
    record = evaluate_treebank(nlp, path, score=official, modes=modes, seen={"abc"})
    # The evaluation counts a gold lemma `_` as right, accuracies of seen and unseen words leave it out.
    assert record["gold_words"]["Lemmas"] == pytest.approx(3 / 5)
    assert record["gold_words"]["seen Lemmas"] == pytest.approx(1 / 2)
    assert record["gold_words"]["unseen Lemmas"] == pytest.approx(1 / 2)
    assert 0 < record["raw_text"]["Lemmas"]["f1"] <= record["raw_text"]["Words"]["f1"]
    own = own_scores(nlp, list(read_conllu(path)), Told("en_x", "en"))
    assert own["gold_words"]["Lemmas"] == pytest.approx(1 / 2)
    assert own["raw_text"]["Lemmas"] == pytest.approx(record["raw_text"]["Lemmas"]["f1"])


def test_there_are_none_without_gold_lemmas_or_a_component(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "gold.conllu"
    path.write_text(conllu(("abc", "_"), ("bad", "_")) * 3, encoding="utf-8")
    bare = with_segmenter(with_conventions(three_languages()), random_segmenter())
    for pipeline, text in ((nlp, path.read_text(encoding="utf-8")), (bare, GOLD)):
        path.write_text(text, encoding="utf-8")
        record = evaluate_treebank(pipeline, path, score=official, modes={"given": Told("en_x", "en")})
        assert "Lemmas" not in record["gold_words"] and "Lemmas" not in record["raw_text"]
        own = own_scores(pipeline, list(read_conllu(path)), Told("en_x", "en"))
        assert "Lemmas" not in own["gold_words"] and "Lemmas" not in own["raw_text"]


def test_seen_are_the_forms_of_the_training_set(nlp: Language, tmp_path: Path) -> None:
    folder = tmp_path / "ud" / "en_x"
    folder.mkdir(parents=True)
    (folder / "en_x-ud-train.conllu").write_text(conllu(("ABC", "abc"), (".", ".")) * 3, encoding="utf-8")
    (folder / "en_x-ud-test.conllu").write_text(GOLD, encoding="utf-8")
    convert(tmp_path / "ud", tmp_path / "corpus", ["en_x"])
    nlp.to_disk(tmp_path / "model")
    loaded = spacy.load(tmp_path / "model")
    (outcome,) = evaluate_corpus(loaded, tmp_path / "corpus", tmp_path / "metrics", score=official)
    assert outcome.record is not None, outcome.error
    assert outcome.record["gold_words"]["seen Lemmas"] == pytest.approx(1 / 2)
    assert outcome.record["gold_words"]["unseen Lemmas"] == pytest.approx(1 / 2)


def test_accuracies_by_hand(tmp_path: Path) -> None:
    paths = tmp_path / "gold.conllu", tmp_path / "found.conllu"
    paths[0].write_text(conllu(("a", "A"), ("b", "B"), ("C", "c"), ("_", "_"), ("d", "_")), encoding="utf-8")
    paths[1].write_text(conllu(("a", "A"), ("b", "x"), ("C", "c"), ("_", "_"), ("d", "y")), encoding="utf-8")
    gold, found = map(read_conllu, paths)
    assert lemma_accuracies(gold, found, {"a", "b"}) == {
        "Lemmas": 3 / 4,
        "seen Lemmas": 1 / 2,
        "unseen Lemmas": 1.0,
    }


def test_the_report_has_means_beside_udpipe() -> None:
    def with_scores(code: str, gold: float, raw: float) -> dict[str, Any]:
        found = scored(0.9, 0.8)
        found["gold_words"] |= {"Lemmas": gold, "seen Lemmas": 0.9, "unseen Lemmas": 0.5}
        found["raw_text"]["Lemmas"] = {"precision": 0.0, "recall": 0.0, "f1": raw}
        return {**RECORDS[code], **found}

    records = {
        "af_x": with_scores("af_x", 0.9, 0.8),
        "el_x": with_scores("el_x", 0.8, 0.7),
        "zh_x": with_scores("zh_x", 0.4, 0.3),
        "af_pud": RECORDS["af_pud"],
    }
    udpipe = {code: {"gold Lemmas": 85.0, "raw Lemmas": 84.0} for code in ("af_x", "el_x", "af_pud")}
    report = build_report([{"mminibert": records}], {}, command="c", udpipe=udpipe)
    both, everything = report["lemmas"]["means"]
    assert (both["treebanks"], everything["treebanks"]) == (2, 3)
    assert both["figures"]["gold Lemmas"] == pytest.approx(85)
    assert both["figures"]["udpipe gold Lemmas"] == 85
    assert everything["figures"]["raw Lemmas"] == pytest.approx(60)
    assert "udpipe raw Lemmas" not in everything["figures"]
    assert [row["ltcode"] for row in report["lemmas"]["treebanks"]] == ["af_x", "el_x", "zh_x"]
    lines = to_markdown(report).splitlines()
    cells = next(line for line in lines if line.startswith("| mean of all with UDPipe's figures (2)")).split(
        "|"
    )
    assert [cell.strip() for cell in cells[2:-1]] == ["85.00", "85.00", "90.00", "50.00", "75.00", "84.00"]
    assert "<h2>Lemmas</h2>" in to_html(report) and "<svg" in by_lemmas(report)
    without = build_report([{"mminibert": RECORDS}], {}, command="c", udpipe=udpipe)
    assert without["lemmas"] is None and "## Lemmas" not in to_markdown(without) and by_lemmas(without) == ""


def test_pages_and_cards_say_what_lemmas_there_are(nlp: Language) -> None:
    row = scored(0.9, 0.8)
    lemmas = {**row, "gold_words": {**row["gold_words"], "Lemmas": 0.6}}
    lemmas["raw_text"] = {**row["raw_text"], "Lemmas": {"f1": 0.5}}
    found = performance({"aa_x": lemmas, "bb_y": row})
    assert (found["gold_words_lemmas"], found["raw_text_lemmas_f1"]) == (0.6, 0.5)
    assert found["measured"].endswith("evaluation, lemmas of the 1 that have them.")
    meta = {"lang": "xx", "name": "test", "version": "1.0", "description": "d", "license": "MIT"}
    text = page({**meta, "performance": found, "pipeline": ["tagger", "lemmatizer"]})
    assert "token.lemma_" in text and "| 60.00 |" in text.replace("  ", " ")
    assert "Lemmas" not in page({**meta, "performance": performance({"bb_y": row}), "pipeline": ["tagger"]})
    section = "\n".join(lemma_section(nlp))
    assert "`ru_x`, `zh_x`" in section and "`en_x`" not in section
    assert list(lemma_section(three_languages())) == []
    records = Records("MIT", Source("t"), (TreebankRecord("en_x", "en", "gold", 9),))
    nlp.meta.update({"description": "D.", "license": "MIT", "sources": [], "languages": ["en"]})
    card = model_card(records, nlp, nlp)
    assert "\n## Lemmas\n" in card and "`token.morph` and `token.lemma`" in card


def test_the_step_of_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.chdir(tmp_path)
    profile = (
        'description = "d"\nassets = "folder"\ntreebanks = ["en_x", "fi_x"]\nconventions = {}\n'
        '[teacher]\nname = "t"\nlicence = "MIT"\n[collect]\n'
        "train_words = 1\ntext_words = 1\nreplaced = 0.0\nshard_words = 1\n[package]\nlicence = 'MIT'\n"
    )
    for code in ("en_x", "fi_x"):
        folder = tmp_path / "assets/p/ud" / code
        folder.mkdir(parents=True)
        text = conllu(("dogs", "dog"), ("cats", "cat"), ("x", "_")) * 3
        (folder / f"{code}-ud-train.conllu").write_text(text, encoding="utf-8")
    convert(tmp_path / "assets/p/ud", tmp_path / "corpus/p", ["en_x", "fi_x"])
    app = typer.Typer()
    app.command()(script("lemmatize").main)
    for conventions, codes in (("true", ("en_x", "fi_x")), ("false", ("",))):
        (tmp_path / "configs/profiles").mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs/profiles/p.toml").write_text(profile.format(conventions), encoding="utf-8")
        result = CliRunner().invoke(app, ["p"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        lemmas = Lemmas.from_bytes((tmp_path / "training/p/lemmatizer/lemmas").read_bytes())
        assert lemmas.codes == codes
        table = lemmas.table(codes[0])
        assert table is not None and table.lemmas(codes[0], ["hens"], [("NOUN", "_")]) == ["hen"]


def test_conventions_of_silver_treebanks_learn_lemmas_of_dev(tmp_path: Path) -> None:
    ud, corpus = tmp_path / "ud", tmp_path / "corpus"
    for code in ("en_x", "fi_y"):
        for split, words in (
            ("train", [("dogs", "dog"), ("cats", "cat"), ("hens", "hen")]),
            ("dev", [("dogs", "DOG"), ("owls", "uhu")]),
        ):
            path = ud / code / f"{code}-ud-{split}.conllu"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(conllu(*words) * (3 if split == "train" else 1), encoding="utf-8")
    convert(ud, corpus, ["en_x", "fi_y"])
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    manifest["treebanks"]["fi_y"]["labels"] = "silver"
    (corpus / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def lemmas_of(code: str, *, conventions: bool) -> list[str]:
        found = fit_lemmas(corpus, ["en_x", "fi_y"], conventions=conventions)
        table = found.table(code)
        assert table is not None
        return table.lemmas(code, ["dogs", "cats", "owls"], [("NOUN", "_")] * 3)

    assert lemmas_of("en_x", conventions=True) == ["dog", "cat", "owl"]
    assert lemmas_of("fi_y", conventions=True) == ["DOG", "cat", "uhu"]
    assert lemmas_of("", conventions=False) == ["dog", "cat", "owl"]


def test_words_of_dev_are_seen_where_that_was_learned_from(tmp_path: Path, nlp: Language) -> None:
    folder = tmp_path / "ud" / "en_x"
    folder.mkdir(parents=True)
    for split, words in (
        ("train", [("abc", "ABC")]),
        ("dev", [("Bad", "BAD")]),
        ("test", [("abc", "ABC"), ("bad", "wrong"), ("cab", "CAB"), ("ace", "CAB")]),
    ):
        (folder / f"en_x-ud-{split}.conllu").write_text(conllu(*words), encoding="utf-8")
    convert(tmp_path / "ud", tmp_path / "corpus", ["en_x"])
    nlp.to_disk(tmp_path / "model")
    for learned, seen, unseen in (([], 1.0, 1 / 3), (["en_x"], 0.5, 0.5)):
        loaded, out = spacy.load(tmp_path / "model"), tmp_path / f"metrics-{len(learned)}"
        loaded.meta[DEV_IN_TRAINING] = learned
        (outcome,) = evaluate_corpus(loaded, tmp_path / "corpus", out, score=official)
        assert outcome.record is not None, outcome.error
        gold = outcome.record["gold_words"]
        assert gold["seen Lemmas"] == pytest.approx(seen)
        assert gold["unseen Lemmas"] == pytest.approx(unseen)


def test_annotated_files_have_them(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "model")
    text = tmp_path / "in.txt"
    text.write_text("abc cab\n", encoding="utf-8")
    found = {}
    for format in (Format.jsonl, Format.tsv, Format.conllu):
        output = tmp_path / f"out.{format.value}"
        *_, _ = run([text], output, tmp_path / "model", format=format, convention="en_x")
        found[format] = output.read_text(encoding="utf-8")
    tokens = [token for s in json.loads(found[Format.jsonl])["sentences"] for token in s["tokens"]]
    words = [word["lemma"] for token in tokens for word in token["words"] or [token]]
    rows = [row.split("\t") for row in found[Format.tsv].splitlines()]
    column = rows[0].index("lemma")
    assert [row[column] for row in rows[1:]] == words
    lines = [line.split("\t") for line in found[Format.conllu].splitlines() if line[:1].isdigit()]
    assert [row[2] for row in lines if "-" not in row[0]] == words
    assert all(words) and [word for word in words if word == word.upper()] == words
    gold = tmp_path / "gold.conllu"
    gold.write_text(conllu(("abc", "other")), encoding="utf-8")
    *_, _ = run(
        [gold], tmp_path / "tagged.conllu", tmp_path / "model", format=Format.conllu, convention="en_x"
    )
    (sentence,) = read_conllu(tmp_path / "tagged.conllu")
    assert [word.lemma for word in sentence.words] == ["ABC"]
