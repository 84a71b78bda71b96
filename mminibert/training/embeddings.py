"""The student's first embeddings, from a teacher on a device; needs PyTorch and NumPy alone."""

from __future__ import annotations

import numpy as np
import torch

from .dataset import Dataset
from .model import Tagger
from .projection import Projection

BATCH = 4096
"""Wordpieces that are read at once."""


@torch.no_grad()
def first_embeddings(teacher: Tagger, data: Dataset, width: int) -> tuple[np.ndarray, Projection]:
    """For each row of the student's table float32 ``(n_rows, width)``, what the teacher makes of the piece
    alone, projected; and the projection. The piece is read as the teacher's subwords, and its first counts."""
    table, counts = data.bundle.teacher, data.bundle.subword_counts.astype(np.int64)
    teacher.eval()
    offsets = counts.cumsum() - counts
    rows = np.empty((len(counts), teacher.head.in_features), dtype=np.float32)
    for length in np.unique(counts):
        same = np.flatnonzero(counts == length)
        for at in range(0, len(same), BATCH):
            part = same[at : at + BATCH]
            ids = np.full((len(part), length + 2), table.sep_id, dtype=np.int64)
            ids[:, 0] = table.cls_id
            ids[:, 1:-1] = data.bundle.subwords[offsets[part][:, None] + np.arange(length)]
            first = np.arange(len(part)) * (length + 2) + 1
            arrays = (torch.from_numpy(array).to(data.device) for array in (ids, first))
            piece_ids, places = arrays
            rows[part] = teacher.hidden(piece_ids, None, places).float().cpu().numpy()
    projection = Projection.fit(rows, width)
    return projection(rows), projection
