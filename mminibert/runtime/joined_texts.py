"""Texts laid end to end, so that they are read at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .normal_form import NormalText

__all__ = ["JoinedTexts", "join"]

BETWEEN = "\n\n"
"""An empty line, over which no token, sentence or special case goes."""


class JoinedTexts(NamedTuple):
    """starts, ends: int64 ``(n_texts,)``, where each of them is in the text."""

    text: str
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def places(self, normals: Sequence[NormalText | None]) -> npt.NDArray[np.int64]:
        """int64: where each place of the texts' normal forms, joined, is in this one. normals: of each text;
        None where it is its own."""
        parts = [
            np.append(np.arange(end - start + 1) if normal is None else normal.places, end - start) + start
            for normal, start, end in zip(normals, self.starts.tolist(), self.ends.tolist(), strict=True)
        ]
        return np.concatenate(parts)


def join(texts: Sequence[str]) -> JoinedTexts:
    """Texts with an empty line between each and the next."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    ends = lengths.cumsum() + len(BETWEEN) * np.arange(len(texts))
    return JoinedTexts(BETWEEN.join(texts), ends - lengths, ends)
