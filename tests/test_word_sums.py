"""One vector a word: sums of pieces, in a batch, in the encoder, and in windows over a Doc."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from students import inventory, make_student, write_vocabulary
from test_wordpieces import PIECES, SPACY_VOCAB

from mminibert.models.bert import BertEncoder, Sizes
from mminibert.models.torch_encoder import StudentShim
from mminibert.models.word_sums import WordSums
from mminibert.packaging.quantize import quantize
from mminibert.runtime.pipeline import pipeline_encoder, tagger
from mminibert.runtime.windows import equal_length_batches, windows

SMALL = Sizes(hidden_width=8, intermediate_width=16, num_hidden_layers=2, num_attention_heads=2, dropout=0.0)


def scaled(word: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    first, last, other = scales
    if len(word) == 1:
        return first * word[0]
    return first * word[0] + other * word[1:-1].sum(0) + last * word[-1]


@given(
    st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=5),
    st.booleans(),
)
def test_sums_as_one_by_one(sentences: list[list[int]], padded: bool) -> None:
    """Sentences by the number of pieces of each word, [CLS] before and [SEP] after them."""
    length = max(sum(words) for words in sentences) + 2 + padded
    mask = torch.zeros(len(sentences), length, dtype=torch.bool)
    pieces, scales = torch.randn(len(sentences), length, 3), torch.randn(3, 3)
    begins, expected = [], []
    for i, words in enumerate(sentences):
        bounds = np.cumsum([0, 1, *words, 1]).tolist()
        mask[i, : bounds[-1]] = True
        begins += [i * length + at for at in bounds[1:-2]]
        expected.append(torch.stack([scaled(pieces[i, a:b], scales) for a, b in pairwise(bounds)]))
    found = WordSums(torch.zeros(len(sentences), length), mask, torch.tensor(begins, dtype=torch.int64))
    sums = found(pieces, scales)
    for i, rows in enumerate(expected):
        assert found.mask[i].tolist() == [True] * len(rows) + [False] * (sums.shape[1] - len(rows))
        assert torch.allclose(sums[i, : len(rows)], rows, atol=1e-6)
        assert not sums[i, len(rows) :].any()
    wanted = torch.cat([rows[1:-1] for rows in expected])
    assert torch.allclose(sums.flatten(0, 1)[found.begins], wanted, atol=1e-6)


def encoders() -> tuple[BertEncoder, BertEncoder]:
    """Of pieces and of words, with the same weights."""
    torch.manual_seed(0)
    plain = BertEncoder(60, SMALL).eval()
    by_words = BertEncoder(60, replace(SMALL, by_words=True)).eval()
    by_words.load_state_dict({**by_words.state_dict(), **plain.state_dict()})
    return plain, by_words


def test_words_of_one_piece_are_read_as_pieces_are() -> None:
    plain, by_words = encoders()
    ids, mask = torch.randint(5, 60, (3, 9)), torch.ones(3, 9, dtype=torch.bool)
    mask[1, 6:] = False
    first = torch.tensor([i * 9 + at for i, n in enumerate((8, 5, 8)) for at in range(1, n)])
    assert torch.allclose(by_words(ids, mask, first), plain(ids, mask, first), atol=1e-6)


def test_a_word_of_two_pieces_is_one_whose_embedding_is_their_sum() -> None:
    plain, by_words = encoders()
    with torch.no_grad():
        table = plain.embeddings.word_embeddings.weight
        table[50] = table[7] + table[8]
    found = by_words(torch.tensor([[1, 9, 7, 8, 2]]), None, torch.tensor([1, 2]))
    expected = plain(torch.tensor([[1, 9, 50, 2]]), None, torch.tensor([1, 2]))
    assert torch.allclose(found, expected, atol=1e-6)
    found.square().sum().backward()
    expected.square().sum().backward()
    gradients = [encoder.embeddings.word_embeddings.weight.grad for encoder in (by_words, plain)]
    own, other = (gradient.to_dense() for gradient in gradients if gradient is not None)
    assert own[7].any() and torch.allclose(own[7], other[50], atol=1e-6)
    assert torch.equal(own[7], own[8]) and torch.allclose(own[9], other[9], atol=1e-6)


def test_context_is_told_apart_from_the_words_that_are_wanted() -> None:
    _, by_words = encoders()
    ids, begins = torch.tensor([[1, 9, 7, 8, 5, 2]]), torch.tensor([1, 2, 4])
    whole = by_words(ids, None, begins)
    assert torch.allclose(by_words(ids, None, begins[1:2], begins), whole[1:2], atol=1e-6)
    assert not torch.allclose(by_words(ids, None, begins[1:2]), whole[1:2], atol=1e-3)
    with pytest.raises(ValueError, match="first pieces of words"):
        by_words(ids)


@given(st.lists(st.sampled_from(["a", "ab", "abcdd", "bb", "\n"]), min_size=1, max_size=80))
def test_windows_say_where_all_their_tokens_begin(words: list[str]) -> None:
    doc = Doc(SPACY_VOCAB, words=words)
    for window in windows([doc], PIECES, max_pieces=20, overlap=6):
        assert set(window.first.tolist()) <= set(window.begins.tolist())
        counts = np.diff([*window.begins.tolist(), len(window.piece_ids) - 1])
        assert window.begins[0] == 1 and counts.sum() == len(window.piece_ids) - 2
        left = window.begins.tolist().index(window.first[0])
        assert len(window.begins) >= left + window.end - window.start
    for batch in equal_length_batches(windows([doc], PIECES), [len(doc)], batch_pieces=50):
        assert set(batch.first.tolist()) <= set(batch.begins.tolist())


def test_a_pipeline_that_reads_words(tmp_path: Path) -> None:
    """Its vectors are those of its encoder; it is stored with its config, and refused where a student is
    packaged."""
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), inventory(), by_words=True)
    encoder = pipeline_encoder(nlp)
    assert isinstance(encoder, StudentShim) and encoder.sizes.by_words
    words = ["walked", "the", "abc"] * 5
    doc = Doc(nlp.vocab, words=words)
    pieces = [list(encoder.pieces.encode(word)) for word in words]
    starts = np.cumsum([1, *(len(found) for found in pieces)])[:-1]
    ids = [encoder.pieces.cls_id, *(i for found in pieces for i in found), encoder.pieces.sep_id]
    assert len(ids) > len(words) + 2
    with torch.no_grad():
        expected = encoder.bert.eval()(torch.tensor([ids]), None, torch.from_numpy(starts)).numpy()
    (vectors,) = tagger(nlp).vectors([doc])
    assert np.asarray(vectors) == pytest.approx(expected, abs=1e-5)
    long = Doc(nlp.vocab, words=words * 20)
    (vectors,) = tagger(nlp).vectors([long])
    found = list(windows([long], encoder.pieces, max_pieces=encoder.max_pieces, overlap=encoder.overlap))
    assert len(found) > 2
    for window in found:
        read, begins = torch.from_numpy(window.piece_ids)[None].long(), torch.from_numpy(window.begins).long()
        left = int(np.searchsorted(window.begins, window.first[0]))
        with torch.no_grad():
            rows = encoder.bert.eval()(read, None, begins)[left : left + window.end - window.start].numpy()
        assert np.asarray(vectors)[window.start : window.end] == pytest.approx(rows, abs=1e-5)
    nlp.to_disk(tmp_path / "stored")
    (again,) = tagger(spacy.load(tmp_path / "stored")).vectors([Doc(nlp.vocab, words=words)])
    assert np.asarray(again) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="one vector a word"):
        quantize(nlp, [])
