"""The loop gives the losses of the two loops that it took the place of (golden/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import nn

from mminibert.models.bert import BertEncoder, Sizes
from mminibert.training.batches import Sentences, Table
from mminibert.training.bundle import Bundle
from mminibert.training.checkpoint import Run
from mminibert.training.dataset import Dataset, make_student, make_teacher
from mminibert.training.fields import Fields
from mminibert.training.loop import fit
from mminibert.training.model import Tagger
from mminibert.training.pieces import PieceTable, distinct
from mminibert.training.predict import HeldOut
from mminibert.training.schedule import Schedule
from mminibert.training.targets import Replaced, Stored, Strategy, Taught

GOLDEN = json.loads((Path(__file__).parent / "golden" / "losses.json").read_text(encoding="utf-8"))
SENTENCES, FIELDS, SIZES = GOLDEN["sentences"], GOLDEN["fields"], Sizes(**GOLDEN["sizes"])
FORMS, WORDS, LENGTHS = distinct(SENTENCES)
PIECES = {piece: i for i, piece in enumerate(GOLDEN["vocabulary"])}
STEPS = 12
TABLE = PieceTable(
    counts=np.full(len(FORMS), 3, np.uint8),
    pieces=np.asarray([PIECES[p] for w in FORMS for p in (w[0], *(f"##{c}" for c in w[1:]))], np.int32),
    cls_id=PIECES["[CLS]"],
    sep_id=PIECES["[SEP]"],
    pad_id=PIECES["[PAD]"],
    blank_id=-1,
    max_pieces=64,
)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As both loops computed, whatever this processor has."""
    monkeypatch.setattr("mminibert.training.model.has_bfloat16", lambda: False)


def set_weights(model: nn.Module, seed: int) -> None:
    with torch.no_grad():
        for name, value in model.named_parameters():
            random = np.random.default_rng([seed, crc32(name.encode())])
            drawn = random.normal(scale=0.2, size=tuple(value.shape)) + name.endswith("LayerNorm.weight")
            value.copy_(torch.from_numpy(drawn.astype(np.float32)))


def by_field(rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(FIELDS)[:-1], axis=1)


def normalised(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([part / part.sum(1, keepdims=True) for part in by_field(rows)], axis=1)


def losses(
    model: Tagger, targets: Strategy, schedule: Schedule, fields: Fields, held_out: HeldOut, folder: Path
) -> list[float]:
    """The loss of each step, as the log has it."""
    rows: list[dict[str, float]] = []
    run = Run(folder / "log.jsonl", folder / "checkpoint.pt")
    fit(model, targets, schedule, fields, held_out, run, on_best=lambda: None, on_row=rows.append)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    return [row["loss"] for row in rows]


def schedule(words: int, warmup: float) -> Schedule:
    return Schedule(words=words, warmup=warmup, evaluations=STEPS, **GOLDEN["schedule"])


def test_stored_targets_at_a_temperature_as_on_the_processor(tmp_path: Path) -> None:
    drawn = np.random.default_rng(3).normal(scale=1.0, size=(len(WORDS), sum(FIELDS)))
    # Half precision, as they were stored.
    probabilities = normalised(np.exp(drawn)).astype(np.float16).astype(np.float32)

    def dense(words: np.ndarray, temperature: float) -> np.ndarray:
        return normalised(probabilities[words] ** (1 / temperature)).astype(np.float32)

    model = Tagger(BertEncoder(len(PIECES), SIZES), nn.Linear(SIZES.hidden_width, sum(FIELDS)))
    set_weights(model, 5)
    words, lengths = torch.from_numpy(WORDS).long(), torch.from_numpy(LENGTHS).long()
    sentences = Sentences(words, lengths, Table(TABLE, "cpu"))
    plan = schedule(STEPS * len(WORDS), 0.25)
    groups = np.zeros(len(LENGTHS), np.int64)
    targets = Stored(sentences, groups, LENGTHS, dense, plan, temperature=2.0)
    dev = HeldOut(sentences, torch.zeros(len(WORDS), len(FIELDS), dtype=torch.int64))
    found = losses(model, targets, plan, Fields(FIELDS, 4.0, "cpu"), dev, tmp_path)
    assert found == pytest.approx(GOLDEN["processor"], rel=1e-4)


def test_a_teacher_and_gold_labels_as_on_a_gpu(tmp_path: Path) -> None:
    values = np.asarray(GOLDEN["values"], np.int8)
    places = np.arange(len(WORDS))
    bert = BertEncoder(len(PIECES), SIZES).state_dict()
    role: dict[str, Any] = {"schedule": {"seed": 1}, "sizes": GOLDEN["sizes"]}
    ids = np.arange(len(PIECES), dtype=np.int32)
    bundle = Bundle(
        {"fields": FIELDS, "upos_weight": 4.0, "groups": ["en_a"], "teacher": role, "student": role},
        words=WORDS,
        lengths=LENGTHS,
        kinds=np.zeros(len(FORMS), np.int32),
        groups=np.zeros(len(LENGTHS), np.int16),
        labels=np.where(places < len(WORDS) // 2, places % len(values), -1).astype(np.int32),
        dev=np.arange(len(LENGTHS)) == 0,
        values=values,
        teacher=TABLE,
        student=TABLE,
        ids={"teacher": ids, "student": ids},
        subword_counts=np.zeros(0, np.uint8),
        subwords=np.zeros(0, np.int32),
        weights={name: value.numpy() for name, value in bert.items()},
    )
    data = Dataset(bundle, "cpu")
    teacher = make_teacher(data)
    student = make_student(data, bundle.weights["embeddings.word_embeddings.weight"])
    teacher.word_embeddings.weight.requires_grad_(True)
    set_weights(teacher, 6)
    set_weights(student, 5)
    plan = schedule(STEPS * (len(WORDS) - int(LENGTHS[0])), 0.0)
    targets = Taught(teacher, data, plan, Replaced(sentences=0.0, words=0.0, passes=2))
    found = losses(student, targets, plan, data.fields, data.held_out("student"), tmp_path)
    assert found == pytest.approx(GOLDEN["gpu"], rel=1e-4)
