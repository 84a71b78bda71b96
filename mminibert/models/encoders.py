"""The weights of an encoder of ours, whatever computes it, by the names that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..runtime.encoder import Encoder
from ..runtime.onnx import OnnxShim
from ..runtime.wordpieces import WordPieces
from .export import read_weights
from .torch_encoder import StudentShim

__all__ = ["POSITIONS", "TOKEN_TYPES", "WORDS", "TrainedEncoder", "export"]

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class TrainedEncoder:
    """Weights by the names of Hugging Face's `BertModel`; sizes by the settings of `MiniBert`."""

    weights: Mapping[str, np.ndarray]
    pieces: WordPieces
    sizes: Mapping[str, int]


def export(encoder: Encoder) -> TrainedEncoder:
    """What a trained encoder is, in torch or packaged. Raises ValueError for any other kind."""
    weights: dict[str, np.ndarray]
    if isinstance(encoder, StudentShim):
        weights = {name: value.detach().cpu().numpy() for name, value in encoder.bert.state_dict().items()}
        heads = encoder.sizes.num_attention_heads
    elif isinstance(encoder, OnnxShim):
        weights, heads = read_weights(encoder.student.graph)
        weights[WORDS] = encoder.student.words
        weights[POSITIONS] = encoder.student.positions
        # Their first row is part of the positions.
        weights[TOKEN_TYPES] = np.zeros((2, encoder.student.width), dtype=np.float32)
    else:
        raise ValueError(f"got an encoder {type(encoder).__name__}, expected one of PyTorch or ONNX Runtime")
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    return TrainedEncoder(
        weights,
        encoder.pieces,
        {
            "hidden_width": weights[WORDS].shape[1],
            "intermediate_width": len(weights["encoder.layer.0.intermediate.dense.bias"]),
            "num_hidden_layers": len(layers),
            "num_attention_heads": heads,
            "max_positions": len(weights[POSITIONS]),
            "max_pieces": encoder.max_pieces,
            "overlap": encoder.overlap,
        },
    )
