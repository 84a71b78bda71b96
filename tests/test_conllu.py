"""Reading CoNLL-U with its odd cases, and the way to Docs and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import conllu
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from mminibert.conllu import UPOS_TAGS, ConlluError, Range, Sentence, read_conllu
from mminibert.conllu_docs import canonical_feats, doc_to_conllu, feats_string, tokens_doc, words_doc
from mminibert.convert import DOCBIN_ATTRS

# An empty node before the first word, a range with SpaceAfter=No whose words would say otherwise, an empty
# node inside a range, enhanced dependencies, a comment between words.
ODD = """\
# newpar
# text = ¿Vámonos al mar?
0.1 vacio _ _ _ _ _ _ 2:dep _
1 ¿ ¿ PUNCT fia _ 2 punct 2:punct SpaceAfter=No
2-3 Vámonos _ _ _ _ _ _ _ _
2 Vamos ir VERB _ Mood=Imp|Number=Plur|Person=1 0 root 0:root SpaceAfter=No
2.1 e e PRON _ _ _ _ 2:nsubj _
3 nos nosotros PRON _ Case=Acc,Dat|Number=Plur 2 expl 2:expl|5:dep _
# between words
4-5 al _ _ _ _ _ _ _ _
4 a a ADP _ _ 6 case 6:case _
5 el el DET _ _ 6 det 6:det _
6-6 mar _ _ _ Typo=Yes _ _ _ SpaceAfter=No|X=1
6 mar mar NOUN _ Gender=Masc 2 obl 2:obl _
7 ? ? PUNCT _ _ 2 punct 2:punct _
"""
PLAIN = """\
# sent_id = a
1 Ja ja INTJ _ _ 0 root _ SpaceAfter=No
2 . . PUNCT _ _ 1 punct _ _

# sent_id = b
1 _ _ _ _ _ _ _ _ _
"""

Write = Callable[..., Path]


def tabs(text: str) -> str:
    """Inline CoNLL-U is written with spaces for readability."""
    lines = text.split("\n")
    return "\n".join(line if line.startswith("#") else line.replace(" ", "\t") for line in lines)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_text(text: str, *, name: str = "x.conllu") -> Path:
        path = tmp_path / name
        path.write_bytes(tabs(text).encode("utf-8"))
        return path

    return write_text


def only(path: Path) -> Sentence:
    (sentence,) = read_conllu(path)
    return sentence


def through_docbin(doc: Doc) -> Doc:
    docs = DocBin(attrs=DOCBIN_ATTRS, docs=[doc], store_user_data=True)
    (result,) = DocBin().from_bytes(docs.to_bytes()).get_docs(Vocab())
    return result


def upos_and_feats(text: str) -> list[tuple[str, str]]:
    rows = [line.split("\t") for line in text.split("\n") if line and not line.startswith("#")]
    return [(row[3], row[5]) for row in rows if row[0].isdigit()]


def test_reads_the_odd_cases(write: Write) -> None:
    sentence = only(write(ODD))
    assert [word.form for word in sentence.words] == ["¿", "Vamos", "nos", "a", "el", "mar", "?"]
    assert [word.id for word in sentence.words] == [1, 2, 3, 4, 5, 6, 7]
    assert sentence.words[2].deps == "2:expl|5:dep"
    assert sentence.words[2].feats == "Case=Acc,Dat|Number=Plur"
    assert sentence.ranges == (
        Range(2, 3, "Vámonos", "_"),
        Range(4, 5, "al", "_"),
        Range(6, 6, "mar", "SpaceAfter=No|X=1", "Typo=Yes"),
    )
    assert [after for after, _ in sentence.empty_nodes] == [0, 2]
    assert sentence.comments == ("# newpar", "# text = ¿Vámonos al mar?", "# between words")
    assert sentence.line == 1
    assert sentence.text == "¿Vámonos al mar?"
    assert sentence.starts_paragraph


def test_agrees_with_the_conllu_package(write: Write) -> None:
    path = write(ODD + "\n" + PLAIN)
    theirs = conllu.parse(path.read_text(encoding="utf-8").replace("# between words\n", ""))
    ours = list(read_conllu(path))
    assert len(ours) == len(theirs) == 3
    for sentence, tokens in zip(ours, theirs, strict=True):
        words = [token for token in tokens if isinstance(token["id"], int)]
        assert [w.form for w in sentence.words] == [token["form"] for token in words]
        assert [w.head for w in sentence.words] == [
            "_" if token["head"] is None else str(token["head"]) for token in words
        ]
        assert len(sentence.ranges) == sum(
            "-" in token["id"] for token in tokens if isinstance(token["id"], tuple)
        )


def test_writes_back_what_it_read(write: Write) -> None:
    path = write(ODD.replace("# between words\n", "") + "\n" + PLAIN + "\n")
    assert "".join(s.to_conllu() for s in read_conllu(path)).encode() == path.read_bytes()


def test_replaces_upos_and_feats(write: Write) -> None:
    sentence = only(write(PLAIN.split("\n\n")[0]))
    changed = sentence.to_conllu(upos=["X", "SYM"], feats=["_", "Abbr=Yes"])
    assert upos_and_feats(changed) == [("X", "_"), ("SYM", "Abbr=Yes")]
    assert (
        changed.replace("\tX\t", "\tINTJ\t").replace("\tSYM\t_\tAbbr=Yes", "\tPUNCT\t_\t_")
        == sentence.to_conllu()
    )
    with pytest.raises(ValueError, match="got 1 values of feats, expected one a word: 2"):
        sentence.to_conllu(feats=["_"])
    with pytest.raises(ValueError, match="got 0 values of upos"):
        sentence.to_conllu(upos=[])


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b"\xef\xbb\xbf" + b,
        lambda b: b.replace(b"\n", b"\r\n"),
        lambda b: b.rstrip(b"\n"),
        lambda b: b"\xef\xbb\xbf" + b.replace(b"\n", b"\r\n").rstrip(),
        lambda b: b.replace(b"\n\n", b"\n\n\n\n") + b"\n\n\n",
        lambda b: b"\n\n" + b,
        lambda b: b.replace(b"# sent_id = b\n", b"# sent_id = b\n\n"),
        lambda b: b + b"\n# the end",
    ],
    ids=[
        "bom",
        "crlf",
        "no newline",
        "all three",
        "blank lines",
        "blank first",
        "lone comment",
        "comment last",
    ],
)
def test_reads_other_spellings_of_the_same_file(write: Write, change: Callable[[bytes], bytes]) -> None:
    path = write(PLAIN)
    expected = [s.to_conllu() for s in read_conllu(path)]
    changed = change(path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    assert [s.to_conllu() for s in read_conllu(path)] == expected


def test_separators_that_are_no_line_end_stay_in_the_form(write: Write) -> None:
    forms = ["a\u2028b", "a\u0085b", "a\u00a0b", "a\x0bb", "\u00a0"]
    sentence = only(
        write("\n".join(f"{i}\t{form}\t_\tX\t_\t_\t_\t_\t_\t_" for i, form in enumerate(forms, 1)))
    )
    assert [word.form for word in sentence.words] == forms


@pytest.mark.parametrize(
    ("comment", "starts"),
    [
        ("# newpar", True),
        ("# newdoc id = x", True),
        ("#newpar id=3", True),
        ("# newparty", False),
        ("# x", False),
    ],
)
def test_paragraph_starts(write: Write, comment: str, starts: bool) -> None:
    assert only(write(f"{comment}\n1 a _ X _ _ _ _ _ _")).starts_paragraph is starts


W = "{} w _ X _ _ _ _ _ _\n"  # a word with the id to be filled in
R = "{} r _ _ _ _ _ _ _ _\n"  # a range or an empty node
ONE, TWO, THREE, FOUR = (W.format(i) for i in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("1 a b\n", 1, "got 3 columns, expected 10"),
        (ONE + "2 a _ X _ _ _ _ _ _ _\n", 2, "got 11 columns, expected 10"),
        (ONE + "2 a  X _ _ _ _ _ _\n", 2, "got an empty LEMMA, expected a value or `_`"),
        ("# c\n1 a _ X _ Case _ _ _ _\n", 2, "'Case' is no feature, expected Name=Value"),
        ("1 a _ X _ Case= _ _ _ _\n", 1, "'Case=' is no feature"),
        ("1 a _ X _ A=1||B=1 _ _ _ _\n", 1, "'' is no feature"),
        ("1 a _ X _ A=1=2 _ _ _ _\n", 1, "'A=1=2' is no feature"),
        ("1 a _ X _ A=1,,2 _ _ _ _\n", 1, "'A=1,,2' is no feature"),
        ("1 a _ X _ A=1|_ _ _ _ _\n", 1, "'_' is no feature"),
        ("1 a _ X _ Pos=Noun _ _ _ _\n", 1, "spaCy's own attribute"),
        (ONE + "2 a _ NN _ _ _ _ _ _\n", 2, "got UPOS 'NN', expected one of ADJ ADP"),
        ("1 a _ noun _ _ _ _ _ _\n", 1, "got UPOS 'noun'"),
        ("1 a _ CONJ _ _ _ _ _ _\n", 1, "CCONJ since UD version 2"),
        (ONE + THREE, 2, "got ID '3', expected 2"),
        (ONE + ONE, 2, "got ID '1', expected 2"),
        (TWO, 1, "got ID '2', expected 1"),
        (W.format("0"), 1, "got ID '0', expected 1"),
        (W.format("01"), 1, "got ID '01', expected 1"),
        (W.format("x"), 1, "got ID 'x', expected 1"),
        (W.format("\u00b2"), 1, "expected 1"),
        (R.format("2-1") + ONE, 1, "got range 2-1, which runs backwards"),
        (
            R.format("1-2") + ONE + R.format("2-3") + TWO + THREE,
            3,
            "got range 2-3, expected one that does not overlap",
        ),
        (R.format("1-2") + R.format("1-2") + ONE + TWO, 2, "expected the first word of it, 1"),
        (ONE + R.format("1-2") + TWO, 2, "got range 1-2 before word 2, expected it right before word 1"),
        (
            R.format("2-3") + ONE + TWO + THREE,
            1,
            "got range 2-3 before word 1, expected it right before word 2",
        ),
        (R.format("3-4") + ONE + R.format("1-2") + TWO, 1, "got range 3-4 before word 1"),
        (ONE + R.format("2-3") + TWO, 2, "got range 2-3 in a sentence of 2 words"),
        (ONE + R.format("2-3"), 2, "got range 2-3 in a sentence of 1 words"),
        (R.format("0-1") + ONE, 1, "got ID '0-1', expected 1"),
        (ONE + R.format("2-3") + R.format("1.1") + TWO + THREE, 3, "got ID '1.1' after a range"),
        (ONE + R.format("2.1") + TWO, 2, "got empty node 2.1, expected 1.1 here"),
        (ONE + R.format("1.2"), 2, "got empty node 1.2, expected 1.1 here"),
        (R.format("0.1"), 1, "got a sentence without words"),
        (ONE + "\n\n" + ONE + "2 b\n", 5, "got 2 columns"),
    ],
)
def test_errors_say_line_and_remedy(write: Write, text: str, line: int, message: str) -> None:
    path = write(text)
    with pytest.raises(ConlluError) as caught:
        list(read_conllu(path))
    error = caught.value
    assert (error.path, error.line) == (path, line)
    assert message in error.message
    assert "expected" in error.message
    assert "--skip-bad" in error.message
    assert str(error) == f"{path}, line {line}: {error.message}"


def test_bytes_that_are_no_utf8_have_a_line(write: Write) -> None:
    path = write(ONE + "\n# fran\u00e7ais\n" + ONE)
    path.write_bytes(path.read_bytes().replace("\u00e7".encode(), b"\xe7"))
    with pytest.raises(ConlluError, match="line 3: got byte 0xe7 at position 7 of the line, expected UTF-8"):
        list(read_conllu(path))
    path.write_bytes(b"# ok\n" + tabs(ONE).encode("utf-16"))
    with pytest.raises(ConlluError, match=r"line 2: .*expected UTF-8"):
        list(read_conllu(path))


@pytest.mark.parametrize(("text", "line"), [("", 1), ("\n\n", 1), ("# only\n# comments\n", 2)])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_file_without_sentences_is_an_error(write: Write, text: str, line: int, skip_bad: bool) -> None:
    with pytest.raises(ConlluError, match="got no sentence, expected at least one") as caught:
        list(read_conllu(write(text), skip_bad=skip_bad))
    assert caught.value.line == line


def test_skip_bad_reads_the_rest(write: Write) -> None:
    bad = [
        "1 a b\n",
        "1 a _ NN _ _ _ _ _ _\n",
        ONE + "\u00e7\n",
        R.format("1-2") + ONE,
        "1 a _ X _ Case _ _ _ _\n",
    ]
    path = write("\n".join(["# lone\n", *(ONE + "\n" + block for block in bad), "# last\n" + ONE + TWO]))
    path.write_bytes(path.read_bytes().replace("\u00e7".encode(), b"\xe7"))
    errors: list[ConlluError] = []
    good = list(read_conllu(path, skip_bad=True, on_bad=errors.append))
    assert [len(s.words) for s in good] == [1, 1, 1, 1, 1, 2]
    assert [s.line for s in good] == [1, 7, 11, 16, 21, 25]
    assert [error.line for error in errors] == [5, 9, 14, 18, 23]
    assert len(list(read_conllu(path, skip_bad=True))) == len(good)
    with pytest.raises(ConlluError, match="line 5"):
        list(read_conllu(path))


def test_a_file_of_bad_sentences_only_is_an_error(write: Write) -> None:
    errors: list[ConlluError] = []
    with pytest.raises(ConlluError, match="got only sentences in error, 1 of them, expected at least one"):
        list(read_conllu(write("1 a b\n"), skip_bad=True, on_bad=errors.append))
    assert [error.line for error in errors] == [1]


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


def test_docs_of_several_sentences_and_white_space() -> None:
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
        "# text = Hi .\n1\tHi\t_\tINTJ\t_\t_\t_\t_\t_\t_\n2\t.\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
        "# text = No way\u00a0\n1\tNo way\t_\tX\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
        "2\t\u00a0\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n\n"
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
    ],
)
def test_feats_have_one_order(write: Write, feats: str, expected: str) -> None:
    assert canonical_feats(feats) == expected
    doc = words_doc(only(write(f"1 a _ X _ {feats or '_'} _ _ _ _")), Vocab())
    assert feats_string(through_docbin(doc)[0]) == expected


NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,5}(\[[a-z]{1,3}\])?", fullmatch=True).filter(
    lambda n: n.lower() != "pos"
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
            path.write_text(doc_to_conllu(doc), encoding="utf-8", newline="")
            assert only(path).text == doc.text.removesuffix(" ")
        assert tokens_doc(sentence, Vocab()).text.removesuffix(" ") == sentence.text
        heads = [line.split("\t")[6] for line in text.split("\n") if line.split("\t")[0].isdigit()]
        written = doc_to_conllu(through_docbin(words_doc(sentence, Vocab()))).split("\n")
        assert [line.split("\t")[6] for line in written if "\t" in line] == heads
