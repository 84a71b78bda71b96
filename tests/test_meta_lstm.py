"""Meta-LSTM against its equations in plain PyTorch, and that its three losses keep apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from students import LEXICON, random_sentences, tagger
from thinc.api import fix_random_seed
from torch import Tensor, nn

from mminibert.models.architectures import MetaLSTM, MetaTagger

SIZES = {"hidden_width": 6, "embedding_width": 4, "char_rows": 300, "word_rows": 50}
WIDTH = 6


def docs_of(nlp: Language, n: int = 4) -> list[Doc]:
    return [Doc(nlp.vocab, words=words) for words in random_sentences(n, seed=n)]


def encoder(**sizes: Any) -> Any:
    fix_random_seed(0)
    model = MetaLSTM(**{**SIZES, **sizes})
    model.initialize()
    nn.init.normal_(model.shims[0]._model.word_embeddings.weight)
    return model


def direction(lstm: nn.LSTM, suffix: str, inputs: Tensor) -> Tensor:
    """One direction of one layer, step by step: Hochreiter and Schmidhuber 1997 with forget gates."""
    w_in, w_rec = getattr(lstm, f"weight_ih_{suffix}"), getattr(lstm, f"weight_hh_{suffix}")
    bias = getattr(lstm, f"bias_ih_{suffix}") + getattr(lstm, f"bias_hh_{suffix}")
    h = c = torch.zeros(lstm.hidden_size)
    states = []
    for x in inputs:
        i, f, g, o = (w_in @ x + w_rec @ h + bias).chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
    return torch.stack(states)


def bilstm(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    for layer in range(lstm.num_layers):
        forward = direction(lstm, f"l{layer}", inputs)
        backward = direction(lstm, f"l{layer}_reverse", inputs.flip(0)).flip(0)
        inputs = torch.cat([forward, backward], dim=1)
    return inputs


def plain(module: Any, doc: Doc) -> Tensor:
    """Bohnet et al. 2018, sections 3.1 to 3.3, for one sentence, without batches, padding or dropout."""
    text = " ".join(token.text for token in doc)
    chars = bilstm(module.char.lstm, module.char_embeddings(torch.tensor([ord(c) % 300 for c in text])))
    ends, at = [], 0
    for token in doc:
        ends.append(torch.cat([chars[at], chars[at + len(token.text) - 1]]))
        at += len(token.text) + 1
    by_chars = module.char.mlp(torch.stack(ends))
    ids = torch.tensor([token.orth % 50 for token in doc])
    by_words = module.word.mlp(bilstm(module.word.lstm, module.word_embeddings(ids)))
    both = torch.cat([by_chars, by_words], dim=1).detach()
    return torch.cat([by_chars, by_words, module.meta.mlp(bilstm(module.meta.lstm, both))], dim=1)


def test_values_and_gradients_are_those_of_the_equations() -> None:
    model = encoder(dropout=0.0, char_dropout=0.0)
    module = model.shims[0]._model
    docs = docs_of(spacy.blank("xx"), 5)
    rows, backprop = model.begin_update(docs)
    expected = [plain(module, doc) for doc in docs]
    for got, wanted in zip(rows, expected, strict=True):
        assert got.shape == wanted.shape == (len(wanted), 3 * WIDTH)
        np.testing.assert_allclose(got, wanted.detach().numpy(), atol=1e-6)
    for one, other in zip(model.predict(docs), rows, strict=True):
        np.testing.assert_allclose(one, other[:, -WIDTH:], atol=1e-6)
    d_rows = [np.random.default_rng(i).normal(size=r.shape).astype("f") for i, r in enumerate(rows)]
    module.zero_grad()
    backprop(d_rows)
    found = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    module.zero_grad()
    terms = [(e * torch.from_numpy(d)).sum() for e, d in zip(expected, d_rows, strict=True)]
    torch.stack(terms).sum().backward()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("view", "reached"), [(0, ("char",)), (1, ("word",)), (2, ("meta",))])
def test_a_loss_reaches_its_own_part_only(view: int, reached: tuple[str, ...]) -> None:
    model = encoder()
    rows, backprop = model.begin_update(docs_of(spacy.blank("xx")))
    d_rows = [np.zeros_like(r) for r in rows]
    for d in d_rows:
        d[:, view * WIDTH : (view + 1) * WIDTH] = 1.0
    backprop(d_rows)
    for name, parameter in model.shims[0]._model.named_parameters():
        touched = parameter.grad is not None and bool(parameter.grad.abs().sum())
        assert touched == name.startswith(reached), name


def test_a_sentence_does_not_depend_on_its_neighbours() -> None:
    model = encoder()
    nlp = spacy.blank("xx")
    docs = [*docs_of(nlp), Doc(nlp.vocab), Doc(nlp.vocab, words=["x" * 70])]
    together = model.predict(docs)
    assert together[-2].shape == (0, WIDTH)
    for doc, rows in zip(docs, together, strict=True):
        np.testing.assert_allclose(model.predict([doc])[0], rows, atol=1e-6)
    assert model.predict([Doc(nlp.vocab)])[0].shape == (0, WIDTH)


def test_vectors_of_the_vocabulary_are_added() -> None:
    nlp = spacy.blank("xx")
    model = encoder(dropout=0.0, char_dropout=0.0)

    def views() -> np.ndarray:
        return np.asarray(model.begin_update([Doc(nlp.vocab, words=["a", "cab"])])[0][0])

    before = views()
    nlp.vocab.vectors = spacy.vectors.Vectors(data=np.full((1, 4), 0.5, dtype="f"), keys=["cab"])
    after = views()
    assert np.array_equal(before[:, :WIDTH], after[:, :WIDTH])
    assert np.abs(before[1, WIDTH:] - after[1, WIDTH:]).max() > 1e-3
    module = model.shims[0]._model
    with torch.no_grad():
        module.word_embeddings.weight[nlp.vocab.strings["cab"] % 50] += 0.5
    nlp.vocab.vectors = spacy.vectors.Vectors()
    np.testing.assert_allclose(views(), after, atol=1e-6)
    nlp.vocab.vectors = spacy.vectors.Vectors(data=np.ones((1, 5), dtype="f"), keys=["cab"])
    with pytest.raises(ValueError, match="vectors of width 5, expected embedding_width 4"):
        model.predict([Doc(nlp.vocab, words=["cab"])])


def pipeline(**sizes: Any) -> Language:
    fix_random_seed(0)
    nlp = spacy.blank("xx")
    tok2vec = {"@architectures": "mminibert.MetaLSTM.v1", **SIZES, **sizes}
    model = {"@architectures": "mminibert.MetaTagger.v1", "tok2vec": tok2vec}
    nlp.add_pipe("factored_morphologizer", name="morphologizer", config={"model": model})
    return nlp


def examples(nlp: Language, n: int) -> list[Example]:
    found = []
    for words in random_sentences(n, seed=7):
        pos = [LEXICON[word][0] for word in words]
        morphs = [LEXICON[word][1].removeprefix("_") for word in words]
        gold = Doc(nlp.vocab, words=words, pos=pos, morphs=morphs)
        found.append(Example(Doc(nlp.vocab, words=words), gold))
    return found


def test_training_has_three_losses_and_prediction_one_head() -> None:
    nlp = pipeline()
    found = examples(nlp, 3)
    nlp.initialize(lambda: found)
    pipe = tagger(nlp)
    docs = [eg.predicted for eg in found]
    n = pipe.inventory.n_outputs
    scores, _ = pipe.model.begin_update(docs)
    loss, gradient = pipe.get_loss(found, scores)
    heads = [[rows[:, i * n : (i + 1) * n] for rows in scores] for i in range(3)]
    parts = [pipe.get_loss(found, head) for head in heads]
    assert loss == pytest.approx(sum(part for part, _ in parts))
    for i, (_, d_head) in enumerate(parts):
        for d, whole in zip(d_head, gradient, strict=True):
            np.testing.assert_allclose(whole[:, i * n : (i + 1) * n], d, atol=1e-7)
    assert [rows.shape for rows in pipe.model.predict(docs)] == [(len(doc), n) for doc in docs]


def test_it_overfits_twenty_sentences_and_survives_the_disk(tmp_path: Any) -> None:
    nlp = pipeline(hidden_width=24, embedding_width=16)
    found = examples(nlp, 20)
    optimizer = nlp.initialize(lambda: found)
    optimizer.learn_rate = 0.01
    for _ in range(80):
        nlp.update(found, sgd=optimizer, drop=0.0)
    scores = nlp.evaluate(found)
    assert scores["pos_acc"] == scores["morph_acc"] == 1.0
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    docs = [eg.reference for eg in found]
    for one, other in zip(tagger(nlp).model.predict(docs), tagger(again).model.predict(docs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_stored_encoder_of_another_size_is_refused() -> None:
    data = encoder().to_bytes()
    with pytest.raises(ValueError, match="does not suit its config"):
        encoder(word_rows=51).from_bytes(data)
    assert MetaTagger(encoder()).get_ref("tok2vec").get_dim("nO") == 3 * WIDTH
