"""The sentences that a teacher labels: of training sets, and of unlabelled text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from spacy.vocab import Vocab

from ..runtime.languages import language_of
from .corpus import SUFFIXES, iter_docs
from .replacement import Replacement
from .text import UNSPACED, read_forms, read_lines

MAX_WORDS = 200
"""Longer sentences are passed over."""


class Sentence(NamedTuple):
    """Words, and the convention that they are to be labelled in, "" where there is none."""

    words: list[str]
    convention: str


Line = tuple[str, str]
"""A sentence as text, and whose words it is to be cut into: the code of a convention, or a language."""
Cut = Callable[[Iterable[Line]], Iterator[list[str]]]
"""The words of each line."""


def sources(
    corpus: Path,
    text: Path,
    treebanks: Sequence[str],
    cut: Cut,
    *,
    train_words: int,
    text_words: int,
    replaced: float,
    conventions: Sequence[str] = (),
    seed: int = 0,
) -> Iterator[tuple[str, list[Sentence]]]:
    """For each language its name and sentences: first of the training sets, then unlabelled text.

    train_words, text_words: at most so many words of each kind for each of a language's conventions, or for
    the language if it has none; one that is short of training text gets that much more unlabelled text.
    Treebanks without training set give none. replaced: the share of words in whose place another form of all
    these texts is put, see `replacement`. conventions: the codes of all; each sentence is in one of its
    language, which depends on its text and the seed alone, so that those of other text stay what they are.
    """
    vocab = Vocab()
    for lang in dict.fromkeys(language_of(ltcode) for ltcode in treebanks):
        codes = [ltcode for ltcode in treebanks if language_of(ltcode) == lang]
        drawn = [code for code in conventions if language_of(code) == lang] or [""]
        known: list[list[str]] = []
        if train_words:  # reading takes long
            docs = iter_docs(corpus, codes, "train", vocab, units=tuple(SUFFIXES))
            known = [[token.text for token in doc] for doc in docs]
        train = _first_words(
            (Sentence(words, _draw(drawn, "\n".join(words), seed)) for words in _shuffled(known)),
            train_words * len(drawn),
        )
        wanted = (train_words + text_words) * len(drawn) - sum(len(words) for words, _ in train)
        path = text / f"{lang}.txt"
        raw = _cut(path, lang, cut, drawn, seed) if wanted > 0 and path.exists() else iter(())
        taken = train + _first_words(raw, wanted)
        if replaced:
            # A word that a comma follows is one without it elsewhere; text without blanks has no words.
            forms = read_forms(path) if path.exists() and lang not in UNSPACED else set()
            forms |= {word for words in known for word in words}
            replace, random = Replacement(forms), np.random.default_rng(0)
            taken = [Sentence(replace(words, replaced, random), code) for words, code in taken]
        yield lang, taken


def _draw(codes: Sequence[str], text: str, seed: int) -> str:
    return codes[crc32(text.encode(), seed) % len(codes)]


def _cut(path: Path, lang: str, cut: Cut, codes: Sequence[str], seed: int) -> Iterator[Sentence]:
    drawn: list[str] = []

    def lines() -> Iterator[Line]:
        for line in read_lines(path):
            drawn.append(_draw(codes, line, seed))
            yield line, drawn[-1] or lang

    for i, words in enumerate(cut(lines())):
        yield Sentence(words, drawn[i])


def _shuffled(sentences: list[list[str]]) -> list[list[str]]:
    order = np.random.default_rng(0).permutation(len(sentences))
    return [sentences[i] for i in order]


def _first_words(sentences: Iterable[Sentence], limit: int) -> list[Sentence]:
    taken: list[Sentence] = []
    seen: set[tuple[str, ...]] = set()
    words = 0
    for sentence in sentences:
        key = tuple(sentence.words)
        if not 0 < len(key) <= MAX_WORDS or key in seen:
            continue
        if words >= limit:
            break
        seen.add(key)
        taken.append(sentence)
        words += len(key)
    return taken
