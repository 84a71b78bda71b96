"""The student's encoder against Hugging Face's BertModel, and as a layer of a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model
from transformers import BertConfig, BertModel

from mminibert.models.architectures import MiniBert
from mminibert.models.bert import BertEncoder, Sizes
from mminibert.models.torch_encoder import StudentShim
from mminibert.runtime.wordpieces import WordPieces

SIZES = Sizes(
    hidden_width=32,
    intermediate_width=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_positions=40,
    dropout=0.0,
)
SETTINGS: dict[str, Any] = {**vars(SIZES), "max_pieces": 36, "overlap": 24}
TEXTS = ["the dog", "", "dogs sees жéé .", "a", "中中-the unseen ☃ dog", "x y z " * 3, "dog the"]

MakeStudent = Callable[..., Language]


def make_bert(vocab_size: int) -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=SIZES.hidden_width,
        num_hidden_layers=SIZES.num_hidden_layers,
        num_attention_heads=SIZES.num_attention_heads,
        intermediate_size=SIZES.intermediate_width,
        max_position_embeddings=SIZES.max_positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,  # so that attention is far from uniform
    )
    bert = BertModel(config, add_pooling_layer=False)
    for name, parameter in bert.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            torch.nn.init.normal_(parameter, mean=float("weight" in name), std=0.2)
    return bert.eval()


@pytest.fixture(scope="module")
def pieces(vocabulary: Path) -> WordPieces:
    return WordPieces.from_file(vocabulary)


@pytest.fixture(scope="module")
def bert(pieces: WordPieces) -> BertModel:
    return make_bert(len(pieces))


def make_layer(vocabulary: Path, bert: BertModel | None = None, **settings: Any) -> Model:
    layer = MiniBert(str(vocabulary), **{**SETTINGS, **settings})
    layer.initialize()
    if bert is not None:
        shim_of(layer).bert.load_state_dict(bert.state_dict())
    return layer


def shim_of(layer: Model) -> StudentShim:
    shim = layer.shims[0]
    assert isinstance(shim, StudentShim)
    return shim


def make_docs(texts: list[str] = TEXTS) -> list[Doc]:
    vocab = Vocab()
    return [Doc(vocab, words=text.split()) for text in texts]


@pytest.mark.parametrize("is_masked", [False, True])
def test_the_encoder_equals_hugging_face_with_gradients(bert: BertModel, is_masked: bool) -> None:
    encoder = BertEncoder(bert.config.vocab_size, SIZES)
    encoder.load_state_dict(bert.state_dict())
    random = torch.Generator().manual_seed(1)
    # Hugging Face gives its padding, piece 0, no gradient; it does not occur within texts.
    ids = torch.randint(1, bert.config.vocab_size, (4, 11), generator=random)
    lengths = torch.tensor([11, 3, 7, 1]) if is_masked else torch.full((4,), 11)
    mask = torch.arange(11) < lengths[:, None]
    found = encoder(ids, mask if is_masked else None)
    expected = bert(ids, attention_mask=mask.long()).last_hidden_state
    assert torch.allclose(found[mask], expected[mask], atol=1e-5)

    direction = torch.randn(4, 11, SIZES.hidden_width, generator=random) * mask[..., None]
    bert.zero_grad()
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    expected_gradients = {name: p.grad for name, p in bert.named_parameters() if p.grad is not None}
    gradients = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert gradients.keys() == expected_gradients.keys() == dict(encoder.named_parameters()).keys()
    for name, gradient in gradients.items():
        dense = gradient.to_dense()
        scale = float(expected_gradients[name].abs().max())  # far above 1 for some of these weights
        assert torch.allclose(dense, expected_gradients[name], atol=1e-5 * max(scale, 1.0)), name


def test_only_the_pieces_of_a_batch_have_a_gradient(bert: BertModel) -> None:
    encoder = BertEncoder(bert.config.vocab_size, SIZES)
    encoder(torch.tensor([[5, 9, 5]])).square().sum().backward()
    gradient = encoder.embeddings.word_embeddings.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert gradient.coalesce().indices().tolist() == [[5, 9]]


def test_each_token_has_the_hidden_state_of_its_first_piece(
    vocabulary: Path, pieces: WordPieces, bert: BertModel
) -> None:
    docs = make_docs()
    rows = make_layer(vocabulary, bert).predict(docs)
    assert [len(row) for row in rows] == [len(doc) for doc in docs]
    for doc, found in zip(docs, rows, strict=True):
        assert found.dtype == np.float32
        ids, first = [pieces.cls_id], []
        for token in doc:
            first.append(len(ids))
            ids.extend(pieces.pieces(token.text))
        with torch.no_grad():
            hidden = bert(torch.tensor([[*ids, pieces.sep_id]])).last_hidden_state[0].numpy()
        assert found == pytest.approx(hidden[first], abs=1e-5)


def test_training_and_prediction_see_the_same(vocabulary: Path, bert: BertModel) -> None:
    # One pads a batch and masks, the other sorts by length.
    layer, docs = make_layer(vocabulary, bert), make_docs()
    trained, _ = layer.begin_update(docs)
    for one, other in zip(trained, layer.predict(docs), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_doc_does_not_depend_on_its_batch(vocabulary: Path, bert: BertModel) -> None:
    docs = make_docs()
    together = make_layer(vocabulary, bert).predict(docs)
    small = make_layer(vocabulary, bert, batch_pieces=1)
    for doc, rows in zip(docs, together, strict=True):
        assert small.predict([doc])[0] == pytest.approx(rows, abs=1e-5)
    for rows, again in zip(together, reversed(small.predict(docs[::-1])), strict=True):
        assert again == pytest.approx(rows, abs=1e-5)


def test_the_gradient_of_a_layer_goes_through_first_pieces(vocabulary: Path, bert: BertModel) -> None:
    layer, docs = make_layer(vocabulary, bert), make_docs(["the dogs", "", "a жéé"])
    rows, backprop = layer.begin_update(docs)
    direction = [np.ones_like(row) * (i + 1) for i, row in enumerate(rows)]
    assert backprop(direction) == docs
    pieces = shim_of(layer).pieces
    assert pieces is not None
    bert.zero_grad()
    for i, doc in enumerate(docs):
        if len(doc):
            words = [pieces.pieces(token.text) for token in doc]
            ids = [pieces.cls_id, *(piece for word in words for piece in word), pieces.sep_id]
            first = np.cumsum([1, *map(len, words)])[:-1]
            hidden = bert(torch.tensor([ids])).last_hidden_state[0]
            ((i + 1) * hidden[first]).sum().backward()
    for name, parameter in shim_of(layer).bert.named_parameters():
        expected = bert.get_parameter(name).grad
        assert parameter.grad is not None
        assert expected is not None
        assert torch.allclose(parameter.grad.to_dense(), expected, atol=1e-4), name


def test_bytes_round_trip(vocabulary: Path, bert: BertModel) -> None:
    layer, docs = make_layer(vocabulary, bert), make_docs()
    restored = MiniBert(None, **SETTINGS).from_bytes(layer.to_bytes())
    pieces, restored_pieces = shim_of(layer).pieces, shim_of(restored).pieces
    assert pieces is not None
    assert restored_pieces is not None
    assert restored_pieces.vocab == pieces.vocab
    for one, other in zip(layer.predict(docs), restored.predict(docs), strict=True):
        assert np.array_equal(one, other)
    assert restored.to_bytes() == layer.to_bytes()


@pytest.mark.parametrize("change", [{"hidden_width": 16}, {"num_hidden_layers": 1}, {"max_positions": 64}])
def test_weights_of_another_shape_are_refused(vocabulary: Path, change: dict[str, int]) -> None:
    layer = make_layer(vocabulary)
    with pytest.raises(ValueError, match="does not suit its config"):
        MiniBert(None, **{**SETTINGS, **change}).shims[0].from_bytes(layer.shims[0].to_bytes())


@pytest.mark.parametrize("vocabulary_path", [None, "nowhere/vocab.txt"])
def test_a_vocabulary_is_needed(vocabulary_path: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected the path of a vocab\.txt"):
        MiniBert(vocabulary_path, **SETTINGS).initialize()


def test_weights_are_needed(vocabulary: Path) -> None:
    with pytest.raises(ValueError, match="no weights yet"):
        MiniBert(str(vocabulary), **SETTINGS).predict(make_docs())


def test_windows_must_hold_any_word(vocabulary: Path) -> None:
    with pytest.raises(ValueError, match="overlap is 8"):
        MiniBert(str(vocabulary), **{**SETTINGS, "overlap": 8}).initialize()


def test_only_empty_docs(vocabulary: Path) -> None:
    layer = make_layer(vocabulary)
    docs = make_docs(["", ""])
    rows, backprop = layer.begin_update(docs)
    assert [row.shape for row in rows] == [(0, SIZES.hidden_width)] * 2
    assert backprop(rows) == docs
    assert layer.predict([]) == []


def test_dropout_is_for_training_only(vocabulary: Path, bert: BertModel) -> None:
    layer, docs = make_layer(vocabulary, bert, dropout=0.5), make_docs(["the dogs see"])
    assert np.array_equal(layer.predict(docs)[0], layer.predict(docs)[0])
    assert not np.allclose(layer.begin_update(docs)[0][0], layer.begin_update(docs)[0][0])


def test_spacy_trains_it_until_it_overfits(
    make_student: MakeStudent, toy_examples: Callable[..., list[Example]]
) -> None:
    nlp = make_student()
    examples = toy_examples(nlp, n=20)
    pipe: Any = nlp.get_pipe("morphologizer")
    table = shim_of(pipe.model.get_ref("tok2vec")).bert.embeddings.word_embeddings
    before = table.weight.detach().clone()
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.01
    losses = [nlp.update(examples, sgd=optimizer)["morphologizer"] for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]
    assert not torch.equal(table.weight, before)
    assert nlp.evaluate(examples)["pos_acc"] > 0.9
