"""A trained student as the encoder that runs without torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..runtime.conventions import round_rows
from ..runtime.onnx import MiniBertOnnx, PackedStudent, shim_of
from ..runtime.pieces import StoredPieces
from .export import build_graph
from .quantization import observe_activations

Weights = Mapping[str, npt.NDArray[np.floating]]
LARGEST = 15
"""Rows of word embeddings are whole numbers from -15 to 15, so that a wheel packs them in 5 bits each: dev
sets of 42 treebanks lose 0.01 UPOS and 0.03 UFeats against 8 bits, and the multilingual wheel 8.5 MB."""


def from_student(
    weights: Weights,
    pieces: StoredPieces,
    *,
    num_attention_heads: int,
    word_layers: int = 0,
    layer_norm_eps: float = 1e-12,
    keep_ids: Iterable[int] | None = None,
    largest: int = LARGEST,
    calibration: Sequence[Doc] = (),
    **settings: int,
) -> Model[list[Doc], list[Floats2d]]:
    """Make the encoder from a trained student (needs `onnx`).

    weights: under the names of Hugging Face's `BertModel`, arrays of any float dtype. keep_ids: cut the
    vocabulary to these pieces and the special ones. largest: number in a row of word embeddings. calibration:
    typical text, by which the ranges of 8-bit activations are fixed; without any the graph stays in float32.
    settings: of `MiniBertOnnx`.
    Raises ValueError if weights are missing or do not fit one another or the vocabulary.
    """
    shape: dict[str, Any] = {
        "num_attention_heads": num_attention_heads,
        "word_layers": word_layers,
        "layer_norm_eps": layer_norm_eps,
    }
    graph = build_graph(weights, **shape)
    words, positions, token_types = (_table(weights, kind) for kind in ("word", "position", "token_type"))
    if len(words) != len(pieces):
        raise ValueError(f"{len(pieces)} wordpieces but {len(words)} word embeddings; give the student's own")
    if keep_ids is not None:
        pieces, old_ids = pieces.subset(keep_ids)
        words = words[old_ids]
    word_rows, word_scales = round_rows(words, largest)
    model = MiniBertOnnx(**settings)
    student = PackedStudent(
        graph, pieces, word_rows, word_scales, (positions + token_types[0]).astype(np.float32)
    )
    shim = shim_of(model)
    shim.set_student(student)
    if calibration:
        inputs = (inputs for _, inputs in shim.inputs(calibration))
        graph = build_graph(weights, **shape, activations=observe_activations(graph, inputs))
        shim.set_student(replace(student, graph=graph))
    model.set_dim("nO", student.width)
    return model


def _table(weights: Weights, kind: str) -> npt.NDArray[np.floating]:
    name = f"embeddings.{kind}_embeddings.weight"
    if name not in weights:
        raise ValueError(f"The weights lack {name}. Give the whole state of a Hugging Face BertModel")
    return np.asarray(weights[name])
