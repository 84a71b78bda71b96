"""Encoder and head as one module: logits are the pipeline's, and training reaches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from spacy.language import Language
from spacy.training import Example
from students import SCHEDULE, make_profile, tagger
from test_teacher import bert_path, make_teacher  # noqa: F401  a fixture
from thinc.api import fix_random_seed

from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.files import write_json
from mminibert.runtime.labels import gold_labels
from mminibert.runtime.losses import one_hot
from mminibert.systems.distill import Trainer, dev_accuracy, make_trainer
from mminibert.systems.labelling import _pipeline_labeller
from mminibert.systems.networks import network
from mminibert.systems.soft_corpus import SoftCorpus

MakeExamples = Callable[..., list[Example]]


@pytest.fixture
def teacher(bert_path: Path, toy_examples: MakeExamples) -> Language:  # noqa: F811
    return make_teacher(bert_path, toy_examples, freeze_embeddings=True)


@pytest.fixture
def corpus(teacher: Language, toy_examples: MakeExamples, tmp_path: Path) -> SoftCorpus:
    """The gold labels of the toy sentences."""
    examples = toy_examples(teacher)
    starts = tagger(teacher).inventory.starts
    labels = [label for example in examples for label in gold_labels(example)]
    targets = sparsify(one_hot(tagger(teacher).inventory.encode(labels), starts), starts)
    path = tmp_path / "en_a-00000.npz"
    write_shard(path, Shard([[t.text for t in example.reference] for example in examples], targets))
    reader = network(teacher)
    return SoftCorpus([path], reader.pieces, max_pieces=reader.max_pieces)


def test_logits_are_the_pipelines(teacher: Language, corpus: SoftCorpus, toy_examples: MakeExamples) -> None:
    sentences = [[token.text for token in example.reference] for example in toy_examples(teacher)]
    piece_ids, mask, first, _ = corpus.batch(range(len(sentences)))
    with torch.no_grad():
        found = network(teacher).eval()(piece_ids, mask, first).numpy()
    expected = _pipeline_labeller(teacher, "morphologizer")(sentences)
    # The teacher may run in bfloat16, which has 8 bits of precision.
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_a_teacher_learns_and_frozen_embeddings_do_not(
    teacher: Language, corpus: SoftCorpus, toy_examples: MakeExamples, tmp_path: Path
) -> None:
    dev = toy_examples(teacher)
    before = dev_accuracy(teacher, dev)["pos_acc"]
    schedule = replace(SCHEDULE, words=4000, learn_rate=0.01, evaluate_steps=1000)
    trainer = Trainer(teacher, corpus, dev, schedule, tmp_path / "training")
    table = trainer.network.get_parameter("transformer.embeddings.word_embeddings.weight")
    frozen = table.detach().clone()
    trainer.run(lambda *_: None)
    assert dev_accuracy(teacher, dev)["pos_acc"] == 1.0 > before
    assert torch.equal(table, frozen)
    state = torch.load(tmp_path / "training/checkpoint.pt", weights_only=True)["network"]
    assert "transformer.embeddings.word_embeddings.weight" not in state
    assert "head.weight" in state


def test_a_teacher_continues_from_its_checkpoint(
    bert_path: Path,  # noqa: F811
    corpus: SoftCorpus,
    toy_examples: MakeExamples,
    tmp_path: Path,
) -> None:
    """Interrupted in the middle, it ends with the weights of a run that was not."""

    class StopError(Exception):
        pass

    def stop(trainer: Trainer, loss: float) -> None:
        if trainer.step == 7:
            raise StopError

    schedule = replace(SCHEDULE, words=600, evaluate_steps=3)
    states = []
    for name, stops in (("whole", False), ("cut", True)):
        for progress in (stop, lambda *_: None) if stops else (lambda *_: None,):
            fix_random_seed(0)
            nlp = make_teacher(bert_path, toy_examples)
            trainer = Trainer(nlp, corpus, toy_examples(nlp), schedule, tmp_path / name)
            try:
                trainer.run(progress)
            except StopError:
                continue
        states.append(trainer.network.trained_state())
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_a_start_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").symlink_to(Path(__file__).parents[1] / "configs")
    monkeypatch.chdir(tmp_path)
    overrides = {"distillation": {"start": "xx_absent"}}
    profile = make_profile("new", treebanks=["aa_x"], student={"overrides": overrides})
    with pytest.raises(FileNotFoundError, match=r"gold_targets.*collect-gold"):
        make_trainer("minibert", profile)
    write_json(profile.corpus / "gold_targets" / "manifest.json", {"shards": {}})
    with pytest.raises(FileNotFoundError, match=r"'xx_absent'.*pip install"):
        make_trainer("minibert", profile)
