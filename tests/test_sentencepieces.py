"""Pieces of a unigram vocabulary, held against Hugging Face's tokenizer."""

from __future__ import annotations

import json
import pickle
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mminibert.runtime.normal_form import composed, normal_form
from mminibert.runtime.piece_kinds import read_pieces
from mminibert.runtime.sentencepieces import SentencePieces
from mminibert.runtime.windows import windows

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
LETTERS = "abcdéß中文가<>s/"
ROWS = [
    *((piece, 0.0) for piece in SPECIAL),
    ("▁", -3.0),
    *((letter, -6.0 - i / 10) for i, letter in enumerate(LETTERS)),
    *(("▁" + letter, -5.0 - i / 10) for i, letter in enumerate("abcé")),
    *(("▁ab", -4.0), ("bc", -4.5), ("▁abc", -7.0), ("中文", -3.5), ("cd", -5.0), ("dé", -2.0)),
    ("<mask>", 0.0),
]
IDS = {piece: i for i, (piece, _) in enumerate(ROWS)}


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.Unigram(ROWS, unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    made.add_special_tokens([*SPECIAL, "<mask>"])
    return made


def settings() -> dict[str, Any]:
    return dict(json.loads(tokenizer().to_str()))


PIECES = SentencePieces(settings(), max_pieces_per_word=4)
HF: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), unk_token="<unk>")
words = st.text(alphabet=LETTERS + "z\u0301\uff41\xa0 ", min_size=1, max_size=12)


@given(word=st.one_of(words, st.text(min_size=1, max_size=8)))
def test_pieces_equal_hugging_face(word: str) -> None:
    assume(not any(piece in word for piece in (*SPECIAL, "<mask>")))
    expected = HF(word, add_special_tokens=False)["input_ids"]
    if expected in ([], [IDS["▁"]]):
        expected = [IDS["<unk>"]]
    if composed(word) == word and not (IDS["<unk>"] in expected and any(map(unicodedata.combining, word))):
        assume(normal_form(word) == word)
        assert PIECES.pieces(word) == tuple(expected[:4])


def test_words_by_hand() -> None:
    names = [[PIECES.vocab[i] for i in PIECES.pieces(word)] for word in ("ab", "abcd", "éa", "ba中文", "文")]
    # abc: -7, ab + c: -4 - 6.2, a + bc: -5 - 4.5; abcd: ab + cd -9, abc + d -13.3, a + bc + d -15.8
    assert names == [["▁ab"], ["▁ab", "cd"], ["▁é", "a"], ["▁b", "a", "中文"], ["▁", "文"]]
    assert PIECES.pieces("ab" * 9) == PIECES.pieces("ab" * 30) and len(PIECES.pieces("ab" * 9)) == 4


@pytest.mark.parametrize("word", ["<s>", "</s>", "<pad>", "<mask>", " <s>"])
def test_text_that_spells_a_special_piece_is_text(word: str) -> None:
    special = {IDS[piece] for piece in ("<s>", "</s>", "<pad>", "<mask>")}
    assert not special & set(PIECES.pieces(word))
    assert set(HF(word, add_special_tokens=False)["input_ids"]) & special  # there it is one


@pytest.mark.parametrize(
    ("word", "same_as"), [("e\u0301a", "éa"), ("\uff41\uff42", "ab"), ("a\u0327b", "ab")]
)
def test_odd_words_are_read_in_their_normal_form(word: str, same_as: str) -> None:
    assert PIECES.pieces(word) == PIECES.pieces(same_as)


def test_a_word_without_pieces_is_unknown() -> None:
    assert PIECES.pieces("\xa0") == PIECES.pieces("z")[-1:] == (IDS["<unk>"],)


@given(
    chosen=st.sets(st.integers(0, len(ROWS) - 1)), word=st.text(alphabet="abcdé中文", min_size=1, max_size=6)
)
def test_words_keep_their_pieces_if_all_are_kept(chosen: set[int], word: str) -> None:
    found = PIECES.pieces(word)
    smaller, old_ids = PIECES.subset({*chosen, *found})
    assert [PIECES.vocab[i] for i in old_ids] == list(smaller.vocab)
    assert {*chosen, *found, IDS["<s>"], IDS["<pad>"], IDS["</s>"], IDS["<unk>"]} == set(old_ids.tolist())
    assert tuple(old_ids[list(smaller.pieces(word))]) == found
    assert smaller.vocab[smaller.mask_id] in ("<mask>", "<unk>")


def test_stored_and_read_again() -> None:
    data = PIECES.to_bytes()
    for again in (read_pieces(data, "unigram", max_pieces_per_word=4), pickle.loads(pickle.dumps(PIECES))):
        assert again.to_bytes() == data and again.vocab == PIECES.vocab
        assert [again.pieces(word) for word in ("abcd", "<s>", "ba中文")] == [
            PIECES.pieces(word) for word in ("abcd", "<s>", "ba中文")
        ]
    smaller, _ = PIECES.subset([5, 6])
    assert read_pieces(smaller.to_bytes(), "unigram").vocab == smaller.vocab


def test_characters_are_pieces_without_the_blank() -> None:
    characters = dict(zip(PIECES.vocab, PIECES.characters, strict=True))
    assert [characters[piece] for piece in ("▁", "▁ab", "bc", "<s>")] == ["▁", "ab", "bc", "<s>"]


def test_the_row_of_a_word_is_after_its_blank_but_at_the_start() -> None:
    """As spacy-transformers aligns words: a blank that has a piece is not part of a later word."""
    doc = Doc(Vocab(), words=["文", "文", "ab", "文"])
    (window,) = windows([doc], PIECES, max_pieces=40, overlap=8)
    names = [PIECES.vocab[i] for i in window.piece_ids]
    assert names == ["<s>", "▁", "文", "▁", "文", "▁ab", "▁", "文", "</s>"]
    assert window.first.tolist() == [1, 4, 5, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordPiece"}}, "the kind 'WordPiece'"),
        ({"model": {"type": "Unigram", "vocab": [["<s>", 0.0], ["</s>", 0.0]]}}, "lacks <pad>, <unk>"),
        ({}, "the kind None"),
    ],
)
def test_another_vocabulary_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentencePieces(change)
    with pytest.raises(ValueError, match=message):
        read_pieces(json.dumps(change).encode(), "unigram")


def test_what_is_no_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no tokenizer\.json"):
        read_pieces(b"{", "unigram")
    with pytest.raises(ValueError, match="of the kind 'bpe', expected one of wordpiece, unigram"):
        read_pieces(b"", "bpe")


def test_ids_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        PIECES.subset([-1])
    assert len(PIECES) == len(ROWS) and np.all(np.diff(PIECES.subset([7, 5])[1]) > 0)
