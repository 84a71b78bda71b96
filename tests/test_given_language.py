"""The language that the user gave the tokenizer is the one that is tagged in, and the one that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import spacy
from packaged import random_segmenter, three_languages, with_conventions
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from mminibert.packaging.quantize import with_segmenter
from mminibert.runtime.languages import Languages
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.segmenter import Segmenter

TEXT = "abc bad. cab ace як кя"
"""Mostly English, as far as one can say."""


@pytest.fixture(scope="module")
def pipeline() -> Language:
    return with_segmenter(with_conventions(three_languages()), random_segmenter())


@pytest.fixture
def nlp(pipeline: Language) -> Iterator[Language]:
    yield pipeline
    give(pipeline, None)
    tagger(pipeline).convention = None


def give(nlp: Language, language: str | None) -> None:
    assert isinstance(nlp.tokenizer, Segmenter)
    nlp.tokenizer.language = language


def tags(doc: Doc) -> list[tuple[str, str]]:
    return [(token.pos_, str(token.morph)) for token in doc]


@pytest.mark.parametrize(
    ("given", "convention"),
    [("en", "en_x"), ("ru", "ru_x"), ("en_x", "en_x"), ("en_y", "en_y"), ("zh_x", "zh_x")],
)
def test_text_is_tagged_in_the_language_that_is_given(nlp: Language, given: str, convention: str) -> None:
    give(nlp, given)
    doc = nlp(TEXT)
    assert set(doc._.conventions) == {convention}
    assert doc[:1]._.language == doc[-1:]._.language == given.partition("_")[0]
    assert doc._.languages == (given.partition("_")[0],)
    tagger(nlp).convention = convention
    words = nlp(Doc(nlp.vocab, words=[t.text for t in doc], spaces=[bool(t.whitespace_) for t in doc]))
    if not any(token._.ud_words for token in doc):
        assert tags(words) == tags(doc)


def test_the_convention_of_the_tagger_comes_first(nlp: Language) -> None:
    """Then the language that is shown is the one of its tags."""
    give(nlp, "ru")
    tagger(nlp).convention = "en_y"
    doc = nlp(TEXT)
    assert doc._.convention == "en_y" and doc[:]._.language == "en" and doc._.languages == ("en",)


def test_a_convention_that_the_tagger_lacks(nlp: Language) -> None:
    """Its language's default; the language is found where the tagger has none of it."""
    pipe = tagger(nlp)
    conventions = pipe.conventions
    assert conventions is not None
    give(nlp, "en_y")
    doc = nlp.make_doc("як кя")  # which would be found to be Russian
    with pipe.tagging_in(None, conventions.only(["en_x", "ru_x", "zh_x"])):
        assert pipe.predict([doc])[0].conventions == [(0, "en_x")]
    give(nlp, "ru")
    doc = nlp.make_doc("abc bad cab")
    rest = conventions.only(["en_x", "en_y", "zh_x"])
    languages, pipe.languages = pipe.languages, None
    try:
        with pipe.tagging_in(None, rest), pytest.raises(ValueError, match="nothing that finds the language"):
            pipe.predict([doc])
    finally:
        pipe.languages = languages
    with pipe.tagging_in(None, conventions.only(["en_y"], {"en": "en_y"})):
        assert pipe.predict([doc])[0].conventions == [(0, "en_y")]


def test_nothing_is_found_where_all_is_given(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    find = Languages.find

    def counted(self: Languages, vectors: Any, docs: list[Doc], pieces: Any) -> Any:
        found.append(len(docs))
        return find(self, vectors, docs, pieces)

    monkeypatch.setattr(Languages, "find", counted)
    give(nlp, "ru")
    given = [nlp.make_doc(TEXT), nlp.make_doc("")]
    list(nlp.pipe(given))
    assert found == []
    give(nlp, None)
    docs = list(nlp.pipe([nlp.make_doc("abc"), *given, Doc(nlp.vocab, words=["як"])]))
    assert found == [2]
    assert [doc._.conventions for doc in docs] == [("en_x",), ("ru_x",), (), ("ru_x",)]


def test_of_docs_of_words_it_is_found(nlp: Language) -> None:
    give(nlp, "zh")
    doc = nlp(Doc(nlp.vocab, words=["abc", "bad", ".", "як", "кя"]))
    assert doc._.conventions == ("en_x", "ru_x")
    assert [sentence._.language for sentence in doc.sents] == ["en", "ru"] == list(doc._.languages)


def test_what_is_given_survives(nlp: Language) -> None:
    """Copies, a DocBin, bytes, several processes."""
    give(nlp, "en_y")
    doc = nlp.make_doc(TEXT)
    stored = DocBin(store_user_data=True)
    stored.add(doc)
    (unpacked,) = DocBin().from_bytes(stored.to_bytes()).get_docs(nlp.vocab)
    read = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    give(nlp, None)
    for again in (doc.copy(), unpacked, read):
        assert nlp(again)._.conventions == ("en_y",)
        tagged = DocBin(store_user_data=True, docs=[again])
        (last,) = DocBin().from_bytes(tagged.to_bytes()).get_docs(nlp.vocab)
        assert (last[:1]._.language, last._.languages) == ("en", ("en",))


def test_several_processes(nlp: Language) -> None:
    give(nlp, "ru")
    one, two = (list(nlp.pipe([TEXT, "як"] * 3, n_process=n, batch_size=2)) for n in (1, 2))
    assert [doc._.conventions for doc in two] == [("ru_x",)] * 6
    assert [tags(doc) for doc in one] == [tags(doc) for doc in two]
    assert {doc[:1]._.language for doc in (*one, *two)} == {"ru"}


def test_without_tags_the_language_is_the_tokenizers(nlp: Language) -> None:
    give(nlp, "ru_x")
    doc = nlp.make_doc(TEXT)
    assert doc[:1]._.language == "ru" and doc._.languages == ("ru",)
    plain = Doc(spacy.blank("xx").vocab, words=["a"])
    assert plain[:]._.language is None and plain._.languages == ()
