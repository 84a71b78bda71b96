"""What a lemma's ranker sees: of a word and its tags, and of the lemma that a script would give.

Every feature is a hash of some string or tag and of its kind; with the script, or by itself where it is of
the lemma, it is the place of a weight (Weinberger et al. 2009, *Feature Hashing for Large Scale Multitask
Learning*)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .labels import Label
from .lemma_candidates import Candidates
from .lemma_words import Hashes, Words, mixed, powers, text_hash

__all__ = ["Labels", "of_lemmas", "of_words", "places"]

SUFFIXES, SUFFIXES_WITH_FEATS = 7, 4
"""The longest end of a form that is seen with its UPOS, and with its FEATS as well."""
FEATURES = 6
"""Features of a word that are seen one by one."""
UNKNOWN_FEATS = "?"
"""In training, FEATS that are not known."""
_SPREAD = np.uint32(0x9E3779B1)


@dataclass(frozen=True)
class Labels:
    """Of each of n words, uint32: upos ``(n,)``; full ``(n,)``, UPOS and FEATS together; single ``(n,
    FEATURES)``,
    each feature with UPOS."""

    upos: Hashes
    full: Hashes
    single: Hashes

    @classmethod
    def of(cls, labels: Sequence[Label]) -> Labels:
        different = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        rows = np.fromiter((different[label] for label in labels), dtype=np.int64, count=len(labels))
        hashes = np.asarray([_hashes(*label) for label in different], dtype=np.uint32).reshape(
            -1, 2 + FEATURES
        )
        return cls(*(mixed(part)[rows] for part in (hashes[:, 0], hashes[:, 1], hashes[:, 2:])))

    def at(self, rows: npt.NDArray[np.int64]) -> Labels:
        """Those of the words of these numbers."""
        return Labels(self.upos[rows], self.full[rows], self.single[rows])


def _hashes(upos: str, feats: str) -> list[int]:
    features = [] if feats == "_" else sorted(feats.split("|"))
    single = [text_hash(f"{upos} {feature}") for feature in features[:FEATURES]]
    return [
        text_hash(upos),
        text_hash(f"{upos}|{'|'.join(features)}"),
        *single,
        *[0] * (FEATURES - len(single)),
    ]


def of_words(words: Words, labels: Labels, code: int | None) -> Hashes:
    """uint32 ``(n, n_features)``. code: the hash of the convention; None where there is but one."""
    ends = np.cumsum(words.tails[:, :SUFFIXES] * powers(np.arange(SUFFIXES)), axis=1, dtype=np.uint32)
    starts = np.cumsum(words.heads * powers(np.arange(words.heads.shape[1])), axis=1, dtype=np.uint32)
    nothing = np.zeros(len(words.lengths), dtype=np.uint32)
    upos, full = labels.upos, labels.full
    seen = [(ends[:, i], upos) for i in range(SUFFIXES)]
    seen += [(ends[:, i], full) for i in range(SUFFIXES_WITH_FEATS)]
    seen += [(starts[:, i], upos) for i in (1, 2, 3)]
    seen += [(starts[:, 2] * _SPREAD + ends[:, 2], upos), (ends[:, 2], nothing), (ends[:, 4], nothing)]
    seen += [(ends[:, 0], labels.single[:, i]) for i in range(FEATURES)]
    seen += [(at, label) for at in (nothing, words.shapes + np.uint32(1)) for label in (upos, full)]
    if code is not None:
        own = mixed(upos ^ np.uint32(code))
        seen += [(at, own) for at in (nothing, words.shapes + np.uint32(1), ends[:, 0], ends[:, 2])]
        seen += [(nothing, mixed(full ^ np.uint32(code))), (starts[:, 4], nothing + np.uint32(code))]
    return _joined(seen)


def of_lemmas(found: Candidates, known: npt.NDArray[np.bool_], labels: Labels, code: int | None) -> Hashes:
    """uint32 ``(n, n_features)`` of n lemmas that scripts give, each with the labels of its word. known: bool
    ``(n,)``,
    whether a form of another word in training has this lemma."""
    tails = found.tails
    ends = np.cumsum(tails * powers(np.arange(tails.shape[1])), axis=1, dtype=np.uint32)
    know = known.astype(np.uint32) + np.uint32(1)
    short = np.minimum(found.lengths, 6).astype(np.uint32)
    upos, full = labels.upos, labels.full
    seen = [
        (know, upos),
        (know * np.uint32(8) + short, np.zeros_like(upos)),
        (ends[:, 1] + know * _SPREAD, upos),
    ]
    seen += [(ends[:, i], upos) for i in range(5)]
    seen += [(ends[:, 1], full), (found.firsts, upos)]
    if code is not None:
        seen += [(ends[:, 1], mixed(upos ^ np.uint32(code)))]
    return _joined(seen)


def places(hashes: Hashes, scripts: Hashes | None, bits: int) -> npt.NDArray[np.int64]:
    """Which of 2^bits weights, int64 of the shape of ``hashes``, ``(n, n_features)``. scripts: uint32
    ``(n,)``, of the script of each row; None for features that go without."""
    if scripts is not None:
        hashes = hashes ^ scripts[:, None]
    return ((hashes * _SPREAD) >> np.uint32(32 - bits)).astype(np.int64)


def _joined(seen: Sequence[tuple[Hashes, Hashes]]) -> Hashes:
    """Of each kind of feature, and of each word, one hash."""
    what = np.stack([at for at, _ in seen], axis=1)
    label = np.stack([label for _, label in seen], axis=1)
    kinds = mixed(np.arange(1, len(seen) + 1, dtype=np.uint32))
    return mixed(what * _SPREAD ^ (label + kinds))
