"""The training loop of teachers and students, on a processor or a GPU; needs PyTorch and NumPy alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

import torch

from .checkpoint import Progress, Run, score_of
from .fields import Fields
from .model import Optimizers, Tagger
from .predict import HeldOut, accuracy
from .ranks import ALONE, Ranks
from .schedule import Schedule
from .targets import Strategy

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints at most."""


def fit(
    model: Tagger,
    targets: Strategy,
    schedule: Schedule,
    fields: Fields,
    held_out: HeldOut,
    run: Run,
    *,
    on_best: Callable[[], None],
    on_step: Callable[[Progress, torch.Tensor], None] = lambda *_: None,
    on_row: Callable[[dict[str, float]], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    ranks: Ranks = ALONE,
) -> Progress:
    """Train to the end of the schedule, from the checkpoint of ``run`` if there is one.

    on_best: told when the model has its best score so far, the mean of the accuracies on ``held_out``; it is to
    keep the weights. on_step: told of each step and its loss. on_row: told of each row of the log. say: told
    if the best weights were kept and are gone. Those that are in the checkpoint are kept again; else it
    trains anew, as only that gives the same ones. ranks: the processes that train together, which all call
    this; losses and weights are those of one alone, but for rounding. Only the first of them evaluates, writes
    the files of ``run``, and tells what it does; ``on_step`` is told on each.
    Raises ValueError if the checkpoint is of another training, or if the sentences have no words.
    """
    settings = {name: value for name, value in asdict(schedule).items() if name != "seconds"}
    run = replace(run, inputs=f"{run.inputs} {settings} {targets.temperature}")
    optimizers = Optimizers(model, schedule)

    def begin() -> Progress:
        again = run.lost and run.has_best(lambda now: schedule.share(now.words, now.seconds) >= 1)
        if run.lost and not again:
            say(f"{run.best} is gone, and the checkpoint has later weights: training anew")
            run.checkpoint.unlink()
        now = run.restore(model, optimizers)
        if again:
            say(f"{run.best} is gone, and made again from the checkpoint")
            on_best()
        return now

    now = ranks.as_first(model, optimizers, begin() if ranks.is_first else Progress())
    replica = ranks.replica(model)

    def evaluate(done: float) -> None:
        scores = accuracy(model, held_out, fields)
        now.seconds = time.perf_counter() - started
        score = score_of(scores)
        if score > now.best:
            now.best = score
            on_best()
        row = {
            "step": now.step,
            "words": now.words,
            "loss": float(now.loss) / max(now.losses, 1),
            **scores,
            "seconds": round(now.seconds, 1),
            "words_per_second": round(now.words / max(now.seconds, 1e-9)),
        }
        run.append(row)
        now.rows, now.losses, now.evaluated = now.rows + 1, 0, int(done * schedule.evaluations)
        now.loss.zero_()
        on_row(row)

    if schedule.share(now.words, now.seconds) >= 1:
        started = time.perf_counter() - now.seconds
        # It was cut off, and is given no more time.
        if ranks.is_first and now.evaluated < schedule.evaluations:
            evaluate(1.0)
            run.save(model, optimizers, now)
        return now
    epoch = targets(now.epoch)  # before the clock starts
    started = time.perf_counter() - now.seconds
    saved = now.seconds
    while True:
        for batch, wanted in epoch.batches(now.batch, ranks.part):
            model.train()
            start = schedule.share(now.words, now.seconds)
            n_words = batch.n_words / ranks.size  # of all, as the mean over the ranks is taken of gradients
            loss = fields.loss(replica(*batch.inputs), wanted, targets.temperature, n_words)
            loss.backward()
            now.words += batch.n_words
            optimizers.step(schedule.rate(start, schedule.share(now.words, now.seconds)))
            now.step, now.batch, now.losses = now.step + 1, now.batch + 1, now.losses + 1
            mean = ranks.mean(loss.detach())
            now.loss += mean
            now.seconds = time.perf_counter() - started
            on_step(now, mean)
            done = schedule.share(now.words, now.seconds)
            if due := ranks.is_first and done * schedule.evaluations >= now.evaluated + 1:
                evaluate(done)
            if due or (ranks.is_first and now.seconds - saved >= CHECKPOINT_SECONDS):
                run.save(model, optimizers, now)
                saved = now.seconds
            now.seconds, done = ranks.of_first(now.seconds, done)
            if done >= 1:
                return now
        if now.words == 0:
            raise ValueError("the sentences to learn from have no words; check the corpus")
        del epoch  # its targets fill much of the device's memory
        now.epoch, now.batch = now.epoch + 1, 0
        epoch = targets(now.epoch)
