"""Unlabelled text as the segmenter's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from segmenters import segmenter, write_plain_segmenter
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.systems import text_words
from mminibert.systems.text_words import TextWords


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TextWords:
    path = tmp_path_factory.mktemp("segmenter") / "segmenter"
    segmenter(Vocab()).to_disk(path)
    return TextWords(path)


def test_words_are_those_of_the_convention_in_order(
    words: TextWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        ("el perro come cerca del sol.", "es_toy"),
        ("今天老师去北京。", "zh_toy"),
        ("Juan vive cerca del perro!", "es"),
        ("sinh viên học ở trường.", "vi_toy"),
        ("la casa del gato verde.", "es_toy"),
    ]
    expected = [
        ["el", "perro", "come", "cerca", "de", "el", "sol", "."],
        ["今天", "老师", "去", "北京", "。"],
        ["Juan", "vive", "cerca", "de", "el", "perro", "!"],
        ["sinh viên", "học", "ở", "trường", "."],
        ["la", "casa", "de", "el", "gato", "verde", "."],
    ]
    assert list(words(lines)) == expected
    monkeypatch.setattr(text_words, "AT_ONCE", 2)
    assert list(words(iter(lines))) == expected
    assert list(words([])) == []


def test_what_is_told_decides(words: TextWords) -> None:
    """A unit that Spanish has as one token is several in Chinese."""
    told = ["es_toy", "zh_toy", "es_other", "zh"]
    found = dict(zip(told, words([("今天老师去北京", code) for code in told]), strict=True))
    assert found["zh_toy"] == ["今天", "老师", "去", "北京"] == found["zh"]
    # One that was not learned is cut as its language.
    assert found["es_toy"] == found["es_other"] != found["zh"]


def test_an_unknown_language_is_found_in_the_text(words: TextWords) -> None:
    (found,) = words([("今天老师去北京。", "qq_toy")])
    assert found == ["今天", "老师", "去", "北京", "。"]


def test_only_lines_need_the_segmenter(tmp_path: Path) -> None:
    path = tmp_path / "segmenter"
    words = TextWords(path)
    assert list(words([])) == []
    with pytest.raises(FileNotFoundError, match=r"no segmenter .*segmenter; run the step `segment` first"):
        list(words([("a line", "es")]))
    write_plain_segmenter(path)
    assert list(words([("a  line it is", "es")])) == [["a", "line", "it", "is"]]


class Recorded:
    """In the place of a segmenter that knows a language and one of its conventions."""

    languages = ("es", "es_toy", "zh")
    language: str | None = None

    def pipe(self, texts: Iterable[str]) -> Iterator[Doc]:
        return (Doc(Vocab(), words=[text, str(self.language)]) for text in texts)


def test_the_convention_is_told_before_the_language() -> None:
    words = TextWords(Path("nowhere"))
    words.__dict__["_segmenter"] = Recorded()
    told = ["es_toy", "es", "es_other", "zh_toy", "qq_toy", "qq"]
    found = list(words((f"line {i}", code) for i, code in enumerate(told)))
    expected = ["es_toy", "es", "es", "zh", "None", "None"]
    assert found == [[f"line {i}", code] for i, code in enumerate(expected)]
