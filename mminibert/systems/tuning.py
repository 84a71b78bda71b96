"""Encoder and conventions of a packaged pipeline that learn together; needs torch.

A fit of conventions (`convention_fit`) leaves the encoder as it is, which learned with other heads. Here all
learn on together, from sentences such as a fit reads: the encoder, the adapter, the forms and the heads of
the conventions (see `runtime.conventions` for the formula), and the head for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from torch import Tensor

from ..files import folder_sha256, sha256
from ..models.quantized import from_student
from ..packaging.assemble import assemble, parts_of
from ..runtime.conventions import Convention
from ..runtime.onnx import shim_of
from ..runtime.pipeline import tagger
from ..runtime.types import Ints
from ..runtime.windows import Window, windows
from ..training.checkpoint import Progress, Run
from .convention_fit import form_ids
from .convention_text import LabelledText
from .conventions import material, start_head
from .joint_tagger import JointOptimizers, JointTagger, Lesson, Tuning, is_off
from .manifest import MANIFEST, SOFT_TARGETS

__all__ = ["plan", "tune"]

CHECKPOINT_SECONDS = 120.0
MOST = 1.5
"""Of a convention at most so many times the words that an average one shows are read."""
JITTER = 4.0
"""Pieces by which windows of one batch may differ in length at random."""


def tune(
    nlp: Language,
    corpus: Path,
    tuning: Tuning,
    output: Path,
    *,
    known: Collection[str],
    calibration: Sequence[Doc],
    text: LabelledText | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_step: Callable[[Progress, Tensor], None] = lambda *_: None,
) -> tuple[Language, Progress]:
    """A packaged pipeline whose encoder, conventions and head for all have learned on together, and how far
    that went. What finds languages and lexicons is not of the new vectors: fit it anew.

    output: the folder of log and checkpoint; an interrupted run goes on from these. known, text: as for
    `fit_conventions`. calibration: see `quantize`. say: told of each convention. on_step: told of each step
    and its loss. Raises ValueError if the conventions have no adapter, are all off or of another corpus,
    or the checkpoint is of another run.
    """
    torch.manual_seed(tuning.seed)
    model = JointTagger(nlp, tuning)
    codes = [head.code for head in model.before.heads if not is_off(head)]
    if not codes:
        raise ValueError("none of the conventions has a head of its own, expected one at least")
    most = MOST * tuning.words / len(codes)
    lessons = {}
    for code in codes:
        lessons[code] = _lesson(nlp, corpus, model, code, most, known, text, tuning.seed)
        say(f"{code}: {len(lessons[code].values):,} words, which the encoder learns from too")
    run = Run(output / "log.jsonl", output / "checkpoint", inputs=_inputs(nlp, corpus, tuning))
    optimizers = JointOptimizers(model, tuning)
    progress = run.restore(model, optimizers)
    _learn(model, optimizers, lessons, tuning, run, progress, on_step)
    return _packaged(nlp, model, calibration), progress


def plan(lessons: Mapping[str, Lesson], tuning: Tuning) -> Iterator[list[tuple[str, list[int]]]]:
    """Without end, what each step learns from: some conventions, and of each the numbers of windows of like
    length. Always the same for the same lessons and seed; a convention's windows come in another order each
    time that all of them were seen."""
    random = np.random.default_rng([tuning.seed, 1])
    codes = list(lessons)
    shares = np.asarray([len(lessons[code].values) for code in codes], dtype=np.float64) ** tuning.exponent
    shares /= shares.sum()
    left: dict[str, list[list[int]]] = {code: [] for code in codes}
    while True:
        step = []
        for place in random.choice(len(codes), min(tuning.conventions, len(codes)), replace=False, p=shares):
            code = codes[place]
            if not left[code]:
                left[code] = _batches(lessons[code].windows, tuning.pieces, random)
            step.append((code, left[code].pop()))
        yield step


def _batches(found: Sequence[Window], pieces: int, random: np.random.Generator) -> list[list[int]]:
    """Numbers of windows of like length, at most so many padded pieces each, in random order."""
    lengths = np.asarray([len(window.piece_ids) for window in found])
    batches: list[list[int]] = []
    longest = 0
    for i in np.argsort(lengths + random.random(len(lengths)) * JITTER).tolist():
        longest = max(longest, int(lengths[i]))
        if not batches or longest * (len(batches[-1]) + 1) > pieces:
            batches.append([])
            longest = int(lengths[i])
        batches[-1].append(i)
    return [batches[i] for i in random.permutation(len(batches)).tolist()]


def _learn(
    model: JointTagger,
    optimizers: JointOptimizers,
    lessons: Mapping[str, Lesson],
    tuning: Tuning,
    run: Run,
    progress: Progress,
    on_step: Callable[[Progress, Tensor], None],
) -> None:
    schedule = tuning.schedule
    started = saved = time.perf_counter() - progress.seconds
    model.train()
    for step in islice(plan(lessons, tuning), progress.step, None):
        before = schedule.share(progress.words, progress.seconds)
        if before >= 1:
            break
        total = torch.zeros(())
        for code, chosen in step:
            loss, n_words = model.loss(code, lessons[code], chosen, tuning.not_given)
            (loss / len(step)).backward()
            total += loss.detach() / len(step)
            progress.words += n_words
        progress.seconds = time.perf_counter() - started
        done = schedule.share(progress.words, progress.seconds)
        optimizers.step(schedule.rate(before, done))
        progress.step, progress.losses, progress.loss = (
            progress.step + 1,
            progress.losses + 1,
            progress.loss + total,
        )
        on_step(progress, total)
        if done * tuning.rows >= progress.rows + 1:
            mean = float(progress.loss) / progress.losses
            run.append(
                {
                    "step": progress.step,
                    "words": progress.words,
                    "loss": mean,
                    "seconds": round(progress.seconds),
                }
            )
            progress.rows, progress.losses = progress.rows + 1, 0
            progress.loss.zero_()
        if done >= 1 or progress.seconds + started - saved >= CHECKPOINT_SECONDS:
            run.save(model, optimizers, progress)
            saved = time.perf_counter()
    model.eval()


def _lesson(
    nlp: Language,
    corpus: Path,
    model: JointTagger,
    code: str,
    most: float,
    known: Collection[str],
    text: LabelledText | None,
    seed: int,
) -> Lesson:
    inventory, sentences, taught = material(nlp, corpus, model.before, code, known, text, seed)
    own = model.before.head(code).inventory
    if inventory.combinations != own.combinations:
        raise ValueError(
            f"{code}: the convention has other labels than its treebank; fit the conventions anew"
        )
    both = [(words, own.encode(labels)) for words, labels in sentences]
    if taught is not None:
        ends = np.cumsum([len(words) for words in taught.sentences])
        both += zip(taught.sentences, np.split(taught.values, ends[:-1]), strict=True)
    random = np.random.default_rng([seed, 2])
    drawn: list[tuple[list[str], Ints]] = []
    n = 0
    for i in random.permutation(len(both)).tolist():
        if n >= most:
            break
        drawn.append(both[i])
        n += len(both[i][0])
    table = model.before.forms(code)
    places = {} if table is None else {feature: i for i, feature in enumerate(table.features)}
    docs = [Doc(nlp.vocab, words=words) for words, _ in drawn]
    return Lesson(
        list(windows(docs, model.pieces, **model.cuts)),
        np.cumsum([0, *map(len, docs)]),
        np.concatenate([values for _, values in drawn]),
        form_ids([word for words, _ in drawn for word in words], places),
    )


def _packaged(nlp: Language, model: JointTagger, calibration: Sequence[Doc]) -> Language:
    state = {name: value.numpy() for name, value in model.bert.state_dict().items()}
    sizes = model.sizes
    student = from_student(
        state,
        model.pieces,
        num_attention_heads=sizes.num_attention_heads,
        word_layers=sizes.word_layers,
        calibration=calibration,
        max_pieces=model.cuts["max_pieces"],
        overlap=model.cuts["overlap"],
    )
    weights, bias = (value.detach().numpy().copy() for value in (model.head.weight, model.head.bias))
    parts = replace(
        parts_of(nlp),
        student=shim_of(student).student,
        weights=weights,
        bias=bias,
        languages=None,
        conventions=model.conventions(),
    )
    tuned = assemble(nlp, parts, encoder=model.cuts)
    pipe = tagger(tuned)
    assert pipe.conventions is not None
    for head in pipe.conventions.heads:
        if is_off(head):
            again = Convention.of(
                head.code, head.inventory, *start_head(tuned, head.inventory), head.embedding
            )
            pipe.conventions = pipe.conventions.with_head(again)
    return tuned


def _inputs(nlp: Language, corpus: Path, tuning: Tuning) -> str:
    """What a checkpoint depends on."""
    files = [corpus / "manifest.json", corpus / SOFT_TARGETS / MANIFEST]
    made_with = [sha256(path) for path in files if path.exists()]
    settings = replace(tuning, seconds=0.0)
    return " ".join([*made_with, *([folder_sha256(nlp.path)] if nlp.path else []), str(settings)])
