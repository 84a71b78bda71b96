"""What a trained teacher or student gives to a new one; the student may be packaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from spacy.language import Language

from ..models.encoders import POSITIONS, WORDS, export
from ..models.transformer import TRANSFORMER, hugging_face
from ..runtime.pipeline import tagger
from .heads import shared_outputs
from .model import HEAD, student_encoder

LAYER = "encoder.layer."


def continue_from(nlp: Language, trained: Language) -> None:
    """Give a new student what a trained one knows, one of training or a packaged one of 8 bits; or a new
    teacher what a trained one knows.

    The rows of wordpieces, of positions and of label values that both have are copied, other ones stay as
    they are, and so does how pieces of words are scaled. Layers that a new student has more of change next to
    nothing at first, see `deepened`. The heads of the conventions are taken over without their adapter.
    Raises ValueError if the encoders are of different sizes, or the new one has fewer layers, and for a
    teacher if the trained pipeline is none.
    """
    if TRANSFORMER in nlp.component_names:
        _continue_teacher(nlp, trained)
    else:
        _continue_student(nlp, trained)
    pipe, old = tagger(nlp), tagger(trained)
    ours, theirs = shared_outputs(pipe.inventory, old.inventory)
    for thinc in HEAD.values():
        parameter: Any = np.array(pipe.output_layer.get_param(thinc))
        parameter[ours] = np.asarray(old.output_layer.get_param(thinc))[theirs]
        pipe.output_layer.set_param(thinc, parameter)
    if old.conventions is not None:
        pipe.conventions = replace(old.conventions, adapter=None)


def _continue_teacher(nlp: Language, trained: Language) -> None:
    state, found = (hugging_face(each)[1].state_dict() for each in (nlp, trained))
    if {name: value.shape for name, value in state.items()} != {n: value.shape for n, value in found.items()}:
        raise ValueError(
            "the trained teacher's encoder has other sizes; give the new one those of its config"
        )
    hugging_face(nlp)[1].load_state_dict(found)


def _continue_student(nlp: Language, trained: Language) -> None:
    shim = student_encoder(nlp)
    encoder = export(tagger(trained).encoder)
    below = shim.sizes.num_hidden_layers - shim.sizes.word_layers
    weights, pieces = deepened(encoder.weights, shim.sizes.num_hidden_layers, below), encoder.pieces
    tables = {name: weights.pop(name) for name in (WORDS, POSITIONS)}
    state = shim.bert.state_dict()
    wrong = {name for name, value in weights.items() if name in state and state[name].shape != value.shape}
    wrong |= {name for name, table in tables.items() if state[name].shape[1] != table.shape[1]}
    wrong |= weights.keys() - state.keys()
    new = state.keys() - weights.keys() - tables.keys()
    if wrong:
        raise ValueError(
            f"the trained encoder has other sizes ({', '.join(sorted(wrong))}); give the new one those of "
            "its config, and no fewer layers"
        )
    places = {piece: i for i, piece in enumerate(pieces.vocab)}
    shared = [(i, places[piece]) for i, piece in enumerate(shim.pieces.vocab) if piece in places]
    rows, positions = state[WORDS].clone(), state[POSITIONS].clone()
    rows[[i for i, _ in shared]] = torch.from_numpy(tables[WORDS][[j for _, j in shared]]).to(rows.device)
    n = min(len(positions), len(tables[POSITIONS]))
    positions[:n] = torch.tensor(tables[POSITIONS][:n], device=positions.device)
    shim.bert.load_state_dict(
        {
            **{name: state[name] for name in new},
            **{WORDS: rows, POSITIONS: positions},
            **{name: torch.tensor(value) for name, value in weights.items()},
        }
    )


def deepened(weights: Mapping[str, np.ndarray], n_layers: int, place: int) -> dict[str, np.ndarray]:
    """The weights of an encoder, with layers put in before the one of a number until it has so many.

    A new layer is a copy of the one before whose outputs are 0, so that only its two LayerNorms change what
    goes through: ``x = g z + b`` with z of mean 0 and variance 1 becomes z again, thus their weight is the
    deviation of x, ``sqrt(mean(g^2) + var(b))``, and their bias its mean, ``mean(b)``, over the width.
    """
    found = dict(weights)
    n_old = len({name.split(".")[2] for name in weights if name.startswith(LAYER)})
    extra = max(n_layers - n_old, 0)
    source = min(place, n_old) - 1
    for name in [name for name in weights if name.startswith(LAYER)]:
        layer, rest = name.removeprefix(LAYER).split(".", 1)
        if int(layer) > source:
            found[f"{LAYER}{int(layer) + extra}.{rest}"] = weights[name]
    g, b = (weights[f"{LAYER}{source}.output.LayerNorm.{part}"] for part in ("weight", "bias"))
    size, middle = np.sqrt((g**2).mean() + b.var()), b.mean()
    for i in range(source + 1, source + 1 + extra):
        for name, value in weights.items():
            if not name.startswith(f"{LAYER}{source}."):
                continue
            rest = name.removeprefix(f"{LAYER}{source}.")
            if rest.endswith("LayerNorm.weight"):
                value = np.full_like(value, size)
            elif rest.endswith("LayerNorm.bias"):
                value = np.full_like(value, middle)
            elif "output.dense" in rest:
                value = np.zeros_like(value)
            found[f"{LAYER}{i}.{rest}"] = value
    return found
