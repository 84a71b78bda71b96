"""Unlabelled text to words."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokenizer import Tokenizer

from mminibert.data.text import MIN_CHARACTERS, read_forms, read_lines, segment, tokenizer_for


def longest_match(text: str, lexicon: set[str]) -> list[str]:
    """The definition: the longest prefix that is a word, else one character."""
    if not text:
        return []
    prefixes = [text[:n] for n in range(1, len(text) + 1)]
    word = max((prefix for prefix in prefixes if prefix in lexicon), key=len, default=text[0])
    return [word, *longest_match(text[len(word) :], lexicon)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("中", ["中"]),
        ("中国人民", ["中国", "人民"]),
        ("中国人", ["中国人"]),
        ("中国人民大学", ["中国", "人民", "大", "学"]),  # 中国人民 is no word, but 中国 is longer than 中
        ("民中国", ["民", "中国"]),
    ],
)
def test_segment(text: str, expected: list[str]) -> None:
    lexicon = {"中", "中国", "人民"} if text != "中国人" else {"中国", "中国人", "人"}
    assert segment(text, lexicon, max(map(len, lexicon))) == expected


@given(st.text("abc", max_size=30), st.sets(st.text("abc", min_size=1, max_size=5)))
def test_segment_takes_the_longest_word(text: str, lexicon: set[str]) -> None:
    words = segment(text, lexicon, max(map(len, lexicon), default=1))
    assert words == longest_match(text, lexicon)


def test_the_tokenizer_is_the_languages_own() -> None:
    text = "I can't, e.g. go."
    words = [token.text for token in tokenizer_for("en")(text)]
    assert words == [token.text for token in spacy.blank("en")(text)]
    assert words != [token.text for token in spacy.blank("xx")(text)]


@pytest.mark.parametrize("lang", ["ko", "zh", "ja", "th", "vi", "qq", "xx"])
def test_the_tokenizer_falls_back(lang: str) -> None:
    tokenizer = tokenizer_for(lang)
    assert type(tokenizer) is Tokenizer
    assert [token.text for token in tokenizer("나는 학교에 간다. (중)")] == [
        "나는",
        "학교에",
        "간다",
        ".",
        "(",
        "중",
        ")",
    ]


def lines(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "xx.txt"
    path.write_bytes(text.encode("utf-8"))
    return list(read_lines(path))


def test_short_sentences_are_dropped(tmp_path: Path) -> None:
    nine, ten = "a" * (MIN_CHARACTERS - 1), "b" * MIN_CHARACTERS
    # Blanks around and between words do not make a sentence long.
    text = f"{nine}\n{ten}\n\n  {nine}   \nabc      def\nabcd      efghi\n"
    assert lines(tmp_path, text) == [ten, "abcd efghi"]


def test_blanks_of_any_kind_are_single_blanks(tmp_path: Path) -> None:
    text = "one\u00a0two\u3000three\tfour \u2028five\r\nsix  seven  eight\x85nine"
    assert lines(tmp_path, text) == ["one two three four five", "six seven eight nine"]


def test_text_that_is_no_utf8_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "fr.txt"
    path.write_bytes("\ufeffUne phrase en UTF-8.\nEn français.\n".encode().replace("ç".encode(), b"\xe7"))
    for read in (lambda: list(read_lines(path)), lambda: [sorted(read_forms(path))]):
        with pytest.raises(ValueError, match=r"fr\.txt, line 2: got byte 0xe7, expected UTF-8"):
            read()
    path.write_bytes(path.read_bytes().replace(b"\xe7", "ç".encode()))
    assert list(read_lines(path)) == ["Une phrase en UTF-8.", "En français."]
    assert read_forms(path) == {"Une", "phrase", "en", "UTF-8.", "En", "français."}
