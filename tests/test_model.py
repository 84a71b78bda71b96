"""Encoder and head as one module: logits are the pipeline's, and training reaches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.training import Example
from students import (
    SCHEDULE,
    inventory,
    make_student,
    random_sentences,
    tagger,
    write_vocabulary,
)
from test_teacher import bert_path, make_teacher  # noqa: F401  a fixture
from thinc.api import fix_random_seed
from torch import Tensor, nn

from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.packaging.quantize import quantize
from mminibert.runtime.doc_labels import gold_labels
from mminibert.runtime.losses import one_hot
from mminibert.systems.labelling import _pipeline_labeller
from mminibert.systems.model import pipeline_model, set_word_embeddings
from mminibert.systems.shards import held_out, read_sentences, stored_targets
from mminibert.systems.train import Training
from mminibert.training.checkpoint import Progress, read_state
from mminibert.training.fields import Fields
from mminibert.training.predict import accuracy, predict
from mminibert.training.schedule import Schedule

MakeExamples = Callable[..., list[Example]]
LABELS = inventory()


@pytest.fixture
def teacher(bert_path: Path, toy_examples: MakeExamples) -> Language:  # noqa: F811
    return make_teacher(bert_path, toy_examples, freeze_embeddings=True)


@pytest.fixture
def shard(teacher: Language, toy_examples: MakeExamples, tmp_path: Path) -> Path:
    """The gold labels of the toy sentences."""
    examples = toy_examples(teacher)
    starts = tagger(teacher).inventory.starts
    labels = [label for example in examples for label in gold_labels(example)]
    targets = sparsify(one_hot(tagger(teacher).inventory.encode(labels), starts), starts)
    path = tmp_path / "en_a-00000.npz"
    words = [[token.text for token in example.reference] for example in examples]
    write_shard(path, Shard(words, targets, ["en_a"] * len(words)))
    return path


def make_training(
    nlp: Language, shard: Path, dev: list[Example], schedule: Schedule, output: Path
) -> Training:
    model = pipeline_model(nlp)
    targets = stored_targets([shard], model, schedule, temperature=1.0, masking=0.0)
    return Training(nlp, model, targets, schedule, held_out(dev, model), output)


def logits_of(nlp: Language, sentences: list[list[str]]) -> np.ndarray:
    model = pipeline_model(nlp)
    read, lengths = read_sentences(sentences, model, [""] * len(sentences))
    found = np.full((lengths.sum(), tagger(nlp).inventory.n_outputs), np.nan, dtype=np.float32)
    for words, logits in predict(model, read):
        found[words.numpy()] = logits.numpy()
    return found


def test_logits_are_the_teachers(teacher: Language, toy_examples: MakeExamples) -> None:
    sentences = [[token.text for token in example.reference] for example in toy_examples(teacher)]
    expected = _pipeline_labeller(teacher, "morphologizer")(sentences)
    # The teacher may run in bfloat16, which has 8 bits of precision.
    np.testing.assert_allclose(logits_of(teacher, sentences), expected, atol=0.05)


def test_logits_are_the_students_and_the_head_goes_back(tmp_path: Path) -> None:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS)
    model, sentences = pipeline_model(nlp), random_sentences(9, seed=10)
    nn.init.normal_(model.head.weight)
    nn.init.normal_(model.head.bias)
    model.write_back()
    docs = [spacy.tokens.Doc(nlp.vocab, words=words) for words in sentences]
    expected = np.concatenate(tagger(nlp).model.predict(docs))
    assert expected.std() > 0.5
    np.testing.assert_allclose(logits_of(nlp, sentences), expected, atol=1e-5)


def test_what_is_held_out_are_the_gold_labels(tmp_path: Path) -> None:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS)
    words = ["a", "cab", "faced", "worse"]
    gold = spacy.tokens.Doc(nlp.vocab, words=words, pos=["DET", "NOUN", "VERB", ""])
    token: Any
    for token, feats in zip(gold, ("_", "Number=Plur", "", "Degree=Cmp"), strict=True):
        if feats:
            token.set_morph("" if feats == "_" else feats)
    found = held_out([Example(spacy.tokens.Doc(nlp.vocab, words=words), gold)], pipeline_model(nlp)).values
    names = [name for name, _ in LABELS.fields]
    read = [
        {name: values[i] if i >= 0 else None for (name, values), i in zip(LABELS.fields, row, strict=True)}
        for row in found.tolist()
    ]
    nothing = dict.fromkeys(names[1:], "")
    assert read == [
        {**nothing, "UPOS": "DET"},
        {**nothing, "UPOS": "NOUN", "Number": "Plur"},
        {**dict.fromkeys(names), "UPOS": "VERB"},
        {**nothing, "UPOS": None, "Degree": "Cmp"},
    ]


def test_a_teacher_learns_and_frozen_embeddings_do_not(
    teacher: Language, shard: Path, toy_examples: MakeExamples, tmp_path: Path
) -> None:
    schedule = replace(SCHEDULE, words=4000, learn_rate=0.01, evaluations=3)
    training = make_training(teacher, shard, toy_examples(teacher), schedule, tmp_path / "training")
    fields = Fields([len(values) for _, values in training.model.pipe.inventory.fields], 4.0, "cpu")
    before = accuracy(training.model, training.dev, fields)["pos_acc"]
    table = training.model.word_embeddings.weight
    frozen = table.detach().clone()
    training.run()
    assert accuracy(training.model, training.dev, fields)["pos_acc"] == 1.0 > before
    assert torch.equal(table, frozen)
    state = read_state(tmp_path / "training/checkpoint.pt")["weights"]
    assert "bert.embeddings.word_embeddings.weight" not in state
    assert "head.weight" in state


def test_a_teacher_continues_from_its_checkpoint(
    bert_path: Path,  # noqa: F811
    shard: Path,
    toy_examples: MakeExamples,
    tmp_path: Path,
) -> None:
    """Interrupted in the middle, it ends with the weights of a run that was not; its embeddings learn too."""

    class StopError(Exception):
        pass

    def stop(progress: Progress, loss: Tensor) -> None:
        if progress.step == 7:
            raise StopError

    schedule = replace(SCHEDULE, words=600, evaluations=3)
    states = []
    for name, stops in (("whole", False), ("cut", True)):
        for on_step in (stop, lambda *_: None) if stops else (lambda *_: None,):
            fix_random_seed(0)
            nlp = make_teacher(bert_path, toy_examples)
            training = make_training(nlp, shard, toy_examples(nlp), schedule, tmp_path / name)
            table = training.model.word_embeddings.weight.detach().clone()
            try:
                training.run(on_step)
            except StopError:
                continue
        states.append({n: value.detach() for n, value in training.model.trained().items()})
        assert not torch.equal(training.model.word_embeddings.weight, table)
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_embeddings_of_another_shape_are_an_error(tmp_path: Path) -> None:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS)
    shim = tagger(nlp).encoder
    rows = np.random.default_rng(0).normal(size=(len(shim.pieces), 32)).astype(np.float32)
    set_word_embeddings(nlp, rows)
    assert np.array_equal(shim.bert.embeddings.word_embeddings.weight.detach().numpy(), rows)
    with pytest.raises(ValueError, match=r"got embeddings of shape .*run `collect` with this vocabulary"):
        set_word_embeddings(nlp, rows[:-1])


def test_a_packaged_encoder_cannot_be_trained(tmp_path: Path) -> None:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS)
    light = quantize(nlp, [nlp.make_doc("a cab")])
    with pytest.raises(ValueError, match=r"expected mminibert\.MiniBert\.v1; use `mminibert finetune`"):
        pipeline_model(light)


def test_training_computes_in_bfloat16_where_the_processor_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits and gradients are float32 and close to those of float32; predictions do not change at all."""
    model = pipeline_model(make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS, dropout=0.0))
    inputs = torch.tensor([[0, 3, 4, 1]]), None, torch.tensor([1, 2])
    found: dict[tuple[bool, bool], tuple[Tensor, Tensor]] = {}
    for training in (False, True):
        for has in (False, True):
            monkeypatch.setattr("mminibert.training.model.has_bfloat16", lambda has=has: has)
            model.train(training)
            model.zero_grad()
            logits = model(*inputs)
            logits.square().sum().backward()
            gradient = model.head.weight.grad
            assert gradient is not None
            found[training, has] = logits.detach(), gradient.clone()
    for tensors in found.values():
        assert {tensor.dtype for tensor in tensors} == {torch.float32}
    for plain, mixed in zip(found[True, False], found[True, True], strict=True):
        assert not torch.equal(plain, mixed)
        assert float((plain - mixed).norm() / plain.norm()) < 0.03
    for plain, mixed in zip(found[False, False], found[False, True], strict=True):
        assert torch.equal(plain, mixed)
