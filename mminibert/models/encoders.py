"""The weights of an encoder of ours, whatever computes it, by the names that all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from spacy.language import Language

from ..runtime.encoder import Encoder
from ..runtime.onnx import OnnxShim
from ..runtime.pieces import StoredPieces
from ..runtime.pipeline import pipeline_encoder
from .export import read_weights
from .torch_encoder import StudentShim
from .transformer import TRANSFORMER, hugging_face, is_as_the_graph, stored_pieces

__all__ = ["POSITIONS", "TOKEN_TYPES", "WORDS", "TrainedEncoder", "export", "export_from"]

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
LAYER_NORM_EPS = 1e-12
"""Of BERT, and of the graphs and modules of `models`."""
WINDOWS = {"max_pieces": 128, "overlap": 32}
"""In which a transformer reads a long sentence once it is an encoder of ours, as a student does."""


@dataclass(frozen=True)
class TrainedEncoder:
    """Weights by the names of Hugging Face's `BertModel`; sizes by the settings of `MiniBert`."""

    weights: Mapping[str, np.ndarray]
    pieces: StoredPieces
    sizes: Mapping[str, int]


def export(encoder: Encoder) -> TrainedEncoder:
    """What a trained encoder is, in torch or packaged. Raises ValueError for any other kind."""
    weights: dict[str, np.ndarray]
    if isinstance(encoder, StudentShim):
        weights = {name: value.detach().cpu().numpy() for name, value in encoder.bert.state_dict().items()}
        heads, word_layers = encoder.sizes.num_attention_heads, encoder.sizes.word_layers
    elif isinstance(encoder, OnnxShim):
        weights, heads, word_layers = read_weights(encoder.student.graph)
        weights[WORDS] = encoder.student.words
        weights[POSITIONS] = encoder.student.positions
        # Their first row is part of the positions.
        weights[TOKEN_TYPES] = np.zeros((2, encoder.student.width), dtype=np.float32)
    else:
        raise ValueError(f"got an encoder {type(encoder).__name__}, expected one of PyTorch or ONNX Runtime")
    windows = {"max_pieces": encoder.max_pieces, "overlap": encoder.overlap}
    return TrainedEncoder(weights, encoder.pieces, {**_sizes(weights, heads, word_layers), **windows})


def export_from(nlp: Language) -> TrainedEncoder:
    """`export` of a pipeline's encoder, or of the transformer that its tagger listens to. Raises ValueError
    for a transformer that the graph cannot compute."""
    if TRANSFORMER not in nlp.component_names:
        return export(pipeline_encoder(nlp))
    tokenizer, transformer = hugging_face(nlp)
    config = transformer.config
    if (
        not is_as_the_graph(config) or config.layer_norm_eps > LAYER_NORM_EPS
    ):  # 0 in pipelines that spaCy stored
        raise ValueError(
            f"got a transformer of the kind {config.model_type!r}, expected one as BERT, with exact GELU, "
            f"absolute positions and layer_norm_eps {LAYER_NORM_EPS:g}; take another teacher"
        )
    state = transformer.state_dict()
    weights = {name: value.float().cpu().numpy() for name, value in state.items() if "pooler" not in name}
    sizes = _sizes(weights, config.num_attention_heads)
    pieces = stored_pieces(tokenizer)
    weights[WORDS] = weights[WORDS][: len(pieces)]  # further rows are of added tokens, or of none
    weights[POSITIONS] = weights[POSITIONS][: WINDOWS["max_pieces"]]
    return TrainedEncoder(weights, pieces, {**sizes, **WINDOWS})


def _sizes(weights: Mapping[str, np.ndarray], heads: int, word_layers: int = 0) -> dict[str, int]:
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    return {
        "hidden_width": weights[WORDS].shape[1],
        "intermediate_width": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
        "max_positions": len(weights[POSITIONS]),
        "word_layers": word_layers,
    }
