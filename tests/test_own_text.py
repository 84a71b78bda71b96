"""Text segmented by hand beside what a pipeline makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc

from mminibert.experiments.own_text import mistakes, read_own_text
from mminibert.runtime.ud_words import store_words

OWN = """# A comment.
[es]
Vive cerca del=de+el río ~.
mil 10_000 ¶
Sí ~.
[zh]
我 ~爱 ~北京 ~。
你 ~？
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_reading(path: Path) -> None:
    spanish, chinese = read_own_text(path)
    assert (spanish.lang, spanish.text) == ("es", "Vive cerca del río. mil 10 000\nSí. ")
    forms = {spanish.text[start:end]: words for (start, end), words in spanish.tokens.items()}
    assert list(forms) == ["Vive", "cerca", "del", "río", ".", "mil", "10 000", "Sí"]
    assert forms["del"] == ("de", "el") and not forms["río"]
    sentences = {spanish.text[start:end] for start, end in spanish.sentences}
    assert sentences == {"Vive cerca del río.", "mil 10 000", "Sí."}
    assert chinese.text == "我爱北京。你？" and len(chinese.tokens) == 6
    path.write_text("[en]\nsee ~http://a.b/?c=1 ~.\n", encoding="utf-8")
    (english,) = read_own_text(path)
    assert english.text == "seehttp://a.b/?c=1. " and not any(english.tokens.values())
    path.write_text("Vive ~.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"sentences.txt, line 1: got a sentence, expected a language"):
        read_own_text(path)


def test_mistakes(path: Path) -> None:
    spanish, _ = read_own_text(path)
    words = ["Vive", "cerca", "del", "río.", "mil", "10", "000", "\n", "Sí", "."]
    spaces = [True, True, True, True, True, True, False, False, False, True]
    starts: list[bool | int | None] = [i in (0, 8) for i in range(len(words))]
    doc = Doc(spacy.blank("es").vocab, words=words, spaces=spaces, sent_starts=starts)
    assert doc.text == spanish.text
    assert list(mistakes(spanish, doc)) == [
        "`río .` → `río.`",
        "`10_000` → `10 000`",
        "words of `del`: `de+el` → `del`",
        "sentence `Vive cerca del río.`",
        "sentence `mil 10 000`",
    ]
    words[3:4], spaces[3:4] = ["río", "."], [False, True]
    words[6:8], spaces[6:8] = ["10 000"], [False]
    starts = [i in (0, 5, 8) for i in range(len(words))]
    right = Doc(doc.vocab, words=words, spaces=spaces, sent_starts=starts)
    store_words(right[2], (("de", "ADP", "_"), ("el", "DET", "_")))
    assert list(mistakes(spanish, right)) == []
