"""Word-level targets on disk: sparse, in half precision, in shards that are complete or absent.

A target is what the teacher says of a word at some temperature: softmax(logits / temperature) of each field.
UPOS is kept as a whole distribution. Of the features only the values that matter at that temperature are
kept; what is missing to 1 belongs to the absent feature. Targets belong to words, never to wordpieces.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..archives import read_arrays
from ..files import atomic_path, reading
from ..runtime.types import Floats, Ints

MIN_PROB = 0.002
"""Feature values below this probability are not kept. With the profile `sample` a word takes 163 bytes at
temperature 1, its text included, and 395 at 3, where nearly all values matter."""
ANY_TEMPERATURE = math.inf
"""Of targets that are one-hot, which no temperature changes."""
SEPARATOR = "\n"
FIELDS = ("upos", "counts", "columns", "probs", "known")


@dataclass(frozen=True)
class Targets:
    """The target distributions of n words at a temperature.

    upos: float16 ``(n, n_upos)``, a zero row where UPOS is unknown. counts: uint16 ``(n,)``, how many of the
    entries belong to each word. columns: uint16 ``(n_entries,)``, the output that an entry is for. probs:
    float16 ``(n_entries,)``. known: bool ``(n,)``, False where FEATS are unknown. temperature: the highest
    that `densify` can give them.
    """

    upos: np.ndarray
    counts: np.ndarray
    columns: np.ndarray
    probs: np.ndarray
    known: np.ndarray
    temperature: float

    def __len__(self) -> int:
        return len(self.counts)

    @classmethod
    def join(cls, parts: Sequence[Targets]) -> Targets:
        """The words of all parts, one after the other; one-hot parts take the temperature of the others.

        Raises ValueError if the others have several temperatures, or if there are no parts.
        """
        if not parts:
            raise ValueError("got no targets to join, expected at least one shard's")
        temperatures = sorted({part.temperature for part in parts} - {ANY_TEMPERATURE})
        if len(temperatures) > 1:
            raise ValueError(
                f"got targets of the temperatures {', '.join(f'{t:g}' for t in temperatures)}, expected one; "
                "run `collect` again"
            )
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS}
        return cls(**arrays, temperature=temperatures[0] if temperatures else ANY_TEMPERATURE)


def sparsify(
    probs: Floats, starts: Ints, known: np.ndarray | None = None, *, temperature: float = 1.0
) -> Targets:
    """Keep what matters of float32 ``(n_words, n_outputs)`` probabilities (see ``losses`` for starts).

    temperature: of the softmax that gave them, `ANY_TEMPERATURE` if they are one-hot. A value that is left
    out has less than `MIN_PROB` at this temperature, and still less at any lower one: ``1 / p`` is a sum of
    exponentials, thus convex, in ``1 / temperature``, and begins with the number of values.
    """
    n_upos = int(starts[1])
    features = probs.copy()
    features[:, :n_upos] = 0.0
    features[:, starts[1:-1]] = 0.0
    keep = features >= MIN_PROB
    _, columns = np.nonzero(keep)
    return Targets(
        upos=probs[:, :n_upos].astype(np.float16),
        counts=keep.sum(axis=1).astype(np.uint16),
        columns=columns.astype(np.uint16),
        probs=features[keep].astype(np.float16),
        known=np.ones(len(probs), dtype=bool) if known is None else known,
        temperature=temperature,
    )


def densify(targets: Targets, starts: Ints, temperature: float = 1.0) -> Floats:
    """float32 ``(n_words, n_outputs)``: each field's softmax(logits / temperature); unknown fields are 0.

    That is ``p ** (S / T)``, normalised, for a softmax p at the temperature S (Hinton et al. 2015, section
    2). It is off by what was left out, which the absent feature gets: less than `MIN_PROB` a value at the
    targets' own temperature. Raises ValueError for a higher one, at which other values would matter.
    """
    if temperature > targets.temperature:
        raise ValueError(
            f"got the temperature {temperature:g}, expected at most that of the targets, "
            f"{targets.temperature:g}; set `distillation.temperature` in the profile and run `collect` again"
        )
    sizes = np.diff(starts)
    dense = np.zeros((len(targets), int(starts[-1])), dtype=np.float32)
    dense[:, : starts[1]] = targets.upos
    rows = np.repeat(np.arange(len(targets)), targets.counts)
    dense[rows, targets.columns] = targets.probs
    if len(sizes) > 1:
        present = np.add.reduceat(dense, starts[:-1], axis=1)[:, 1:]
        dense[:, starts[1:-1]] = np.maximum(1.0 - present, 0.0)
    dense[~targets.known, starts[1] :] = 0.0
    if temperature != targets.temperature:
        # Most probabilities are exactly 0 or 1, and powers are slow.
        between = (dense > 0.0) & (dense < 1.0)
        dense[between] **= np.float32(targets.temperature / temperature)
    totals = np.add.reduceat(dense, starts[:-1], axis=1)
    return dense / np.repeat(np.where(totals > 0, totals, 1.0), sizes, axis=1)


@dataclass(frozen=True)
class Shard:
    """Sentences (lists of words) and the targets of all their words, in order.

    conventions: the code of the convention that each sentence is labelled in, "" where it is in none.
    source: a digest of what the targets were made from, see `source_digest`.
    """

    sentences: Sequence[Sequence[str]]
    targets: Targets
    conventions: Sequence[str]
    source: str = ""


def source_digest(sentences: Sequence[Sequence[str]], *made_with: str) -> str:
    """The SHA-256 of words in their sentences and of all else that targets were made with."""
    digest = hashlib.sha256()
    for part in made_with:
        digest.update(f"{part}\n".encode())
    for sentence in sentences:
        digest.update(f"\n{SEPARATOR.join(sentence)}\n".encode())
    return digest.hexdigest()


def write_shard(path: Path, shard: Shard) -> None:
    """Write the file whole or not at all. Raises ValueError if words and targets, or sentences and
    conventions, differ in number."""
    words = [word for sentence in shard.sentences for word in sentence]
    if len(words) != len(shard.targets):
        raise ValueError(f"{path}: got {len(words)} words but {len(shard.targets)} targets")
    if len(shard.sentences) != len(shard.conventions):
        got = f"{len(shard.sentences)} sentences but {len(shard.conventions)} conventions"
        raise ValueError(f"{path}: got {got}, expected one a sentence")
    if any(SEPARATOR in word for word in words):
        raise ValueError(f"{path}: got a word with a line break; split the text at line breaks")
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            text=_text(words),
            lengths=np.asarray([len(sentence) for sentence in shard.sentences], dtype=np.int32),
            conventions=_text(shard.conventions),
            temperature=np.asarray(shard.targets.temperature, dtype=np.float64),
            source=np.frombuffer(shard.source.encode("ascii"), dtype=np.uint8),
            **{name: getattr(shard.targets, name) for name in FIELDS},
        )


def read_shard(path: Path) -> Shard:
    """Raises ValueError, which names the file and the remedy, if it is damaged."""
    remedy = "run `collect` or `collect-gold` again"
    arrays = read_arrays(path, remedy)
    with reading(path, remedy):
        words, conventions = (
            arrays[name].tobytes().decode("utf-8").split(SEPARATOR) for name in ("text", "conventions")
        )
        bounds = np.cumsum([0, *arrays["lengths"]])
        targets = Targets(**{name: arrays[name] for name in FIELDS}, temperature=float(arrays["temperature"]))
        source = arrays["source"].tobytes().decode("ascii")
    sentences = [words[a:b] for a, b in itertools.pairwise(bounds)]
    if len(words) != bounds[-1] or len(words) != len(targets) or len(sentences) != len(conventions):
        raise ValueError(
            f"{path}: damaged (words and targets, or sentences and conventions, differ in number); "
            "run `collect` again"
        )
    return Shard(sentences, targets, conventions, source)


def _text(parts: Sequence[str]) -> np.ndarray:
    return np.frombuffer(SEPARATOR.join(parts).encode("utf-8"), dtype=np.uint8)
