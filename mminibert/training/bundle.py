"""What a GPU needs for the whole training, as a folder of arrays: a *bundle*.

It is small enough to be sent to a rented machine (about 4 bytes a word and half a byte a weight), and is
read with NumPy alone. Words are there as text; both tokenizers only as tables from a word to its pieces.
"""

from __future__ import annotations

import bz2
import json
import lzma
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import read_arrays, unpacking
from ..files import atomic_path, read_json, reading, replace_folder, sha256, write_json
from .pieces import PieceTable, distinct

BLOCK = 32
"""Weights that share a scale in 4 bits."""
UNLABELLED = -1
"""The label of words of unlabelled text."""


@dataclass(frozen=True)
class Bundle:
    """settings: sizes, schedules, fields, groups, and as ``conventions`` those that models are told of. words: int32 ``(n_words,)``, the rows in the piece tables. lengths:
    int32 ``(n_sentences,)``, words of each sentence. kinds: int32 ``(n_rows,)``, see `replacement`. groups: int16 ``(n_sentences,)``, what is drawn together. labels: int32 ``(n_words,)``, a
    row of ``values``, -1 for unlabelled text. dev: bool ``(n_sentences,)``. values: int8 ``(n_labels,
    n_fields)``, the index of each value within its field, -1 where unknown. weights: the teacher's pretrained
    ones by the names of Hugging Face's ``BertModel``, its embeddings by the rows of its piece table.
    teacher, student: the pieces of each distinct word. ids: by role int32 ``(n_rows,)``, the id in the whole
    vocabulary that each row of the model's embeddings is of: only those that occur. subword_counts, subwords:
    the teacher's pieces of each of the student's, as rows.
    """

    settings: Mapping[str, Any]
    words: np.ndarray
    lengths: np.ndarray
    kinds: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    dev: np.ndarray
    values: np.ndarray
    teacher: PieceTable
    student: PieceTable
    ids: Mapping[str, np.ndarray]
    subword_counts: np.ndarray
    subwords: np.ndarray
    weights: Mapping[str, np.ndarray]

    def write(self, folder: Path, sentences: Sequence[Sequence[str]]) -> None:
        """Write the folder, whole or not at all, in place of the one that is there; ``sentences`` are the words
        that ``words`` are rows of."""
        replace_folder(folder, partial(self._write, sentences=sentences))

    def _write(self, folder: Path, sentences: Sequence[Sequence[str]]) -> None:
        folder.mkdir()
        text = "\n".join(" ".join(word.replace(" ", "\x1f") for word in words) for words in sentences)
        (folder / TEXT).write_bytes(bz2.compress(text.encode("utf-8")))
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for role in ("teacher", "student"):
            table = getattr(self, role)
            arrays |= {f"{role}.{name}": getattr(table, name) for name in _TABLE_ARRAYS}
            arrays[f"{role}.ids"] = self.ids[role]
        for name, value in self.weights.items():
            arrays |= {f"weights/{name}{kind}": part for kind, part in pack4(value).items()}
        for name, array in arrays.items():
            path = folder / f"{name}{ARRAY}"
            path.parent.mkdir(exist_ok=True)
            with lzma.open(path, "wb", preset=1) as out:
                np.save(out, array, allow_pickle=False)
        roles = {"teacher": self.teacher, "student": self.student}
        tables = {role: {n: getattr(table, n) for n in _TABLE_SETTINGS} for role, table in roles.items()}
        files = {name: sha256(folder / name) for name in (TEXT, *(f"{name}{ARRAY}" for name in arrays))}
        write_json(folder / "bundle.json", {**self.settings, "tables": tables, "files": files})

    def part(self, words: int) -> Bundle:
        """The bundle with the first sentences alone of each group, as few as have so many words, and as many
        of those for development; tables, labels and weights are all there."""
        kept = np.zeros(len(self.lengths), dtype=bool)
        pools = self.groups.astype(np.int64) * 2 + self.dev
        for pool in np.unique(pools):
            places = np.flatnonzero(pools == pool)
            before = np.cumsum(self.lengths[places]) - self.lengths[places]
            kept[places[before < words]] = True
        of_words = np.repeat(kept, self.lengths)
        return replace(
            self,
            words=self.words[of_words],
            labels=self.labels[of_words],
            **{name: getattr(self, name)[kept] for name in ("lengths", "groups", "dev")},
        )

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Raises FileNotFoundError if the folder is no bundle, ValueError if a file is not the one that was
        packed."""
        if not (folder / "bundle.json").exists():
            raise FileNotFoundError(f"no bundle.json in {folder}; make it with scripts/bundle.py")
        settings = read_json(folder / "bundle.json", "make the bundle anew", "tables", "teacher", "student")
        files: dict[str, str] = settings.pop("files", {})
        for name in (TEXT, *files):
            path = folder / name
            if not path.exists() or sha256(path) != files.get(name):
                raise ValueError(f"{path}: not the file that was packed; {REMEDY}")
        arrays: dict[str, Any] = {}
        for name in files.keys() - {TEXT}:
            with unpacking(folder / name, REMEDY) as file:
                arrays[name.removesuffix(ARRAY)] = np.lib.format.read_array(file, allow_pickle=False)
        with unpacking(folder / TEXT, REMEDY) as file:
            text = file.read().decode("utf-8")
        _, words, lengths = distinct(line.split(" ") for line in text.split("\n"))
        kept = settings.pop("tables")
        tables = {
            role: PieceTable(**{name: arrays[f"{role}.{name}"] for name in _TABLE_ARRAYS}, **kept[role])
            for role in kept
        }
        ids = {role: arrays[f"{role}.ids"] for role in kept}
        packed: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            if name.startswith("weights/"):
                stem, _, kind = name.removeprefix("weights/").rpartition(":")
                packed.setdefault(stem, {})[f":{kind}"] = array
        weights = {name: unpack4(parts) for name, parts in packed.items()}
        rest: dict[str, Any] = {**{name: arrays[name] for name in _ARRAYS}, **tables}
        return cls(settings, words, lengths, ids=ids, weights=weights, **rest)


REMEDY = "make the bundle anew, or copy it again"
RETURNED = "bring again what accelerate.py wrote, or train again"
TEXT, ARRAY = "sentences.txt.bz2", ".npy.xz"
_ARRAYS = ("kinds", "groups", "labels", "dev", "values", "subword_counts", "subwords")
_TABLE_ARRAYS = ("counts", "pieces")
_TABLE_SETTINGS = ("cls_id", "sep_id", "pad_id", "blank_id", "max_pieces")


def pack4(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Weights in 4 bits where that loses nothing, else in half precision.

    A model that was stored in blocks of 32 multiples (-8 to 7) of a float16 scale gives ``:scales`` and
    ``:nibbles``, two to a byte, and ``:shape``; any other array gives ``:half``.
    """
    if weights.size % BLOCK == 0 and weights.ndim == 2:
        blocks = weights.astype(np.float32).reshape(-1, BLOCK)
        largest = np.abs(blocks).max(axis=1)
        scales = np.zeros(len(blocks), dtype=np.float32)
        for steps in (k for n in range(1, 9) for k in (n, -n)):  # the scale may be negative
            scale = (largest / steps).astype(np.float16).astype(np.float32)
            whole = np.rint(blocks / np.where(scale != 0, scale, 1)[:, None])
            exact = (whole * scale[:, None] == blocks).all(1) & (whole >= -8).all(1) & (whole <= 7).all(1)
            scales = np.where(exact & (scales == 0), scale, scales)
        whole = np.rint(blocks / np.where(scales != 0, scales, 1)[:, None]).clip(-8, 7)
        if (whole * scales[:, None] == blocks).all():
            nibbles = (whole + 8).astype(np.uint8)
            packed = nibbles[:, : BLOCK // 2] | (nibbles[:, BLOCK // 2 :] << 4)
            return {
                ":scales": scales.astype(np.float16),
                ":nibbles": packed,
                ":shape": np.asarray(weights.shape),
            }
    return {":half": weights.astype(np.float16)}


def unpack4(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32, what `pack4` was given."""
    if ":half" in parts:
        return parts[":half"].astype(np.float32)
    packed = parts[":nibbles"]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
    return (nibbles * parts[":scales"].astype(np.float32)[:, None]).reshape(parts[":shape"])


def pack8(weights: np.ndarray) -> dict[str, np.ndarray]:
    """A matrix, or several, as int8 with a float32 scale a row (``:rows``, ``:scales``)."""
    scales = np.maximum(np.abs(weights).max(axis=-1), 1e-12).astype(np.float32) / 127
    return {":rows": np.rint(weights / scales[..., None]).astype(np.int8), ":scales": scales}


def unpack8(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32, what `pack8` kept of it."""
    if ":float" in parts:
        return parts[":float"]
    return parts[":rows"].astype(np.float32) * parts[":scales"][..., None]


def write_weights(path: Path, weights: Mapping[str, np.ndarray], eight_bits: Collection[str]) -> None:
    """Write some of the matrices in 8 bits, all else as it is, whole or not at all."""
    parts: dict[str, Any] = {}
    for name, value in weights.items():
        found = pack8(value) if name in eight_bits else {":float": value.astype(np.float32)}
        parts |= {f"{name}{kind}": part for kind, part in found.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        np.savez(out, **parts)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """What `write_weights` kept, float32. Raises ValueError if the file is damaged."""
    packed: dict[str, dict[str, np.ndarray]] = {}
    for name, array in read_arrays(path, RETURNED).items():
        stem, _, kind = name.rpartition(":")
        packed.setdefault(stem, {})[f":{kind}"] = array
    with reading(path, RETURNED):
        return {name: unpack8(parts) for name, parts in packed.items()}
