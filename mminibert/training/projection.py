"""From the teacher's width to the student's; needs NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEVIATION = 0.03


@dataclass(frozen=True)
class Projection:
    """mean: float32 ``(teacher_width,)``. matrix: float32 ``(teacher_width, width)``."""

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, width: int) -> Projection:
        """Principal components of float32 ``(n, teacher_width)``, flattened.

        Each component is divided by the square root of its deviation, so that the strong ones do not drown
        the rest, and the whole is scaled to a deviation of 0.03. A teacher narrower than ``width`` leaves
        the last columns zero.
        """
        mean = rows.mean(axis=0)
        centred = rows - mean
        _, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        matrix = vectors[:, ::-1][:, :width]
        matrix = matrix / np.sqrt((centred @ matrix).std(axis=0) + 1e-8)
        matrix = matrix * (DEVIATION / (centred @ matrix).std())
        padding = max(width - matrix.shape[1], 0)
        return cls(mean, np.pad(matrix, ((0, 0), (0, padding))).astype(np.float32))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """float32 ``(n, teacher_width)`` to ``(n, width)``."""
        return ((rows - self.mean) @ self.matrix).astype(np.float32)
