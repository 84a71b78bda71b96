"""What the segmenter has learned, and its network without torch.

The network has two halves (`models.segmenter`): of a unit's characters, whose result is kept for each unit,
and of units in a row. Tables of characters and pairs are int8 and looked up here; the rest are graphs for
ONNX Runtime.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .alphabet import Alphabet
from .graph_rows import with_free_rows
from .session import Session
from .tensors import dump_checked, load_checked
from .types import Floats, Ints
from .units import LONGEST_UNIT, Gap, pair_rows

__all__ = ["FULL_STOP", "UNIT_LABELS", "SegmenterModel", "Table", "UnitLabels", "UnitReading"]

FULL_STOP = "."
FORMAT = "mminibert.segmenter.2"
TABLES = (
    "characters",
    "categories",
    "pairs",
    "character_codes",
    "unit_codes",
    "character_heads",
    "unit_heads",
)
LENGTHS = (8, 16, LONGEST_UNIT)
"""Units are filled up to so many characters, so that what is read of one never depends on the others."""
AT_ONCE = 512
"""Units that are read at once."""
UNIT_LABELS = 7
"""Of a unit: three scores of its end (nothing, a token, a sentence ends), two of whether a multiword token is
in it (no, yes), two of whether a final full stop is a token of its own (no, yes)."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows in 8 bits, int8 ``(n, width)``, to be multiplied by scales, float32 ``(n,)``."""

    rows: npt.NDArray[np.int8]
    scales: Floats

    def __getitem__(self, index: int | npt.NDArray[np.integer]) -> Floats:
        found: Floats = self.rows[index].astype(np.float32)
        found *= self.scales[index, None]
        return found

    def only(self, index: Sequence[int] | npt.NDArray[np.integer]) -> Table:
        return Table(self.rows[index], self.scales[index])

    @classmethod
    def zeros(cls, n: int, width: int) -> Table:
        return cls(np.zeros((n, width), dtype=np.int8), np.ones(n, dtype=np.float32))


class UnitReading(NamedTuple):
    """What the characters of units tell. labels: uint8 ``(n_characters,)`` of each unit, what ends after each
    of its characters (0 nothing, 1 a token, 2 a token and a sentence, 3 a word of a multiword token).
    vectors: float32 ``(n_units, width)``."""

    labels: list[bytes]
    vectors: Floats


@dataclass(frozen=True, eq=False)
class UnitLabels:
    """What context tells of units. logits: float32 ``(UNIT_LABELS, n_units)``, in their order; all
    else ``(n_units,)``."""

    logits: Floats

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """0 nothing, 1 a token, 2 a sentence ends."""
        return self.logits[:3].argmax(axis=0)

    @property
    def sentence(self) -> Floats:
        """float32: how much likelier a sentence ends than not, a logarithm."""
        found: Floats = self.logits[2] - self.logits[:2].max(axis=0)
        return found

    @property
    def multiword(self) -> Floats:
        """float32: how much likelier there is a multiword token in it than not, a logarithm."""
        return self.logits[4] - self.logits[3]

    @property
    def stop(self) -> npt.NDArray[np.bool_]:
        """Whether a final full stop is a token."""
        return self.logits[6] > self.logits[5]


@dataclass(frozen=True, eq=False)
class SegmenterModel:
    """Weights and names. languages: in the order of the scores. codes: what the network may be told of,
    languages and conventions. gaps: float32 ``(5, width)``. character_codes, unit_codes, label_codes: a row a
    code; character_heads, unit_heads: a row a label of each. graphs: serialized ONNX models by the names
    `characters`, `spelling` and `units`, see `models.segmenter_export`."""

    alphabet: Alphabet
    languages: tuple[str, ...]
    codes: tuple[str, ...]
    characters: Table
    categories: Table
    pairs: Table
    gaps: Floats
    character_codes: Table
    unit_codes: Table
    label_codes: Floats
    character_heads: Table
    unit_heads: Table
    vector_width: int
    graphs: Mapping[str, bytes]
    apart: SegmenterModel | None = None
    """A network of its own for the languages that this one has, and that write no blanks between words or
    some within."""

    def __post_init__(self) -> None:
        n = len(self.codes)
        sizes = {len(t.rows) for t in (self.character_codes, self.unit_codes)} | {len(self.label_codes)}
        if sizes != {n} or len(self.characters.rows) != len(self.alphabet):
            raise ValueError(
                f"{n} codes, rows for {sorted(sizes)}, {len(self.alphabet)} characters and rows for "
                f"{len(self.characters.rows)} do not go together"
            )

    @cached_property
    def code_numbers(self) -> dict[str, int]:
        return {code: i for i, code in enumerate(self.codes)}

    @cached_property
    def sessions(self) -> dict[str, Session]:
        return {name: Session(graph, threads=1) for name, graph in self.graphs.items()}

    def of(self, code: str) -> SegmenterModel:
        """The network that reads text of this code."""
        return self.apart if self.apart is not None and code in self.apart.code_numbers else self

    def read_units(self, units: Sequence[str], code: str) -> UnitReading:
        """What the characters of each unit tell, if the text is of this code."""
        number = self.code_numbers[code]
        of_code = self.character_codes[number][None, :, None]
        head = self.character_heads[self.head_rows(self.character_heads, number)]
        labels = [b""] * len(units)
        vectors = np.empty((len(units), self.vector_width), dtype=np.float32)
        for places, inputs in self.embedded(units):
            logits, vectors[places] = self.sessions["characters"].run(
                {**inputs, "code": of_code, "head": head}
            )
            for place, row in zip(places.tolist(), logits.argmax(axis=1).astype(np.uint8), strict=True):
                labels[place] = row[: len(units[place])].tobytes()
        return UnitReading(labels, vectors)

    def spell(self, units: Sequence[str]) -> Floats:
        """What each unit says of its language, float32 ``(n_units, n_languages)``: logits, which add up over
        a text."""
        found = np.empty((len(units), len(self.languages)), dtype=np.float32)
        for places, inputs in self.embedded(units):
            (found[places],) = self.sessions["spelling"].run(inputs)
        return found

    def embedded(self, units: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int64], dict[str, Floats]]]:
        """Units of like length together: their places, the inputs of a graph."""
        lengths = np.searchsorted(LENGTHS, [len(unit) for unit in units])
        for i in np.unique(lengths).tolist():
            alike = np.flatnonzero(lengths == i)
            for start in range(0, len(alike), AT_ONCE):
                places = alike[start : start + AT_ONCE]
                numbers = np.zeros((len(places), LENGTHS[i]), dtype=np.int32)
                for row, place in zip(numbers, places.tolist(), strict=True):
                    row[: len(units[place])] = self.alphabet.numbers(units[place])
                categories = self.alphabet.categories[numbers]
                embedded = np.concatenate([self.characters[numbers], self.categories[categories]], axis=2)
                mask = (numbers > 0).astype(np.float32)[:, None, :]
                yield places, {"embedded": np.ascontiguousarray(embedded.transpose(0, 2, 1)), "mask": mask}

    def pair_rows(
        self, hashes: npt.NDArray[np.uint64], unspaced: npt.NDArray[np.bool_], gaps: Ints
    ) -> npt.NDArray[np.int64]:
        """See `units.pair_rows`."""
        return pair_rows(hashes, unspaced, gaps, len(self.pairs.rows))

    def label_units(self, vectors: Floats, gaps: Ints, pairs: npt.NDArray[np.int64], code: str) -> UnitLabels:
        """vectors float32 ``(n_units, vector_width)``, gaps and pairs (`pair_rows`) int ``(n_units,)``."""
        return UnitLabels(self.label_rows(vectors[None], gaps[None], pairs[None], code)[0])

    def label_rows(self, vectors: Floats, gaps: Ints, pairs: npt.NDArray[np.int64], code: str) -> Floats:
        """The logits of units in rows that know nothing of each other, float32 ``(n_rows, UNIT_LABELS,
        n_units)``. vectors float32 ``(n_rows, n_units, vector_width)``, gaps and pairs (`pair_rows`) int
        ``(n_rows, n_units)``."""
        inputs = self.unit_inputs(vectors, gaps, pairs)
        told = self._told.get(code)
        if told is None:
            number = self.code_numbers[code]
            head = self.unit_heads[self.head_rows(self.unit_heads, number)]
            told = {"code": self.unit_codes[number][None, :, None], "head": head}
            self._told[code] = told
        (logits,) = self.sessions["units"].run({"inputs": inputs, **told})
        logits += self.label_codes[self.code_numbers[code]][:, None]
        return logits

    def unit_inputs(self, vectors: Floats, gaps: Ints, pairs: npt.NDArray[np.int64]) -> Floats:
        """What the graph of units in rows reads, float32 ``(n_rows, width, n_units)``; see `label_rows`."""
        if pairs.any():
            of_pairs = self.pairs[pairs]
        else:
            of_pairs = np.broadcast_to(self._no_pair, (*pairs.shape, self._no_pair.shape[1]))
        joined = np.concatenate([vectors, self._gaps[gaps], of_pairs], axis=2)
        return np.ascontiguousarray(joined.transpose(0, 2, 1))

    @cached_property
    def _told(self) -> dict[str, dict[str, Floats]]:
        """What the graph of units in a row is told of the codes that have been read."""
        return {}

    def head_rows(self, heads: Table, *numbers: int) -> npt.NDArray[np.int64]:
        """The rows that codes have in a table of heads, by their numbers."""
        n_labels = len(heads.rows) // len(self.codes)
        return (np.asarray(numbers)[:, None] * n_labels + np.arange(n_labels)).ravel()

    @cached_property
    def _no_pair(self) -> Floats:
        return self.pairs[np.zeros(1, dtype=np.int64)]

    @cached_property
    def _gaps(self) -> Floats:
        # No treebank has other white space than blanks, so that its row has learned nothing.
        rows = self.gaps.copy()
        rows[Gap.OTHER] = rows[Gap.BLANK]
        return rows

    def to_bytes(self) -> bytes:
        tensors: dict[str, np.ndarray] = {}
        for name in TABLES:
            table: Table = getattr(self, name)
            tensors[f"{name}.rows"], tensors[f"{name}.scales"] = table.rows, table.scales
        tensors |= {"gaps": self.gaps, "label_codes": self.label_codes}
        for name, graph in self.graphs.items():
            tensors[f"graph.{name}"] = np.frombuffer(graph, dtype=np.uint8)
        if self.apart is not None:
            tensors["apart"] = np.frombuffer(self.apart.to_bytes(), dtype=np.uint8)
        names = {
            "alphabet": self.alphabet.known,
            "languages": json.dumps(self.languages),
            "codes": json.dumps(self.codes),
            "vector_width": str(self.vector_width),
        }
        return dump_checked(tensors, names, format=FORMAT)

    @classmethod
    def from_bytes(cls, data: bytes, *, may_have_another: bool = True) -> SegmenterModel:
        """Raises ValueError for data that are damaged or of another version, or graphs that are not ours.

        may_have_another: whether there may be a network `apart`, which itself has none.
        """
        tensors, names = load_checked(data, format=FORMAT)
        if "apart" in tensors and not may_have_another:
            raise ValueError("the segmenter's network apart has one of its own")
        try:
            table = {name: Table(tensors[f"{name}.rows"], tensors[f"{name}.scales"]) for name in TABLES}
            graphs = {
                name.removeprefix("graph."): with_free_rows(tensor.tobytes())
                for name, tensor in tensors.items()
                if name.startswith("graph.")
            }
            apart = None
            if "apart" in tensors:
                apart = cls.from_bytes(tensors["apart"].tobytes(), may_have_another=False)
            found = cls(
                Alphabet(names["alphabet"]),
                gaps=tensors["gaps"],
                label_codes=tensors["label_codes"],
                vector_width=int(names["vector_width"]),
                graphs=graphs,
                apart=apart,
                languages=tuple(json.loads(names["languages"])),
                codes=tuple(json.loads(names["codes"])),
                **table,
            )
        except KeyError as error:
            raise ValueError(f"the segmenter lacks {error}") from error
        for session in found.sessions.values():
            session.input_shape(0)
        return found
