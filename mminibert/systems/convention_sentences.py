"""The sentences of a treebank that its convention is fitted to.

An encoder knows by heart the sentences that it was trained on, and which treebank they are of: heads that
learn from these learn little of others. So sentences are altered before they are encoded: cut in two, and
with other forms in the place of words, whose labels are then unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, read_docs
from ..data.replacement import Replacement
from ..runtime.doc_labels import doc_labels
from ..runtime.labels import Label

__all__ = ["Sentence", "altered", "chosen", "labels_of", "read"]

Sentence = tuple[list[str], list[Label]]
"""Words and their labels."""
UNKNOWN: Label = ("", "")
ALTERED, WHOLE, DEV = 40_000, 20_000, 60_000
"""Words of a treebank that a fit sees: of altered training sentences, of training sentences as they are, and
of dev."""
CUT = 0.7
"""The share of the altered sentences that are cut in two."""
REPLACED = (0.5, 0.7)
"""The shares of words that give way to others, one of these in each altered sentence."""


def read(corpus: Path, code: str, silver: bool) -> tuple[list[Sentence], list[Sentence]]:
    """Sentences of the training set in both units, and of dev where those are silver."""
    vocab = Vocab()

    def sentences(split: str) -> list[Sentence]:
        docs = read_docs(corpus, code, split, vocab, units=tuple(SUFFIXES))
        return [([token.text for token in doc], doc_labels(doc)) for doc in docs if len(doc)]

    return sentences("train"), sentences("dev") if silver else []


def labels_of(*splits: Iterable[Sentence]) -> set[Label]:
    """All that words are labelled as."""
    return {label for sentences in splits for _, labels in sentences for label in labels}


def chosen(
    code: str, train: Sequence[Sentence], dev: Sequence[Sentence], is_known: bool, seed: int
) -> list[Sentence]:
    """What a convention is fitted to. is_known: whether the encoder has learned from all of ``train``, which
    then is read altered alone."""
    random = np.random.default_rng([seed, *code.encode()])
    whole = _some(train, 0 if is_known else WHOLE, random)
    return [*_altered(train, random), *whole, *_some(dev, DEV, random)]


def altered(sentence: Sentence, replacement: Replacement, random: np.random.Generator) -> Iterator[Sentence]:
    """The parts of a sentence that is cut in two or not, with other words in it, whose labels are unknown."""
    words, labels = sentence
    cut = int(random.integers(1, len(words))) if len(words) > 5 and random.random() < CUT else len(words)
    for part, wanted in ((words[:cut], labels[:cut]), (words[cut:], labels[cut:])):
        if part:
            other = replacement(part, float(random.choice(REPLACED)), random)
            yield (
                other,
                [label if a == b else UNKNOWN for a, b, label in zip(part, other, wanted, strict=True)],
            )


def _altered(sentences: Sequence[Sentence], random: np.random.Generator) -> Iterator[Sentence]:
    replacement = Replacement(word for words, _ in sentences for word in words)
    for sentence in _some(sentences, ALTERED, random):
        yield from altered(sentence, replacement, random)


def _some(sentences: Sequence[Sentence], most: int, random: np.random.Generator) -> Iterator[Sentence]:
    """Sentences in random order until they have so many words."""
    n = 0
    for i in random.permutation(len(sentences)):
        if n >= most:
            return
        n += len(sentences[i][0])
        yield sentences[i]
