"""The loop: against plain PyTorch, what it is told of and writes, and that killed runs lose nothing."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from students import SCHEDULE, make_corpus, make_training, start, train
from torch import Tensor, nn
from torch.nn import functional

from mminibert.models.bert import BertEncoder, Sizes
from mminibert.training import loop
from mminibert.training.batches import Batch, Sentences, Table
from mminibert.training.checkpoint import Progress, Run, read_state, write_state
from mminibert.training.conventions import ConventionHead
from mminibert.training.fields import Fields
from mminibert.training.loop import fit
from mminibert.training.model import Optimizers, Tagger
from mminibert.training.pieces import PieceTable
from mminibert.training.predict import HeldOut, accuracy
from mminibert.training.schedule import Schedule
from mminibert.training.targets import Stored

FIELDS, FORMS = [4, 2, 3], 30
SIZES = Sizes(16, 32, 1, 2, 32, dropout=0.0)
TABLE = PieceTable(
    counts=np.full(FORMS, 2, np.uint8),
    pieces=np.arange(3, 3 + 2 * FORMS, dtype=np.int32),
    cls_id=0,
    sep_id=1,
    pad_id=2,
    blank_id=-1,
    max_pieces=32,
)
LENGTHS = np.asarray([2, 5, 3, 7, 4] * 8)
RANDOM = np.random.default_rng(0)
WORDS = RANDOM.integers(0, FORMS, LENGTHS.sum())
PROBABILITIES = np.concatenate(
    [RANDOM.dirichlet([0.5] * size, size=len(WORDS)) for size in FIELDS], axis=1
).astype(np.float32)
PROBABILITIES[::7, 4:] = 0.0  # unknown features
CONVENTIONS = np.arange(len(LENGTHS)) // 3 % 4 - 1
"""Of three, or not given."""
PLAN = Schedule(
    words=int(LENGTHS.sum()) * 2 - 30,
    exponent=1.0,
    batch_pieces=80,
    learn_rate=0.05,
    embedding_learn_rate=0.02,
    warmup=0.3,
    weight_decay=0.5,
    evaluations=3,
    seed=3,
)


def dense(words: np.ndarray, temperature: float) -> np.ndarray:
    """Not at a temperature: the loss is what is tested."""
    return PROBABILITIES[words]


class Recorder(Tagger):
    """A model that notes whether it learns when it is called, and with what learning rates it did."""

    def __init__(self, device: str = "cpu", dropout: float = 0.0, conventions: int = 0) -> None:
        torch.manual_seed(0)
        sizes, shape = replace(SIZES, dropout=dropout), (16, sum(FIELDS))
        head = ConventionHead(*shape, conventions) if conventions else nn.Linear(*shape)
        super().__init__(BertEncoder(3 + 2 * FORMS, sizes), head)
        with torch.no_grad():
            for parameter in self.parameters():  # far from zero, so that gradients are clipped
                parameter.add_(torch.randn(parameter.shape) * 0.4)
        self.to(device)
        self.calls: list[tuple[bool, int]] = []

    def forward(
        self, piece_ids: Tensor, mask: Tensor | None, first: Tensor, conventions: Tensor | None = None
    ) -> Tensor:
        self.calls.append((self.training and self.bert.training, len(first)))
        return super().forward(piece_ids, mask, first, conventions)


def sentences(device: str = "cpu", *, told: bool = False) -> Sentences:
    words, lengths = (torch.from_numpy(array).long().to(device) for array in (WORDS, LENGTHS))
    conventions = torch.from_numpy(CONVENTIONS).to(device) if told else None
    return Sentences(words, lengths, Table(TABLE, device), conventions)


def targets(schedule: Schedule = PLAN, *, device: str = "cpu", told: bool = False, **settings: Any) -> Stored:
    groups = np.zeros(len(LENGTHS), np.int64)
    return Stored(sentences(device, told=told), groups, LENGTHS, dense, schedule, **settings)


def held_out(device: str = "cpu") -> HeldOut:
    parts = np.split(PROBABILITIES, np.cumsum(FIELDS)[:-1], axis=1)
    values = np.stack([np.where(part.sum(1) > 0, part.argmax(1), -1) for part in parts], axis=1)
    return HeldOut(sentences(device), torch.from_numpy(values).to(device))


def run_fit(model: Tagger, folder: Path, schedule: Schedule = PLAN, **settings: Any) -> Progress:
    device = str(model.device)
    return fit(
        model,
        settings.pop("targets", None) or targets(schedule, device=device),
        schedule,
        Fields(FIELDS, 4.0, device),
        held_out(device),
        Run(folder / "log.jsonl", folder / "checkpoint.pt"),
        **{"on_best": lambda: None, **settings},
    )


def batches(schedule: Schedule, strategy: Stored) -> Iterator[tuple[Batch, Tensor, float]]:
    """Those of a training, and the factor on the learning rates by its definition."""
    words, number = 0, 0
    while True:
        for batch, wanted in strategy(number).batches():
            before, words = words, words + len(batch.words)
            begin, end = before / schedule.words, min(words / schedule.words, 1.0)
            yield batch, wanted, min(end / schedule.warmup, (1 - begin) / (1 - schedule.warmup))
            if end == 1.0:
                return
        number += 1


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_it_ends_with_the_weights_of_a_plain_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    plain, model = Recorder(), Recorder()
    table = plain.word_embeddings
    names = [name for name, p in plain.named_parameters() if p is not table.weight]
    decays = [n for n in names if n.endswith("weight") and "LayerNorm" not in n]
    weights = dict(plain.named_parameters())
    adam = torch.optim.AdamW(
        [
            {"params": [weights[n] for n in names if n in decays], "weight_decay": 0.5},
            {"params": [weights[n] for n in names if n not in decays], "weight_decay": 0.0},
        ]
    )
    lazy = torch.optim.SparseAdam([table.weight])
    norms: list[float] = []
    strategy = targets(temperature=temperature)
    for batch, wanted, rate in batches(PLAN, strategy):
        logits = plain(batch.piece_ids, batch.mask, batch.first)
        parts = zip(logits.split(FIELDS, 1), wanted.split(FIELDS, 1), [4.0, 1.0, 1.0], strict=True)
        losses = [w * functional.cross_entropy(x / temperature, t, reduction="sum") for x, t, w in parts]
        (temperature**2 * torch.stack(losses).sum() / len(logits)).backward()
        norms.append(float(nn.utils.clip_grad_norm_([weights[n] for n in names], 1.0)))
        for optimizer, peak in ((adam, 0.05), (lazy, 0.02)):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad()
    assert len(norms) > 10 and min(norms) > 1.0 and max(norms) > 1.3 * min(norms)

    clipped: list[float] = []
    clip = nn.utils.clip_grad_norm_

    def record(parameters: Any, most: float) -> Tensor:
        clipped.append(most)
        return clip(parameters, most)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", record)
    done = run_fit(model, tmp_path, targets=strategy)
    assert clipped == [1.0] * len(norms)
    assert done.step == len(norms)
    for name, value in model.named_parameters():
        if "key.bias" not in name:  # has no gradient but what rounding leaves
            torch.testing.assert_close(value, weights[name], atol=2e-4, rtol=2e-3, msg=name)


def test_matrices_decay_and_nothing_else_does() -> None:
    model = Recorder()
    optimizers = Optimizers(model, PLAN)
    (adam, lazy) = optimizers.all
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)]: g["weight_decay"] for g in adam.param_groups for p in g["params"]}
    assert set(found) == set(names.values()) - {"bert.embeddings.word_embeddings.weight"}
    for name, decay in found.items():
        plain = name.endswith("bias") or "LayerNorm" in name
        assert decay == (0.0 if plain else 0.5), name
    assert isinstance(lazy, torch.optim.SparseAdam)


def test_rates_batches_and_modes_are_those_of_the_schedule(tmp_path: Path) -> None:
    model, seen = Recorder(), []

    def note(progress: Progress, loss: Tensor) -> None:
        assert float(loss) > 0 and not loss.requires_grad
        seen.append((progress.words, [g["lr"] for o in made for g in o.param_groups]))

    made: list[torch.optim.Optimizer] = []
    init = Optimizers.__init__

    def keep(self: Optimizers, *arguments: Any) -> None:
        init(self, *arguments)
        made[:] = self.all

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimizers, "__init__", keep)
        run_fit(model, tmp_path, on_step=note)
    expected = list(batches(PLAN, targets()))
    sizes = [len(batch.words) for batch, _, _ in expected]
    assert [words for words, _ in seen] == np.cumsum(sizes).tolist()
    rates = [rate for _, _, rate in expected]
    assert [rate[0] for _, rate in seen] == pytest.approx([0.05 * rate for rate in rates])
    assert [rate[-1] for _, rate in seen] == pytest.approx([0.02 * rate for rate in rates])
    assert rates[0] < 0.5 and max(rates) > 0.9 and rates[-1] < 0.2
    assert [words for learns, words in model.calls if learns] == sizes
    evaluations = [words for learns, words in model.calls if not learns]
    assert sum(evaluations) == PLAN.evaluations * len(WORDS)
    assert seen[-2][0] < PLAN.words <= seen[-1][0]


def test_a_step_changes_only_the_embeddings_that_occur(tmp_path: Path) -> None:
    model = Recorder()
    before = model.word_embeddings.weight.detach().clone()
    schedule = replace(PLAN, words=1)
    batch, _, _ = next(batches(schedule, targets(schedule)))
    run_fit(model, tmp_path, schedule)
    changed = (model.word_embeddings.weight != before).any(dim=1).nonzero().flatten().tolist()
    assert changed == sorted(set(batch.piece_ids.flatten().tolist()) - {2} | ({2} & set(changed)))


def test_accuracy_is_a_plain_count() -> None:
    model, dev = Recorder().eval(), held_out()
    right = np.zeros(2)
    known = np.zeros(2)
    at = 0
    for length in LENGTHS:
        words = WORDS[at : at + length]
        ids = torch.tensor([[0, *(3 + 2 * w + i for w in words for i in (0, 1)), 1]])
        with torch.no_grad():
            logits = model(ids, None, torch.arange(1, 1 + 2 * length, 2)).numpy()
        for row, gold in zip(logits, dev.values.numpy()[at : at + length], strict=True):
            best = [part.argmax() for part in np.split(row, np.cumsum(FIELDS)[:-1])]
            if gold[0] >= 0:
                known[0] += 1
                right[0] += best[0] == gold[0]
            if (gold[1:] >= 0).all():
                known[1] += 1
                right[1] += list(best[1:]) == list(gold[1:])
        at += length
    assert known[0] > known[1] > 0 and 0 < right[1] < known[1]
    found = accuracy(model, dev, Fields(FIELDS, 4.0, "cpu"))
    assert found == {
        "pos_acc": pytest.approx(right[0] / known[0]),
        "morph_acc": pytest.approx(right[1] / known[1]),
    }


def test_the_best_weights_are_those_that_the_log_says(tmp_path: Path) -> None:
    model, kept = Recorder(), []
    fields, dev = Fields(FIELDS, 4.0, "cpu"), held_out()

    def keep() -> None:
        scores = accuracy(model, dev, fields)
        kept.append((scores["pos_acc"] + scores["morph_acc"]) / 2)

    rows: list[dict[str, float]] = []
    done = run_fit(model, tmp_path, replace(PLAN, evaluations=9), on_best=keep, on_row=rows.append)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert logged == rows and len(rows) == 9
    scores = [(row["pos_acc"] + row["morph_acc"]) / 2 for row in rows]
    assert len(set(scores)) > 2
    assert kept == pytest.approx([s for i, s in enumerate(scores) if s > max([-1.0, *scores[:i]])])
    assert done.best == pytest.approx(max(scores))
    assert set(rows[0]) == {*("step", "words", "loss", "pos_acc", "morph_acc", "seconds", "words_per_second")}
    thirds = [row["words"] / PLAN.words for row in rows]
    assert all(share >= (i + 1) / 9 for i, share in enumerate(thirds))


def test_the_loss_of_a_row_is_the_mean_of_the_steps_since_the_last(tmp_path: Path) -> None:
    losses: list[float] = []
    rows: list[dict[str, float]] = []
    run_fit(Recorder(), tmp_path, on_step=lambda _, loss: losses.append(float(loss)), on_row=rows.append)
    bounds = [0, *(int(row["step"]) for row in rows)]
    assert [row["loss"] for row in rows] == pytest.approx([np.mean(losses[a:b]) for a, b in pairwise(bounds)])


def test_seconds_end_a_training_and_let_its_rate_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    model = Recorder()
    words: list[int] = []

    def step(progress: Progress, loss: Tensor) -> None:
        now[0] += 1.0
        words.append(progress.words)

    done = run_fit(model, tmp_path, replace(PLAN, words=10**9, seconds=8.0), on_step=step)
    assert (done.step, done.seconds) == (9, 9.0)  # what a step took is known after it
    assert done.rows == PLAN.evaluations


def test_sentences_without_words_are_an_error(tmp_path: Path) -> None:
    class Nothing:
        temperature = 1.0

        def __call__(self, number: int) -> Any:
            epoch = targets()(0)
            return replace(epoch, plan=replace(epoch.plan, bounds=[]))

    with pytest.raises(ValueError, match="have no words"):
        run_fit(Recorder(), tmp_path, targets=Nothing())


class StopError(Exception):
    pass


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="GPU"))]


@pytest.mark.parametrize("conventions", [0, 3])
@pytest.mark.parametrize("device", DEVICES)
def test_a_training_that_was_interrupted_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, conventions: int
) -> None:
    """With dropout, so that the random states count, and a checkpoint after each step."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def strategy() -> Stored:
        return targets(device=device, told=conventions > 0, not_given=0.3)

    whole = Recorder(device, dropout=0.3, conventions=conventions)
    run_fit(whole, tmp_path / "whole", targets=strategy())
    if conventions:
        assert min(whole.head.get_parameter("weight_deltas").abs().amax((1, 2))) > 0.1
    done = [0]
    for at in (2, 7, 8, 15, None):
        model = Recorder(device, dropout=0.3, conventions=conventions)
        torch.rand(done[-1])  # what else was drawn in the new process

        def stop(progress: Progress, loss: Tensor, at: int | None = at) -> None:
            assert progress.step > done[-1]
            if progress.step == at:
                raise StopError  # before its checkpoint

        try:
            run_fit(model, tmp_path / "cut", on_step=stop, targets=strategy())
        except StopError:
            done.append((at or 0) - 1)
            continue
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    logs = []
    for part in ("whole", "cut"):
        rows = [json.loads(row) for row in (tmp_path / part / "log.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in row.items() if "second" not in k} for row in rows])
    assert logs[0] == logs[1]


def test_a_checkpoint_is_written_every_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    saved: list[int] = []
    save = Run.save

    def note(run: Run, model: Tagger, optimizers: Optimizers, progress: Progress) -> None:
        saved.append(progress.step)
        save(run, model, optimizers, progress)

    monkeypatch.setattr(Run, "save", note)

    def step(progress: Progress, loss: Tensor) -> None:
        now[0] += 25.0

    done = run_fit(Recorder(), tmp_path, replace(PLAN, evaluations=1), on_step=step)
    assert saved[:3] == [4, 7, 10]  # the clock is read before a step is told of
    assert saved[-1] == done.step


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    run_fit(Recorder(), tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(ValueError, match=r"checkpoint\.pt: of a training with other inputs or settings"):
        run_fit(Recorder(), tmp_path, replace(PLAN, learn_rate=0.01))
    with pytest.raises(ValueError, match="other inputs or settings"):
        run_fit(Recorder(), tmp_path, targets=targets(temperature=2.0))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    # A limit may be moved.
    assert run_fit(Recorder(), tmp_path, replace(PLAN, seconds=1e9)).rows == PLAN.evaluations
    for change in ("lacks", "has one too many"):
        state = read_state(path)
        if change == "lacks":
            del state["weights"]["head.bias"]
        else:
            state["weights"]["head.more"] = torch.zeros(3)
        write_state(path, state)
        model = Recorder()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(ValueError, match=r"other weights \(head\.(bias|more)"):
            run_fit(model, tmp_path)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        path.write_bytes(files[path])


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    plain = replace(PLAN, evaluations=6)

    def stop(progress: Progress, loss: Tensor) -> None:
        if progress.rows == 3:
            raise StopError

    with pytest.raises(StopError):
        run_fit(Recorder(), tmp_path, plain, on_step=stop)
    log = tmp_path / "log.jsonl"
    first = log.read_text(encoding="utf-8")
    assert len(first.splitlines()) == 3
    # As if it had been killed between a row and its checkpoint, and within the next row.
    log.write_text(first + json.dumps({"step": 9, "seconds": 1}) + '\n{"step": 12', encoding="utf-8")
    run_fit(Recorder(), tmp_path, plain)
    rows = log.read_text(encoding="utf-8").splitlines()
    assert rows[:3] == first.splitlines()
    assert len(rows) == 6 and all(json.loads(row)["loss"] for row in rows)
    # Without a checkpoint it starts anew.
    (tmp_path / "checkpoint.pt").unlink()
    run_fit(Recorder(), tmp_path, plain)
    assert len(log.read_text(encoding="utf-8").splitlines()) == 6


# In a process of its own, with a pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus for `make_training`, with its shards and vocabulary."""
    folder = tmp_path_factory.mktemp("loop")
    make_corpus(folder, {"en_a": 120, "de_a": 40}, joined=False)
    make_training(folder)
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


@pytest.mark.parametrize("told", [False, True])
def test_killed_at_any_time_it_ends_the_same(folder: Path, told: bool) -> None:
    names = [f"{name}-told-{told}" for name in ("plain", "killed")]
    started = time.monotonic()
    process = start(train, folder, names[0], told)
    process.join()
    duration = time.monotonic() - started
    assert process.exitcode == 0
    plain = log_rows(folder / names[0])
    assert len(plain) == SCHEDULE.evaluations
    # It learns: the words are unambiguous.
    assert plain[-1]["loss"] < 0.5 * plain[0]["loss"]
    assert plain[-1]["pos_acc"] > plain[0]["pos_acc"]

    chooser = random.Random()
    killed = 0
    log = folder / names[1] / "log.jsonl"

    def evaluations() -> int:
        return len(log.read_bytes().splitlines()) if log.exists() else 0

    for _ in range(5):
        wanted = evaluations() + chooser.randint(0, 2)
        process = start(train, folder, names[1], told)
        while process.is_alive() and evaluations() < wanted:
            time.sleep(0.002)
        time.sleep(chooser.uniform(0, duration / len(plain)))
        process.kill()
        process.join()
        killed += process.exitcode == -9
    assert killed >= 3
    process = start(train, folder, names[1], told)
    process.join()
    assert process.exitcode == 0
    assert log_rows(folder / names[1]) == plain
    for part in ("last", "model-best"):
        assert_same_folder(folder / names[0] / part, folder / names[1] / part)
    states = [read_state(folder / run / "checkpoint.pt") for run in names]
    for state in states:
        state["progress"].pop("seconds")
        assert state.pop("inputs") and state.pop("cuda") is None
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)

    # Once more, it is at its end already.
    before = log.read_bytes()
    train(folder, names[1], told)
    assert log.read_bytes() == before
    assert_same_folder(folder / names[0] / "last", folder / names[1] / "last")


def test_the_pipeline_that_is_kept_has_the_best_score(folder: Path) -> None:
    training = make_training(folder, replace(SCHEDULE, words=1500), output="best")
    done = training.run()
    best = max((row["pos_acc"] + row["morph_acc"]) / 2 for row in log_rows(folder / "best"))
    assert done.best == pytest.approx(best)
    nlp = spacy.load(folder / "best" / "model-best")
    again = replace(training, nlp=nlp)
    inventory = training.model.pipe.inventory
    fields = Fields([len(values) for _, values in inventory.fields], 4.0, "cpu")
    from mminibert.systems.model import pipeline_model

    scores = accuracy(pipeline_model(again.nlp), training.dev, fields)
    assert (scores["pos_acc"] + scores["morph_acc"]) / 2 == pytest.approx(best)
    assert not [path for path in (folder / "best").iterdir() if path.name.startswith(".")]


def test_the_best_score_survives_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worse than the best before the break is not kept after it."""
    scores = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr(loop, "accuracy", lambda *_: dict.fromkeys(("pos_acc", "morph_acc"), next(scores)))
    kept: list[int] = []
    model = Recorder()

    class BrokenError(Exception):
        pass

    def stop(now: Progress, _: Tensor) -> None:
        if now.evaluated:
            raise BrokenError

    with pytest.raises(BrokenError):
        run_fit(model, tmp_path, on_best=lambda: kept.append(1), on_step=stop)
    run_fit(Recorder(), tmp_path, on_best=lambda: kept.append(2))
    assert kept == [1]


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("scores", [(0.1, 0.5, 0.9), (0.1, 0.9, 0.5), (0.1, 0.9, 0.9)])
def test_best_weights_that_are_gone_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], ended: bool
) -> None:
    """From the checkpoint where it has them, else by training anew, to the same."""
    plan, best = replace(PLAN, evaluations=3), tmp_path / "best.pt"
    run = Run(tmp_path / "log.jsonl", tmp_path / "checkpoint.pt", best=best)
    steps = 0

    def train(stop: bool = False) -> list[str]:
        nonlocal steps
        said: list[str] = []
        found = iter(scores)
        monkeypatch.setattr(loop, "accuracy", lambda *_: dict.fromkeys(("pos_acc", "morph_acc"), next(found)))
        torch.manual_seed(0)
        model = Recorder()
        steps = 0

        def step(now: Progress, _: Tensor) -> None:
            nonlocal steps
            steps += 1
            if stop and now.evaluated == 2:
                raise KeyboardInterrupt

        fit(
            model,
            targets(plan),
            plan,
            Fields(FIELDS, 4.0, "cpu"),
            held_out(),
            run,
            on_best=lambda: torch.save(model.trained(), best),
            on_step=step,
            say=said.append,
        )
        return said

    assert train() == []
    first, whole = torch.load(best), steps
    if not ended:
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(KeyboardInterrupt):
            train(stop=True)
    best.unlink()
    (said,) = train()
    assert said.startswith(str(best))
    again = torch.load(best)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    if ended and scores[1] < scores[2]:
        assert steps == 0 and "made again from the checkpoint" in said
    else:
        assert steps == whole and "training anew" in said
    assert train() == [] and steps == 0


def test_a_training_that_gets_no_more_time_keeps_what_it_has(tmp_path: Path) -> None:
    """It was cut off before its first evaluation."""

    class BrokenError(Exception):
        pass

    def stop(now: Progress, _: Tensor) -> None:
        raise BrokenError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
        steps = iter(range(2))

        def later(now: Progress, loss: Tensor) -> None:
            if next(steps):
                stop(now, loss)

        with pytest.raises(BrokenError):
            run_fit(Recorder(), tmp_path, on_step=later)
    kept: list[int] = []
    done = run_fit(Recorder(), tmp_path, replace(PLAN, seconds=1e-9), on_best=lambda: kept.append(1))
    assert (kept, done.evaluated, done.step) == ([1], PLAN.evaluations, 1)
    run_fit(Recorder(), tmp_path, replace(PLAN, seconds=1e-9), on_best=lambda: kept.append(2))
    assert kept == [1]


def test_masks_are_drawn_anew_for_each_batch_and_epoch() -> None:
    groups = np.zeros(len(LENGTHS), np.int64)
    strategy = Stored(sentences(), groups, LENGTHS, dense, PLAN, masking=0.5, mask_id=2)

    def masks(number: int) -> list[list[bool]]:
        """Of each batch of an epoch, which of its words are masked."""
        return [
            (batch.piece_ids.flatten()[batch.first] == 2).tolist() for batch, _ in strategy(number).batches()
        ]

    first, second = masks(0), masks(1)
    assert masks(0) == first
    for one, other in ((first[0], second[0]), (first[0], first[1])):
        shared = min(len(one), len(other))
        assert shared > 10 and one[:shared] != other[:shared]
    assert 0.3 < np.mean([hidden for batch in first for hidden in batch]) < 0.7
