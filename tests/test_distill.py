"""The student's loop: its gradient, and that killed runs lose nothing."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from students import (
    LEXICON,
    SCHEDULE,
    inventory,
    make_corpus,
    make_student,
    make_trainer,
    random_sentences,
    start,
    tagger,
    train,
    write_soft_shards,
    write_vocabulary,
)
from torch import nn
from torch.nn import functional

from mminibert.data.targets import densify
from mminibert.systems.distill import Trainer, dev_accuracy
from mminibert.systems.networks import set_word_embeddings
from mminibert.systems.soft_corpus import Schedule, SoftCorpus, plan_epoch

LABELS = inventory()
STARTS = LABELS.starts
SOFT = replace(SCHEDULE, temperature=3.0, batch_pieces=300)


def soft_trainer(folder: Path, schedule: Schedule, **sizes: Any) -> Trainer:
    paths = write_soft_shards(folder / "soft", en=24, de=12)
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), LABELS, **sizes)
    pieces = tagger(nlp).encoder.pieces
    corpus = SoftCorpus(paths, pieces, max_pieces=64)
    return Trainer(nlp, corpus, [], schedule, folder / "training")


def plain_loss(trainer: Trainer, batch: list[int], temperature: float) -> torch.Tensor:
    """Hinton et al. 2015 in PyTorch, one sentence and one field after the other."""
    student: Any = trainer.network
    total, words = torch.zeros(()), 0
    targets = densify(trainer.corpus.targets, STARTS, 1.0)
    for i in batch:
        ids = torch.from_numpy(trainer.corpus.piece_ids[i].astype(np.int64))[None]
        hidden = student.bert(ids)[0][trainer.corpus.first[i].astype(np.int64)]
        logits = student.head(hidden)
        a, b = trainer.corpus.word_starts[i : i + 2]
        probs = torch.from_numpy(targets[a:b])
        known = torch.from_numpy(trainer.corpus.targets.known[a:b])
        words += b - a
        for field, (start_, end) in enumerate(pairwise(STARTS)):
            has_label = torch.ones(int(b - a), dtype=torch.bool) if field == 0 else known
            soft = probs[has_label, start_:end] ** (1 / temperature)
            soft = soft / soft.sum(dim=1, keepdim=True)
            divided = logits[has_label, start_:end] / temperature
            weight = 4.0 if field == 0 else 1.0
            total = total + weight * functional.cross_entropy(divided, soft, reduction="sum")
    return temperature**2 * total / words


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    found = {name: p.grad for name, p in trainer.network.named_parameters()}
    return {name: gradient.to_dense().clone() for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradient_equals_plain_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    trainer = soft_trainer(tmp_path, replace(SOFT, temperature=temperature), dropout=0.0)
    with torch.no_grad():
        for parameter in trainer.network.parameters():  # far from zero and one
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    trainer.total = 10
    batch = [0, 3, 30, 17, 18]
    expected_loss = plain_loss(trainer, batch, temperature)
    expected_loss.backward()
    expected = gradients(trainer)
    trainer.network.zero_grad()
    seen: dict[str, torch.Tensor] = {}

    def record(parameters: Any, max_norm: float) -> None:
        assert max_norm == 1.0
        seen.update(gradients(trainer))

    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", record)
    loss = trainer.update(batch)
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    assert seen.keys() == expected.keys() == dict(trainer.network.named_parameters()).keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        # Positions beyond the longest sentence and the second token type have no part in it.
        assert scale > 1e-6 or "key.bias" in name, name
        torch.testing.assert_close(seen[name], gradient, atol=2e-5 * max(scale, 1.0), rtol=1e-3, msg=name)
    assert trainer.step == 1
    assert trainer.words == sum(len(trainer.corpus.first[i]) for i in batch)
    assert all(p.grad is None for p in trainer.network.parameters())


def test_a_step_changes_only_the_embeddings_that_occur(tmp_path: Path) -> None:
    trainer = soft_trainer(tmp_path, SOFT)
    trainer.total = 10
    table = trainer.network.sparse_table
    assert table is not None
    with torch.no_grad():
        trainer.network.head.weight.normal_(std=0.1)
    before = table.detach().clone()
    trainer.update([0])
    changed = set((table != before).any(dim=1).nonzero().flatten().tolist())
    assert changed == set(trainer.corpus.piece_ids[0].tolist())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus for `make_trainer`, with its shards and vocabulary."""
    folder = tmp_path_factory.mktemp("distill")
    make_corpus(folder, {"en_a": 120, "de_a": 40}, joined=False)
    make_trainer(folder)
    return folder


def log_rows(output: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert row.pop("seconds") >= 0
        assert row.pop("words_per_second") > 0
    return rows


def assert_same_folder(one: Path, other: Path) -> None:
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    assert files[0].keys() == files[1].keys()
    assert len(files[0]) > 3
    differing = [path for path in files[0] if files[0][path] != files[1][path]]
    assert not differing


def test_killed_at_any_time_it_ends_the_same(folder: Path) -> None:
    started = time.monotonic()
    process = start(train, folder, "plain")
    process.join()
    duration = time.monotonic() - started
    assert process.exitcode == 0
    plain = log_rows(folder / "plain")
    steps = [row["step"] for row in plain]
    total = steps[-1]
    assert steps == [*range(4, total, 4), total]
    assert len(steps) > 10
    # It learns: the words are unambiguous.
    assert plain[-1]["loss"] < 0.5 * plain[0]["loss"]
    assert plain[-1]["pos_acc"] > plain[0]["pos_acc"]

    chooser = random.Random()
    killed = 0
    log = folder / "killed" / "log.jsonl"

    def evaluations() -> int:
        return len(log.read_bytes().splitlines()) if log.exists() else 0

    for _ in range(5):
        wanted = evaluations() + chooser.randint(0, 2)
        process = start(train, folder, "killed")
        while process.is_alive() and evaluations() < wanted:
            time.sleep(0.002)
        time.sleep(chooser.uniform(0, duration / len(steps)))
        process.kill()
        process.join()
        killed += process.exitcode == -9
    assert killed >= 3
    process = start(train, folder, "killed")
    process.join()
    assert process.exitcode == 0
    assert log_rows(folder / "killed") == plain
    for part in ("last", "model-best"):
        assert_same_folder(folder / "plain" / part, folder / "killed" / part)
    states = [torch.load(folder / run / "checkpoint.pt", weights_only=True) for run in ("plain", "killed")]
    for state in states:
        state["progress"].pop("seconds")
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)

    # Once more, it is at its end already.
    before = log.read_bytes()
    train(folder, "killed")
    assert log.read_bytes() == before
    assert_same_folder(folder / "plain" / "last", folder / "killed" / "last")


def test_lines_of_the_log_after_the_checkpoint_are_dropped(folder: Path) -> None:
    schedule = replace(SCHEDULE, evaluate_steps=3)
    trainer = make_trainer(folder, schedule, output="log")

    class StoppedError(Exception):
        pass

    def stop(trainer: Trainer, loss: float) -> None:
        assert loss > 0
        if trainer.step == 8:
            raise StoppedError

    with pytest.raises(StoppedError):
        trainer.run(stop)
    log = folder / "log" / "log.jsonl"
    first = log.read_text(encoding="utf-8")
    assert [row["step"] for row in log_rows(folder / "log")] == [3, 6]
    # As if it had been killed between a line and its checkpoint, and within the next line.
    log.write_text(first + json.dumps({"step": 9, "seconds": 1}) + '\n{"step": 12', encoding="utf-8")
    again = make_trainer(folder, schedule, output="log")
    again.restore()
    assert again.step == 6
    assert log.read_text(encoding="utf-8") == first
    # Without a checkpoint it starts anew.
    (folder / "log" / "checkpoint.pt").unlink()
    anew = make_trainer(folder, schedule, output="log")
    anew.restore()
    assert anew.step == 0
    assert not log.exists()


def test_the_best_pipeline_is_what_the_log_says(folder: Path) -> None:
    words = make_trainer(folder, output="words").corpus.n_words * 3 // 2
    trainer = make_trainer(folder, replace(SCHEDULE, words=words), output="best")
    seen: list[int] = []
    trainer.run(lambda trainer, _: seen.append(trainer.words))
    batches = [b for epoch in range(2) for b in plan_epoch(trainer.corpus, trainer.schedule, epoch)]
    lengths = [sum(len(trainer.corpus.first[i]) for i in batch) for batch in batches]
    assert seen == [sum(lengths[: i + 1]) for i in range(len(seen))]
    assert seen[-2] < words <= seen[-1]
    rows = log_rows(folder / "best")
    best = max((row["pos_acc"] + row["morph_acc"]) / 2 for row in rows)
    nlp = spacy.load(folder / "best" / "model-best")
    scores = dev_accuracy(nlp, trainer.dev)
    assert (scores["pos_acc"] + scores["morph_acc"]) / 2 == pytest.approx(best)
    assert trainer.best == pytest.approx(best)
    assert not (folder / "best" / "model-best.partial").exists()


def test_dev_accuracy_is_a_plain_count(folder: Path) -> None:
    trainer = make_trainer(folder, output="count")
    nlp = trainer.nlp
    right_pos = right_feats = n_feats = n = 0
    for example in trainer.dev:
        doc = nlp(example.predicted.copy())
        for token, gold in zip(doc, example.reference, strict=True):
            n += 1
            right_pos += token.pos_ == gold.pos_
            if gold.has_morph():
                n_feats += 1
                right_feats += str(token.morph) == str(gold.morph)
    assert n > n_feats > 0
    assert dev_accuracy(nlp, trainer.dev) == {"pos_acc": right_pos / n, "morph_acc": right_feats / n_feats}


def test_a_schedule_without_steps_is_an_error(folder: Path) -> None:
    trainer = make_trainer(folder, replace(SCHEDULE, words=0), output="none")
    with pytest.raises(ValueError, match="the schedule has no steps: 0 words"):
        trainer.run(lambda *_: None)


def test_the_head_goes_back_to_the_pipeline(tmp_path: Path) -> None:
    trainer = soft_trainer(tmp_path, SOFT)
    with torch.no_grad():
        nn.init.normal_(trainer.network.head.weight)
        nn.init.normal_(trainer.network.head.bias)
    trainer.network.write_back()
    trainer.network.eval()
    piece_ids, mask, first, _ = trainer.corpus.batch([0, 1, 2])
    with torch.no_grad():
        logits = trainer.network(piece_ids, mask, first).numpy()
    docs = [
        spacy.tokens.Doc(trainer.nlp.vocab, words=words)
        for words in random_sentences(6, seed=10)[:3]  # those of the first German shard
    ]
    assert {token.text for doc in docs for token in doc} <= set(LEXICON)
    expected = np.concatenate(tagger(trainer.nlp).model.predict(docs))
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_embeddings_of_another_shape_are_an_error(tmp_path: Path) -> None:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS)
    shim = tagger(nlp).encoder
    rows = np.random.default_rng(0).normal(size=(len(shim.pieces), 32)).astype(np.float32)
    set_word_embeddings(nlp, rows)
    assert np.array_equal(shim.bert.embeddings.word_embeddings.weight.detach().numpy(), rows)
    with pytest.raises(ValueError, match=r"got embeddings of shape .*run `collect` with this vocabulary"):
        set_word_embeddings(nlp, rows[:-1])
