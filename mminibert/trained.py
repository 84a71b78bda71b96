"""What a trained student gives to a new one, whether it is in torch or packaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from spacy.language import Language

from .features import Inventory
from .models.encoder import StudentShim
from .models.export import read_weights
from .networks import HEAD, Student
from .wordpieces import WordPieces


def continue_from(nlp: Language, trained: Language) -> None:
    """Give a new student what a trained one knows: a student of training, or a packaged one of 8 bits.

    The rows of wordpieces, of positions and of label values that both have are copied, other ones stay as
    they are.
    Raises ValueError if the encoders are of different sizes.
    """
    new = Student(nlp)
    old: Any = trained.get_pipe("morphologizer")
    encoder = trained_encoder(old)
    weights, pieces = dict(encoder.weights), encoder.pieces
    tables = {name: weights.pop(name) for name in (WORDS, POSITIONS)}
    state = new.bert.state_dict()
    wrong = {name for name, value in weights.items() if name in state and state[name].shape != value.shape}
    wrong |= {name for name, table in tables.items() if state[name].shape[1] != table.shape[1]}
    if wrong or weights.keys() | tables.keys() != state.keys():
        raise ValueError(
            f"the trained encoder has other sizes ({', '.join(sorted(wrong)) or 'layers'}); give the new one "
            "those of its config"
        )
    places = {piece: i for i, piece in enumerate(pieces.vocab)}
    shared = [(i, places[piece]) for i, piece in enumerate(new.shim.pieces.vocab) if piece in places]
    rows, positions = state[WORDS].clone(), state[POSITIONS].clone()
    rows[[i for i, _ in shared]] = torch.from_numpy(tables[WORDS][[j for _, j in shared]]).to(rows.device)
    n = min(len(positions), len(tables[POSITIONS]))
    positions[:n] = torch.tensor(tables[POSITIONS][:n], device=positions.device)
    new.bert.load_state_dict(
        {WORDS: rows, POSITIONS: positions, **{k: torch.tensor(v) for k, v in weights.items()}}
    )
    outputs = {value: i for i, value in enumerate(_values(old.inventory))}
    known = [(i, outputs[value]) for i, value in enumerate(_values(new.pipe.inventory)) if value in outputs]
    for thinc in HEAD.values():
        parameter = new.output.get_param(thinc).copy()
        parameter[[i for i, _ in known]] = old.model.get_ref("output_layer").get_param(thinc)[
            [j for _, j in known]
        ]
        new.output.set_param(thinc, parameter)


WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class TrainedEncoder:
    """Weights by the names of Hugging Face's `BertModel`; sizes by the settings of `MiniBert`."""

    weights: Mapping[str, np.ndarray]
    pieces: WordPieces
    sizes: Mapping[str, int]


def trained_encoder(pipe: Any) -> TrainedEncoder:
    """What the encoder of a trained tagger is, whether in torch or packaged."""
    encoder = pipe.model.get_ref("tok2vec")
    shim = encoder.shims[0]
    weights: dict[str, np.ndarray]
    if isinstance(shim, StudentShim):
        weights = {k: v.detach().cpu().numpy() for k, v in shim.bert.state_dict().items()}
        heads = shim.sizes.num_attention_heads
        pieces, windows = shim.pieces, encoder.attrs
    else:
        weights, heads = read_weights(shim.student.graph)
        weights[WORDS] = shim.student.words
        weights[POSITIONS] = shim.student.positions
        # Their first row is part of the positions.
        weights[TOKEN_TYPES] = np.zeros((2, shim.student.width), dtype=np.float32)
        pieces, windows = shim.student.pieces, asdict(shim.settings)
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    return TrainedEncoder(
        weights,
        pieces,
        {
            "hidden_width": weights[WORDS].shape[1],
            "intermediate_width": len(weights["encoder.layer.0.intermediate.dense.bias"]),
            "num_hidden_layers": len(layers),
            "num_attention_heads": heads,
            "max_positions": len(weights[POSITIONS]),
            "max_pieces": windows["max_pieces"],
            "overlap": windows["overlap"],
        },
    )


def _values(inventory: Inventory) -> list[tuple[str, str]]:
    return [(name, value) for name, values in inventory.fields for value in values]
