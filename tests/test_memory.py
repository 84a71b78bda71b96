"""What is held while many words are tagged: never more than a bounded number of them, whatever the batch."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaged import LABELS, PIECES, SENTENCES, three_languages, with_conventions
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.packaging.assemble import assemble, parts_of
from mminibert.runtime import by_convention, doc_batches, languages
from mminibert.runtime.conventions import Adapter, Convention, Conventions
from mminibert.runtime.forms import FormTable
from mminibert.runtime.labels import Inventory
from mminibert.runtime.languages import Languages, Observations
from mminibert.runtime.wordpieces import WordPieces

WORDS = [word for sentences in SENTENCES.values() for sentence in sentences for word in sentence]
VOCAB = Vocab()


@pytest.fixture(scope="module")
def nlp() -> Language:
    """With an encoder that the tagger listens to."""
    nlp = with_conventions(three_languages())
    return assemble(nlp, parts_of(nlp))


def long_docs(vocab: Vocab, n: int, n_words: int) -> Iterator[Doc]:
    """With a sentence start every ten words."""
    words = (WORDS * (n_words // len(WORDS) + 1))[:n_words]
    starts: list[bool | int | None] = [i % 10 == 0 for i in range(n_words)]
    return (Doc(vocab, words=words, sent_starts=starts) for _ in range(n))


def tags(doc: Doc) -> Any:
    return doc.to_array(["POS", "MORPH"]).tolist(), doc._.conventions


@given(st.lists(st.integers(0, 9)), st.integers(1, 6), st.integers(1, 20))
def test_batches_by_hand(lengths: list[int], size: int, words: int) -> None:
    docs = [Doc(VOCAB, words=["a"] * n) for n in lengths]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doc_batches, "WORDS_IN_BATCH", words)
        batches = list(doc_batches.doc_batches(docs, size))
    assert [doc for batch in batches for doc in batch] == docs
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert sum(map(len, batch[:-1])) < words
    for batch in batches[:-1]:
        assert len(batch) == size or sum(map(len, batch)) >= words


def test_a_pipe_draws_no_more_docs_than_it_computes_at_once(
    nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [tags(nlp(doc)) for doc in long_docs(nlp.vocab, 12, 30)]
    drawn = 0

    def counted() -> Iterator[Doc]:
        nonlocal drawn
        for doc in long_docs(nlp.vocab, 12, 30):
            drawn += 1
            yield doc

    monkeypatch.setattr(doc_batches, "WORDS_IN_BATCH", 100)
    found = nlp.pipe(counted(), batch_size=1000)
    first = next(found)
    assert drawn == 4
    assert [tags(doc) for doc in (first, *found)] == expected


def test_a_doc_that_is_kept_keeps_its_own_vectors_alone() -> None:
    shared = three_languages()
    layer = cast(Any, shared.get_pipe("morphologizer")).tok2vec
    for rows in layer.predict(list(long_docs(shared.vocab, 5, 30))):
        assert rows.base is None


def wide(n_languages: int = 50, k: int = 64, width: int = 256) -> tuple[Conventions, Languages, WordPieces]:
    """Conventions and languages of the released sizes, of few labels, random."""
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    inventory = Inventory.from_labels(LABELS["en"])
    codes = tuple(f"l{i:02}" for i in range(n_languages))
    table = FormTable(("^abc",), np.ones((1, k), np.int8), np.ones(1, np.float32))
    heads = tuple(
        Convention.of(
            f"{code}_x",
            inventory,
            floats(inventory.n_outputs, width),
            floats(inventory.n_outputs),
            floats(k),
        )
        for code in codes
    )
    adapter = Adapter(floats(k, width), floats(width, k), {codes[0]: table})
    conventions = Conventions(heads, adapter, {code: f"{code}_x" for code in codes})
    levels = rng.integers(0, 9, (n_languages, len(PIECES))).astype(np.uint8)
    found = Languages(codes, levels, floats(width, n_languages), floats(n_languages), 1.0)
    return conventions, found, PIECES


def peak(compute: Any) -> int:
    """Bytes at once that one call asks for; it is run twice, so that caches are filled."""
    compute()
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_word_of_a_long_doc_takes_little_besides_its_vector() -> None:
    """The forms' vectors take 256 bytes a word, and the levels of all languages 250 a piece."""
    conventions, found, pieces = wide()
    (doc,) = long_docs(VOCAB, 1, 100_000)
    vectors = [np.random.default_rng(1).standard_normal((len(doc), 256)).astype(np.float32)]
    whole = [[(0, "l00_x")]]
    one = peak(lambda: by_convention.tag(conventions, [doc], vectors, whole))
    two = peak(lambda: found.find(vectors, [doc], pieces))
    assert one < 150 * len(doc)
    assert two < 300 * len(doc)


class CountingDoc(Doc):
    calls = 0

    def to_array(self, attributes: Any) -> Any:
        type(self).calls += 1
        return super().to_array(attributes)


def test_time_is_linear_in_the_sentences() -> None:
    """A Doc's words are not read anew for each of its sentences."""
    conventions, _, _ = wide()
    doc = CountingDoc(VOCAB, words=WORDS * 100)
    sentences = [[(start, f"l0{start % 3}_x") for start in range(0, len(doc), 3)]]
    vectors = [np.zeros((len(doc), 256), np.float32)]
    CountingDoc.calls = 0
    by_convention.tag(conventions, [doc], vectors, sentences)
    assert CountingDoc.calls == 2  # its words, and where its sentences begin


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_groups_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    conventions, found, pieces = wide(3)
    docs = list(long_docs(VOCAB, 3, 45))
    vectors = [np.random.default_rng(i).standard_normal((45, 256)).astype(np.float32) for i in range(3)]
    sentences = by_convention.of_languages(conventions, found, docs, vectors, pieces)
    whole = by_convention.tag(conventions, docs, vectors, sentences, confidences=True)
    monkeypatch.setattr(by_convention, "WORDS_AT_ONCE", size)
    parts = by_convention.tag(conventions, docs, vectors, sentences, confidences=True)
    assert parts.labels.tolist() == whole.labels.tolist()
    assert parts.confidences is not None and whole.confidences is not None
    np.testing.assert_allclose(parts.confidences, whole.confidences, atol=1e-3)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=12), st.integers(1, 9))
def test_levels_in_parts_are_sums_by_hand(counts: list[int], at_once: int) -> None:
    """Sentences without pieces among them."""
    rng = np.random.default_rng(sum(counts))
    by_piece = rng.integers(0, 256, (11, 5)).astype(np.uint8)
    pieces = rng.integers(0, 11, sum(counts)).astype(np.int32)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    observed = Observations(np.zeros((len(counts), 2), np.float32), pieces, bounds[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(languages, "PIECES_AT_ONCE", at_once)
        found = observed.levels(by_piece)
    for row, (start, end) in zip(found, pairwise(bounds.tolist()), strict=True):
        total = by_piece[pieces[start:end]].astype(np.int64).sum(axis=0)
        np.testing.assert_allclose(row, total / max(1, end - start) ** 0.5, rtol=1e-6)
