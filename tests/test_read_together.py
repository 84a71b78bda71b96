"""`nlp.pipe` reads texts together, and gives what spaCy's own gives."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from test_segmenter_pipeline import blank, content, tokenizer_of

from mminibert.runtime.joined_texts import JoinedTexts
from mminibert.runtime.segmenter import Segmenter

NLP = blank()
TEXTS = ["la casa  del sol.\nEl perro come!", "", "del sol", " ", "la casa."]


@pytest.fixture
def nlp() -> Language:
    return blank()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each reading had."""
    found: list[int] = []
    read = Segmenter._read

    def counted(self: Segmenter, texts: JoinedTexts) -> Any:
        found.append(len(texts.starts))
        return read(self, texts)

    monkeypatch.setattr(Segmenter, "_read", counted)
    return found


def test_texts_are_read_by_the_batch(nlp: Language, at_once: list[int]) -> None:
    expected = [content(nlp(text)) for text in TEXTS]
    at_once.clear()
    assert [content(doc) for doc in nlp.pipe(TEXTS)] == expected
    assert at_once == [5]
    at_once.clear()
    assert [content(doc) for doc in nlp.pipe(iter(TEXTS), batch_size=2)] == expected
    assert at_once == [2, 2, 1]
    at_once.clear()
    nlp.batch_size = 3
    found = list(nlp.pipe(zip(TEXTS, "abcde", strict=True), as_tuples=True))
    assert at_once == [3, 2]
    assert [content(doc) for doc, _ in found] == expected and [each for _, each in found] == [*"abcde"]


@given(st.lists(st.tuples(st.sampled_from(TEXTS), st.booleans()), max_size=12), st.integers(1, 5))
def test_texts_and_docs_in_any_order(rows: list[tuple[str, bool]], size: int) -> None:
    nlp = NLP
    given = [nlp(text) if is_doc else text for text, is_doc in rows]
    found = list(nlp.pipe(given, batch_size=size))
    assert [content(doc) for doc in found] == [content(nlp(text)) for text, _ in rows]
    assert all(doc is each for doc, each in zip(found, given, strict=True) if isinstance(each, Doc))


def test_no_more_is_read_ahead_than_a_batch(nlp: Language) -> None:
    taken = 0

    def counted(items: Iterable[Any]) -> Iterator[Any]:
        nonlocal taken
        for item in items:
            taken += 1
            yield item

    next(iter(nlp.pipe(counted(TEXTS * 100), batch_size=7)))
    assert taken <= 8
    taken = 0
    next(iter(nlp.pipe(counted([nlp(TEXTS[0])] * 100), batch_size=7)))
    assert taken == 1


def test_what_spacy_refuses_it_still_refuses_after_what_came_before(nlp: Language) -> None:
    nlp.max_length = 40
    docs: list[Doc] = []
    for bad, error in (("x" * 41, "E088"), (None, "E1041")):
        docs.clear()
        given: list[Any] = [*TEXTS, bad]
        with pytest.raises(ValueError, match=error):
            docs.extend(nlp.pipe(given))
        assert len(docs) == len(TEXTS)


class Shouting(Segmenter):
    def __call__(self, text: str) -> Doc:
        return super().__call__(text.upper())


class Wrapped:
    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> Doc:
        doc: Doc = self.tokenizer(text.upper())
        return doc

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def test_another_tokenizer_is_called_as_ever(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    own, vocab = tokenizer_of(nlp), nlp.vocab
    texts = ["la casa", "del sol"]
    nlp.tokenizer = lambda text: Doc(vocab, words=text.upper().split())
    assert [doc.text.strip() for doc in nlp.pipe(texts)] == ["LA CASA", "DEL SOL"]
    nlp.tokenizer = Shouting(vocab).from_bytes(own.to_bytes())
    assert [doc.text for doc in nlp.pipe(texts)] == ["LA CASA", "DEL SOL"]
    nlp.tokenizer = Wrapped(own)
    assert [doc.text for doc in nlp.pipe(texts)] == ["LA CASA", "DEL SOL"]
    nlp.tokenizer = own
    make_doc = nlp.make_doc
    monkeypatch.setattr(nlp, "make_doc", lambda text: make_doc(text.upper()))
    assert [doc.text for doc in nlp.pipe(texts)] == ["LA CASA", "DEL SOL"]


def test_a_language_that_makes_docs_of_its_own(at_once: list[int]) -> None:
    class Loud(type(spacy.blank("xx"))):  # type: ignore[misc]
        def make_doc(self, text: str) -> Doc:
            doc: Doc = super().make_doc(text.upper())
            return doc

    nlp = Loud.from_config(blank().config)
    tokenizer_of(nlp).from_bytes(tokenizer_of(NLP).to_bytes())
    assert [doc.text for doc in nlp.pipe(["la casa", "del sol"])] == ["LA CASA", "DEL SOL"]
    assert at_once == [1, 1]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))])
def test_a_copy_reads_together_too(nlp: Language, at_once: list[int], copied: Any) -> None:
    expected = [content(doc) for doc in nlp.pipe(TEXTS)]
    other = copied(nlp)
    assert type(other) is type(nlp) and isinstance(other, type(spacy.blank("xx")))
    assert tokenizer_of(other) is not nlp.tokenizer
    at_once.clear()
    assert [content(doc) for doc in other.pipe(TEXTS)] == expected and at_once == [5]


def test_other_processes_read_for_themselves(nlp: Language, at_once: list[int]) -> None:
    expected = [content(doc) for doc in nlp.pipe(TEXTS)]
    at_once.clear()
    assert [content(doc) for doc in nlp.pipe(TEXTS, n_process=2, batch_size=2)] == expected
    assert at_once == []


def test_classes_of_spacy_stay_as_they_are(nlp: Language) -> None:
    theirs = spacy.blank("xx")
    assert type(theirs) is not type(nlp) and type(theirs).pipe is Language.pipe
    assert type(blank()) is type(nlp) and nlp.lang == "xx" and nlp.meta["lang"] == "xx"
