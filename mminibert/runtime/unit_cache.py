"""What a network told of units, kept for the next time that they are met."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .segmenter_model import FULL_STOP, UnitReading
from .types import Ints
from .units import hash_unit, is_unspaced

__all__ = ["SENTENCE_FINAL", "UnitCache"]

SENTENCE_FINAL = frozenset(".!?…。！？।։؟۔")

_growing = threading.Lock()
"""A child process must not inherit it while another thread holds it."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_growing.acquire, after_in_parent=_growing.release, after_in_child=_growing.release
    )


class UnitCache:
    """Rows of units: `vector`, float32 of a width; `hash`, uint64 (`hash_unit`); whether it is `unspaced`,
    ends in a full stop that may be a token (`stop`), ends a sentence by its looks (`final`), has `cuts`.

    Threads may share it: it only grows, and a row is there before its number is.
    """

    def __init__(self, width: int) -> None:
        self._numbers: dict[str, int] = {}
        self._cuts: dict[int, tuple[tuple[int, int], ...]] = {}
        flags = [(name, np.bool_) for name in ("unspaced", "stop", "final", "cuts")]
        fields = [("vector", np.float32, (width,)), ("hash", np.uint64), *flags]
        self._rows = np.zeros(1024, dtype=np.dtype(fields, align=True))

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, units: Sequence[str], read: Callable[[Sequence[str]], UnitReading]) -> Ints:
        """int32 ``(n_units,)``, for `rows` and `cuts`; what is not known of them yet is read."""
        get = self._numbers.get
        numbers = [get(unit, -1) for unit in units]
        if -1 in numbers:
            missing = list({unit: None for unit, number in zip(units, numbers, strict=True) if number < 0})
            reading = read(missing)
            with _growing:
                self._add(missing, reading)
            numbers = [self._numbers[unit] for unit in units]
        return np.asarray(numbers, dtype=np.int32)

    def rows(self, numbers: Ints) -> npt.NDArray[np.void]:
        """``(n_units,)``, of all fields."""
        return self._rows.take(numbers)

    def column(self, name: str, numbers: Ints) -> npt.NDArray[np.bool_]:
        """``(n_units,)``, of one flag."""
        found: npt.NDArray[np.bool_] = self._rows[name][numbers]
        return found

    def cuts(self, number: int) -> Sequence[tuple[int, int]]:
        """Of a unit that has some: after how many of its characters what ends."""
        return self._cuts[number]

    def _add(self, units: Sequence[str], reading: UnitReading) -> None:
        for unit, vector, labels in zip(units, reading.vectors, reading.labels, strict=True):
            if unit in self._numbers:  # by another thread
                continue
            number = len(self._numbers)
            if number == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            stop = unit[-1] == FULL_STOP and len(unit) > 1  # whether it is a token is decided in context
            inside = labels[: len(unit) - 1 - stop]
            cuts = tuple((at, label) for at, label in enumerate(inside, start=1) if label)
            if cuts:
                self._cuts[number] = cuts
            self._rows[number] = (
                vector,
                hash_unit(unit),
                is_unspaced(unit),
                stop,
                unit[-1] in SENTENCE_FINAL,
                bool(cuts),
            )
            self._numbers[unit] = number
