"""Running text of gold files, tagged from raw text and scored as the official program scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from test_evaluate import official, pipeline, sentences, tagger

from mminibert.data.conllu import Sentence
from mminibert.data.docs import tokens_doc
from mminibert.evaluation.conventions import Told
from mminibert.evaluation.evaluate import evaluate_treebank
from mminibert.evaluation.tagging import raw_text, running_texts
from mminibert.runtime.ud_words import store_words, ud_words


@Language.component("evaluate_test_words")
def splitter(doc: Doc) -> Doc:
    """Sets the words of `du`, and a sentence after the full stop."""
    doc = tagger(doc)
    for token in doc:
        token.is_sent_start = token.i == 0 or doc[token.i - 1].text == "."
        if token.text == "du":
            store_words(token, (("de", "ADP", "_"), ("le", "PRON", "Definite=Def")))
    return doc


def official_of_raw(nlp: Language, gold: list[Sentence], folder: Path) -> dict[str, Any]:
    system = folder / "system.conllu"
    system.write_text(raw_text(nlp, gold).conllu[Told()], encoding="utf-8", newline="\n")
    return official(gold[0].path, system)


def test_raw_text_by_hand(tmp_path: Path) -> None:
    gold = sentences(tmp_path / "gold.conllu")
    nlp = pipeline("evaluate_test_tagger", "sentencizer")
    rows = [line.split("\t") for line in raw_text(nlp, gold).conllu[Told()].splitlines()]
    assert [[row[0], row[1], row[3], row[5], row[6]] for row in rows if row != [""]] == [
        ["1", "Il", "PRON", "Case=Nom", "0"],
        ["2", "va", "VERB", "Mood=Ind", "1"],
        ["3", "du", "X", "_", "1"],
        ["4", "10", "X", "_", "1"],
        ["5", "000", "X", "_", "1"],
        ["6", ".", "X", "_", "1"],
        ["1", "Oui", "X", "_", "0"],
        ["2", "!", "PUNCT", "_", "1"],
    ]
    scores = official_of_raw(nlp, gold, tmp_path)
    # Gold has 8 words, the pipeline 8; `de le` and the number are not found, the others are.
    assert (scores["Words"].gold_total, scores["Words"].system_total, scores["Words"].correct) == (8, 8, 5)
    assert (scores["UPOS"].correct, scores["UFeats"].correct) == (3, 4)
    assert scores["Sentences"].correct == 2


def test_raw_text_without_sentence_boundaries_is_one_sentence_a_text(tmp_path: Path) -> None:
    gold = sentences(tmp_path / "gold.conllu")
    assert raw_text(pipeline("evaluate_test_tagger"), gold).conllu[Told()].count("\n\n") == 1


ODD = st.text(
    alphabet="ab.'-1_# \u00a0\u2009\u202f\u3000\u200b\u2028\x85\u0301\u4f60\u00df", min_size=1, max_size=5
)
FORM = ODD.map(lambda form: form.strip(" ")).filter(
    lambda form: any(c in "ab.'-1_#\u4f60\u00df" for c in form)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tokens=st.lists(st.tuples(FORM, st.booleans(), st.booleans()), min_size=1, max_size=12),
    mark=st.sampled_from(["", "# newpar\n", "# newdoc id = 1\n"]),
    names=st.sampled_from([("evaluate_test_tagger",), ("evaluate_test_tagger", "sentencizer")]),
)
def test_official_scorer_aligns_raw_text_with_odd_spaces(
    tmp_path: Path, tokens: list[tuple[str, bool, bool]], mark: str, names: tuple[str, ...]
) -> None:
    """Each token is a sentence of its own, or a multiword token of two words."""
    blocks = []
    for form, space, is_range in tokens:
        misc = "_" if space else "SpaceAfter=No"
        if is_range:
            words = "".join(f"{i}\tx\t_\tX\t_\t_\t{i - 1}\tdep\t_\t_\n" for i in (1, 2))
            blocks.append(f"{mark}1-2\t{form}" + "\t_" * 7 + f"\t{misc}\n{words}\n")
        else:
            blocks.append(f"{mark}1\t{form}\t_\tX\t_\t_\t0\troot\t_\t{misc}\n\n")
    scores = official_of_raw(pipeline(*names), sentences(tmp_path / "gold.conllu", "".join(blocks)), tmp_path)
    assert scores["Tokens"].gold_total == len(tokens)
    if not any(is_range for *_, is_range in tokens) and all(f.isalnum() and space for f, space, _ in tokens):
        assert scores["Words"].correct == len(tokens)


def test_raw_text_refuses_a_tokenizer_that_changes_the_text(tmp_path: Path) -> None:
    nlp = spacy.blank("xx")
    tokenizer = nlp.tokenizer
    nlp.tokenizer = lambda text: tokenizer(text.lower())
    with pytest.raises(ValueError, match=r"gold.conllu, line 1: the tokenizer changed characters"):
        raw_text(nlp, sentences(tmp_path / "gold.conllu"))


@pytest.mark.parametrize(
    ("marked", "total", "expected"),
    [
        ((), 120, [50, 70]),  # the rest of 20 would be too short by itself
        ((), 150, [50, 50, 50]),
        ((), 30, [30]),
        ((0,), 120, [50, 70]),  # one mark, at the start of the file, says nothing about documents
        ((0, 20, 40, 60, 80, 100), 120, [60, 60]),  # short ones are put together
        ((0, 20, 40, 60, 80, 100), 160, [60, 100]),
        ((30, 300), 360, [300, 60]),  # a long one stays whole
        ((30, 300), 340, [340]),
        ((10,), 1101, [500, 500, 101]),  # up to the limit
        ((10, 1001), 1061, [500, 500, 61]),
        ((10,), 1010, [500, 510]),
    ],
)
def test_running_texts(tmp_path: Path, marked: tuple[int, ...], total: int, expected: list[int]) -> None:
    text = "".join(
        ("# newpar\n" if i in marked else "") + f"1\tw{i}\t_\tX\t_\t_\t0\troot\t_\t_\n\n"
        for i in range(total)
    )
    blocks = running_texts(sentences(tmp_path / "gold.conllu", text))
    assert [len(block) for block in blocks] == expected
    assert [s.words[0].form for block in blocks for s in block] == [f"w{i}" for i in range(total)]


def test_the_text_that_is_read(tmp_path: Path) -> None:
    """Blank lines between documents and paragraphs; elsewhere SpaceAfter, after a sentence too."""
    rows = [
        ("# newdoc id = 1\n", "Mot"),
        ("", "mê sản"),  # a blank in the form
        ("# newdoc\n# newpar\n", "Cho ga"),
        ("# newpar\n", "我。"),
        ("", "他。"),
    ]
    tight = {"Mot", "我。"}
    text = "".join(
        f"{mark}1\t{form}\t_\tX\t_\t_\t0\troot\t_\t{'SpaceAfter=No' if form in tight else '_'}\n\n"
        for mark, form in rows
    )
    nlp = spacy.blank("xx")
    tokenizer = nlp.tokenizer
    seen: list[str] = []

    def tokenize(text: str) -> Doc:
        seen.append(text)
        return tokenizer(text)

    nlp.tokenizer = tokenize
    raw_text(nlp, sentences(tmp_path / "gold.conllu", text))
    assert seen == ["Motmê sản\n\nCho ga\n\n我。他。"]


def test_multiword_tokens_are_scored_by_their_words(tmp_path: Path) -> None:
    """The Doc is written as a person would, and scored as the official program scores that."""
    gold = sentences(tmp_path / "gold.conllu")
    nlp = pipeline("evaluate_test_words")
    by_hand = tmp_path / "by_hand.conllu"
    by_hand.write_text(
        "1\tIl\t_\tPRON\t_\tCase=Nom\t0\troot\t_\t_\n"
        "2\tva\t_\tVERB\t_\tMood=Ind\t1\tdep\t_\t_\n"
        "3-4\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "3\tde\t_\tADP\t_\t_\t1\tdep\t_\t_\n"
        "4\tle\t_\tPRON\t_\tDefinite=Def\t1\tdep\t_\t_\n"
        "5\t10\t_\tX\t_\t_\t1\tdep\t_\t_\n"
        "6\t000\t_\tX\t_\t_\t1\tdep\t_\t_\n"
        "7\t.\t_\tX\t_\t_\t1\tdep\t_\t_\n\n"
        "1\tOui\t_\tX\t_\t_\t0\troot\t_\t_\n"
        "2\t!\t_\tPUNCT\t_\t_\t1\tdep\t_\t_\n\n",
        encoding="utf-8",
    )
    written = raw_text(nlp, gold).conllu[Told()]
    assert written == by_hand.read_text(encoding="utf-8")
    scores = official(gold[0].path, by_hand)
    # Of gold's 7 tokens and 8 words the number is not found; `le` has another UPOS, `.` and `Oui` too.
    assert (scores["Tokens"].correct, scores["Words"].correct) == (6, 7)
    assert (scores["UPOS"].correct, scores["UFeats"].correct) == (4, 6)
    record = evaluate_treebank(nlp, gold[0].path, score=official)
    assert record["raw_text"] == {
        name: {part: getattr(scores[name], part) for part in ("precision", "recall", "f1")}
        for name in ("Tokens", "Sentences", "Words", "UPOS", "UFeats")
    }
    assert record["raw_text"]["Words"]["f1"] == pytest.approx(2 * 7 / (8 + 9))


@st.composite
def treebank(draw: st.DrawFn) -> str:
    """Sentences of words and multiword tokens, with odd blanks in forms, between documents and paragraphs."""
    lines = []
    for _ in range(draw(st.integers(1, 5))):
        lines.append(draw(st.sampled_from(["", "# newpar", "# newdoc id = 1"])))
        number = 1
        for _ in range(draw(st.integers(1, 4))):
            words, misc = draw(st.integers(1, 3)), draw(st.sampled_from(["_", "SpaceAfter=No"]))
            if words > 1:
                lines.append(f"{number}-{number + words - 1}\t{draw(FORM)}" + "\t_" * 7 + f"\t{misc}")
            for i in range(number, number + words):
                upos, feats = draw(st.sampled_from(["NOUN", "X"])), draw(st.sampled_from(["_", "Case=Nom"]))
                tree = ("0", "root") if i == 1 else ("1", "dep")
                lines.append(
                    "\t".join(
                        (str(i), draw(FORM), "_", upos, "_", feats, *tree, "_", "_" if words > 1 else misc)
                    )
                )
            number += words
        lines.append("")
    return "\n".join(line for i, line in enumerate(lines) if line or (i and lines[i - 1])) + "\n"


def perfect(gold: list[Sentence]) -> Language:
    """A pipeline whose Docs have the gold annotation of all sentences, which are of one text."""
    nlp = spacy.blank("xx")
    docs = []
    for i, sentence in enumerate(gold):
        doc = tokens_doc(sentence, nlp.vocab)
        last = i + 1 == len(gold) or gold[i + 1].starts_paragraph
        spaces = [bool(token.whitespace_) for token in doc][: -1 if last else None] + [False] * last
        if i and sentence.starts_paragraph:
            docs.append(Doc(nlp.vocab, words=["\n\n"], spaces=[False], sent_starts=[True]))
        copy = Doc(
            nlp.vocab,
            words=[token.text for token in doc],
            spaces=spaces,
            pos=[token.pos_ for token in doc],
            morphs=[str(token.morph) for token in doc],
            sent_starts=[token.i == 0 for token in doc],
        )
        for token, original in zip(copy, doc, strict=True):
            if words := ud_words(original):
                store_words(token, words)
        docs.append(copy)
    whole = Doc.from_docs(docs, ensure_whitespace=False)
    nlp.tokenizer = lambda text: whole if text == whole.text else pytest.fail(f"{text!r}, {whole.text!r}")
    return nlp


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=treebank())
def test_a_gold_file_as_output_is_without_fault(tmp_path: Path, text: str) -> None:
    gold = sentences(tmp_path / "gold.conllu", text)
    scores = official_of_raw(perfect(gold), gold, tmp_path)
    assert {scores[name].f1 for name in ("Tokens", "Sentences", "Words", "UPOS", "UFeats")} == {1.0}
    assert scores["Words"].gold_total == sum(len(sentence.words) for sentence in gold)
