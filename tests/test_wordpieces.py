from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from transformers import BertTokenizerFast

from mminibert.runtime.normal_form import composed, normal_form
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

LETTERS = "abcdeABéñßжכ中文的가"
VOCAB = [
    *SPECIAL_PIECES,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *".,-'!«।",
    *("ab", "##ab", "abc", "##cd", "Ab", "éa", "##жж", "\u2028"),
]
PIECES = WordPieces(VOCAB, max_pieces_per_word=3)
SPACY_VOCAB = Vocab()
UNK = VOCAB.index("[UNK]")

words = st.text(alphabet=LETTERS + ".,-'!«।z\u200b\x00\u0301\xa0\ufffd ", min_size=1, max_size=12)


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizerFast:
    path = tmp_path_factory.mktemp("hf") / "vocab.txt"
    # Hugging Face's own reader would split a line at U+2028.
    path.write_text("\n".join(VOCAB[:-1]), encoding="utf8")
    return BertTokenizerFast(str(path), do_lower_case=False)


@given(word=st.one_of(words, st.text(min_size=1, max_size=8)))
def test_pieces_equal_hugging_face(hf: BertTokenizerFast, word: str) -> None:
    assume(not any(piece in word for piece in SPECIAL_PIECES))
    expected = hf(word, add_special_tokens=False)["input_ids"] or [UNK]
    # What is not as treebanks write it has other tests.
    if composed(word) == word and not (UNK in expected and any(map(unicodedata.combining, word))):
        assume(normal_form(word) == word)
        assert PIECES.pieces(word) == tuple(expected[:3])


@pytest.mark.parametrize(
    ("word", "same_as"),
    [
        ("e\u0301a", "éa"),  # decomposed
        ("\uff41\uff42\uff43", "abc"),  # of full width
        ("\U0001d41a\U0001d41b", "ab"),  # mathematical
        ("z\u0301", "z"),  # unknown with the mark and without
        ("a\u0327b", "ab"),  # a mark that is in no piece
        ("ab’", "ab'"),
        ("ʼab", "'ab"),
        ("—", "-"),  # the vocabulary has that alone
    ],
)
def test_odd_words(word: str, same_as: str) -> None:
    assert PIECES.pieces(word) == PIECES.pieces(same_as)


def test_what_is_known_as_it_is_stays() -> None:
    """A vocabulary that has full-width letters or marks was trained with them."""
    pieces = WordPieces([*VOCAB, "\uff41", "##\u0327"])
    assert [pieces.vocab[i] for i in pieces.pieces("\uff41")] == ["\uff41"]
    assert [pieces.vocab[i] for i in pieces.pieces("a\u0327")] == ["a", "##\u0327"]
    assert composed("\u0958") == "\u0958"  # Form C takes it apart, treebanks do not


def test_a_letter_and_its_mark_are_one_even_if_both_are_pieces() -> None:
    pieces = WordPieces([*VOCAB, "##\u0301"])
    assert [pieces.vocab[i] for i in pieces.pieces("e\u0301a")] == ["éa"]


def test_white_space_has_no_pieces() -> None:
    doc = Doc(SPACY_VOCAB, words=["ab", "\n ", "a", "\u2028"])
    assert [len(found) for found in PIECES.of_doc(doc)] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("abcd", ["abc", "##d"]),
        ("éab", ["éa", "##b"]),
        ("a-b", ["a", "-", "b"]),
        ("中文", ["中", "文"]),
        ("zebra", ["[UNK]"]),
        (" ", ["[UNK]"]),
        ("\x00", ["[UNK]"]),
        ("a" * 100, ["a", "##a", "##a"]),
        ("a" * 101, ["[UNK]"]),
        ("a" * 101 + "-b", ["[UNK]", "-", "b"]),
        ("[CLS]", ["[UNK]", "[UNK]", "[UNK]"]),
    ],
)
def test_pieces(word: str, expected: list[str]) -> None:
    assert [VOCAB[i] for i in PIECES.pieces(word)] == expected


def test_giant_word_is_cheap() -> None:
    start = time.perf_counter()
    for i in range(20):
        assert len(PIECES.pieces("-" * 1_000_000 + str(i))) == 3
    assert time.perf_counter() - start < 1.0


def test_cache_is_bounded_and_changes_nothing() -> None:
    small = WordPieces(VOCAB, max_pieces_per_word=3, cache_size=2)
    for word in ["a", "ab", "abcd", "a", "Ab", "abcd"] * 3:
        assert small.pieces(word) == PIECES.pieces(word)
        assert len(small._of_words) <= 2
        assert small.of_doc(Doc(SPACY_VOCAB, words=[word, word])) == [PIECES.pieces(word)] * 2
        assert len(small._of_hashes) <= 2


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (["[PAD]", "[UNK]", "a"], r"3 pieces lacks \[CLS\], \[SEP\]"),
        ([*VOCAB, "ab", "a"], "2 pieces twice: 'a', 'ab'"),
        ([*VOCAB, "x\ny"], f"Piece {len(VOCAB)} of the vocabulary has a line break"),
    ],
)
def test_bad_vocabulary(vocab: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordPieces(vocab)


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(PIECES.to_bytes())
    assert WordPieces.from_file(path).vocab == tuple(VOCAB)
    path.write_bytes("\r\n".join(VOCAB).encode("utf8"))
    assert WordPieces.from_file(path).vocab == tuple(VOCAB)
    path.write_bytes(b"a\nb\n")
    with pytest.raises(ValueError, match=r"vocab\.txt: not a usable wordpiece vocabulary"):
        WordPieces.from_file(path)


def test_subset_keeps_words_whose_pieces_are_kept() -> None:
    keep = [VOCAB.index(piece) for piece in ("##d", "abc", "a", "a")]
    subset, old_ids = PIECES.subset(keep)
    assert set(subset.vocab) == {*SPECIAL_PIECES, "##d", "abc", "a"}
    assert subset.max_pieces_per_word == 3
    for word in ("abcd", "a"):
        assert tuple(old_ids[list(subset.pieces(word))]) == PIECES.pieces(word)
    assert subset.pieces("b") == (subset.unk_id,)
    with pytest.raises(ValueError, match=f"id {len(VOCAB)} to keep is outside"):
        PIECES.subset([len(VOCAB)])
