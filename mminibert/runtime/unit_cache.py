"""What a network told of units, kept for the next time that they are met."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .segmenter_model import FULL_STOP, UnitReading
from .types import Floats, Ints
from .units import hash_unit, is_unspaced

__all__ = ["CUTS", "FINAL", "STOP", "UNSPACED", "UnitCache"]

UNSPACED, STOP, FINAL, CUTS = 1, 2, 4, 8
"""Flags of a unit: it is of a script without blanks; it ends in a full stop that may be a token; it ends a
sentence by its looks; something ends inside of it."""
ABBREVIATION = 4
"""Characters of a unit with a full stop, `Dr.`, up to which its looks say nothing."""
SENTENCE_FINAL = frozenset(".!?…。！？।։؟۔")

_growing = threading.Lock()
"""A child process must not inherit it while another thread holds it."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_growing.acquire, after_in_parent=_growing.release, after_in_child=_growing.release
    )


class UnitCache:
    """Vectors of a width, hashes (`units.hash_unit`) and flags of units, by number.

    Threads may share it: it only grows, and all that it has of a unit is there before the unit's number is.
    """

    def __init__(self, width: int) -> None:
        self._numbers: dict[str, int] = {}
        self._vectors = np.zeros((1024, width), dtype=np.float32)
        self._hashes = np.zeros(1024, dtype=np.uint64)
        self._flags = np.zeros(1024, dtype=np.uint8)
        self._cuts: dict[int, tuple[tuple[int, int], ...]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, units: Sequence[str], read: Callable[[Sequence[str]], UnitReading]) -> Ints:
        """int32 ``(n_units,)``; what is not known of them yet is read."""
        get = self._numbers.get
        numbers = [get(unit, -1) for unit in units]
        if -1 in numbers:
            missing = list({unit: None for unit, number in zip(units, numbers, strict=True) if number < 0})
            reading = read(missing)
            with _growing:
                self._add(missing, reading)
            numbers = [self._numbers[unit] for unit in units]
        return np.asarray(numbers, dtype=np.int32)

    def vectors(self, numbers: Ints) -> Floats:
        """float32 ``(n_units, width)``."""
        return self._vectors.take(numbers, axis=0)

    def hashes(self, numbers: Ints) -> npt.NDArray[np.uint64]:
        """uint64 ``(n_units,)``."""
        return self._hashes.take(numbers)

    def flags(self, numbers: Ints) -> npt.NDArray[np.uint8]:
        """uint8 ``(n_units,)``."""
        return self._flags.take(numbers)

    def cuts(self, number: int) -> Sequence[tuple[int, int]]:
        """Of a unit with `CUTS`: after how many of its characters what ends."""
        return self._cuts[number]

    def _add(self, units: Sequence[str], reading: UnitReading) -> None:
        for unit, vector, labels in zip(units, reading.vectors, reading.labels, strict=True):
            if unit in self._numbers:  # by another thread
                continue
            number = len(self._numbers)
            if number == len(self._flags):
                self._vectors, self._hashes, self._flags = (
                    np.concatenate([rows, np.zeros_like(rows)])
                    for rows in (self._vectors, self._hashes, self._flags)
                )
            stop = unit[-1] == FULL_STOP and len(unit) > 1  # whether it is a token is decided in context
            inside = labels[: len(unit) - 1 - stop]
            cuts = tuple((at, label) for at, label in enumerate(inside, start=1) if label)
            if cuts:
                self._cuts[number] = cuts
            self._vectors[number], self._hashes[number] = vector, hash_unit(unit)
            self._flags[number] = (
                UNSPACED * is_unspaced(unit)
                | STOP * stop
                | FINAL * (unit[-1] in SENTENCE_FINAL and not (stop and len(unit) <= ABBREVIATION))
                | CUTS * bool(cuts)
            )
            self._numbers[unit] = number
