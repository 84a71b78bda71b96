"""F1 from raw text, as the CoNLL 2018 evaluation defines it (Zeman et al. 2018, *CoNLL 2018 Shared Task*,
section 4), for users who have not its program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..data.conllu import Sentence, Word
from .metrics import universal_features

__all__ = ["raw_scores"]

Span = tuple[int, int]
"""Of the text without blanks: start, end (exclusive)."""


@dataclass(frozen=True)
class _Place:
    """Where a word is. of: the span of the token that it is of; several words of a multiword token have
    one."""

    word: Word
    of: Span
    multiword: bool


@dataclass
class _Text:
    """What a file has of a text."""

    characters: list[str] = field(default_factory=list)
    tokens: set[Span] = field(default_factory=set)
    sentences: set[Span] = field(default_factory=set)
    words: list[_Place] = field(default_factory=list)


def raw_scores(gold: Iterable[Sentence], found: Iterable[Sentence]) -> dict[str, float]:
    """F1 in 0..1 of Tokens, Sentences, Words, UPOS, UFeats and Lemmas of two annotations of one text.

    Tokens and sentences count by their characters. So do words, but those of multiword tokens, which are
    aligned by the longest common subsequence of their forms in lower case; UPOS, UFeats and Lemmas count
    words that are aligned, and a gold lemma `_` any lemma as right. Raises ValueError if the texts have other
    characters."""
    ours, theirs = _read(gold), _read(found)
    if ours.characters != theirs.characters:
        pairs = zip(ours.characters, theirs.characters, strict=False)
        at = next((i for i, (one, other) in enumerate(pairs) if one != other), len(theirs.characters))
        raise ValueError(
            f"the texts differ from character {at} on: expected {''.join(ours.characters[at : at + 20])!r}, "
            f"got {''.join(theirs.characters[at : at + 20])!r}"
        )
    aligned = list(_aligned(ours.words, theirs.words))
    upos = sum(one.upos == other.upos for one, other in aligned)
    feats = sum(universal_features(one.feats) == universal_features(other.feats) for one, other in aligned)
    lemmas = sum(one.lemma in ("_", other.lemma) for one, other in aligned)
    n_words = len(ours.words) + len(theirs.words)
    return {
        "Tokens": _f1(len(ours.tokens & theirs.tokens), len(ours.tokens) + len(theirs.tokens)),
        "Sentences": _f1(len(ours.sentences & theirs.sentences), len(ours.sentences) + len(theirs.sentences)),
        "Words": _f1(len(aligned), n_words),
        "UPOS": _f1(upos, n_words),
        "UFeats": _f1(feats, n_words),
        "Lemmas": _f1(lemmas, n_words),
    }


def _f1(right: int, both: int) -> float:
    return 2 * right / both if both else 0.0


def _read(sentences: Iterable[Sentence]) -> _Text:
    found = _Text()
    for sentence in sentences:
        begin = len(found.characters)
        for form, _, words in sentence.tokens():
            start = len(found.characters)
            found.characters += [char for char in form if not char.isspace()]
            span = start, len(found.characters)
            found.tokens.add(span)
            found.words += [_Place(word, span, len(words) > 1) for word in words]
        found.sentences.add((begin, len(found.characters)))
    return found


def _aligned(gold: Sequence[_Place], found: Sequence[_Place]) -> Iterator[tuple[Word, Word]]:
    """The words that stand for each other: of the same characters, or, around multiword tokens, in common."""
    i = j = 0
    while i < len(gold) and j < len(found):
        ours, theirs = gold[i], found[j]
        if ours.multiword or theirs.multiword:
            # A single word that begins before the other side's multiword token is left alone.
            i += not ours.multiword and ours.of[0] < theirs.of[0]
            j += ours.multiword and not theirs.multiword and theirs.of[0] < ours.of[0]
            until_i, until_j = _region(gold, i, found, j, (ours if ours.multiword else theirs).of[1])
            yield from _common(gold[i:until_i], found[j:until_j])
            i, j = until_i, until_j
        elif ours.of == theirs.of:
            yield ours.word, theirs.word
            i, j = i + 1, j + 1
        elif ours.of[0] <= theirs.of[0]:
            i += 1
        else:
            j += 1


def _region(gold: Sequence[_Place], i: int, found: Sequence[_Place], j: int, end: int) -> tuple[int, int]:
    """Where a region of multiword tokens that overlap ends on both sides; it begins at i and j, and reaches
    to
    `end` at least."""
    while _is_inside(gold, i, end) or _is_inside(found, j, end):
        ours = j >= len(found) or (i < len(gold) and gold[i].of[0] <= found[j].of[0])
        place = gold[i] if ours else found[j]
        if place.multiword:
            end = max(end, place.of[1])
        i, j = i + ours, j + (not ours)
    return i, j


def _is_inside(places: Sequence[_Place], i: int, end: int) -> bool:
    if i >= len(places):
        return False
    start, own_end = places[i].of
    return start < end if places[i].multiword else own_end <= end


def _common(gold: Sequence[_Place], found: Sequence[_Place]) -> list[tuple[Word, Word]]:
    """The longest common subsequence by forms in lower case."""
    ours, theirs = ([place.word.form.lower() for place in places] for places in (gold, found))
    longest = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in reversed(range(len(ours))):
        for j in reversed(range(len(theirs))):
            if ours[i] == theirs[j]:
                longest[i][j] = longest[i + 1][j + 1] + 1
            else:
                longest[i][j] = max(longest[i + 1][j], longest[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(ours) and j < len(theirs):
        if ours[i] == theirs[j]:
            pairs.append((gold[i].word, found[j].word))
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
