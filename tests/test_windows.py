"""Windows over documents, and batches of windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from test_wordpieces import PIECES, SPACY_VOCAB

from mminibert.runtime.letter_case import lowered, without_lower_case
from mminibert.runtime.windows import unit_bounds, windows
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

CASED = spacy.blank("xx").vocab
SIZES = {"max_pieces": 20, "overlap": 8}

WORDS = ["a", "ab", "abcd", "Ab-c", "жжж", "中文", "zz"]
docs = st.lists(st.tuples(st.sampled_from(WORDS), st.booleans()), max_size=60)
with_blanks = st.lists(st.tuples(st.sampled_from([*WORDS, "\n"]), st.booleans()), max_size=60)


def pieces_of(word: str) -> tuple[int, ...]:
    return () if word.isspace() else PIECES.pieces(word)


def make_doc(tokens: list[tuple[str, bool]], *, with_sentences: bool = True) -> Doc:
    words = [word for word, _ in tokens]
    if not with_sentences:
        return Doc(SPACY_VOCAB, words=words)
    return Doc(SPACY_VOCAB, words=words, sent_starts=[i == 0 or start for i, (_, start) in enumerate(tokens)])


@given(tokens=with_blanks, with_sentences=st.booleans())
def test_windows_cover_each_token_once_within_its_sentence(
    tokens: list[tuple[str, bool]], with_sentences: bool
) -> None:
    doc = make_doc(tokens, with_sentences=with_sentences)
    found = list(windows([doc], PIECES, **SIZES))
    covered = [i for window in found for i in range(window.start, window.end)]
    assert covered == list(range(len(doc)))
    sentence_of = np.cumsum([token.is_sent_start is True for token in doc])
    for window in found:
        assert window.doc == 0
        assert window.piece_ids.dtype == np.int32 and window.first.dtype == np.int64
        assert 2 <= len(window.piece_ids) <= SIZES["max_pieces"]
        assert window.piece_ids[0] == PIECES.cls_id
        assert window.piece_ids[-1] == PIECES.sep_id
        assert len(window.first) == window.end - window.start
        for i, position in zip(range(window.start, window.end), window.first, strict=True):
            expected = pieces_of(doc[i].text)
            assert tuple(window.piece_ids[position : position + len(expected)]) == expected
        # Context is of the same sentence: what is read before the first token are the words before it there.
        left = [
            piece
            for i in range(window.start)
            if sentence_of[i] == sentence_of[window.start]
            for piece in pieces_of(doc[i].text)
        ]
        before = window.piece_ids[1 : window.first[0]].tolist()
        assert before == left[len(left) - len(before) :]


@given(tokens=docs)
def test_tokens_have_context_on_both_sides(tokens: list[tuple[str, bool]]) -> None:
    doc = make_doc(tokens, with_sentences=False)
    lengths = [len(PIECES.pieces(word)) for word, _ in tokens]
    widest, overlap = PIECES.max_pieces_per_word, 16
    for window in windows([doc], PIECES, max_pieces=30, overlap=overlap):
        for i, position in zip(range(window.start, window.end), window.first, strict=True):
            left, right = position - 1, len(window.piece_ids) - 1 - position - lengths[i]
            assert left >= min(overlap // 2 - widest + 1, sum(lengths[:i]))
            assert right >= min(overlap // 2 - 2 * widest + 2, sum(lengths[i + 1 :]))


def test_windows_of_a_known_document() -> None:
    doc = Doc(SPACY_VOCAB, words=["a"] * 30)
    # 18 pieces fit beside [CLS] and [SEP]; ceil((30 - 8) / (18 - 8)) = 3 windows, from 0, 7 and 14.
    found = list(windows([doc], PIECES, **SIZES))
    assert [(w.start, w.end, len(w.piece_ids) - 2) for w in found] == [
        (0, 11, 15),
        (11, 18, 15),
        (18, 30, 16),
    ]
    assert [w.first[0] - 1 for w in found] == [0, 4, 4]


@given(many=st.lists(docs, max_size=4), batch_pieces=st.integers(1, 80))
def test_batches_have_equal_lengths_and_each_token_once(
    many: list[list[tuple[str, bool]]], batch_pieces: int
) -> None:
    made = [make_doc(tokens) for tokens in many]
    together = windows(made, PIECES, **SIZES)
    alone = [w for doc in made for w in windows([doc], PIECES, **SIZES)]
    assert [w.piece_ids.tolist() for w in together] == [w.piece_ids.tolist() for w in alone]
    batches = list(together.batches(batch_pieces))
    assert sorted(row for b in batches for row in b.rows) == list(range(sum(map(len, made))))
    expected = [PIECES.pieces(word)[0] for tokens in many for word, _ in tokens]
    for batch in batches:
        assert batch.piece_ids.size <= batch_pieces or len(batch.piece_ids) == 1
        assert batch.piece_ids.reshape(-1)[batch.first].tolist() == [expected[row] for row in batch.rows]


@pytest.mark.parametrize(
    ("sent_starts", "bounds"),
    [(None, [0, 3]), ([True, None, False], [0, 3]), ([False, True, None], [0, 1, 3])],
)
def test_a_document_begins_a_sentence(sent_starts: Any, bounds: list[int]) -> None:
    assert unit_bounds(Doc(SPACY_VOCAB, words=["a", "b", "c"], sent_starts=sent_starts)) == bounds


def test_empty_documents_give_no_windows() -> None:
    empty = Doc(SPACY_VOCAB)
    found = list(windows([empty, Doc(SPACY_VOCAB, words=["a"]), empty], PIECES, **SIZES))
    assert [(w.doc, w.start, w.end) for w in found] == [(1, 0, 1)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"max_pieces": 20, "overlap": 5}, "overlap is 5 pieces; it must be at least twice"),
        ({"max_pieces": 10, "overlap": 8}, "max_pieces is 10; it must be at least overlap"),
    ],
)
def test_bad_window_sizes(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(windows([], PIECES, **sizes))


@settings(max_examples=10)
@given(max_pieces=st.integers(9, 40), n=st.integers(0, 200))
def test_any_sizes_that_are_accepted_work(max_pieces: int, n: int) -> None:
    doc = Doc(SPACY_VOCAB, words=["abcdd"] * n)
    found = list(windows([doc], PIECES, max_pieces=max_pieces, overlap=6))
    assert sum(w.end - w.start for w in found) == n
    assert all(len(w.piece_ids) <= max_pieces for w in found)


def test_sentences_in_capitals_are_read_in_lower_case() -> None:
    def first_pieces(*words: str) -> list[str]:
        doc = Doc(CASED, words=list(words), sent_starts=[i == 0 for i in range(len(words))])
        (window,) = windows([doc], PIECES)
        return [PIECES.vocab[i] for i in window.piece_ids[window.first].tolist()]

    assert first_pieces("AB", "BB", "A", ".") == ["ab", "b", "a", "."]
    assert first_pieces("AB", "BB", "A", "\n", "中", ".") == ["ab", "b", "a", "中", "中", "."]
    assert first_pieces("AB", "BB", ".") == ["A", "B", "."]  # two words may be names
    assert first_pieces("AB", "BB", "A", "ab") == ["A", "B", "A", "ab"]
    assert first_pieces("AB", "BB", "A", "Ab") == ["A", "B", "A", "Ab"]


def test_sentences_in_title_case_are_read_in_lower_case() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = [*letters, *letters.upper(), *(f"##{letter}" for letter in letters), *".,:2"]
    common, names = (
        ["hallitus", "sanoi", "rise", "machines"],
        ["Mary", "Miller", "Russell", "Webb", "Martin", "Ada"],
    )
    both = ["talossa", "Talossa", "suuressa", "Suuressa", "an", "An", "dyk", "Dyk"]
    pieces = WordPieces([*SPECIAL_PIECES, *known, *common, *names, *both])

    def is_lowered(text: str) -> bool:
        words = text.split()
        doc = Doc(CASED, words=words, sent_starts=[i == 0 for i in range(len(words))])
        found = list(without_lower_case(doc, unit_bounds(doc), pieces))
        assert found in ([], [(0, len(words), [word.lower() for word in words])])
        return bool(found)

    assert is_lowered("Talossa Hallitus Sanoi Suuressa")  # two have fewer pieces in lower case
    assert is_lowered("Martin Miller Sanoi Suuressa Hallitus")  # two against one that has more, of five
    assert not is_lowered("Martin Miller Sanoi Suuressa Talossa")  # one against one
    assert not is_lowered("Hallitus Talossa Suuressa Talossa")  # the first one alone has fewer
    assert not is_lowered("Mary Miller , Russell Webb , Webb Martin")
    assert is_lowered("Talossa An Suuressa Talossa Suuressa Talossa")  # a short one, of six
    assert not is_lowered("Talossa An Suuressa Talossa Suuressa Talossa Talossa")  # of seven
    assert not is_lowered("Talossa Ada Suuressa Talossa")  # a short one with more is for neither
    assert not is_lowered("Sanoi The Rise of The Machines")  # a word in lower case
    assert not is_lowered("Talossa Sanoi Rise")  # three words
    assert is_lowered("The Rise Of The Machines : 2")
    assert not is_lowered("今天 天气 很 好 。")


@pytest.mark.parametrize(
    ("words", "lower"),
    [
        (["IŞIK", "DİYE", "ISLAK"], ["ışık", "diye", "ıslak"]),
        (["Işık", "İle", "Göz", "IV"], ["ışık", "ile", "göz", "ıv"]),
        (["INDIANA", "IS", "ΟΔΟΣ"], ["indiana", "is", "οδος"]),
        ([], []),
    ],
)
def test_lower_case(words: list[str], lower: list[str]) -> None:
    assert lowered(words) == lower


def test_capitals_are_of_a_sentence() -> None:
    words = ["AB", "BB", "A", "Ab", "AB", "BB", "A", "B"]
    doc = Doc(CASED, words=words, sent_starts=[i in (0, 4) for i in range(len(words))])
    shouted, other = (
        window.piece_ids.tolist() for window in sorted(windows([doc], PIECES), key=lambda w: -w.start)
    )
    assert [PIECES.vocab[i] for i in shouted[1:-1]][:2] == ["ab", "b"]
    assert [PIECES.vocab[i] for i in other[1:-1]][:2] == ["A", "##B"]
    assert [token.text for token in doc] == words
