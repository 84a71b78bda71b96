"""Sentences of Docs that come without them, and only of these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from packaged import three_languages
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc

from mminibert.packaging.assemble import assemble, parts_of
from mminibert.runtime.sentences import FallbackSentencizer


@pytest.fixture(scope="module")
def nlp() -> Language:
    nlp = spacy.blank("xx")
    nlp.add_pipe("fallback_sentencizer", name="sentencizer")
    return nlp


WORDS = st.lists(st.sampled_from(["a", ".", "?", "。", ")", '"', " ", "b."]), max_size=12)


def starts(doc: Doc) -> list[bool | None]:
    return [token.is_sent_start for token in doc]


@given(words=WORDS)
def test_without_sentence_starts_it_is_the_rule_of_spacy(nlp: Language, words: list[str]) -> None:
    expected = Sentencizer()(Doc(nlp.vocab, words=words))
    assert starts(nlp(Doc(nlp.vocab, words=words))) == starts(expected)


@given(data=st.data())
def test_sentence_starts_stay(nlp: Language, data: st.DataObject) -> None:
    """Also where only some are known, and of a single token."""
    words = data.draw(WORDS.filter(bool))
    first = data.draw(st.sampled_from([1, -1]))  # spaCy's arrays may have any
    n = len(words) - 1
    rest = data.draw(st.lists(st.sampled_from([0, 1, -1]), min_size=n, max_size=n))
    known: list[Any] = [first, *rest]
    doc = Doc(nlp.vocab, words=words, sent_starts=known)
    before = starts(doc)
    if doc.has_annotation("SENT_START"):
        assert starts(nlp(doc)) == before


def test_it_is_stored_as_spacy_reads_it_always_the_same(tmp_path: Path) -> None:
    """Sets of strings have another order in each process."""
    characters = [chr(code) for code in range(0x20, 0x120)]
    mine, shuffled = FallbackSentencizer(punct_chars=characters), FallbackSentencizer(punct_chars=["~"])
    for character in reversed(characters):
        shuffled.punct_chars.add(character)
    assert mine.to_bytes() == shuffled.to_bytes()
    assert Sentencizer().from_bytes(mine.to_bytes()).punct_chars == set(characters)
    mine.to_disk(tmp_path / "sentencizer")
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text(encoding="utf-8"))["punct_chars"] == characters
    assert Sentencizer().from_disk(tmp_path / "sentencizer").punct_chars == set(characters)


def test_it_reads_no_token_of_a_doc_with_sentence_starts(
    monkeypatch: pytest.MonkeyPatch, nlp: Language
) -> None:
    read: list[int] = []
    predict = Sentencizer.predict

    def counted(self: Sentencizer, docs: list[Doc]) -> list[list[bool]]:
        read.extend(map(len, docs))
        found: list[list[bool]] = predict(self, docs)
        return found

    monkeypatch.setattr(FallbackSentencizer, "predict", counted)
    nlp(Doc(nlp.vocab, words=["a", ".", "b"], sent_starts=[1, -1, 1]))
    assert read == []
    nlp(Doc(nlp.vocab, words=["a", ".", "b"]))
    assert read == [3]


def test_it_takes_the_place_of_spacys_sentencizer() -> None:
    """With its punctuation, unless that is to overwrite what is set."""
    old = three_languages()
    old.remove_pipe("sentencizer")
    first = old.add_pipe("sentencizer", first=True, config={"punct_chars": ["a"]})
    assert isinstance(first, Sentencizer)
    new = assemble(old, parts_of(old))
    component = new.get_pipe("sentencizer")
    assert isinstance(component, FallbackSentencizer) and component.punct_chars == {"a"}
    assert new.config["components"]["sentencizer"]["factory"] == "fallback_sentencizer"
    again = assemble(new, parts_of(new)).get_pipe("sentencizer")
    assert isinstance(again, FallbackSentencizer) and again.punct_chars == {"a"}
    old.remove_pipe("sentencizer")
    assert isinstance(assemble(old, parts_of(old)).get_pipe("sentencizer"), FallbackSentencizer)
    old.add_pipe("sentencizer", first=True, config={"overwrite": True})
    kept = assemble(old, parts_of(old)).get_pipe("sentencizer")
    assert not isinstance(kept, FallbackSentencizer) and kept.overwrite  # type: ignore[attr-defined]
