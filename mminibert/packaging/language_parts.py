"""What each language needs of a multilingual pipeline, by its training sentences and its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, read_docs
from ..data.text import UNSPACED, read_sentences, script_of
from ..data.treebanks import language_of
from ..project.profile import Profile
from ..runtime.labels import Inventory, Label, doc_labels
from ..runtime.languages import LanguagePart
from ..runtime.pipeline import tagger
from ..runtime.wordpieces import WordPieces

__all__ = ["language_part", "language_parts"]

MAX_PIECES = 21_000
"""Of the words of a language, the most frequent ones, so that its wheel has less than 8 MB."""
MIN_SCRIPT_SHARE = 0.01
"""A script with a smaller share of a language's letters is foreign to it."""


def language_parts(profile: Profile, nlp: Language) -> dict[str, LanguagePart]:
    """What each language with training sentences needs, by these and by its unlabelled text."""
    pipe = tagger(nlp)
    pieces = pipe.encoder.pieces
    parts = {}
    for lang in dict.fromkeys(language_of(code) for code in profile.treebanks):
        vocab = Vocab()
        codes = [code for code in profile.treebanks if language_of(code) == lang]
        docs = [
            doc
            for code in codes
            for doc in read_docs(profile.corpus, code, "train", vocab, units=tuple(SUFFIXES))
        ]
        if not docs:
            continue
        words = Counter(token.text for doc in docs for token in doc)
        labels = {label for doc in docs for label in doc_labels(doc) if label[1]}
        path = profile.assets / "unlabelled" / f"{lang}.txt"
        if path.exists():
            words.update(_text_words(path, lang, frozenset(words)))
        # FEATS of all its training words may be masked; any combination is possible then.
        parts[lang] = language_part(pieces, pipe.inventory, words, labels or pipe.inventory.combinations)
    return parts


def _text_words(path: Path, lang: str, lexicon: Collection[str]) -> Iterator[str]:
    """The words of a text; blanks are enough where there are, as pieces are split at punctuation anyway."""
    if lang in UNSPACED:
        yield from chain.from_iterable(read_sentences(path, lang, lexicon))
        return
    with path.open(encoding="utf-8") as lines:
        yield from chain.from_iterable(map(str.split, lines))


def language_part(
    pieces: WordPieces, inventory: Inventory, words: Mapping[str, int], labels: Iterable[Label]
) -> LanguagePart:
    """What is needed for a language whose text has these words, so often each, and these labels.

    Kept are the `MAX_PIECES` most frequent pieces of the words and, so that other words still have pieces,
    all single characters (as whole words and as continuations) that are ASCII, no letters, or of the scripts
    of the words. Labels that the inventory has not are passed over. Raises ValueError if it has none of them.
    """
    letters: Counter[str] = Counter()
    counts = np.zeros(len(pieces), dtype=np.int64)
    for word, count in words.items():
        counts[list(pieces.pieces(word))] += count
        letters.update(filter(str.isalpha, word))
    kept = np.zeros(len(pieces), dtype=bool)
    kept[np.argsort(-counts, kind="stable")[:MAX_PIECES]] = True
    kept &= counts > 0
    shares: Counter[str] = Counter()
    for letter, count in letters.items():
        shares[script_of(letter)] += count
    scripts = {script for script, count in shares.items() if count >= MIN_SCRIPT_SHARE * shares.total()}
    for i, piece in enumerate(pieces.vocab):
        character = piece.removeprefix("##") or piece
        if len(character) == 1:
            foreign = character.isalpha() and not character.isascii() and script_of(character) not in scripts
            kept[i] |= not foreign
    seen = set(labels)
    combinations = np.asarray([label in seen for label in inventory.combinations], dtype=bool)
    if not combinations.any():
        raise ValueError(
            f"none of {len(seen)} labels is among the {len(combinations)} combinations of the pipeline; "
            "give the labels of a treebank that it was trained on"
        )
    return LanguagePart(kept, combinations)
