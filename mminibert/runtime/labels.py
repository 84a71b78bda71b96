"""The inventory of labels: UPOS, the UD features with their values, and the combinations seen.

UPOS and every feature is a field with a softmax of its own. The first value of a feature is the empty
string: the word does not carry it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from .losses import one_hot
from .types import Floats, Ints

UPOS = "UPOS"
SCORED_AT_ONCE = 256
"""Words; bounds the memory for the scores of all combinations."""
UNFAVOURED = 0.01
"""Factor of the probability of combinations that no language of the sentence has."""
Label = tuple[str, str]
"""UPOS and FEATS of a word, FEATS in CoNLL-U notation with ``_`` for none; "" where unknown."""


@lru_cache(maxsize=65536)
def parse_feats(feats: str) -> tuple[tuple[str, str], ...]:
    """``"Case=Nom|Number=Sing"`` as pairs; ``_`` and "" as no pairs. Raises ValueError."""
    if feats in ("", "_"):
        return ()
    pairs = []
    for cell in feats.split("|"):
        name, equals, value = cell.partition("=")
        if not (name and equals and value):
            raise ValueError(f"got {cell!r} in FEATS {feats!r}, expected Name=Value")
        pairs.append((name, value))
    return tuple(pairs)


@dataclass(frozen=True)
class Inventory:
    """Fields with their values, and the combinations of UPOS and FEATS that occur.

    Raises ValueError if a combination has a value that no field lists.
    """

    fields: tuple[tuple[str, tuple[str, ...]], ...]
    combinations: tuple[Label, ...]

    @classmethod
    def from_labels(cls, labels: Iterable[Label]) -> Inventory:
        """The inventory of fully labelled words; the order of the input does not matter."""
        combinations = sorted({(upos, feats) for upos, feats in labels if upos and feats})
        values: dict[str, set[str]] = {}
        for _, feats in combinations:
            for name, value in parse_feats(feats):
                values.setdefault(name, set()).add(value)
        upos_values = tuple(sorted({upos for upos, _ in combinations}))
        features = [(name, ("", *sorted(values[name]))) for name in sorted(values)]
        return cls(((UPOS, upos_values), *features), tuple(combinations))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inventory:
        fields = tuple((str(name), tuple(values)) for name, values in data["fields"])
        return cls(fields, tuple((str(upos), str(feats)) for upos, feats in data["combinations"]))

    def to_json(self) -> dict[str, Any]:
        return {
            "fields": [[name, list(values)] for name, values in self.fields],
            "combinations": [list(pair) for pair in self.combinations],
        }

    @cached_property
    def starts(self) -> Ints:
        """int32 ``(n_fields + 1,)``: the first output of each field, then their number."""
        return np.cumsum([0] + [len(values) for _, values in self.fields], dtype=np.int32)

    @property
    def n_outputs(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def outputs(self) -> dict[tuple[str, str], int]:
        """The number of each output by its field and value, in order."""
        values = ((name, value) for name, values in self.fields for value in values)
        return {value: i for i, value in enumerate(values)}

    def weights(self, upos_weight: float) -> Floats:
        """float32 ``(n_fields,)``: the weight of each field in the loss."""
        weights = np.ones(len(self.fields), dtype=np.float32)
        weights[0] = upos_weight
        return weights

    @cached_property
    def _places(self) -> dict[str, tuple[int, dict[str, int]]]:
        return {
            name: (i, {value: j for j, value in enumerate(values)})
            for i, (name, values) in enumerate(self.fields)
        }

    @cached_property
    def _encoded(self) -> dict[Label, Ints]:
        return {}

    def encode(self, labels: Sequence[Label]) -> Ints:
        """int32 ``(n_words, n_fields)``: the index of each value within its field.

        It is -1 where UPOS or FEATS is unknown (an empty string), and for a value that is not in the
        inventory. A feature that is not in the inventory is passed over.
        """
        rows = np.empty((len(labels), len(self.fields)), dtype=np.int32)
        for i, label in enumerate(labels):
            row = self._encoded.get(label)
            if row is None:
                row = self._encoded[label] = self._encode(*label)
            rows[i] = row
        return rows

    def _encode(self, upos: str, feats: str) -> Ints:
        row = np.full(len(self.fields), 0 if feats else -1, dtype=np.int32)
        row[0] = self._places[UPOS][1].get(upos, -1)
        for name, value in parse_feats(feats):
            if name in self._places:
                place, indices = self._places[name]
                row[place] = indices.get(value, -1)
        return row

    def log_prior(self, labels: Sequence[Label]) -> Floats:
        """float32 ``(n_outputs,)``: log-frequency of each value within its field, each counted once more."""
        counts = 1.0 + one_hot(self.encode(labels), self.starts).sum(axis=0, dtype=np.float64)
        totals = np.add.reduceat(counts, self.starts[:-1])
        return np.log(counts / np.repeat(totals, np.diff(self.starts))).astype(np.float32)

    def best_combinations(self, logits: Iterable[Floats]) -> Ints:
        """int32 ``(n_words,)``: the index of the predicted combination for each row of logits.

        The argmax of each field; where their combination was never seen, the seen one with the highest
        product of probabilities. logits: float32 ``(n, n_outputs)``, some words after the other; fast where
        each of them fits into the processor's cache.
        """
        indices, unseen = self.find(logits)
        if len(unseen):
            indices[indices < 0] = self.closest(unseen)
        return indices

    def find(self, logits: Iterable[Floats]) -> tuple[Ints, Floats]:
        """int32 ``(n_words,)``: the index of the combination of each field's argmax, -1 where it was never
        seen; and the logits of these words, float32 ``(n_unseen, n_outputs)``."""
        found, unseen = [np.empty(0, dtype=np.int32)], [np.empty((0, self.n_outputs), dtype=np.float32)]
        for part in logits:
            found.append(self._find(part))
            unseen.append(part[found[-1] < 0])
        return np.concatenate(found), np.concatenate(unseen)

    def closest(self, logits: Floats) -> Ints:
        """int32 ``(n_words,)``: the seen combination with the highest product of probabilities."""
        parts = range(0, len(logits), SCORED_AT_ONCE)
        best = [self._best(logits[i : i + SCORED_AT_ONCE]) for i in parts]
        return np.concatenate(best) if best else np.empty(0, dtype=np.int32)

    def odds(self, logits: Floats, combinations: Ints, rows: npt.NDArray[np.int64] | None = None) -> Floats:
        """float32 ``(n,)``: how much more probable, as a logarithm, each field's argmax is than these
        combinations, int32 ``(n,)``, of these rows of the logits, int64 ``(n,)``; None: of one after the
        other."""
        if rows is None:
            rows = np.arange(len(logits))
        values = np.zeros((len(logits), self.n_outputs + 1), dtype=np.float32)
        np.subtract(logits, logits[:, self._absent], out=values[:, :-1])
        values[:, : self.starts[1]] = logits[:, : self.starts[1]]
        # In a loop, as a sum over a short last axis is ten times slower.
        scores = np.zeros(len(rows), dtype=np.float32)
        for outputs in self._columns[combinations].T:
            scores += values[rows, outputs]
        best = np.maximum.reduceat(logits, self.starts[:-1], axis=1).sum(axis=1)
        odds: Floats = (best - logits[:, self.starts[1:-1]].sum(axis=1))[rows] - scores
        return odds

    def values(self, logits: Floats) -> Label:
        """The argmax of each field of one word, float32 ``(n_outputs,)``, as a label."""
        best = [
            values[int(logits[start : start + len(values)].argmax())]
            for (_, values), start in zip(self.fields, self.starts.tolist(), strict=False)
        ]
        features = [
            f"{name}={value}" for (name, _), value in zip(self.fields[1:], best[1:], strict=True) if value
        ]
        return best[0], "|".join(sorted(features, key=str.lower)) or "_"

    def upos_of(self, combinations: npt.NDArray[np.integer]) -> Ints:
        """int32 ``(n_words,)``: the UPOS of each combination, an index into the first field's values."""
        return self._columns[combinations, 0]

    def _find(self, logits: Floats) -> Ints:
        """The index of the combination of each field's argmax, -1 where it was never seen."""
        n_rows, n_outputs = logits.shape
        # Hardly any feature is likelier present than absent, so those that are get looked at one by one.
        rows, outputs = np.divmod(np.flatnonzero(logits > logits[:, self._absent]), n_outputs)
        values = logits[rows, outputs]
        places = rows * n_outputs + self._absent[outputs]
        while len(rivals := np.flatnonzero(places[1:] == places[:-1])):
            keep = np.ones(len(places), dtype=bool)
            keep[rivals + (values[rivals] >= values[rivals + 1])] = False
            rows, outputs, values, places = rows[keep], outputs[keep], values[keep], places[keep]
        sums = np.append(np.uint64(0), self._output_keys[outputs].cumsum(dtype=np.uint64))
        keys = np.diff(sums[np.searchsorted(rows, np.arange(n_rows + 1))])
        keys += self._output_keys[logits[:, : self.starts[1]].argmax(axis=1)]
        known, order = self._sorted_keys
        nearest = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[nearest] == keys, order[nearest], -1).astype(np.int32)

    @cached_property
    def _absent(self) -> npt.NDArray[np.int64]:
        """For each output that of its feature's absence, for those of UPOS themselves."""
        absent = np.repeat(self.starts[:-1], np.diff(self.starts)).astype(np.int64)
        absent[: self.starts[1]] = np.arange(self.starts[1])
        return absent

    def _best(self, logits: Floats) -> Ints:
        """The combination with the highest product of probabilities."""
        found = np.zeros(len(logits), dtype=np.int32)
        highest = np.full(len(logits), -np.inf, dtype=np.float32)
        gains = self._gains(logits)
        for value in range(self.starts[1]):
            members, scores = self._scores(gains, value)
            if len(members):
                best = scores.argmax(axis=0)
                reached = scores[best, np.arange(len(best))] + logits[:, value]
                found = np.where(reached > highest, members[best], found)
                highest = np.maximum(reached, highest)
        return found

    def _gains(self, logits: Floats) -> Floats:
        """Each value's log-probability less that of its feature's absence, ``(n_outputs, n_words)``."""
        return np.subtract(logits.T, logits[:, self._absent].T, order="C")

    def _scores(self, gains: Floats, upos: int) -> tuple[Ints, Floats]:
        """The combinations that have this UPOS, and for each ``(n_members, n_words)`` the sum of its
        features' gains: the logarithm of its probability, but for what all that have this UPOS share."""
        members, columns = self._of_upos[upos]
        scores = np.zeros((len(members), gains.shape[1]), dtype=np.float32)
        # One output of each combination after the other: a sum over a short last axis is ten times slower.
        for outputs in columns:
            scores[: len(outputs)] += gains[outputs]
        return members, scores

    @cached_property
    def _of_upos(self) -> list[tuple[Ints, list[Ints]]]:
        """For each UPOS its combinations, those with most features first, and the first feature of each, the
        second and so on, of those that have as many."""
        sizes = (self._columns < self.n_outputs).sum(axis=1)
        found = []
        for value in range(self.starts[1]):
            members = np.flatnonzero(self._columns[:, 0] == value)
            members = members[np.argsort(-sizes[members], kind="stable")]
            columns = [
                self._columns[members[sizes[members] > i], i] for i in range(1, self._columns.shape[1])
            ]
            found.append((members.astype(np.int32), columns))
        return found

    @cached_property
    def _outputs(self) -> dict[str, int]:
        """The output of each feature's value, by ``Name=Value``, but for absent ones."""
        return {
            f"{name}={value}": int(start) + i
            for (name, values), start in zip(self.fields[1:], self.starts[1:], strict=False)
            for i, value in enumerate(values)
            if value
        }

    @cached_property
    def _columns(self) -> Ints:
        """The outputs that each combination switches on, padded with ``n_outputs``."""
        # Read anew each time that a pipeline is loaded: `encode` would take five times as long.
        upos_of, output_of = self._places[UPOS][1], self._outputs
        try:
            found = [
                [upos_of[upos], *([] if feats == "_" else [output_of[cell] for cell in feats.split("|")])]
                for upos, feats in self.combinations
            ]
        except KeyError as error:
            raise ValueError(
                f"a combination has the value {error}, which no field lists; rebuild the inventory"
            ) from error
        counts = np.asarray([len(outputs) for outputs in found])
        columns = np.full((len(found), counts.max()), self.n_outputs, dtype=np.int32)
        columns[np.arange(counts.max()) < counts[:, None]] = list(chain.from_iterable(found))
        return columns

    @cached_property
    def _output_keys(self) -> np.ndarray:
        """A random 64-bit number an output: the sum over a word's values identifies its combination."""
        keys = np.random.default_rng(0).integers(0, 2**63, self.n_outputs, dtype=np.uint64)
        keys[self.starts[1:-1]] = 0
        return keys

    @cached_property
    def _sorted_keys(self) -> tuple[np.ndarray, Ints]:
        keys = np.append(self._output_keys, np.uint64(0))[self._columns].sum(axis=1, dtype=np.uint64)
        order = np.argsort(keys)
        return keys[order], order.astype(np.int32)
