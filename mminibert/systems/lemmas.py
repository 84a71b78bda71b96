"""The lemmas of a profile's treebanks, a table a language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from spacy.attrs import LEMMA, MORPH, ORTH, POS
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..data.corpus import read_docs, silver_treebanks
from ..runtime.languages import language_of
from ..runtime.lemmas import Lemmas
from .lemma_fit import WordCounts, fit_table

__all__ = ["FILE", "fit_lemmas", "with_lemmas_of", "word_counts"]

FILE = "lemmas"


def fit_lemmas(
    corpus: Path, treebanks: Sequence[str], *, conventions: bool, say: Callable[[str], None] = lambda _: None
) -> Lemmas:
    """Of all languages with lemmas in their training sets. conventions: whether the pipeline is told of them,
    which learn from the dev sets of silver treebanks, too, as heads do; one without has one table for all.
    Raises ValueError if there are no lemmas."""
    silver = silver_treebanks(corpus) if conventions else ()
    tables = []
    for lang, group in groupby(sorted(treebanks), language_of if conventions else lambda _: ""):
        counts = {}
        for code in group:
            if train := _words(corpus, code, "train"):
                dev = _words(corpus, code, "dev") if code in silver else WordCounts()
                counts[code] = _corrected(train, dev)
        if not conventions:
            counts = {"": sum(counts.values(), WordCounts())}
        if any(counts.values()):
            table = fit_table(counts)
            tables.append(table)
            n = sum(sum(own.values()) for own in counts.values())
            say(
                f"{lang or 'all'}: {n:,} words, {len(table.scripts):,} scripts, {len(table.known):,} lemmas, "
                f"{len(table.exceptions):,} exceptions"
            )
    if not tables:
        raise ValueError(f"{corpus}: no training set has lemmas")
    return Lemmas.of(tables)


def with_lemmas_of(lemmas: Lemmas, code: str, default: str | None, docs: Iterable[Doc]) -> Lemmas | None:
    """With those of a new convention, which go on from what is known by the default convention of its
    language; None if no word of the Docs has one."""
    counts = word_counts(docs)
    base = None if default is None else lemmas.table(default)
    return lemmas.with_table(fit_table({code: counts}, base=base)) if counts else None


def _corrected(train: WordCounts, dev: WordCounts) -> WordCounts:
    """Words of both; where stand-in training text has a form with UPOS and FEATS that dev has, too, the
    lemmas of dev count alone, as those are gold."""
    known = {(form, upos, feats) for form, upos, feats, _ in dev}
    return dev + Counter({word: n for word, n in train.items() if word[:3] not in known})


def _words(corpus: Path, code: str, split: str) -> WordCounts:
    return word_counts(read_docs(corpus, code, split, Vocab(), units=("words",)))


def word_counts(docs: Iterable[Doc]) -> WordCounts:
    """Of words whose UPOS and lemma are known."""
    found: Counter[tuple[int, int, int, int]] = Counter()
    strings = None
    for doc in docs:
        strings = doc.vocab.strings
        found.update(map(tuple, doc.to_array([ORTH, POS, MORPH, LEMMA]).tolist()))
    words: WordCounts = Counter()
    for (orth, pos, morph, lemma), n in found.items():
        if strings is not None and pos and lemma:
            words[strings[orth], strings[pos], _feats(strings[morph]) if morph else None, strings[lemma]] += n
    return words


def _feats(morph: str) -> str:
    return "_" if morph in ("", "_") else morph
