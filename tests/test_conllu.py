"""Reading CoNLL-U with its odd cases, and the way to Docs and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import conllu
import pytest
from students import Write, tabs

from mminibert.data.conllu import ConlluError, Range, Sentence, read_conllu

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


def only(path: Path) -> Sentence:
    (sentence,) = read_conllu(path)
    return sentence


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
        ("1 a _ X _ Pos=Noun _ _ _ _\n", 1, "'Pos=Noun' has the name of a part of speech"),
        ("1 a _ X _ A=1|UPOS=NOUN _ _ _ _\n", 1, "'UPOS=NOUN' has the name of a part of speech"),
        (ONE + "2 a _ X _ A=1|Case=Nom|Case=Nom _ _ _ _\n", 2, "'Case=Nom' is there more than once"),
        (ONE + f"2 a _ X _ _ {'1' * 5000} dep _ _\n", 2, f"got HEAD '{'1' * 60}…' (5,000 characters)"),
        (f"1-{'9' * 5000} a _ _ _ _ _ _ _ _\n" + ONE, 1, "…' (5,002 characters), expected 1"),
        (ONE + f"1.{'9' * 5000} a _ _ _ _ _ _ _ _\n", 2, "…' (5,002 characters), expected 2"),
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


@pytest.mark.parametrize("column", range(10))
def test_errors_stay_short(write: Write, column: int) -> None:
    cells = ["1", "w", "_", "X", "_", "_", "0", "root", "_", "_"]
    cells[column] = "\u00e9" * 1_000_000
    path = write("\t".join(cells))
    if column not in (0, 3, 5, 6):  # these are free
        assert len(list(read_conllu(path))) == 1
        return
    with pytest.raises(ConlluError, match=r"line 1: got \w+ '.*\(1,000,000 characters\)") as caught:
        list(read_conllu(path))
    assert len(str(caught.value)) < 600 + len(str(path))


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def test_empty_nodes_are_written_in_linear_time(write: Write) -> None:
    n = 20_000
    rows = (f"{i} w _ X _ _ _ _ _ _\n{i}.1 _ _ _ _ _ _ _ _ _\n" for i in range(1, n + 1))
    sentence = only(write("".join(rows)))
    assert len(sentence.empty_nodes) == n
    assert sentence.to_conllu().count("\n") == 2 * n + 1
    # Looking through all of them at each word took 40 s.
    assert seconds(sentence.to_conllu) < 2


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
