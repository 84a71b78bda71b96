"""Layers that read a vector a word: in a batch, in the encoder, in windows over a Doc, and without torch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from students import inventory, make_student, random_sentences, round_embeddings, write_vocabulary
from test_wordpieces import PIECES, SPACY_VOCAB

from mminibert.models.bert import BertEncoder, Sizes
from mminibert.models.torch_encoder import StudentShim
from mminibert.models.word_grid import WordGrid
from mminibert.packaging.quantize import quantize
from mminibert.runtime.pipeline import pipeline_encoder, tagger
from mminibert.runtime.windows import windows
from mminibert.runtime.word_grid import word_places
from mminibert.systems.transfer import continue_from

SMALL = Sizes(hidden_width=8, intermediate_width=16, num_hidden_layers=3, num_attention_heads=2, dropout=0.0)
SENTENCES = st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=5)
"""By the number of pieces of each word; [CLS] comes before and [SEP] after them."""


def laid_out(
    sentences: list[list[int]], length: int
) -> tuple[torch.Tensor, list[int], list[list[tuple[int, int]]]]:
    """The mask of a batch, where its words begin when it is flattened, and first and last piece of each word
    of each sentence, with [CLS] and [SEP]."""
    mask = torch.zeros(len(sentences), length, dtype=torch.bool)
    begins, spans = list[int](), []
    for i, words in enumerate(sentences):
        bounds = np.cumsum([0, 1, *words, 1]).tolist()
        mask[i, : bounds[-1]] = True
        begins += [i * length + at for at in bounds[1:-2]]
        spans.append([(a, b - 1) for a, b in pairwise(bounds)])
    return mask, begins, spans


@given(SENTENCES, st.booleans())
def test_words_as_one_by_one(sentences: list[list[int]], padded: bool) -> None:
    length = max(sum(words) for words in sentences) + 2 + padded
    mask, begins, spans = laid_out(sentences, length)
    pieces, scales = torch.randn(len(sentences), length, 3), torch.randn(2, 3)
    found = WordGrid(torch.zeros(len(sentences), length), mask, torch.tensor(begins, dtype=torch.int64))
    rows = found(pieces, scales)
    wanted = []
    for i, words in enumerate(spans):
        assert found.mask[i].tolist() == [True] * len(words) + [False] * (rows.shape[1] - len(words))
        own = torch.stack([pieces[i, a] * scales[0] + pieces[i, b] * scales[1] for a, b in words])
        assert torch.allclose(rows[i, : len(words)], own, atol=1e-6)
        wanted.append(own[1:-1])
    assert torch.allclose(rows.flatten(0, 1)[found.begins], torch.cat(wanted), atol=1e-6)


def encoder(word_layers: int) -> BertEncoder:
    torch.manual_seed(0)
    made = BertEncoder(60, replace(SMALL, word_layers=word_layers)).eval()
    for name, value in made.named_parameters():
        if name.endswith("weight") and "LayerNorm" not in name:
            torch.nn.init.normal_(value, std=0.5)
    if word_layers:
        torch.nn.init.normal_(made.piece_scales)
    return made


@pytest.mark.parametrize("word_layers", [1, 2])
@given(sentences=SENTENCES)
def test_each_sentence_is_read_as_alone_by_layers_that_are_called_by_hand(
    word_layers: int, sentences: list[list[int]]
) -> None:
    made: Any = encoder(word_layers)
    length = max(sum(words) for words in sentences) + 2
    mask, begins, spans = laid_out(sentences, length)
    ids = torch.randint(5, 60, mask.shape).masked_fill(~mask, 0)
    expected = []
    with torch.no_grad():
        found = made(ids, mask, torch.tensor(begins, dtype=torch.int64))
        for i, words in enumerate(spans):
            hidden = made.embeddings(ids[i : i + 1, : words[-1][1] + 1])
            for at, layer in enumerate(made.encoder["layer"]):
                if at == len(made.encoder["layer"]) - word_layers:
                    first, last = made.piece_scales
                    hidden = torch.stack([hidden[0, a] * first + hidden[0, b] * last for a, b in words])[None]
                hidden = layer(hidden, None)
            expected.append(hidden[0, 1:-1])
    assert torch.allclose(found, torch.cat(expected), atol=1e-5)


def test_a_new_encoder_reads_the_first_piece_of_a_word_and_can_learn_of_the_last() -> None:
    made = BertEncoder(60, replace(SMALL, word_layers=2))
    assert made.piece_scales.tolist() == [[1.0] * 8, [0.0] * 8]
    made(torch.tensor([[1, 9, 7, 8, 2]]), None, torch.tensor([1, 2])).square().sum().backward()
    assert made.piece_scales.grad is not None and made.piece_scales.grad.any(1).all()
    with pytest.raises(ValueError, match="word_layers is 3, expected 0 or more and less than"):
        replace(SMALL, word_layers=3)


def test_context_is_told_apart_from_the_words_that_are_wanted() -> None:
    made = encoder(2)
    ids, begins = torch.tensor([[1, 9, 7, 8, 5, 2]]), torch.tensor([1, 2, 4])
    whole = made(ids, None, begins)
    assert torch.allclose(made(ids, None, begins[1:2], begins), whole[1:2], atol=1e-6)
    assert not torch.allclose(made(ids, None, begins[1:2]), whole[1:2], atol=1e-3)
    with pytest.raises(ValueError, match="first pieces of words"):
        made(ids)


@given(st.lists(st.sampled_from(["a", "ab", "abcdd", "bb", "\n"]), min_size=1, max_size=80))
def test_windows_say_where_all_their_tokens_begin(words: list[str]) -> None:
    doc = Doc(SPACY_VOCAB, words=words)
    for window in windows([doc], PIECES, max_pieces=20, overlap=6):
        assert set(window.first.tolist()) <= set(window.begins.tolist())
        counts = np.diff([*window.begins.tolist(), len(window.piece_ids) - 1])
        assert window.begins[0] == 1 and counts.sum() == len(window.piece_ids) - 2
        left = window.begins.tolist().index(window.first[0])
        assert len(window.begins) >= left + window.end - window.start


@given(st.lists(st.lists(st.sampled_from(["a", "ab", "abcdd", "bb"]), max_size=30), min_size=1, max_size=9))
def test_places_of_words_are_those_of_their_windows(texts: list[list[str]]) -> None:
    docs = [Doc(SPACY_VOCAB, words=words) for words in texts]
    for batch in windows(docs, PIECES, max_pieces=20, overlap=6).batches(60):
        found = word_places(batch)
        n, length = batch.piece_ids.shape
        begins = [at for at in range(n * length) if at in batch.begins or at % length in (0, length - 1)]
        assert found["read"][found["begins"]].tolist() == begins
        assert found["read"][found["ends"]].tolist() == [at - 1 for at in begins[1:]] + [n * length - 1]
        assert sorted({*found["begins"].tolist(), *found["ends"].tolist()}) == list(range(len(found["read"])))
        for row in range(n):
            own = [i for i, at in enumerate(begins) if at // length == row]
            columns = found["mask"][row, 0, 0]
            assert found["grid"][row][columns].tolist() == own and (found["mask"][row, 0] == columns).all()
        assert found["grid"].reshape(-1)[found["places"]].tolist() == list(range(len(begins)))
        assert np.asarray(begins)[found["first"]].tolist() == batch.first.tolist()


def word_student(folder: Path, **sizes: Any) -> Any:
    """A student with random scales, the last piece's too."""
    settings = {"num_hidden_layers": 3, "word_layers": 2}
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory(), **{**settings, **sizes})
    shim = pipeline_encoder(nlp)
    assert isinstance(shim, StudentShim)
    torch.nn.init.normal_(shim.bert.piece_scales)
    return nlp


def vectors(nlp: Any, docs: list[Doc]) -> np.ndarray:
    return np.concatenate([np.asarray(rows) for rows in tagger(nlp).vectors(docs)])


def test_a_pipeline_that_reads_words(tmp_path: Path) -> None:
    """Its vectors are those of its encoder, over windows, too, and it is stored with its config."""
    nlp = word_student(tmp_path)
    shim: Any = pipeline_encoder(nlp)
    words = ["walked", "the", "abc"] * 5
    doc = Doc(nlp.vocab, words=words)
    pieces = [list(shim.pieces.encode(word)) for word in words]
    starts = np.cumsum([1, *(len(found) for found in pieces)])[:-1]
    ids = [shim.pieces.cls_id, *(i for found in pieces for i in found), shim.pieces.sep_id]
    assert len(ids) > len(words) + 2
    with torch.no_grad():
        expected = shim.bert.eval()(torch.tensor([ids]), None, torch.from_numpy(starts)).numpy()
    assert vectors(nlp, [doc]) == pytest.approx(expected, abs=1e-5)
    long = Doc(nlp.vocab, words=words * 20)
    rows = vectors(nlp, [long])
    found = list(windows([long], shim.pieces, max_pieces=shim.max_pieces, overlap=shim.overlap))
    assert len(found) > 2
    for window in found:
        read, begins = torch.from_numpy(window.piece_ids)[None].long(), torch.from_numpy(window.begins).long()
        left = int(np.searchsorted(window.begins, window.first[0]))
        with torch.no_grad():
            own = shim.bert.eval()(read, None, begins)[left : left + window.end - window.start].numpy()
        assert rows[window.start : window.end] == pytest.approx(own, abs=1e-5)
    nlp.to_disk(tmp_path / "stored")
    again = spacy.load(tmp_path / "stored")
    assert vectors(again, [Doc(again.vocab, words=words)]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("word_layers", [1, 2])
def test_it_is_the_same_without_torch(tmp_path: Path, word_layers: int) -> None:
    """Docs of very different lengths at once, cut to windows where they are long."""
    nlp = word_student(tmp_path, word_layers=word_layers)
    round_embeddings(nlp)
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(60, seed=5)]
    docs += [Doc(nlp.vocab, words=["walked", "the", "abc"] * 60), Doc(nlp.vocab), Doc(nlp.vocab, words=["a"])]
    packed = quantize(nlp, [])
    assert np.allclose(vectors(packed, docs), vectors(nlp, docs), atol=1e-4)
    calibrated = quantize(nlp, docs)
    exact, rounded = vectors(packed, docs), vectors(calibrated, docs)
    assert 0 < np.sqrt(np.mean((exact - rounded) ** 2)) < 0.1 * exact.std()
    calibrated.to_disk(tmp_path / "stored")
    assert np.array_equal(vectors(spacy.load(tmp_path / "stored"), docs), rounded)


def test_a_student_continues_from_a_packaged_one_that_reads_words(tmp_path: Path) -> None:
    nlp = word_student(tmp_path)
    round_embeddings(nlp)
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(40, seed=5)]
    new = word_student(tmp_path, seed=3)
    assert not np.allclose(vectors(new, docs), vectors(nlp, docs), atol=1e-2)
    continue_from(new, quantize(nlp, []))
    assert np.allclose(vectors(new, docs), vectors(nlp, docs), atol=1e-4)
    with pytest.raises(ValueError, match=r"other sizes \(piece_scales\)"):
        plain = make_student(tmp_path / "vocab.txt", inventory(), num_hidden_layers=3)
        continue_from(plain, nlp)
