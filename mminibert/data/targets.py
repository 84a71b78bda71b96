"""Word-level targets on disk: sparse, in half precision, in shards that are complete or absent.

UPOS is kept as a whole distribution. Of the features only the values that the teacher finds possible are
kept; what is missing to 1 belongs to the absent feature. Targets belong to words, never to wordpieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import atomic_path
from ..runtime.types import Floats, Ints

MIN_PROB = 0.001
"""Feature values below this probability are not kept."""
MAX_ENTRIES = 32
"""Feature values kept a word at most; with 17 UPOS values, a word takes at most 170 bytes and its text."""
SEPARATOR = "\n"


@dataclass(frozen=True)
class Targets:
    """The target distributions of n words, at temperature 1.

    upos: float16 ``(n, n_upos)``, a zero row where UPOS is unknown. counts: uint8 ``(n,)``, how many of the
    entries belong to each word. columns: uint16 ``(n_entries,)``, the output that an entry is for. probs:
    float16 ``(n_entries,)``. known: bool ``(n,)``, False where FEATS are unknown.
    """

    upos: np.ndarray
    counts: np.ndarray
    columns: np.ndarray
    probs: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)


def sparsify(probs: Floats, starts: Ints, known: np.ndarray | None = None) -> Targets:
    """Keep what matters of float32 ``(n_words, n_outputs)`` probabilities (see ``losses`` for starts)."""
    n_upos = int(starts[1])
    features = probs.copy()
    features[:, :n_upos] = 0.0
    features[:, starts[1:-1]] = 0.0
    keep = features >= MIN_PROB
    crowded = np.flatnonzero(keep.sum(axis=1) > MAX_ENTRIES)
    if len(crowded):
        least = np.argpartition(-features[crowded], MAX_ENTRIES - 1, axis=1)[:, MAX_ENTRIES:]
        keep[crowded[:, None], least] = False
    _, columns = np.nonzero(keep)
    return Targets(
        upos=probs[:, :n_upos].astype(np.float16),
        counts=keep.sum(axis=1).astype(np.uint8),
        columns=columns.astype(np.uint16),
        probs=features[keep].astype(np.float16),
        known=np.ones(len(probs), dtype=bool) if known is None else known,
    )


def densify(targets: Targets, starts: Ints, temperature: float = 1.0) -> Floats:
    """float32 ``(n_words, n_outputs)``, each field ``p ** (1 / T)``, normalised.

    This is the softmax of the logits divided by T (Hinton et al. 2015, section 2). Unknown fields are 0.
    """
    sizes = np.diff(starts)
    dense = np.zeros((len(targets), int(starts[-1])), dtype=np.float32)
    dense[:, : starts[1]] = targets.upos
    rows = np.repeat(np.arange(len(targets)), targets.counts)
    dense[rows, targets.columns] = targets.probs
    if len(sizes) > 1:
        present = np.add.reduceat(dense, starts[:-1], axis=1)[:, 1:]
        dense[:, starts[1:-1]] = np.maximum(1.0 - present, 0.0)
    dense[~targets.known, starts[1] :] = 0.0
    if temperature != 1.0:
        # Most probabilities are exactly 0 or 1, and roots are dear.
        between = (dense > 0.0) & (dense < 1.0)
        dense[between] **= np.float32(1.0 / temperature)
    totals = np.add.reduceat(dense, starts[:-1], axis=1)
    return dense / np.repeat(np.where(totals > 0, totals, 1.0), sizes, axis=1)


@dataclass(frozen=True)
class Shard:
    """Sentences (lists of words) and the targets of all their words, in order."""

    sentences: Sequence[Sequence[str]]
    targets: Targets


def write_shard(path: Path, shard: Shard) -> None:
    """Write the file whole or not at all. Raises ValueError if words and targets differ in number."""
    words = [word for sentence in shard.sentences for word in sentence]
    if len(words) != len(shard.targets):
        raise ValueError(f"{path}: got {len(words)} words but {len(shard.targets)} targets")
    if any(SEPARATOR in word for word in words):
        raise ValueError(f"{path}: got a word with a line break; split the text at line breaks")
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            text=np.frombuffer(SEPARATOR.join(words).encode("utf-8"), dtype=np.uint8),
            lengths=np.asarray([len(sentence) for sentence in shard.sentences], dtype=np.int32),
            upos=shard.targets.upos,
            counts=shard.targets.counts,
            columns=shard.targets.columns,
            probs=shard.targets.probs,
            known=shard.targets.known,
        )


def read_shard(path: Path) -> Shard:
    """Raises ValueError, which names the file and the remedy, if it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            words = arrays["text"].tobytes().decode("utf-8").split(SEPARATOR)
            bounds = np.cumsum([0, *arrays["lengths"]])
            names = ("upos", "counts", "columns", "probs", "known")
            targets = Targets(**{name: arrays[name] for name in names})
    except Exception as error:  # a changed byte makes zipfile and NumPy raise a dozen kinds
        raise ValueError(f"{path}: damaged ({error}); delete it and run `collect` again") from error
    if len(words) != bounds[-1] or len(words) != len(targets):
        raise ValueError(f"{path}: damaged (words and targets differ in number); delete it and run `collect`")
    sentences = [words[a:b] for a, b in itertools.pairwise(bounds)]
    return Shard(sentences, targets)
