"""Docs tagged by the heads of conventions: which sentence by which, and all of one head's together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
from spacy.attrs import ORTH
from spacy.tokens import Doc

from .conventions import ROWS_AT_ONCE, Convention, Conventions
from .languages import Languages
from .losses import log_softmax
from .pieces import Pieces
from .types import Floats, Ints
from .windows import unit_bounds
from .word_kinds import possible_upos, word_kinds

__all__ = ["Sentences", "Tagged", "in_parts", "of_languages", "tag", "upos_confidences"]

WORDS_AT_ONCE = 16 * ROWS_AT_ONCE
"""Words of a convention that are tagged at once: what is known of each of them takes a kilobyte."""
IMPOSSIBLE = 1e4
"""What is taken from a logit of what cannot be."""
Sentences = Sequence[tuple[int, str]]
"""Of a Doc the first token and the convention of each stretch that is tagged by one, in order."""


@dataclass(frozen=True)
class Tagged:
    """All Docs' tokens, one after the other. labels: int32 ``(n_tokens,)``, indices into
    `Conventions.labels`. confidences: float32 ``(n_tokens,)``, the probability of the predicted UPOS; None
    unless asked for."""

    labels: Ints
    confidences: Floats | None


def of_languages(
    conventions: Conventions,
    languages: Languages,
    docs: Sequence[Doc],
    vectors: Sequence[Floats],
    pieces: Pieces,
) -> list[Sentences]:
    """Each sentence by the default convention of its language, which is found in it."""
    defaults = [conventions.defaults[lang] for lang in languages.codes]
    return [
        [(start, defaults[lang]) for start, lang in zip(unit_bounds(doc), found.tolist(), strict=False)]
        for doc, found in zip(docs, languages.find(vectors, docs, pieces), strict=True)
    ]


def tag(
    conventions: Conventions,
    docs: Sequence[Doc],
    vectors: Sequence[Floats],
    sentences: Sequence[Sentences],
    *,
    confidences: bool = False,
) -> Tagged:
    """vectors: of each Doc, float32 ``(n_tokens, width)``. The words of a convention are computed together,
    whatever Docs they are of, `WORDS_AT_ONCE`."""
    hashes = [doc.to_array(ORTH) for doc in docs]
    offsets = list(accumulate(map(len, docs), initial=0))
    begins = _begins(docs, sentences, offsets)
    labels = np.zeros(offsets[-1], dtype=np.int32)
    probs = np.zeros(offsets[-1], dtype=np.float32) if confidences else None

    def scored(code: str, stretches: Sequence[tuple[int, int, int]]) -> _Scored:
        words = _Words(docs, hashes, stretches)
        parts = in_parts([vectors[i][start:end] for i, start, end in stretches], ROWS_AT_ONCE)
        logits = conventions.logits(code, map(np.concatenate, parts), words.forms(conventions, code))
        found = list(_possible(logits, conventions, code, words))
        rows = np.concatenate([np.arange(offsets[i] + a, offsets[i] + b) for i, a, b in stretches])
        return _Scored(rows, begins[rows], found, words.sets(conventions, code))

    for code, stretches in _by_code(docs, sentences).items():
        groups = (scored(code, group) for group in _groups(stretches))
        for group in _chained(conventions.head(code), groups):
            labels[group.rows] = found = conventions.read(code, group.logits, group.sets)
            if probs is not None:
                values = {value: i for i, value in enumerate(conventions.inventory(code).fields[0][1])}
                chosen = [values[conventions.labels[label][0]] for label in found.tolist()]
                upos = [part[:, : len(values)] for part in group.logits]
                probs[group.rows] = upos_confidences(upos, np.asarray(chosen, dtype=np.int32))
    return Tagged(labels, probs)


@dataclass(frozen=True)
class _Scored:
    """Words of a convention. rows: int64 ``(n,)``, of all tokens. begins: bool ``(n,)``, whether a sentence
    begins with each. logits: float32 ``(m, n_outputs)``, some of the words after the other. sets: int32
    ``(n,)``, of its lexicon; None without."""

    rows: npt.NDArray[np.int64]
    begins: npt.NDArray[np.bool_]
    logits: list[Floats]
    sets: Ints | None


def _chained(head: Convention, groups: Iterator[_Scored]) -> Iterator[_Scored]:
    """The groups, of words in a row, with what the labels beside each word say added to its logits, in place
    (`transitions`)."""
    tables = head.tables
    if tables is None:
        yield from groups
        return
    combinations, edge = head.inventory.best_combinations, tables.edge
    last, group = edge, next(groups, None)
    own = np.zeros(0, dtype=np.int32) if group is None else combinations(group.logits)
    while group is not None:
        following = next(groups, None)
        others = own[:0] if following is None else combinations(following.logits)
        first, begins = (edge, True) if following is None else (others[0], following.begins[0])
        before = np.where(group.begins, edge, np.append(last, own[:-1]))
        after = np.where(np.append(group.begins[1:], begins), edge, np.append(own[1:], first))
        at = 0
        for part in group.logits:
            rows = slice(at, at := at + len(part))
            tables.add(part, before[rows], after[rows])
        yield group
        last, group, own = own[-1], following, others


def _begins(
    docs: Sequence[Doc], sentences: Sequence[Sentences], offsets: Sequence[int]
) -> npt.NDArray[np.bool_]:
    """Whether a sentence begins with each of all tokens, or what is tagged by another convention."""
    begins = np.zeros(offsets[-1] + 1, dtype=np.bool_)
    for doc, stretches, offset in zip(docs, sentences, offsets, strict=False):
        begins[[offset + start for start in unit_bounds(doc)]] = True
        begins[[offset + start for start, _ in stretches]] = True
    return begins[:-1]


def upos_confidences(upos: Sequence[Floats], chosen: Ints) -> Floats:
    """float32 ``(n_words,)``: the probabilities of these values by logits of UPOS, some words after the
    other."""
    if not len(chosen):
        return np.zeros(0, dtype=np.float32)
    logits = np.concatenate(upos)
    probs = np.exp(log_softmax(logits, np.asarray([0, logits.shape[1]], dtype=np.int32)))
    return probs[np.arange(len(probs)), chosen]


def in_parts(arrays: Sequence[Floats], size: int) -> Iterator[list[Floats]]:
    """The rows of some arrays, one after the other, ``size`` at a time."""
    part: list[Floats] = []
    n = 0
    for rows in arrays:
        while len(rows):
            taken = rows[: size - n]
            part.append(taken)
            n += len(taken)
            rows = rows[len(taken) :]
            if n == size:
                yield part
                part, n = [], 0
    if part:
        yield part


def _by_code(docs: Sequence[Doc], sentences: Sequence[Sentences]) -> dict[str, list[tuple[int, int, int]]]:
    """By convention the stretches that it tags: number of the Doc, first token, end."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for i, (doc, stretches) in enumerate(zip(docs, sentences, strict=True)):
        bounds = [start for start, _ in stretches] + [len(doc)]
        for (start, end), (_, code) in zip(pairwise(bounds), stretches, strict=True):
            found.setdefault(code, []).append((i, start, end))
    return found


def _groups(stretches: Sequence[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """The stretches, cut so that each group but the last has `WORDS_AT_ONCE` words."""
    group: list[tuple[int, int, int]] = []
    n = 0
    for i, start, end in stretches:
        while start < end:
            cut = min(end, start + WORDS_AT_ONCE - n)
            group.append((i, start, cut))
            n += cut - start
            start = cut
            if n == WORDS_AT_ONCE:
                yield group
                group, n = [], 0
    if group:
        yield group


@dataclass(frozen=True)
class _Words:
    """Of stretches of Docs, each the number of the Doc, the first token and the end, one after the other.
    hashes: of all words of each Doc, by spaCy."""

    docs: Sequence[Doc]
    hashes: Sequence[np.ndarray]
    stretches: Sequence[tuple[int, int, int]]

    @cached_property
    def keys(self) -> list[list[int]]:
        """spaCy's hashes of each stretch's words."""
        return [self.hashes[i][start:end].tolist() for i, start, end in self.stretches]

    @property
    def kinds(self) -> npt.NDArray[np.uint8]:
        """uint8 ``(n_words,)``, see `word_kinds`."""
        stretches = zip(self.stretches, self.keys, strict=True)
        return np.concatenate([word_kinds(self.docs[i], keys, start) for (i, start, _), keys in stretches])

    def text(self, number: int) -> str:
        for i, start, end in self.stretches:
            if number < end - start:
                return self.docs[i][start + number].text
            number -= end - start
        raise IndexError(number)

    def forms(self, conventions: Conventions, code: str) -> Floats | None:
        """What their forms say, float32 ``(n_words, k)``; None without an adapter."""
        if conventions.adapter is None:
            return None
        table, k = conventions.forms(code), len(conventions.adapter.down)
        if table is None:
            return np.zeros((sum(map(len, self.keys)), k), dtype=np.float32)
        found: list[bytes] = []
        for (i, start, _), keys in zip(self.stretches, self.keys, strict=True):
            found += table.vectors(self.docs[i], keys, start)
        return np.frombuffer(b"".join(found), dtype=np.float32).reshape(-1, k)

    def sets(self, conventions: Conventions, code: str) -> Ints | None:
        """Of the convention's lexicon, int32 ``(n_words,)``; None without one."""
        lexicon = conventions.head(code).lexicon
        if lexicon is None:
            return None
        found: list[int] = []
        for (i, start, _), keys in zip(self.stretches, self.keys, strict=True):
            found += lexicon.of_doc(self.docs[i], keys, start)
        return np.asarray(found, dtype=np.int32)


def _possible(
    logits: Iterator[Floats], conventions: Conventions, code: str, words: _Words
) -> Iterator[Floats]:
    """The logits, so that letters are no punctuation, symbols are symbols and so on (`possible_upos`), but
    for words whose forms are frequent in the language's treebanks: these are as annotated there."""
    upos, table, kinds = conventions.inventory(code).fields[0][1], conventions.forms(code), words.kinds
    possible, first = possible_upos(upos), 0
    for part in logits:
        own, best = kinds[first : first + len(part)], part[:, : len(upos)].argmax(axis=1)
        for row in (~possible[own, best]).nonzero()[0].tolist():
            if table is None or words.text(first + row) not in table:
                part[row, : len(upos)][~possible[own[row]]] -= IMPOSSIBLE
        first += len(part)
        yield part
