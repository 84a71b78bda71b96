"""Sentences of CoNLL-U as Docs and back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from students import Write, tabs
from test_conllu import ODD, only, upos_and_feats
from test_docs_conllu import text_of

from mminibert.data.conllu import UPOS_TAGS, Sentence, Word, read_conllu
from mminibert.data.convert import DOCBIN_ATTRS
from mminibert.data.docs import canonical_feats, feats_string, tokens_doc, words_doc
from mminibert.data.docs_conllu import doc_to_conllu
from mminibert.runtime.doc_labels import doc_labels


def through_docbin(doc: Doc) -> Doc:
    docs = DocBin(attrs=DOCBIN_ATTRS, docs=[doc], store_user_data=True)
    (result,) = DocBin().from_bytes(docs.to_bytes()).get_docs(Vocab())
    return result


def test_words_doc(write: Write) -> None:
    doc = through_docbin(words_doc(only(write(ODD)), Vocab()))
    assert [token.text for token in doc] == ["¿", "Vamos", "nos", "a", "el", "mar", "?"]
    assert [bool(token.whitespace_) for token in doc] == [False, False, True, False, True, False, True]
    assert [token.pos_ for token in doc] == ["PUNCT", "VERB", "PRON", "ADP", "DET", "NOUN", "PUNCT"]
    assert [token.tag_ for token in doc] == ["fia", "", "", "", "", "", ""]
    assert [token.lemma_ for token in doc][:3] == ["¿", "ir", "nosotros"]
    assert [token.head.i for token in doc] == [1, 1, 1, 5, 5, 1, 1]
    assert [token.dep_ for token in doc] == ["punct", "ROOT", "expl", "case", "det", "obl", "punct"]
    assert [token.is_sent_start for token in doc] == [True] + [False] * 6
    assert feats_string(doc[1]) == "Mood=Imp|Number=Plur|Person=1"


def test_masked_feats_and_no_feats_stay_apart(write: Write) -> None:
    text = (
        "1 a _ X _ A=1 _ _ _ UniMorph=N\n2 b _ X _ A=1 _ _ _ FeatsGuess=Yes|UniMorph=N\n"
        "3 c _ X _ _ _ _ _ _\n4 d _ X _ _ _ _ _ FeatsGuess=Yes\n5 _ _ _ _ _ _ _ _ FeatsGuess=No\n"
    )
    sentence = only(write(text))
    for make in (words_doc, tokens_doc):
        doc = through_docbin(make(sentence, Vocab()))
        assert [token.has_morph() for token in doc] == [True, False, True, False, True]
        assert [feats_string(token) for token in doc] == ["A=1", "_", "_", "_", "_"]
        assert [token.pos_ for token in doc] == ["X"] * 4 + [""]
        assert doc[4].text == "_"
        assert [token.is_sent_start for token in doc] == [True, False, False, False, False]
        assert upos_and_feats(doc_to_conllu(doc))[0] == ("X", "A=1")


@pytest.mark.parametrize(
    ("misc", "upos", "feats"),
    [
        ("_", True, True),
        ("Upos=Known|Feats=Known", True, True),
        ("XUpos=Unknown|FeatsGuess=Yes2", True, True),
        ("SpaceAfter=No|Upos=Unknown", False, True),
        ("UposGuess=Yes", False, True),
        ("Feats=Unknown", True, False),
        ("FeatsGuess=Yes|SpaceAfter=No", True, False),
        ("UposGuess=Yes|Feats=Unknown", False, False),
    ],
)
def test_labels_that_are_unknown_are_left_out(write: Write, misc: str, upos: bool, feats: bool) -> None:
    cell = "_" if "Upos=Unknown" in misc.split("|") else "X"
    sentence = only(write(f"1 a _ {cell} _ A=1 _ _ _ {misc}\n2 b _ NOUN _ B=1 _ _ _ _\n"))
    assert (sentence.words[0].upos_masked, sentence.words[0].feats_masked) == (not upos, not feats)
    for make in (words_doc, tokens_doc):
        doc = through_docbin(make(sentence, Vocab()))
        assert doc_labels(doc) == [("X" if upos else "", "A=1" if feats else ""), ("NOUN", "B=1")]
        assert doc[0].has_morph() == feats


@pytest.mark.parametrize(
    "heads",
    ["0 0 1", "2 3 1", "0 1 4", "0 _ 1", "0 3 2", "1 0 2", "_ _ _", "0 -1 1", "0 x 1", "0 1 \u00b2"],
    ids=["roots", "no root", "beyond", "missing", "cycle", "own head", "none", "negative", "word", "digit"],
)
def test_incomplete_trees_stay_unset(write: Write, heads: str) -> None:
    rows = (f"{i} w{i} _ X _ _ {head} dep _ _\n" for i, head in enumerate(heads.split(), 1))
    doc = through_docbin(words_doc(only(write("".join(rows))), Vocab()))
    assert not doc.has_annotation("DEP")
    assert [token.is_sent_start for token in doc] == [True, False, False]
    assert [line.split("\t")[6] for line in doc_to_conllu(doc).split("\n")[1:4]] == ["_"] * 3


def test_crossing_trees_are_one_sentence(write: Write) -> None:
    heads = [3, 4, 0, 3]
    rows = (f"{i} w{i} _ X _ _ {head} {'dep' if head else 'root'} _ _\n" for i, head in enumerate(heads, 1))
    doc = through_docbin(words_doc(only(write("".join(rows))), Vocab()))
    assert [token.head.i for token in doc] == [2, 3, 2, 2]
    assert [line.split("\t")[6:8] for line in doc_to_conllu(doc).split("\n")[1:5]] == [
        ["3", "dep"], ["4", "dep"], ["0", "root"], ["3", "dep"]
    ]  # fmt: skip


DEL = """\
1 habla hablar VERB _ _ 0 root _ _
2-3 del _ _ _ _ _ _ _ _
2 de de ADP sps _ 4 case _ _
3 el el DET da Definite=Def 4 det _ _
4 mar mar NOUN _ _ 1 obl _ _
"""
ZUM = """\
1-2 zum _ _ _ _ _ _ _ SpaceAfter=No
1 zu zu ADP APPR _ 3 case _ _
2 dem der DET ART Case=Dat 3 det _ _
3 Meer Meer NOUN NN Case=Dat 0 root _ _
"""
AUQUEL = """\
1-2 auquel _ _ _ _ _ _ _ _
1 à à ADP P _ 2 case _ _
2 lequel lequel PRON PR PronType=Rel|Number=Sing 4 obl _ _
3 il il PRON _ _ 4 nsubj _ _
4 pense penser VERB _ _ 0 root _ _
"""


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        (DEL, 1, ("del", "ADP", "_", "sps", "de")),
        (ZUM, 0, ("zum", "ADP", "_", "APPR", "zu")),
        (AUQUEL, 0, ("auquel", "PRON", "Number=Sing|PronType=Rel", "PR", "lequel")),
        (AUQUEL.replace(" 2 case", " _ _").replace(" 4 obl", " _ _"), 0, ("auquel", "ADP", "_", "P", "à")),
        (AUQUEL.replace(" 4 obl", " 1 obl"), 0, ("auquel", "ADP", "_", "P", "à")),
        (
            AUQUEL.replace(" 4 obl", " 0 root"),
            0,
            ("auquel", "PRON", "Number=Sing|PronType=Rel", "PR", "lequel"),
        ),
    ],
    ids=["first of two", "zum", "second is head", "no heads", "cycle", "root"],
)
def test_tokens_doc_takes_the_head_word(
    write: Write, text: str, token: int, expected: tuple[str, str, str, str, str]
) -> None:
    joined = through_docbin(tokens_doc(only(write(text)), Vocab()))[token]
    got = (joined.text, joined.pos_, feats_string(joined), joined.tag_, joined.lemma_)
    assert got == expected


def test_tokens_doc_keeps_the_words_of_a_range(write: Write) -> None:
    doc = through_docbin(tokens_doc(only(write(ZUM)), Vocab()))
    assert [(token.text, token.whitespace_) for token in doc] == [("zum", ""), ("Meer", " ")]
    assert doc[0]._.ud_words == (("zu", "ADP", "_"), ("dem", "DET", "Case=Dat"))
    assert doc[1]._.ud_words is None
    assert not doc.has_annotation("DEP")
    assert doc_to_conllu(doc) == tabs(
        "# text = zumMeer\n1-2 zum _ _ _ _ _ _ _ SpaceAfter=No\n1 zu _ ADP _ _ _ _ _ _\n"
        "2 dem _ DET _ Case=Dat _ _ _ _\n3 Meer Meer NOUN NN Case=Dat _ _ _ _\n\n"
    )


def test_docs_of_several_sentences() -> None:
    words = ["Hi", " ", ".", "\n\n", "No\tway", "\u00a0"]
    spaces = [True, False, False, False, False, False]
    starts: list[bool | int | None] = [True, False, False, False, True, False]
    doc = Doc(
        Vocab(),
        words=words,
        spaces=spaces,
        sent_starts=starts,
        pos=["INTJ", "SPACE", "", "SPACE", "X", "EOL"],
    )
    assert doc_to_conllu(doc) == (
        "# text = Hi .\n1\tHi\t_\tINTJ\t_\t_\t_\t_\t_\tSpacesAfter=\\s\\s\n"
        "2\t.\t_\t_\t_\t_\t_\t_\t_\tSpacesAfter=\\n\\n\n\n"
        "# newpar\n# text = No way\n1\tNo way\t_\tX\t_\t_\t_\t_\t_\t"
        "SpacesAfter=\\u00a0|SpacesInToken=No\\tway\n\n"
    )
    assert doc_to_conllu(Doc(Vocab(), words=["a", "b"])).count("\n\n") == 1
    assert doc_to_conllu(Doc(Vocab())) == doc_to_conllu(Doc(Vocab(), words=["\n"])) == ""


def test_doc_heads_count_from_the_sentence() -> None:
    deps = ["ROOT", "x", "y", "ROOT"]
    doc = Doc(Vocab(), words=list("abcd"), heads=[0, 0, 3, 3], deps=deps, lemmas=["l", "", "", ""])
    rows = [line.split("\t") for line in doc_to_conllu(doc).split("\n") if "\t" in line]
    assert [(row[0], row[6], row[7]) for row in rows] == [
        ("1", "0", "root"), ("2", "1", "x"), ("1", "2", "y"), ("2", "0", "root")
    ]  # fmt: skip
    assert [row[2] for row in rows] == ["l", "_", "_", "_"]


@pytest.mark.parametrize("upwards", [True, False])
def test_a_chain_of_heads_takes_linear_time(write: Write, upwards: bool) -> None:
    n = 20_000
    heads = range(n) if upwards else [*range(2, n + 1), 0]
    rows = (f"{i} w _ X _ _ {head} {'dep' if head else 'root'} _ _\n" for i, head in enumerate(heads, 1))
    sentence = only(write("".join(rows)))
    start = time.process_time()
    doc = words_doc(sentence, Vocab())
    # A search through the chain at each link took 4 s.
    assert time.process_time() - start < 1.5
    assert [token.head.i + 1 if token.dep_ != "ROOT" else 0 for token in doc] == list(heads)


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of the package were run, those of generators and comprehensions among them."""
    n = 0

    def count(frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        nonlocal n
        n += event == "line"
        return count if "mminibert" in frame.f_code.co_filename else None

    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(None)
    return n


@pytest.mark.parametrize("upwards", [True, False])
def test_twice_the_chain_is_twice_the_work(write: Write, upwards: bool) -> None:
    """Of heads, and of empty nodes after each word."""

    def work(n: int) -> int:
        heads = range(n) if upwards else [*range(2, n + 1), 0]
        rows = (f"{i} w _ X _ _ {head} dep _ _\n{i}.1 _ _ _ _ _ _ _ _ _\n" for i, head in enumerate(heads, 1))
        path = write("".join(rows))

        def all_of_it() -> None:
            sentence = only(path)
            assert words_doc(sentence, Vocab()).has_annotation("DEP")
            tokens_doc(sentence, Vocab())
            assert sentence.to_conllu().count("\n") == 2 * n + 1

        return lines_run(all_of_it)

    once, twice = work(1000), work(2000)
    assert once > 10_000 and twice < 2.1 * once


def test_many_sentences_are_written_in_linear_time() -> None:
    n = 30_000
    doc = Doc(Vocab(), words=["w"] * n, heads=list(range(n)), deps=["ROOT"] * n, sent_starts=[True] * n)
    start = time.process_time()
    assert doc_to_conllu(doc).count("# text") == n
    # To ask for each sentence whether the Doc is parsed took 13 s.
    assert time.process_time() - start < 6


@given(st.lists(st.integers(0, 7), min_size=1, max_size=7))
def test_heads_are_set_if_they_form_a_tree(heads: list[int]) -> None:
    words = tuple(
        Word(i, "w", "_", "X", "_", "_", str(head), "dep", "_", "_") for i, head in enumerate(heads, 1)
    )
    doc = words_doc(Sentence(Path("x"), 1, (), words), Vocab())

    def ends_in_the_root(id: int) -> bool:
        for _ in heads:
            if not id or id > len(heads):
                break
            id = heads[id - 1]
        return id == 0

    is_tree = heads.count(0) == 1 and all(ends_in_the_root(id) for id in range(1, len(heads) + 1))
    assert doc.has_annotation("DEP") is is_tree
    if is_tree:
        assert [token.head.i + 1 if token.dep_ != "ROOT" else 0 for token in doc] == heads


USERS = """
import sys
from pathlib import Path
from types import FrameType
from typing import Any
from spacy.tokens import Token
users = eval(sys.argv[1])
Token.set_extension("ud_words", **users)
before = Token.get_extension("ud_words")
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from mminibert.data.conllu import read_conllu
from mminibert.data.corpus import read_docs
from mminibert.data.convert import convert
from mminibert.data.docs import tokens_doc, ud_words
from mminibert.data.docs_conllu import doc_to_conllu
assert Token.get_extension("ud_words") == before
(sentence,) = read_conllu("ud/de_a/de_a-ud-train.conllu", skip_bad=True)
doc = tokens_doc(sentence, Vocab())
assert [token._.ud_words for token in doc] == ["the user's"] * len(doc), [t._.ud_words for t in doc]
assert ud_words(doc[0]) == (("zu", "ADP", "_"), ("dem", "DET", "_")) and ud_words(doc[1]) is None
assert "1-2\\tzum" in doc_to_conllu(doc)
convert(Path("ud"), Path("corpus"))
assert len(read_docs(Path("corpus"), "de_a", "train", Vocab(), units=("tokens",))) == 1
"""


@pytest.mark.parametrize("users", ['{"default": "the user\'s"}', '{"getter": lambda _: "the user\'s"}'])
def test_a_users_own_extension_is_left_alone(tmp_path: Path, users: str) -> None:
    folder = tmp_path / "ud" / "de_a"
    folder.mkdir(parents=True)
    text = "1-2 zum _ _ _ _ _ _ _ _\n1 zu _ ADP _ _ _ _ _ _\n2 dem _ DET _ _ _ _ _ _\n3 x _ X _ _ _ _ _ _\n"
    (folder / "de_a-ud-train.conllu").write_text(tabs(text))
    (folder / "de_a-ud-dev.conllu").write_text(tabs(text))
    command = [sys.executable, "-c", USERS, users]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("feats", "expected"),
    [
        ("", "_"),
        ("_", "_"),
        ("Person=1|abc=1|Abbr=Yes", "Abbr=Yes|abc=1|Person=1"),
        ("Number[psor]=Plur|Number=Sing", "Number=Sing|Number[psor]=Plur"),
        ("PronType=Rel,Int", "PronType=Int,Rel"),
        ("VerbForm=B,a", "VerbForm=a,B"),
        ("Person=3|Case=Nom|Person=1", "Case=Nom|Person=1,3"),
        ("Case=Nom,Acc|Case=Nom", "Case=Acc,Nom"),
    ],
)
def test_feats_have_one_order(write: Write, feats: str, expected: str) -> None:
    assert canonical_feats(feats) == expected
    doc = words_doc(only(write(f"1 a _ X _ {feats or '_'} _ _ _ _")), Vocab())
    assert feats_string(through_docbin(doc)[0]) == expected


NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,5}(\[[a-z]{1,3}\])?", fullmatch=True).filter(
    lambda n: n.lower() not in ("pos", "upos")
)
VALUES = st.lists(
    st.from_regex(r"[A-Z0-9][A-Za-z0-9]{0,4}", fullmatch=True), min_size=1, max_size=3, unique_by=str.lower
)
FORMS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=6
) | st.just("a b")


@st.composite
def feats_cells(draw: st.DrawFn) -> str:
    """A FEATS cell in the order that the official validator checks: whole features in lower case."""
    names = draw(st.lists(NAMES, max_size=4, unique_by=str.lower))
    features = [f"{name}={','.join(sorted(draw(VALUES), key=str.lower))}" for name in names]
    return "|".join(sorted(features, key=str.lower)) or "_"


@st.composite
def sentences(draw: st.DrawFn) -> str:
    """A valid sentence with ranges, empty nodes and either no heads or a tree."""
    count = draw(st.integers(1, 6))
    parsed = draw(st.booleans())
    miscs = st.sampled_from(["_", "SpaceAfter=No", "Gloss=x|SpaceAfter=No", "Gloss=x"])
    lines = ["# newdoc"] if draw(st.booleans()) else []
    if draw(st.booleans()):
        lines.append("0.1\t_\t_\t_\t_\tCase=Nom\t_\t_\t1:dep\t_")
    covered = 0
    order = draw(st.permutations(range(1, count + 1)))
    for i in range(1, count + 1):
        if i > covered and draw(st.booleans()):
            covered = draw(st.integers(i, count))
            lines.append("\t".join((f"{i}-{covered}", draw(FORMS), *["_"] * 7, draw(miscs))))
        place = order.index(i)
        head = str(draw(st.sampled_from(order[:place])) if place else 0) if parsed else "_"
        deprel = ("dep" if place else "root") if parsed else "_"
        upos = draw(st.sampled_from([*sorted(UPOS_TAGS), "_"]))
        cells = (
            draw(FORMS),
            draw(FORMS),
            upos,
            draw(FORMS),
            draw(feats_cells()),
            head,
            deprel,
            "_",
            draw(miscs),
        )
        lines.append("\t".join((str(i), *cells)))
        if draw(st.booleans()):
            lines.append(f"{i}.1" + "\t_" * 9)
    return "\n".join(lines) + "\n\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(sentences(), min_size=1, max_size=2))
def test_upos_and_feats_survive(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "survive.conllu"
    path.write_bytes("".join(texts).encode("utf-8"))
    read = list(read_conllu(path))
    assert [sentence.to_conllu() for sentence in read] == texts
    for sentence, text in zip(read, texts, strict=True):
        for make in (words_doc, tokens_doc):
            doc = through_docbin(make(sentence, Vocab()))
            assert upos_and_feats(doc_to_conllu(doc)) == upos_and_feats(text)
            assert text_of(doc_to_conllu(doc)) == doc.text
        assert tokens_doc(sentence, Vocab()).text.removesuffix(" ") == sentence.text
        heads = [line.split("\t")[6] for line in text.split("\n") if line.split("\t")[0].isdigit()]
        written = doc_to_conllu(through_docbin(words_doc(sentence, Vocab()))).split("\n")
        assert [line.split("\t")[6] for line in written if "\t" in line] == heads
