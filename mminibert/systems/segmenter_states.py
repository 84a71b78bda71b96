"""What a trained segmenter's last layers read: the rows that a convention's own labels are products with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..runtime.segmenter_model import SegmenterModel
from ..runtime.session import Session
from ..runtime.types import Floats, Ints

__all__ = ["character_states", "unit_states"]


def unit_states(
    model: SegmenterModel, vectors: Floats, gaps: Ints, pairs: npt.NDArray[np.int64], code: str
) -> Floats:
    """Of units in a row, float32 ``(n_units, unit_width)``. vectors, gaps, pairs: see
    `SegmenterModel.label_units`."""
    number = model.code_numbers[code]
    told = {
        "inputs": model.unit_inputs(vectors[None], gaps[None], pairs[None]),
        "code": model.unit_codes[number][None, :, None],
    }
    n_labels, width = model.label_codes.shape[1], model.unit_codes.rows.shape[1]
    return np.concatenate(list(_read(model.sessions["units"], told, n_labels, width)), axis=1)[0].T


def character_states(model: SegmenterModel, units: Sequence[str], code: str) -> tuple[Floats, Floats]:
    """Of the characters of all units, one after the other, float32 ``(n_characters, width)``, and what is
    added to each label's product, ``(4,)``."""
    n_labels, width = len(model.character_heads.rows) // len(model.codes), model.character_codes.rows.shape[1]
    of_code = model.character_codes[model.code_numbers[code]][None, :, None]
    session, bias = model.sessions["characters"], np.zeros(n_labels, dtype=np.float32)
    found: list[Floats] = [np.zeros((0, width), dtype=np.float32)] * len(units)
    for places, inputs in model.embedded(units):
        told = {**inputs, "code": of_code}
        bias = session.run({**told, "head": np.zeros((n_labels, width), dtype=np.float32)})[0][0, :, 0]
        parts = _read(session, told, n_labels, width)
        rows = np.concatenate([part - bias[: part.shape[1], None] for part in parts], axis=1)
        for place, row in zip(places.tolist(), rows, strict=True):
            found[place] = row[:, : len(units[place])].T
    return np.concatenate(found), bias


def _read(session: Session, told: Mapping[str, Floats], n_labels: int, width: int) -> Iterator[Floats]:
    """The rows that a head is multiplied with, ``(n, some of width, length)``: a head of one row a label
    gives
    these themselves."""
    for start in range(0, width, n_labels):
        head = np.eye(n_labels, width, start, dtype=np.float32)
        yield session.run({**told, "head": head})[0][:, : width - start]
