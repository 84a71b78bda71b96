"""Text that a teacher labelled, as conventions learn from it beside their treebanks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.targets import densify, read_shard
from ..files import read_json, reading
from ..runtime.labels import Inventory
from ..runtime.types import Floats, Ints
from .heads import shared_outputs
from .manifest import MANIFEST, REMEDY, SOFT_TARGETS, shards_of

__all__ = ["LabelledText", "TaughtText", "sure_values"]

SURE = 0.7
"""Fields whose best value the teacher finds less probable are unknown: dev sets of 19 treebanks have 0.12
UPOS more than without text, 0.07 if all are known, 0.12 with 0.9."""


@dataclass(frozen=True)
class TaughtText:
    """Sentences labelled in one convention. values: int32 ``(n_words, n_fields)``, as `Inventory.encode`
    gives them, -1 where the teacher is not sure."""

    sentences: list[list[str]]
    values: Ints


@dataclass(frozen=True)
class LabelledText:
    """The shards of ``soft_targets``. inventory: whose outputs they are of. labelled_by: name and
    version of the packaged pipeline that labelled them, empty for the profile's own teacher."""

    paths: tuple[Path, ...]
    inventory: Inventory
    labelled_by: str = ""

    @classmethod
    def read(cls, corpus: Path) -> LabelledText | None:
        """Those of a corpus, None if none were collected. Raises ValueError if a shard is not that which
        their manifest names, or the labels are damaged."""
        manifest, labels = corpus / SOFT_TARGETS / MANIFEST, corpus / "labels.json"
        if not manifest.exists():
            return None
        with reading(labels, REMEDY):
            inventory = Inventory.from_json(json.loads(labels.read_text(encoding="utf-8")))
        made = read_json(manifest, REMEDY)
        return cls(tuple(shards_of(manifest)), inventory, made.get("labelled_by", ""))

    def of(self, lang: str, inventories: Mapping[str, Inventory]) -> dict[str, TaughtText]:
        """By convention what is labelled in it of a language's text. inventories: of the conventions that are
        asked for. Raises ValueError for a damaged shard."""
        sentences: dict[str, list[list[str]]] = defaultdict(list)
        values: dict[str, list[Ints]] = defaultdict(list)
        for path in self.paths:
            if path.name.rpartition("-")[0] != lang:
                continue
            shard = read_shard(path)
            probs = densify(shard.targets, self.inventory.starts)
            codes = np.repeat(shard.conventions, list(map(len, shard.sentences)))
            for code in inventories.keys() & set(shard.conventions):
                own = zip(shard.sentences, shard.conventions, strict=True)
                sentences[code] += [list(words) for words, convention in own if convention == code]
                values[code].append(sure_values(probs[codes == code], self.inventory, inventories[code]))
        return {code: TaughtText(sentences[code], np.concatenate(values[code])) for code in sentences}


def sure_values(probs: Floats, whole: Inventory, own: Inventory) -> Ints:
    """int32 ``(n_words, n_fields)`` of ``own``: the most probable values, -1 where they have less than
    `SURE`, or what is most probable is a value that ``own`` lacks. probs: float32 ``(n_words, n_outputs)`` of
    ``whole``."""
    ours, theirs = shared_outputs(own, whole)
    found = np.zeros((len(probs), own.n_outputs), dtype=np.float32)
    found[:, own.starts[1:-1]] = 1.0  # a feature that nobody else has is absent
    found[:, ours] = probs[:, theirs]
    values = np.empty((len(probs), len(own.fields)), dtype=np.int32)
    for i, (start, end) in enumerate(zip(own.starts[:-1], own.starts[1:], strict=True)):
        best = found[:, start:end].argmax(axis=1)
        sure = found[np.arange(len(found)), start + best] >= SURE
        values[:, i] = np.where(sure, best, -1)
    return values
