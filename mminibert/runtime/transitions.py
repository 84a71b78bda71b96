"""What the labels of the words beside a word say of its own.

A head predicts each word's label from its vector alone. That labels of neighbours go together, as the case of
an adjective with its noun's, is what hidden Markov models and linear-chain conditional random fields have
transitions for (Lafferty et al. 2001, *Conditional Random Fields*, section 3). Here their scores are the
pointwise mutual information (Church and Hanks 1990, *Word Association Norms, Mutual Information, and
Lexicography*, section 3) of labels side by side in training sentences. They are counted, so that what the
encoder knows by heart has no part in them. With l the combinations that the logits y say first, those of word
i become

    y'_i = y_i + A[l_(i-1)] + B[l_(i+1)]

A and B add to the logits of UPOS what the neighbour's UPOS says, and to those of each value of a feature what
its UPOS and its value of that feature say together, of words that have the feature.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .labels import Inventory
from .types import Floats, Ints

__all__ = ["Tables", "scores_of", "tables_of"]

STEP = 1 / 32
"""Scores are kept in steps of so many nats, from -127 to 127 of them."""
UPOS_STRENGTH, FEATURE_STRENGTH = 0.3, 0.7
"""What scores are multiplied by, as the encoder knows part of what they say; chosen on dev sets, see
docs/results/release-0.2.md."""
UPOS_SHRINKAGE, FEATURE_SHRINKAGE = 1.0, 3.0
"""Pairs of labels that are added to those that were seen and to those that were expected."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Of a convention, int8 ``(n_combinations + 1, n_outputs)``, times the scales, float32 ``(n_outputs,)``:
    what a word of each combination adds to the logits of the `next` one and of the `last` one before it. The
    row `edge` is that of a sentence's beginning and end."""

    next: npt.NDArray[np.int8]
    last: npt.NDArray[np.int8]
    scales: Floats

    @property
    def edge(self) -> int:
        return len(self.next) - 1

    def add(self, logits: Floats, before: Ints, after: Ints) -> None:
        """To the logits of some words, float32 ``(n, n_outputs)``, in place. before, after: int32 ``(n,)``,
        the combinations of the words beside them."""
        logits += np.add(self.next[before], self.last[after], dtype=np.int16) * self.scales


@dataclass(frozen=True)
class _Field:
    """A field of an inventory and what tells of it. column: its number. outputs: those that are added to;
    absence, a feature's first, gets nothing. states: int32 ``(n_combinations,)``, the state of each
    combination, of ``n_states``."""

    column: int
    outputs: slice
    states: Ints
    n_states: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its scores: to the next and to the last word; states, after those of combinations of UPOS the
        edge of a sentence; outputs."""
        return 2, self.n_states + (self.column == 0), self.outputs.stop - self.outputs.start


def _fields(inventory: Inventory, values: Ints) -> Iterator[_Field]:
    """values: of the combinations, as `Inventory.encode` gives them. A feature of a single value is left out,
    as UPOS says already whether a word has it."""
    bounds = inventory.starts.tolist()
    for i, (start, end) in enumerate(pairwise(bounds)):
        if i == 0:
            yield _Field(0, slice(start, end), values[:, 0], end - start)
        elif end - start > 2:
            pairs, states = np.unique(values[:, 0] * (end - start) + values[:, i], return_inverse=True)
            yield _Field(i, slice(start + 1, end), states.reshape(-1).astype(np.int32), len(pairs))


def tables_of(scores: npt.NDArray[np.int8], inventory: Inventory) -> Tables:
    """scores: what `scores_of` gave. Raises ValueError if they are not of this inventory."""
    values = inventory.encode(inventory.combinations)
    n, at = len(values), 0
    tables = np.zeros((2, n + 1, inventory.n_outputs), dtype=np.int8)
    scales = np.full(inventory.n_outputs, STEP * FEATURE_STRENGTH, dtype=np.float32)
    scales[: inventory.starts[1]] = STEP * UPOS_STRENGTH
    for field in _fields(inventory, values):
        size = math.prod(field.shape)
        if at + size > len(scores):
            break
        rows = scores[at : at + size].reshape(field.shape)
        tables[:, :n, field.outputs] = rows[:, field.states]
        if field.column == 0:
            tables[:, n, field.outputs] = rows[:, -1]
        at += size
    else:
        if at == len(scores):
            return Tables(tables[0], tables[1], scales)
    raise ValueError(
        f"got {len(scores)} scores of transitions for {n} labels; the files are not of one pipeline, install "
        "it anew"
    )


def scores_of(labels: Iterable[Sequence[tuple[str, str]]], inventory: Inventory) -> npt.NDArray[np.int8]:
    """The scores of the labels of training sentences, in the order of the inventory's fields; unknown labels
    and those that the inventory lacks count for nothing.

    A score is log (n + s) / (e + s), with n how often two labels stand side by side, e how often they would
    by chance, and s the shrinkage.
    """
    values = inventory.encode(inventory.combinations)
    places = {label: i for i, label in enumerate(inventory.combinations)}
    fields = list(_fields(inventory, values))
    counts = [np.zeros(field.shape) for field in fields]
    for sentence in labels:
        if not sentence:
            continue
        own = inventory.encode(sentence)
        known = np.asarray([places.get(label, -1) for label in sentence])
        for field, count in zip(fields, counts, strict=True):
            if field.column == 0:
                states = own[:, 0]
                edge = np.asarray([field.n_states], dtype=np.int32)
                # What stands at the edges of a sentence is counted for the outputs, too.
                _count(count[0], np.concatenate([edge, states]), np.append(states, -1))
                _count(count[1], np.append(states, edge), np.concatenate([[-1], states]))
            else:
                states = np.where(known >= 0, field.states[known], -1)
                given = own[:, field.column] - 1  # absence becomes -1
                _count(count[0], states[:-1], given[1:])
                _count(count[1], states[1:], given[:-1])
    parts = [
        _steps(count, FEATURE_SHRINKAGE if field.column else UPOS_SHRINKAGE).ravel()
        for field, count in zip(fields, counts, strict=True)
    ]
    return np.concatenate(parts)


def _count(counts: np.ndarray, states: Ints, given: Ints) -> None:
    known = (states >= 0) & (given >= 0)
    np.add.at(counts, (states[known], given[known]), 1)


def _steps(counts: np.ndarray, shrinkage: float) -> npt.NDArray[np.int8]:
    totals = np.maximum(counts.sum(axis=(1, 2), keepdims=True), 1)
    expected = counts.sum(axis=2, keepdims=True) * counts.sum(axis=1, keepdims=True) / totals
    scores = np.log((counts + shrinkage) / (expected + shrinkage))
    return np.clip(np.rint(scores / STEP), -127, 127).astype(np.int8)
