"""The wordpieces of each language, and what tells the languages apart, by training sentences and text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, read_docs
from ..data.text import UNSPACED, script_of, segment, tokenizer_for
from ..files import reading
from ..project.profile import Profile
from ..runtime.languages import Languages, Levels, Observations, language_of
from ..runtime.pieces import StoredPieces
from ..runtime.pipeline import tagger
from .language_fit import fit

__all__ = ["language_levels", "language_parts"]

MAX_PIECES = 21_000
"""Of the words of a language, the most frequent ones, so that its wheel has less than 8 MB."""
MAX_WORDS = 50_000
"""Of a language, the most frequent forms; rarer ones have hardly a piece of their own."""
MIN_SCRIPT_SHARE = 0.01
"""A script with a smaller share of a language's letters is foreign to it."""
MIN_FULL_SHARE = 0.1
"""A language is written in each script with at least this share of its pieces."""
FLOOR, HIGHEST = -15, 15
"""In nats: the log-frequency of level 0, and the highest level."""
MAX_LINES = 40_000
"""Of a language's text, spread evenly over the file."""
FITTED_LINES = 1500
"""Of these lines, and `FITTED_SENTENCES` of each treebank, tell the languages apart."""
FITTED_SENTENCES = 600
SHORTEST, LONGEST = 2, 30
"""Words of the stretch that a line is cut to, so that short sentences are told apart too."""


def language_parts(
    profile: Profile, nlp: Language, progress: Callable[[str], None] = lambda line: None
) -> Languages:
    """The pieces of each language with training sentences, and what tells these languages apart.

    By the training sentences and the unlabelled text of the profile, with the vectors of the pipeline's
    encoder; always the same for the same files and seed. progress: gets a line for each language, and some of
    the fit.
    Raises ValueError if no treebank has training sentences.
    """
    encoder = tagger(nlp).encoder
    levels: list[Levels] = []
    observations: list[Observations] = []
    codes: list[str] = []
    for lang in dict.fromkeys(language_of(code) for code in profile.treebanks):
        vocab, random = Vocab(), np.random.default_rng(profile.seed)
        treebanks = [
            read_docs(profile.corpus, code, "train", vocab, units=tuple(SUFFIXES))
            for code in profile.treebanks
            if language_of(code) == lang
        ]
        words = Counter(token.text for docs in treebanks for doc in docs for token in doc)
        if not words:
            continue
        lexicon = frozenset(words)
        fitted, counted = _lines(profile.assets / "unlabelled" / f"{lang}.txt")
        words.update(word for line in _as_words(counted, lang, lexicon, rough=True) for word in line)
        levels.append(language_levels(encoder.pieces, dict(words.most_common(MAX_WORDS))))
        chosen = [_stretch(line, random) for line in _as_words(fitted, lang, lexicon)]
        for docs in treebanks:
            picked = random.permutation(len(docs))[:FITTED_SENTENCES]
            chosen += [[token.text for token in docs[i]] for i in picked]
        observations.append(_observations(nlp, chosen))
        codes.append(lang)
        progress(f"{lang}: {words.total():,} words, {int((levels[-1] > 0).sum()):,} pieces")
    if not codes:
        raise ValueError(
            f"no treebank of the profile {profile.name!r} has training sentences in {profile.corpus}; "
            "run the step `convert`"
        )
    return fit(codes, np.stack(levels), observations, profile.seed, progress)


def language_levels(pieces: StoredPieces, words: Mapping[str, int]) -> Levels:
    """The level of each piece for a language whose text has these words, so often each, uint8 (n_pieces,);
    see `Languages`.

    Its own are the `MAX_PIECES` most frequent pieces of the words and, so that other words still have pieces,
    all single characters (as whole words and as continuations) that are ASCII, no letters, or of the scripts
    of the words. Raises ValueError if there is no word.
    """
    if not words:
        raise ValueError("the language has no words, expected those of its treebank or text")
    letters: Counter[str] = Counter()
    counts = np.zeros(len(pieces), dtype=np.int64)
    for word, count in words.items():
        np.add.at(counts, list(pieces.pieces(word)), count)
        letters.update(filter(str.isalpha, word))
    kept = np.zeros(len(pieces), dtype=bool)
    kept[np.argsort(-counts, kind="stable")[:MAX_PIECES]] = True
    kept &= counts > 0
    shares: Counter[str] = Counter()
    for letter, count in letters.items():
        shares[script_of(letter)] += count
    scripts = {script for script, count in shares.items() if count >= MIN_SCRIPT_SHARE * shares.total()}
    characters = pieces.characters
    for i, (character, script) in enumerate(zip(characters, _scripts(characters), strict=True)):
        if len(character) == 1:
            foreign = character.isalpha() and not character.isascii() and script not in scripts
            kept[i] |= not foreign
    heights = np.rint(np.log(np.maximum(counts, 1) / _totals(pieces, counts))) - FLOOR
    heights = np.where(counts > 0, np.clip(heights, 1, HIGHEST), 1)
    return np.where(kept, heights, 0).astype(np.uint8)


def _totals(pieces: StoredPieces, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """What the frequency of each piece is a share of, int64 (n_pieces,): the pieces of its script if many
    are, else all. So Serbian does not lose to Croatian what its Cyrillic text has."""
    scripts = _scripts(pieces.characters)
    totals = np.full(len(counts), counts.sum())
    for script in set(scripts[counts > 0]) - {""}:
        own = scripts == script
        if counts[own].sum() >= MIN_FULL_SHARE * counts.sum():
            totals[own] = counts[own].sum()
    return totals


@lru_cache(maxsize=1)
def _scripts(characters: tuple[str, ...]) -> npt.NDArray[np.str_]:
    return np.asarray([script_of(piece) for piece in characters])


def _lines(path: Path) -> tuple[list[str], list[str]]:
    """Of a text, lines to fit and lines to count, none in both; empty if there is no such file."""
    if not path.exists():
        return [], []
    with reading(path, "save it in UTF-8"), path.open(encoding="utf-8") as file:
        lines = [" ".join(line.split()) for line in file if not line.isspace()]
    lines = lines[:: -(-len(lines) // MAX_LINES) or 1]
    step = -(-len(lines) // FITTED_LINES) or 1
    return lines[::step], [line for i, line in enumerate(lines) if i % step]


def _as_words(
    lines: Iterable[str], lang: str, lexicon: frozenset[str], *, rough: bool = False
) -> Iterator[list[str]]:
    """rough: split at blanks alone where there are, which is enough for pieces, as they are split at
    punctuation anyway."""
    longest = max(map(len, lexicon))
    tokenizer = tokenizer_for(lang)
    for line in lines:
        if lang in UNSPACED:
            yield [word for part in line.split() for word in segment(part, lexicon, longest)]
        elif rough:
            yield line.split()
        else:
            yield [token.text for token in tokenizer(line)]


def _stretch(words: list[str], random: np.random.Generator) -> list[str]:
    """Some words of a sentence in a row, between `SHORTEST` and `LONGEST`; a shorter one as it is."""
    n = min(int(random.integers(SHORTEST, LONGEST + 1)), len(words))
    start = int(random.integers(len(words) - n + 1))
    return words[start : start + n]


def _observations(nlp: Language, texts: Sequence[list[str]]) -> Observations:
    docs = [Doc(nlp.vocab, words=words) for words in texts]
    pipe = tagger(nlp)
    vectors: list[Any] = [rows for i in range(0, len(docs), 256) for rows in pipe.vectors(docs[i : i + 256])]
    return Observations.of_docs(vectors, docs, [[0, len(doc)] for doc in docs], pipe.encoder.pieces)
