"""What a pipeline knows of lemmas: a table a language, as bytes in the safetensors format."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .lemma_scripts import Script
from .lemma_table import LemmaTable
from .tensors import dump_checked, load_checked

__all__ = ["Lemmas"]

FORMAT = "mminibert-lemmas-1"


@dataclass(frozen=True, eq=False)
class Lemmas:
    """Tables as they are stored; each is read when a word of its conventions is first asked for, as a text
    is of few languages. facts: of each table what stands beside its arrays."""

    tensors: dict[str, np.ndarray]
    facts: tuple[dict, ...]
    _read: dict[int, LemmaTable] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, tables: Sequence[LemmaTable]) -> Lemmas:
        """Raises ValueError if two tables are of one convention."""
        codes = [code for table in tables for code in table.codes]
        if len(set(codes)) < len(codes):
            raise ValueError(f"got the conventions {', '.join(sorted(codes))}, expected each once")
        tensors = {
            f"{i}.{name}": array for i, table in enumerate(tables) for name, array in _arrays(table).items()
        }
        return cls(tensors, tuple(_facts(table) for table in tables))

    @classmethod
    def from_bytes(cls, data: bytes) -> Lemmas:
        """What `to_bytes` gave. Raises ValueError if the data are damaged or of another format."""
        try:
            tensors, metadata = load_checked(data, format=FORMAT)
            return cls(tensors, tuple(json.loads(metadata["tables"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"the lemmas are damaged or of another version: {error}. Install the pipeline's package and "
                "mminibert again"
            ) from error

    def to_bytes(self) -> bytes:
        """Equal for equal tables."""
        facts = json.dumps(self.facts, ensure_ascii=False, sort_keys=True)
        return dump_checked(self.tensors, {"tables": facts}, format=FORMAT)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The conventions that there are lemmas for; the empty one is for Docs that were tagged in none."""
        return tuple(code for facts in self.facts for code in facts["codes"])

    def table(self, code: str) -> LemmaTable | None:
        """That of a convention, the last one that has it; None if nothing is known of its lemmas."""
        for i in reversed(range(len(self.facts))):
            if code in self.facts[i]["codes"]:
                if i not in self._read:
                    self._read[i] = self._table(i)
                return self._read[i]
        return None

    def only(self, codes: Collection[str]) -> Lemmas:
        """The tables that have one of these conventions."""
        kept = [i for i, facts in enumerate(self.facts) if set(facts["codes"]) & set(codes)]
        tensors = {
            f"{new}.{name}": self.tensors[f"{old}.{name}"] for new, old in enumerate(kept) for name in _NAMES
        }
        return Lemmas(tensors, tuple(self.facts[i] for i in kept))

    def with_table(self, table: LemmaTable) -> Lemmas:
        """With one more, which has its conventions from now on."""
        i = len(self.facts)
        tensors = {f"{i}.{name}": array for name, array in _arrays(table).items()}
        return Lemmas({**self.tensors, **tensors}, (*self.facts, _facts(table)))

    def _table(self, i: int) -> LemmaTable:
        facts = self.facts[i]
        array = {name: self.tensors[f"{i}.{name}"] for name in _NAMES}
        lines = array["scripts"].tobytes().decode("utf-8").split("\n")
        scripts = tuple(Script(*line.split("\t")) for line in lines)
        shown = np.unpackbits(array["shown"], axis=1, count=len(scripts)).astype(bool)
        return LemmaTable(
            tuple(facts["codes"]),
            scripts,
            tuple(facts["upos"]),
            array["levels"],
            shown,
            array["weights"],
            facts["scale"],
            np.cumsum(_numbers(array["known"])),
            facts["known_bits"],
            _numbers(array["exceptions"]).astype(np.uint32),
            _numbers(array["exception_scripts"]),
        )


_NAMES = ("scripts", "levels", "shown", "weights", "known", "exceptions", "exception_scripts")


def _facts(table: LemmaTable) -> dict:
    return {
        "codes": list(table.codes),
        "upos": list(table.upos),
        "known_bits": table.known_bits,
        "scale": table.scale,
    }


def _arrays(table: LemmaTable) -> dict[str, np.ndarray]:
    text = "\n".join("\t".join(script) for script in table.scripts)
    return {
        "scripts": np.frombuffer(text.encode("utf-8"), dtype=np.uint8),
        "levels": table.levels,
        "shown": np.packbits(table.shown, axis=1),
        "weights": table.weights,
        "known": _planes(np.diff(table.known, prepend=0)),
        "exceptions": _planes(table.exceptions.astype(np.int64)),
        "exception_scripts": _planes(table.exception_scripts),
    }


def _planes(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """uint8 ``(4, n)``: the first bytes of all numbers below 2^32, then the second ones, which compresses
    well."""
    return np.ascontiguousarray(numbers.astype("<u4").view(np.uint8).reshape(-1, 4).T)


def _numbers(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(planes.T).view("<u4").reshape(-1).astype(np.int64)
