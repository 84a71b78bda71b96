"""Scores of one treebank on gold words, counted by hand, and averages over treebanks.

On gold words system and gold have the same words, so precision, recall, F1 and accuracy are one number:
correct words / words. The three metrics follow the CoNLL 2018 evaluation (Zeman et al. 2018):

UPOS    the tag is equal
UFeats  the universal features (`UNIVERSAL_FEATURES`) are equal, in any order; others are ignored
FEATS   all features are equal, in any order; the CoNLL evaluation has no such metric
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

# The features that the CoNLL 2018 evaluation compares; UD has since added others (Clusivity, Deixis ...).
UNIVERSAL_FEATURES = frozenset(
    {
        *("PronType", "NumType", "Poss", "Reflex", "Foreign", "Abbr"),
        *("Gender", "Animacy", "Number", "Case", "Definite", "Degree"),
        *("VerbForm", "Mood", "Tense", "Aspect", "Voice", "Evident", "Polarity", "Person", "Polite"),
    }
)


class TaggedWord(Protocol):
    """A syntactic word as CoNLL-U writes it; `feats` is the FEATS column, "_" if it is empty."""

    @property
    def form(self) -> str: ...
    @property
    def upos(self) -> str: ...
    @property
    def feats(self) -> str: ...


class TaggedSentence(Protocol):
    @property
    def words(self) -> Sequence[TaggedWord]: ...


class GoldWord(TaggedWord, Protocol):
    @property
    def upos_masked(self) -> bool: ...
    @property
    def feats_masked(self) -> bool: ...


class GoldSentence(Protocol):
    """One whose words may have UPOS or FEATS that are unknown, which no metric counts."""

    @property
    def words(self) -> Sequence[GoldWord]: ...


class LemmaWord(Protocol):
    """A word with its LEMMA column."""

    @property
    def form(self) -> str: ...
    @property
    def lemma(self) -> str: ...


class LemmaSentence(Protocol):
    @property
    def words(self) -> Sequence[LemmaWord]: ...


@dataclass(frozen=True)
class Counts:
    """Words of a treebank, of how many gold UPOS and FEATS are known, and how many of those each metric finds
    correct. Counts can be added."""

    sentences: int = 0
    words: int = 0
    upos: int = 0
    ufeats: int = 0
    feats: int = 0
    known_upos: int = 0
    known_feats: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            sentences=self.sentences + other.sentences,
            words=self.words + other.words,
            upos=self.upos + other.upos,
            ufeats=self.ufeats + other.ufeats,
            feats=self.feats + other.feats,
            known_upos=self.known_upos + other.known_upos,
            known_feats=self.known_feats + other.known_feats,
        )

    def accuracies(self) -> dict[str, float]:
        """UPOS, UFeats and FEATS in 0..1, of the words whose gold label is known; 0.0 if there is none, as
        the CoNLL evaluation has it."""
        correct = {
            "UPOS": (self.upos, self.known_upos),
            "UFeats": (self.ufeats, self.known_feats),
            "FEATS": (self.feats, self.known_feats),
        }
        return {name: n / known if known else 0.0 for name, (n, known) in correct.items()}


def count(gold: Iterable[GoldSentence], predicted: Iterable[TaggedSentence]) -> Counts:
    """Count correct words, sentence by sentence; both are read once and side by side.

    Raises ValueError where the sentences, their number, or their words differ.
    """
    total = Counts()
    for number, (gold_sentence, system_sentence) in enumerate(zip_longest(gold, predicted), start=1):
        if gold_sentence is None or system_sentence is None:
            shorter = "gold" if gold_sentence is None else "prediction"
            raise ValueError(
                f"sentence {number}: the {shorter} has only {number - 1} sentences, the other has more; "
                "compare a prediction with the gold sentences that it was made from"
            )
        total += _count_sentence(number, gold_sentence.words, system_sentence.words)
    return total


def macro_average(values: Iterable[float]) -> float:
    """The plain mean of one score a treebank: each treebank weighs the same, whatever its size.

    Raises ValueError if there is no value.
    """
    values = list(values)
    if not values:
        raise ValueError("macro average of no treebank: pass at least one score")
    return math.fsum(values) / len(values)


def universal_features(feats: str) -> list[str]:
    """The `Name=Value` parts of a FEATS column that UFeats compares, sorted."""
    return sorted(part for part in feats.split("|") if part.split("=", 1)[0] in UNIVERSAL_FEATURES)


def lemma_accuracies(
    gold: Iterable[LemmaSentence], predicted: Iterable[LemmaSentence], seen: Collection[str]
) -> dict[str, float]:
    """`Lemmas` in 0..1 of the words that have a gold lemma, and `seen Lemmas`, `unseen Lemmas` of those
    whose
    form is or is not one of ``seen`` in lower case; a metric is left out where there is no such
    word. Both are read side by side and have the same words. Raises ValueError for another number of
    words."""
    right: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for ours, theirs in zip(gold, predicted, strict=True):
        for word, found in zip(ours.words, theirs.words, strict=True):
            if word.lemma != "_" or word.form == "_":
                for name in ("Lemmas", "seen Lemmas" if word.form.lower() in seen else "unseen Lemmas"):
                    words[name] += 1
                    right[name] += word.lemma == found.lemma
    return {name: right[name] / n for name, n in words.items()}


def _count_sentence(number: int, gold: Sequence[GoldWord], predicted: Sequence[TaggedWord]) -> Counts:
    for position, (g, p) in enumerate(zip_longest(gold, predicted), start=1):
        if g is None or p is None or g.form != p.form:
            got, expected = (repr(word.form) if word is not None else "the end" for word in (p, g))
            raise ValueError(
                f"sentence {number}, word {position}: the prediction has {got}, gold has {expected}; "
                "scores on gold words need the same words on both sides"
            )
    pairs = list(zip(gold, predicted, strict=True))
    with_upos = [(g.upos, p.upos) for g, p in pairs if not g.upos_masked]
    with_feats = [(g.feats, p.feats) for g, p in pairs if not g.feats_masked]
    return Counts(
        sentences=1,
        words=len(pairs),
        upos=sum(g == p for g, p in with_upos),
        ufeats=sum(universal_features(g) == universal_features(p) for g, p in with_feats),
        feats=sum(sorted(g.split("|")) == sorted(p.split("|")) for g, p in with_feats),
        known_upos=len(with_upos),
        known_feats=len(with_feats),
    )
