"""The tokenizer: any text keeps its text, white space is as in spaCy, nothing but the text matters."""

from __future__ import annotations

import json
import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import segmenters
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.runtime.doc_languages import given_language
from mminibert.runtime.segmenter import Explained, Segmenter
from mminibert.runtime.ud_words import multiword_tokens

VOCAB = spacy.blank("xx").vocab
KEPT = segmenters.segmenter(VOCAB)
RULES = spacy.blank("xx").tokenizer
PARTS = [
    "casa",
    "del",
    "dalo.",
    "Sr.",
    "Hà",
    "Nội",
    "我",
    "北京",
    "。",
    "!",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\u00a0",
    "\u2029",
]
TEXT = st.text() | st.lists(st.sampled_from(PARTS), max_size=30).map("".join)
LANGUAGES = [None, "es", "vi", "zh", "es_toy"]


def content(doc: Doc) -> list[object]:
    tokens = [(token.text, token.whitespace_, token.is_sent_start) for token in doc]
    return [tokens, multiword_tokens(doc), doc.user_data]


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=TEXT, line_breaks=st.booleans())
def test_any_text_keeps_its_text(language: str | None, text: str, line_breaks: bool) -> None:
    KEPT.language, KEPT.line_breaks = language, line_breaks
    doc = KEPT(text)
    assert doc.text == text
    assert [token.is_sent_start for token in doc][:1] == [True] * bool(text)
    assert all(token.is_sent_start in (True, False) and token.text for token in doc)
    assert "".join(sentence.text_with_ws for sentence in doc.sents) == text
    for token in doc:
        assert token.is_space or (token.text.strip() == token.text and len(token.text.splitlines()) == 1)
    spoken = [token for token in doc if not token.is_space]
    explained = KEPT.explain(text)
    assert [entry.form for entry in explained] == [token.text for token in spoken]
    words = [tuple(form for form, _, _ in token._.ud_words or ()) for token in spoken]
    assert [entry.words for entry in explained] == words
    languages = [doc[token.i : token.i + 1]._.language for token in spoken]
    assert [entry.language.partition("_")[0] for entry in explained] == languages


def test_lone_surrogates_are_refused_as_by_spacy() -> None:
    for tokenizer in (RULES, KEPT):
        with pytest.raises(UnicodeEncodeError):
            tokenizer("a \ud800")


@given(st.text(alphabet="ab我 \t\n\r\u00a0\u2003\u2028\x1c", max_size=30))
def test_white_space_is_as_in_spacy(text: str) -> None:
    made = segmenters.segmenter(VOCAB, segmenters.plain_model())
    text = re.sub("(?<=[ab我])(?=我)|(?<=我)(?=[ab])", " ", text)
    expected = [(token.text, token.whitespace_) for token in RULES(text)]
    assert [(token.text, token.whitespace_) for token in made(text)] == expected


def test_white_space_belongs_to_the_sentence_before() -> None:
    KEPT.language, KEPT.line_breaks = "es", True
    doc = KEPT("\n la casa\n\n come  \n")
    assert [(token.text, token.is_sent_start) for token in doc] == [
        ("\n ", True),
        ("la", False),
        ("casa", False),
        ("\n\n ", False),
        ("come", True),
        (" \n", False),
    ]


def test_multiword_tokens() -> None:
    KEPT.language, KEPT.line_breaks = "es", False
    doc = KEPT("casa dalo perro Del  come casa.")
    assert {doc[i].text: [form for form, _, _ in words] for i, words in multiword_tokens(doc).items()} == {
        "Del": ["De", "el"],
        "dalo": ["da", "lo"],
    }
    assert KEPT.explain("del perro")[0] == Explained("es", "del", ("de", "el"), True)
    KEPT.language = "zh"
    assert not multiword_tokens(KEPT("del"))


def test_languages_of_a_doc() -> None:
    spanish, chinese = (segmenters.joined(segmenters.sentences(code, 2))[0] for code in ("es_toy", "zh_toy"))
    KEPT.language = None
    doc = KEPT(f"\n{spanish}\n\n{chinese}")
    assert doc._.languages == ("es", "zh") and given_language(doc) is None
    assert [sentence._.language for sentence in doc.sents] == ["es", "es", "zh", "zh"]
    assert doc[:1]._.language == "es"
    KEPT.language = "es_toy"
    doc = KEPT(chinese)
    assert doc._.languages == ("es",) and given_language(doc) == "es_toy"
    assert Doc(VOCAB, words=["x"])[:1]._.language is None
    KEPT.language = None
    assert given_language(KEPT("  ")) is None and KEPT("  ")._.languages == ()


@given(st.lists(TEXT, max_size=6), TEXT)
def test_neighbours_and_order_do_not_matter(others: list[str], text: str) -> None:
    KEPT.language = None
    alone = content(segmenters.segmenter(VOCAB)(text))
    docs = list(KEPT.pipe([*others, text], batch_size=2))
    assert [doc.text for doc in docs] == [*others, text]
    assert content(docs[-1]) == alone
    assert content(next(KEPT.pipe([text]))) == alone


def test_threads() -> None:
    text = "".join(
        segmenters.joined(segmenters.sentences(code, 30))[0] + "\n" for code in segmenters.TREEBANKS
    )
    parts = [text[i : i + 300] for i in range(0, len(text), 100)]
    expected = [content(KEPT(part)) for part in parts]
    shared, found = segmenters.segmenter(VOCAB), dict[int, list[object]]()

    def work(start: int) -> None:
        for i in range(start, len(parts), 4):
            found[i] = content(shared(parts[i]))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(len(parts))] == expected


def on_disk(made: Segmenter, path: Path) -> Segmenter:
    made.to_disk(path, exclude=["vocab"])
    return Segmenter(Vocab()).from_disk(path, exclude=["vocab"])


ROUND_TRIPS: dict[str, Callable[[Segmenter, Path], Segmenter]] = {
    "pickle": lambda made, path: pickle.loads(pickle.dumps(made)),
    "bytes": lambda made, path: Segmenter(Vocab()).from_bytes(
        made.to_bytes(exclude=["vocab"]), exclude=["vocab"]
    ),
    "disk": on_disk,
    "over another": lambda made, path: segmenters.segmenter(VOCAB, language="vi").from_bytes(made.to_bytes()),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_it_is_kept(name: str, tmp_path: Path) -> None:
    made = segmenters.segmenter(VOCAB, language="es_toy", line_breaks=True)
    made.add_special_case("casacasa", ["casa", "casa"])
    again = ROUND_TRIPS[name](made, tmp_path / "tokenizer")
    text = "la casacasa del perro\ncome."
    assert content(again(text)) == content(made(text))
    assert (again.language, again.line_breaks) == ("es_toy", True) and again.to_bytes() == made.to_bytes()
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == (["tokenizer", "tokenizer.crc32"] if name == "disk" else [])


def test_it_forgets_what_the_saved_one_had_not_learned() -> None:
    made = segmenters.segmenter(VOCAB, language="es").from_bytes(Segmenter(VOCAB).to_bytes())
    assert made.language is None
    with pytest.raises(ValueError, match="not learned anything yet; load a packaged pipeline, or train one"):
        made("x")


def changed(key: str, value: object) -> bytes:
    message = srsly.msgpack_loads(segmenters.segmenter(VOCAB).to_bytes())
    return bytes(srsly.msgpack_dumps({**message, key: value}))


DAMAGED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "cut": lambda: segmenters.segmenter(VOCAB).to_bytes()[:5000],
    "text": lambda: b"This is not a model.",
    "no settings": lambda: bytes(srsly.msgpack_dumps({"model": b""})),
    "list": lambda: bytes(srsly.msgpack_dumps([1])),
    "settings": lambda: changed("settings", "{"),
    "settings of another kind": lambda: changed("settings", "[]"),
    "model": lambda: changed("model", segmenters.trained_model().to_bytes()[:-1]),
    "expansions": lambda: changed("expansions", {"es": "[alwys ]\n"}),
    "expansions of another kind": lambda: changed("expansions", ["es"]),
    "language": lambda: changed(
        "settings", json.dumps({"language": "xx", "line_breaks": False, "special_cases": {}})
    ),
    "special case": lambda: changed(
        "settings", json.dumps({"language": None, "line_breaks": False, "special_cases": {"ab": ["a"]}})
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_change_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer"
    path.write_bytes(DAMAGED[name]())
    made = segmenters.segmenter(VOCAB, language="es")
    made.add_special_case("casacasa", ["casa", "casa"])
    before = made.to_bytes()
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: the segmenter cannot be read .* again$"):
        made.from_disk(path)
    assert made.to_bytes() == before and made.language == "es"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="tokenizer"):
        KEPT.from_disk(tmp_path / "tokenizer")


def test_unknown_languages() -> None:
    made = segmenters.segmenter(VOCAB, language="es")
    with pytest.raises(ValueError, match=r"got language 'de', expected one of es, vi, zh; None finds"):
        made.language = "de"
    with pytest.raises(ValueError, match=r"got language 'es_old', expected one of es, es_toy; None finds"):
        made.language = "es_old"
    with pytest.raises(ValueError, match=r"got language \['es'\], expected one of es, vi, zh; None"):
        made.language = ["es"]  # type: ignore[assignment]
    assert made.language == "es"
    early = Segmenter(VOCAB, language="de")
    with pytest.raises(ValueError, match="got language 'de'"):
        early.learned(segmenters.trained_model(), {})
    with pytest.raises(ValueError, match="not learned anything"):
        early.languages  # noqa: B018
    assert made.languages == ("es", "vi", "zh", "es_toy", "vi_toy", "zh_toy")
