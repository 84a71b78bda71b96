"""What a trained student gives to a new one, whether it is in torch or packaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from spacy.language import Language

from ..models.encoders import POSITIONS, WORDS, export
from ..runtime.pipeline import tagger
from .heads import shared_outputs
from .model import HEAD, student_encoder


def continue_from(nlp: Language, trained: Language) -> None:
    """Give a new student what a trained one knows: a student of training, or a packaged one of 8 bits.

    The rows of wordpieces, of positions and of label values that both have are copied, other ones stay as
    they are, and so do layers that the new one has more of, and how it scales pieces of words. The heads of
    the conventions are taken over without their adapter.
    Raises ValueError if the encoders are of different sizes, or the new one has fewer layers.
    """
    shim, pipe, old = student_encoder(nlp), tagger(nlp), tagger(trained)
    encoder = export(old.encoder)
    weights, pieces = dict(encoder.weights), encoder.pieces
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
    ours, theirs = shared_outputs(pipe.inventory, old.inventory)
    for thinc in HEAD.values():
        parameter: Any = np.array(pipe.output_layer.get_param(thinc))
        parameter[ours] = np.asarray(old.output_layer.get_param(thinc))[theirs]
        pipe.output_layer.set_param(thinc, parameter)
    if old.conventions is not None:
        pipe.conventions = replace(old.conventions, adapter=None)
