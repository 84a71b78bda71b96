"""A student without torch predicts what the student in torch does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from students import round_embeddings

from mminibert.packaging.quantize import compare, quantize

TEXTS = ["the dog sees the dogs .", "жéé saw 中 .", "dogs", "the " * 60 + "."]


def logits(nlp: Language) -> np.ndarray:
    pipe: Any = nlp.get_pipe("morphologizer")
    return pipe.logits([nlp.make_doc(text) for text in TEXTS])


def test_logits_are_those_of_the_student_with_rounded_embeddings(
    make_student: Callable[..., Language], tmp_path: Path
) -> None:
    student = make_student()
    light = quantize(student, [])
    light.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert np.array_equal(logits(light), logits(loaded))
    round_embeddings(student)
    assert logits(loaded) == pytest.approx(logits(student), abs=1e-4)


def test_only_students_are_quantized() -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("factored_morphologizer", name="morphologizer")
    with pytest.raises(ValueError, match=r"expected mminibert\.MiniBert\.v1"):
        quantize(nlp, [])


def test_comparison_by_hand(make_student: Callable[..., Language]) -> None:
    """Two students of other weights, compared with a count over their annotated Docs."""
    first, second = make_student(), make_student()
    pipe: Any = second.get_pipe("morphologizer")
    head = pipe.model.get_ref("output_layer")
    head.set_param("W", np.random.default_rng(0).normal(size=head.get_param("W").shape).astype(np.float32))
    gold = [first.make_doc(text) for text in TEXTS]
    token: Any
    for doc in gold:
        for token in doc:
            token.pos_ = "NOUN"
            token.set_morph("Number=Sing|Foo=Bar")
    found = compare(first, second, gold)
    # All features of these students are universal.
    tokens = [
        [(token.pos_, str(token.morph)) for doc in nlp.pipe(TEXTS) for token in doc]
        for nlp in (first, second)
    ]
    n = len(tokens[0])
    pairs = list(zip(*tokens, strict=True))
    assert found["words"] == n == sum(map(len, gold))
    assert found["same"] == sum(a == b for a, b in pairs) / n
    assert found["same_upos"] == sum(a[0] == b[0] for a, b in pairs) / n
    assert found["upos"] == sum((b[0] == "NOUN") - (a[0] == "NOUN") for a, b in pairs) / n
    wanted = "Number=Sing"
    assert found["ufeats"] == sum((b[1] == wanted) - (a[1] == wanted) for a, b in pairs) / n
    assert 0 < found["same"] < 1
    assert sum(b[1] == "" for _, b in pairs) != sum(a[1] == "" for a, _ in pairs)
    for doc in gold:  # now nobody knows whether that is right
        for token in doc:
            token.set_morph(None)
    assert compare(first, second, gold)["ufeats"] == 0.0
