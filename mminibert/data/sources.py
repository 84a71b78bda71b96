"""The sentences that a teacher labels: of training sets, and of unlabelled text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from spacy.vocab import Vocab

from ..runtime.languages import language_of
from .corpus import SUFFIXES, iter_docs
from .replacement import Replacement
from .text import UNSPACED, read_forms, read_sentences

MAX_WORDS = 200
"""Longer sentences are passed over."""


def sources(
    corpus: Path,
    text: Path,
    treebanks: Sequence[str],
    *,
    train_words: int,
    text_words: int,
    replaced: float,
) -> Iterator[tuple[str, list[list[str]]]]:
    """For each language its name and sentences: first of the training sets, then unlabelled text.

    train_words, text_words: at most so many words a language of each kind; a language short of training
    text gets that much more unlabelled text. Treebanks without training set give none. replaced: the share of
    words in whose place another form of all these texts is put, see `replacement`.
    """
    vocab = Vocab()
    for lang in dict.fromkeys(language_of(ltcode) for ltcode in treebanks):
        codes = [ltcode for ltcode in treebanks if language_of(ltcode) == lang]
        known: list[list[str]] = []
        if train_words or lang in UNSPACED:  # reading takes long
            docs = iter_docs(corpus, codes, "train", vocab, units=tuple(SUFFIXES))
            known = [[token.text for token in doc] for doc in docs]
        lexicon = {word for sentence in known for word in sentence}
        train = _first_words(_shuffled(known), train_words)
        missing = train_words - sum(map(len, train))
        path = text / f"{lang}.txt"
        raw = read_sentences(path, lang, lexicon) if path.exists() else iter(())
        taken = train + _first_words(raw, text_words + missing)
        if replaced:
            # A word that a comma follows is one without it elsewhere; text without blanks has no words.
            forms = read_forms(path) if path.exists() and lang not in UNSPACED else set()
            replace, random = Replacement(lexicon | forms), np.random.default_rng(0)
            taken = [replace(sentence, replaced, random) for sentence in taken]
        yield lang, taken


def _shuffled(sentences: list[list[str]]) -> list[list[str]]:
    order = np.random.default_rng(0).permutation(len(sentences))
    return [sentences[i] for i in order]


def _first_words(sentences: Iterable[list[str]], limit: int) -> list[list[str]]:
    taken: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    words = 0
    for sentence in sentences:
        key = tuple(sentence)
        if not 0 < len(sentence) <= MAX_WORDS or key in seen:
            continue
        if words >= limit:
            break
        seen.add(key)
        taken.append(sentence)
        words += len(sentence)
    return taken
