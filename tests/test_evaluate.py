"""Tagging for evaluation: no gold leaks in, and the official scorer reads and aligns what comes out."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc
from typer.testing import CliRunner
from udtools import udeval

from mminibert.data.conllu import Sentence, read_conllu
from mminibert.data.text import script_of
from mminibert.evaluation.conventions import Told
from mminibert.evaluation.evaluate import describe_model, evaluate_corpus, evaluate_treebank
from mminibert.evaluation.tagging import TagWords, gold_words
from mminibert.files import folder_sha256
from mminibert.runtime.labels import Label

# A range, an empty node, FEATS that no component below predicts, a form with a space, and odd spaces.
GOLD = """\
# newdoc
# sent_id = 1
# text = Il va du 10 000.
1\tIl\til\tPRON\t_\tCase=Nom|Number=Sing\t2\tnsubj\t_\t_
2\tva\taller\tVERB\t_\tMood=Ind\t0\troot\t_\t_
2.1\tva\taller\tVERB\t_\t_\t_\t_\t0:root\t_
3-4\tdu\t_\t_\t_\t_\t_\t_\t_\t_
3\tde\tde\tADP\t_\t_\t5\tcase\t_\t_
4\tle\tle\tDET\t_\tDefinite=Def\t5\tdet\t_\t_
5\t10\u00a0000\t10000\tNUM\t_\t_\t2\tobl\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_

# sent_id = 2
# text = Oui!
1\tOui\toui\tINTJ\t_\t_\t0\troot\t_\tSpaceAfter=No
2\t!\t!\tPUNCT\t_\tTypo=Yes\t1\tpunct\t_\t_

"""
TAGS = {
    "Il": ("PRON", "Case=Nom"),
    "va": ("VERB", "Mood=Ind"),
    "le": ("DET", "Definite=Def"),
    "!": ("PUNCT", ""),
}


@Language.component("evaluate_test_tagger")
def tagger(doc: Doc) -> Doc:
    for attribute in ("TAG", "POS", "MORPH", "LEMMA", "DEP", "HEAD", "ENT_TYPE"):
        assert not doc.has_annotation(attribute), f"gold {attribute} reached the pipeline"
    for token in doc:
        token.pos_, feats = TAGS.get(token.text, ("X", ""))
        token.set_morph(feats)  # type: ignore[attr-defined]
    return doc


@Language.component("evaluate_test_merger")
def merger(doc: Doc) -> Doc:
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[:2])
    return doc


@cache
def pipeline(*names: str) -> Language:
    nlp = spacy.blank("xx")
    for name in names:
        nlp.add_pipe(name)
    return nlp


def sentences(path: Path, text: str = GOLD) -> list[Sentence]:
    path.write_text(text, encoding="utf-8", newline="\n")
    return list(read_conllu(path))


def official(gold: Path, system: Path) -> dict[str, Any]:
    sides = []
    for path in (gold, system):
        with path.open(encoding="utf-8") as file:
            sides.append(udeval.load_conllu(file, str(path), {}))
    return dict(udeval.evaluate(*sides))


def test_gold_words_replaces_three_columns_and_nothing_else(tmp_path: Path) -> None:
    gold = sentences(tmp_path / "gold.conllu")
    lines = gold_words(pipeline("evaluate_test_tagger"), gold).conllu[Told()].splitlines()
    expected = GOLD.splitlines()
    assert len(lines) == len(expected)
    predicted = {}
    for line, original in zip(lines, expected, strict=True):
        cells, original_cells = line.split("\t"), original.split("\t")
        if cells[0].isdigit():
            predicted[cells[1]] = (cells[3], cells[5])
            assert cells[2] == "_"  # the pipeline sets none, and gold ones must not be scored
            for column in (2, 3, 5):
                cells[column] = original_cells[column]
        assert cells == original_cells
    assert predicted == {
        **{
            "Il": ("PRON", "Case=Nom"),
            "va": ("VERB", "Mood=Ind"),
            "de": ("X", "_"),
            "le": ("DET", "Definite=Def"),
        },
        **{"10\u00a0000": ("X", "_"), ".": ("X", "_"), "Oui": ("X", "_"), "!": ("PUNCT", "_")},
    }


def test_gold_words_gives_forms_and_spaces_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp, seen = spacy.blank("xx"), []

    @Language.component("evaluate_test_spy")
    def spy(doc: Doc) -> Doc:
        seen.append([token.text_with_ws for token in doc])
        assert not doc.user_data and not doc.cats and not doc.has_annotation("SENT_START")
        return doc

    nlp.add_pipe("evaluate_test_spy")
    nlp.add_pipe("evaluate_test_tagger")
    monkeypatch.setattr(nlp, "make_doc", lambda text: pytest.fail("gold words must not be tokenized"))
    gold_words(nlp, sentences(tmp_path / "gold.conllu"))
    assert seen == [["Il ", "va ", "de", "le ", "10\u00a0000", ". "], ["Oui", "! "]]


def test_gold_words_keep_their_order_in_batches(tmp_path: Path) -> None:
    text = "".join(f"1\tw{i}\t_\tX\t_\t_\t0\troot\t_\t_\n\n" for i in range(7))
    gold = sentences(tmp_path / "gold.conllu", text)
    assert gold_words(pipeline("evaluate_test_tagger"), gold, batch_size=3).conllu == {Told(): text}


def test_gold_words_refuses_changed_tokens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gold.conllu, line 1: the pipeline made 5 tokens of 6 words"):
        gold_words(pipeline("evaluate_test_merger"), sentences(tmp_path / "gold.conllu"))


def test_evaluate_treebank_by_hand(tmp_path: Path) -> None:
    gold = sentences(tmp_path / "gold.conllu")[0].path
    record = evaluate_treebank(pipeline("evaluate_test_tagger"), gold, score=official)
    assert record["gold_words"] == {"UPOS": 4 / 8, "UFeats": 7 / 8, "FEATS": 6 / 8}
    assert record["raw_text"]["Words"] == {"precision": 5 / 8, "recall": 5 / 8, "f1": 5 / 8}
    assert record["raw_text"]["UPOS"] == {"precision": 3 / 8, "recall": 3 / 8, "f1": 3 / 8}
    assert (record["sentences"], record["words"], record["script"]) == (2, 8, "Latin")
    assert record["words_per_second"] == 8 / record["seconds"]
    assert record["raw_words_per_second"] == 8 / record["raw_seconds"]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("abc где", "Latin"),
        ("где a", "Cyrillic"),
        ("你好 a", "Cjk"),
        ("한국어", "Hangul"),
        ("12 .", ""),
        ("", ""),
    ],
)
def test_script_of(text: str, script: str) -> None:
    assert script_of(text) == script


def test_folder_checksum_sees_names_and_contents_but_no_byte_code(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = folder_sha256(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("2")
    assert folder_sha256(tmp_path) == first
    (tmp_path / "a").write_text("2")
    second = folder_sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, folder_sha256(tmp_path)}) == 3


def test_a_pipeline_without_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="has no folder"):
        describe_model(pipeline(), None)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two treebanks that can be scored, and between them one whose test file is missing."""
    folder = tmp_path / "corpus"
    for ltcode in ("fr_a", "fr_c"):
        (folder / ltcode).mkdir(parents=True)
        (folder / ltcode / "test.conllu").write_text(GOLD, encoding="utf-8", newline="\n")
    silver: dict[str, Any] = {
        "lang": "fr",
        "labels": "silver",
        "splits": {"train": {"words": 12}, "test": {}},
    }
    silver["parts"] = {"dev": 4, "rebuilt": 8}
    only_test = {"lang": "fr", "labels": "gold", "splits": {"test": {}}}
    only_train = {"lang": "fr", "labels": "gold", "splits": {"train": {"words": 1}}}
    manifest = {"treebanks": {"fr_a": silver, "fr_b": silver, "fr_c": only_test, "fr_d": only_train}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pipeline("evaluate_test_tagger").to_disk(tmp_path / "model")
    return tmp_path / "model"


def test_corpus_goes_on_after_a_failure_and_resumes(tmp_path: Path, corpus: Path, model: Path) -> None:
    nlp, out = spacy.load(model), tmp_path / "out"
    first = list(evaluate_corpus(nlp, corpus, out, score=official, teacher="some encoder"))
    assert [o.ltcode for o in first] == ["fr_a", "fr_b", "fr_c"]
    assert isinstance(first[1].error, FileNotFoundError)
    assert sorted(path.name for path in out.iterdir()) == ["fr_a.json", "fr_c.json"]
    record = json.loads((out / "fr_a.json").read_text())
    assert record == first[0].record
    assert record["train"] == {"words": 12, "quality": "silver", "parts": {"dev": 4, "rebuilt": 8}}
    assert record["dev_in_training"] is True
    assert record["model"]["teacher"] == "some encoder"
    assert json.loads((out / "fr_c.json").read_text())["train"] == {
        "words": 0,
        "quality": "none",
        "parts": {},
    }

    (corpus / "fr_c" / "test.conllu").write_text(GOLD.replace("Oui", "Non"), encoding="utf-8", newline="\n")
    second = list(evaluate_corpus(nlp, corpus, out, score=official, teacher="some encoder"))
    assert [o.kept for o in second] == [True, False, False]
    for damage in ('{"ltcode"', "[]", json.dumps({k: v for k, v in record.items() if k != "gold_words"})):
        (out / "fr_a.json").write_text(damage)
        anew = next(evaluate_corpus(nlp, corpus, out, score=official, teacher="some encoder"))
        assert not anew.kept and json.loads((out / "fr_a.json").read_text()).keys() == record.keys()

    with (model / "meta.json").open("a") as meta:
        meta.write("\n")
    third = list(evaluate_corpus(spacy.load(model), corpus, out, score=official, teacher="some encoder"))
    assert [o.kept for o in third] == [False, False, False]


def test_unknown_treebank_is_refused(tmp_path: Path, corpus: Path, model: Path) -> None:
    with pytest.raises(ValueError, match="no treebank fr_x; there are fr_a, fr_b, fr_c, fr_d"):
        list(evaluate_corpus(spacy.load(model), corpus, tmp_path, score=official, treebanks=["fr_a", "fr_x"]))
    with pytest.raises(ValueError, match="no treebank has a split 'dev'"):
        list(evaluate_corpus(spacy.load(model), corpus, tmp_path, score=official, split="dev"))


def script(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script_reports_the_failure_and_exits_with_1(tmp_path: Path, corpus: Path, model: Path) -> None:
    app = typer.Typer()
    app.command()(script("evaluate").main)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [str(model), str(corpus), str(out)])
    assert result.exit_code == 1
    assert "fr_b: failed: FileNotFoundError" in result.output
    assert "fr_c: gold words UPOS 50.00% UFeats 87.50%, raw text Tokens 80.00% " in result.output
    assert "Words 62.50% UPOS 37.50% UFeats 50.00%, " in result.output

    shutil.copytree(corpus / "fr_a", corpus / "fr_b")
    result = CliRunner().invoke(app, [str(model), str(corpus), str(out), "--treebanks", "fr_b,fr_c"])
    assert result.exit_code == 0
    assert result.output.count("(kept)") == 1


def test_script_reads_a_gold_file_anew_when_it_has_changed(tmp_path: Path) -> None:
    """It is kept for several system files."""
    score = script("evaluate").official
    gold, system, wrong = (tmp_path / name for name in ("gold", "system", "wrong"))
    for path in (gold, system):
        path.write_text(GOLD, encoding="utf-8", newline="\n")
    changed = GOLD.replace("\tPUNCT\t", "\tX\t")
    wrong.write_text(changed, encoding="utf-8", newline="\n")
    assert [score(gold, path)["UPOS"].f1 for path in (system, wrong, system)] == [1.0, 6 / 8, 1.0]
    gold.write_text(changed, encoding="utf-8", newline="\n")
    assert [score(gold, path)["UPOS"].f1 for path in (system, wrong)] == [6 / 8, 1.0]


def test_script_evaluates_a_model_a_treebank(tmp_path: Path, corpus: Path, model: Path) -> None:
    app = typer.Typer()
    app.command()(script("evaluate").main)
    for code in ("fr_a", "fr_c"):
        shutil.copytree(model, tmp_path / "bert" / code / "model-best")
    pattern = str(tmp_path / "bert" / "{treebank}" / "model-best")
    result = CliRunner().invoke(app, [pattern, str(corpus), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fr_a.json", "fr_c.json"]
    result = CliRunner().invoke(app, [pattern, str(corpus), str(tmp_path / "out"), "--treebanks", "fr_d"])
    assert result.exit_code == 1
    assert "for fr_d; train it first" in str(result.exception)


def tagger_of(nlp: Language) -> TagWords:
    def tag(sentences: Sequence[Sequence[str]]) -> list[list[Label]]:
        docs = nlp.pipe(Doc(nlp.vocab, words=list(words)) for words in sentences)
        return [[(token.pos_, str(token.morph) or "_") for token in doc] for doc in docs]

    return tag


def test_a_record_without_raw_text_does_not_stand_for_one_with_it(
    tmp_path: Path, corpus: Path, model: Path
) -> None:
    nlp, out = spacy.load(model), tmp_path / "out"

    def evaluated(tag: TagWords | None) -> tuple[bool, bool, str]:
        (outcome,) = evaluate_corpus(nlp, corpus, out, score=official, treebanks=["fr_a"], tag=tag)
        record = json.loads((out / "fr_a.json").read_text())
        assert record == outcome.record
        return outcome.kept, record["raw_text"] is not None, record["tagged_by"]

    assert evaluated(tagger_of(nlp)) == (False, False, "labeller")
    assert evaluated(tagger_of(nlp)) == (True, False, "labeller")
    assert evaluated(None) == (False, True, "pipeline")
    assert evaluated(None) == (True, True, "pipeline")
    # What is there has all that is asked for, and more.
    assert evaluated(tagger_of(nlp)) == (True, True, "pipeline")


def test_gold_words_by_another_tagger(tmp_path: Path, corpus: Path, model: Path) -> None:
    nlp = spacy.load(model)
    plain = evaluate_treebank(nlp, corpus / "fr_a" / "test.conllu", score=official)

    tag = tagger_of(nlp)
    quick = evaluate_treebank(nlp, corpus / "fr_a" / "test.conllu", score=official, tag=tag)
    assert quick["gold_words"] == plain["gold_words"]
    assert plain["gold_words"]["UPOS"] == 0.5
    assert (quick["raw_text"], plain["raw_text"] is None) == (None, False)
