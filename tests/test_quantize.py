"""A student without torch predicts what the student in torch does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from mminibert.models.quantization import quantize_rows
from mminibert.quantize import quantize

TEXTS = ["the dog sees the dogs .", "жéé saw 中 .", "dogs", "the " * 60 + "."]


def logits(nlp: Language) -> np.ndarray:
    pipe: Any = nlp.get_pipe("morphologizer")
    return np.concatenate(pipe.model.predict([nlp.make_doc(text) for text in TEXTS]))


def test_logits_are_those_of_the_student_with_rounded_embeddings(
    make_student: Callable[..., Language], tmp_path: Path
) -> None:
    student = make_student()
    light = quantize(student, [])
    light.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert np.array_equal(logits(light), logits(loaded))
    pipe: Any = student.get_pipe("morphologizer")
    table = pipe.model.get_ref("tok2vec").shims[0].bert.embeddings.word_embeddings.weight
    rows, scales = quantize_rows(table.detach().numpy())
    with torch.no_grad():
        table.copy_(torch.from_numpy(rows * scales[:, None]))
    assert logits(loaded) == pytest.approx(logits(student), abs=1e-4)


def test_only_students_are_quantized() -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("factored_morphologizer", name="morphologizer")
    with pytest.raises(ValueError, match="only students"):
        quantize(nlp, [])
