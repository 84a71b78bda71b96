"""A treebank of the user's own: what of its files is learned from, and what it is scored by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.conllu import FEATS_UNKNOWN, Sentence, Word, read_conllu
from ..data.segmented import Segmented, segmented

__all__ = ["OwnTreebank", "has_feats", "read_own", "with_blanks", "without_feats"]


@dataclass(frozen=True)
class OwnTreebank:
    """Sentences to learn from, and others to choose the best state by. knows_feats: whether any word has
    FEATS;
    if none has, they are marked as unknown, so that features are not unlearned."""

    learned: list[Sentence]
    held_out: list[Sentence]
    knows_feats: bool


def read_own(train: Path, dev: Path | None) -> OwnTreebank:
    """The sentences of CoNLL-U files; without dev a tenth of train is held out.

    Raises ConlluError for a bad file, ValueError if there is none, or only one to be both.
    """
    learned = list(read_conllu(train))
    if dev is not None:
        held_out = list(read_conllu(dev))
    else:
        if len(learned) < 2:
            raise ValueError(
                f"{train}: got {len(learned)} sentences, expected two or more: a tenth is held out to choose "
                "the best state by; give another file for that with --dev"
            )
        order = np.random.default_rng(0).permutation(len(learned))
        tenth = set(order[: max(len(learned) // 10, 1)].tolist())
        held_out = [sentence for i, sentence in enumerate(learned) if i in tenth]
        learned = [sentence for i, sentence in enumerate(learned) if i not in tenth]
    if not learned or not held_out:
        raise ValueError(f"{dev if learned else train}: no sentence, expected CoNLL-U with one or more")
    known = has_feats(learned)
    if not known:
        learned, held_out = without_feats(learned), without_feats(held_out)
    return OwnTreebank(learned, held_out, known)


def has_feats(sentences: Sequence[Sentence]) -> bool:
    return any(word.feats != "_" for sentence in sentences for word in sentence.words)


def without_feats(sentences: Sequence[Sentence]) -> list[Sentence]:
    """With FEATS that are marked as unknown."""
    return [replace(one, words=tuple(map(_without_feats, one.words))) for one in sentences]


def with_blanks(sentences: Sequence[Sentence], lang: str) -> list[Segmented]:
    """Those whose text is known; none if nothing in them says where blanks are."""
    found = [segmented(sentence, lang, infer=False) for sentence in sentences]
    if all(how in ("unsaid", "unaligned") for _, how in found):
        return []
    return [sentence for sentence, _ in found if sentence is not None]


def _without_feats(word: Word) -> Word:
    mark = min(FEATS_UNKNOWN)
    return (
        word if word.feats_masked else replace(word, misc=mark if word.misc == "_" else f"{word.misc}|{mark}")
    )
