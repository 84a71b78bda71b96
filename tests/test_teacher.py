"""How a transformer reads Docs, against spacy-transformers' own way, with a tiny BERT on disk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from spacy.vocab import Vocab
from teachers import MakeExamples, write_bert
from teachers import make_teacher as make_teacher  # test_networks takes it from here
from transformers import BertModel, BertTokenizerFast

from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems import teacher
from mminibert.systems.embeddings import teacher_embeddings
from mminibert.systems.labelling import _onnx_labeller, _pipeline_labeller, make_labeller, make_tagger
from mminibert.systems.teacher import has_fast_bf16, prepare_teacher, word_spans
from mminibert.training.projection import Projection


@pytest.fixture(scope="module")
def bert_path(vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"), vocabulary)


@pytest.fixture(scope="module")
def nlp(bert_path: Path, toy_examples: MakeExamples) -> Language:
    return make_teacher(bert_path, toy_examples)


def vectors(nlp: Language, words: list[str], spaces: list[bool]) -> np.ndarray:
    doc = Doc(nlp.vocab, words=words, spaces=spaces)
    read: Any = nlp.get_pipe("transformer")(doc)
    head: Any = nlp.get_pipe("morphologizer")
    return np.asarray(head.model.get_ref("tok2vec").predict([read])[0])


def test_pieces_never_cross_words(nlp: Language) -> None:
    words = ["dog", "s", "中", "ж", "the"]
    together = vectors(nlp, words, [False] * 5)
    apart = vectors(nlp, words, [True] * 5)
    assert together.shape == (5, 16)
    assert np.array_equal(together, apart)
    assert not np.allclose(vectors(nlp, ["dogs", "中", "ж", "the"], [True] * 4)[0], apart[0])


def test_with_stock_spans_they_do(bert_path: Path, toy_examples: MakeExamples) -> None:
    stock = make_teacher(bert_path, toy_examples, spans="spacy-transformers.doc_spans.v1")
    words = ["dog", "s", "中", "ж", "the"]
    assert not np.allclose(vectors(stock, words, [False] * 5), vectors(stock, words, [True] * 5), atol=1e-3)


def test_rows_equal_hugging_face(nlp: Language, bert_path: Path) -> None:
    bert = BertModel.from_pretrained(bert_path).eval()
    words = ["the", "dogs", "жéé", "."]
    encoded = BertTokenizerFast.from_pretrained(bert_path)(
        words, is_split_into_words=True, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = bert(**encoded).last_hidden_state[0]
    first = [encoded.word_to_tokens(i).start for i in range(len(words))]
    # The teacher may run in bfloat16, which has 8 bits of precision.
    found = vectors(nlp, words, [False] * 4)
    assert found.dtype == np.float32
    assert found == pytest.approx(hidden[first].numpy(), abs=0.1)


@given(
    lengths=st.lists(st.integers(0, 40), max_size=4),
    sizes=st.integers(1, 12).flatmap(lambda stride: st.tuples(st.integers(stride, 16), st.just(stride))),
)
def test_windows_cover_each_token(lengths: list[int], sizes: tuple[int, int]) -> None:
    window, stride = sizes
    vocab = Vocab()
    docs = [Doc(vocab, words=[f"w{i}" for i in range(n)], spaces=[False] * n) for n in lengths]
    found = word_spans(window, stride)(docs)
    assert len(found) == len(docs)
    for doc, spans in zip(docs, found, strict=True):
        covered = [i for span in spans for i in range(span.start, span.end)]
        assert set(covered) == set(range(len(doc)))
        assert all(len(span) <= window for span in spans)
        assert [span.text for span in spans] == [
            " ".join(f"w{i}" for i in range(span.start, span.end)) for span in spans
        ]
        assert all(b.start - a.start <= stride for a, b in pairwise(spans))


def test_registered_names() -> None:
    assert registry.misc.get("mminibert.word_spans.v1") is word_spans
    assert registry.callbacks.get("mminibert.prepare_teacher.v1") is prepare_teacher


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([["the", "dog"] * 100], id="more than one window"),
        pytest.param([[], ["the", "dog"], []], id="empty docs among others"),
        pytest.param([[], []], id="only empty docs"),
        pytest.param([["the", "\u200b", "dog", "\x00", " "]], id="words without pieces"),
        pytest.param([["y"] * 125 + ["x" * 90] * 2], id="more pieces than positions"),
    ],
)
def test_any_doc_is_tagged(nlp: Language, texts: list[list[str]]) -> None:
    docs = list(nlp.pipe([Doc(nlp.vocab, words=words) for words in texts]))
    assert [[token.text for token in doc] for doc in docs] == texts
    assert all(token.pos_ for doc in docs for token in doc)


def test_frozen_embeddings_stay(
    bert_path: Path, toy_examples: MakeExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "has_fast_bf16", lambda: True)
    nlp = make_teacher(bert_path, toy_examples, freeze_embeddings=True)
    transformer: Any = nlp.get_pipe("transformer")
    bert = transformer.model.transformer
    before = {name: parameter.detach().clone() for name, parameter in bert.named_parameters()}
    examples = toy_examples(nlp)
    optimizer = nlp.resume_training()
    losses = [nlp.update(examples, sgd=optimizer)["morphologizer"] for _ in range(6)]
    assert losses[-1] < losses[0]
    changed = {
        name for name, parameter in bert.named_parameters() if not torch.equal(parameter, before[name])
    }
    assert "embeddings.word_embeddings.weight" not in changed
    assert {"encoder.layer.0.output.dense.weight", "embeddings.LayerNorm.weight"} <= changed


@pytest.mark.parametrize("is_fast", [True, False])
def test_outputs_are_float32(
    bert_path: Path, toy_examples: MakeExamples, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr(teacher, "has_fast_bf16", lambda: is_fast)
    nlp = make_teacher(bert_path, toy_examples)
    transformer: Any = nlp.get_pipe("transformer")
    bert = transformer.model.transformer.eval()
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        output = bert(input_ids=ids)
        plain = BertModel.from_pretrained(bert_path, attn_implementation="eager").eval()
        expected = plain(input_ids=ids)
    assert output.last_hidden_state.dtype == output.pooler_output.dtype == torch.float32
    assert torch.allclose(output.last_hidden_state, expected.last_hidden_state, atol=0.1)
    assert torch.equal(output.last_hidden_state, expected.last_hidden_state) is not is_fast
    assert vectors(nlp, ["the", "dog"], [True, True]).dtype == np.float32


# The fast labeller


SENTENCES = [["the", "dogs", "saw", "жéé", "."], ["中"], ["dog"] * 12, ["a", "b"] * 9]


def test_onnx_labels_equal_the_pipelines_own(nlp: Language) -> None:
    label: Any = make_labeller(nlp)
    assert label.__qualname__.startswith("_onnx_labeller")
    found = label(SENTENCES)
    expected = _pipeline_labeller(nlp, "morphologizer")(SENTENCES)
    assert found.shape == expected.shape == (sum(map(len, SENTENCES)), expected.shape[1])
    assert found == pytest.approx(expected, abs=0.2 if has_fast_bf16() else 1e-4)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_new"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
    ],
    ids=lambda config: "=".join(map(str, *config.items())),
)
def test_a_bert_that_is_not_as_the_graph_is_labelled_by_the_pipeline(
    vocabulary: Path, toy_examples: MakeExamples, tmp_path: Path, config: dict[str, Any]
) -> None:
    nlp = make_teacher(write_bert(tmp_path, vocabulary, **config), toy_examples)
    found, expected = make_labeller(nlp)(SENTENCES), _pipeline_labeller(nlp, "morphologizer")(SENTENCES)
    assert np.array_equal(found, expected)
    # The graph would give others.
    tolerance = 0.2 if has_fast_bf16() else 1e-4
    assert np.abs(_onnx_labeller(nlp, "morphologizer")(SENTENCES) - expected).max() > tolerance or (
        config == {"hidden_act": "gelu_new"} and has_fast_bf16()
    )


def test_a_pipeline_without_transformer_has_no_embeddings(nlp: Language) -> None:
    with pytest.raises(ValueError, match="no component 'transformer', only nothing"):
        next(teacher_embeddings(spacy.blank("xx"), ["a"]))


def test_a_tagger_predicts_what_the_pipeline_does(
    bert_path: Path, toy_examples: MakeExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both compute in float32: in bfloat16, as on some processors, a label may win that is hardly less
    likely."""
    monkeypatch.setattr(teacher, "has_fast_bf16", lambda: False)
    nlp = make_teacher(bert_path, toy_examples)
    docs = [nlp(Doc(nlp.vocab, words=list(words))) for words in SENTENCES]
    expected = [[(token.pos_, str(token.morph) or "_") for token in doc] for doc in docs]
    assert make_tagger(nlp)(SENTENCES) == expected


def test_a_word_without_pieces_has_labels(nlp: Language) -> None:
    found = make_labeller(nlp)([["the", "\u200b", "dog"]])
    assert len(found) == 3 and np.isfinite(found).all()


def test_pipeline_labels_do_not_depend_on_the_order(nlp: Language) -> None:
    label = _pipeline_labeller(nlp, "morphologizer")
    backwards = label(SENTENCES[::-1])
    bounds = np.cumsum([0, *map(len, SENTENCES[::-1])])
    parts = [backwards[a:b] for a, b in pairwise(bounds)][::-1]
    assert np.concatenate(parts) == pytest.approx(label(SENTENCES), abs=0.2 if has_fast_bf16() else 1e-4)


def test_embeddings_are_the_teachers_states_of_single_pieces(
    nlp: Language, bert_path: Path, vocabulary: Path
) -> None:
    pieces = WordPieces.from_file(vocabulary)
    rows = np.concatenate(list(teacher_embeddings(nlp, pieces.vocab, batch=7, chunk=40)))
    assert rows.shape == (len(pieces), 16)
    i = pieces.vocab.index("##s")
    transformer: Any = nlp.get_pipe("transformer")
    encoded = BertTokenizerFast.from_pretrained(bert_path)("s", return_tensors="pt")
    with torch.no_grad():
        expected = transformer.model.transformer.eval()(**encoded).last_hidden_state[0, 1]
    assert rows[i] == pytest.approx(expected.numpy(), abs=0.1)


def test_projection_keeps_the_principal_components() -> None:
    random = np.random.default_rng(0)
    rows = (random.normal(size=(400, 6)) * [9, 5, 3, 1, 0.1, 0.1]).astype(np.float32)
    found = Projection.fit(rows, 4)(rows)
    assert found.shape == (400, 4) and found.dtype == np.float32
    assert found.std() == pytest.approx(0.03, rel=0.05)
    centred = rows - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    for k in range(4):
        # Up to sign and scale, a component is the left singular vector of its rank.
        assert abs(np.corrcoef(found[:, k], left[:, k])[0, 1]) == pytest.approx(1.0, abs=1e-3)
    ratio = found[:, 0].std() / found[:, 1].std()
    assert ratio == pytest.approx(np.sqrt(singular[0] / singular[1]), rel=1e-2)
    assert Projection.fit(rows, 8)(rows).shape == (400, 8) and not Projection.fit(rows, 8)(rows)[:, 6:].any()
