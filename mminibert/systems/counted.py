"""What is counted in a treebank's training sentences, beside what its head learns: the lexicon of its forms,
and which labels stand side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from spacy.language import Language
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, read_docs
from ..runtime.conventions import Convention, Conventions
from ..runtime.doc_labels import doc_labels
from ..runtime.pipeline import tagger
from ..runtime.transitions import scores_of
from .convention_sentences import Sentence
from .lexicon_fit import counts_of, with_lexicon

__all__ = ["fit_counted", "with_counted"]


def with_counted(
    nlp: Language,
    conventions: Conventions,
    head: Convention,
    words: Sequence[Sentence],
    tokens: Sequence[Sentence],
) -> Convention:
    """A convention with the lexicon of sentences in words and in surface tokens, and with the transitions of
    the former, which are what is tagged. nlp: a packaged pipeline, whose encoder says which forms need no
    lexicon."""
    found = with_lexicon(nlp, conventions, head, counts_of(chain(words, tokens)))
    return replace(found, transitions=scores_of((labels for _, labels in words), head.inventory))


def fit_counted(
    nlp: Language,
    corpus: Path,
    codes: Collection[str],
    dev: Collection[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Conventions:
    """The conventions of a packaged pipeline with what is counted in the training sentences of these
    treebanks; of ``dev`` the dev sentences count, too, as for the heads.

    Raises ValueError if the pipeline has no conventions."""
    conventions = tagger(nlp).conventions
    if conventions is None:
        raise ValueError("the pipeline has no conventions, expected some to count for; fit them first")
    for head in conventions.heads:
        if head.code not in codes:
            continue
        vocab = Vocab()
        words, tokens = (
            [
                ([token.text for token in doc], doc_labels(doc))
                for split in ("train", *(["dev"] if head.code in dev else []))
                for doc in read_docs(corpus, head.code, split, vocab, units=(unit,))
            ]
            for unit in SUFFIXES
        )
        new = with_counted(nlp, conventions, head, words, tokens)
        conventions = conventions.with_head(new)
        assert new.lexicon is not None
        say(f"{head.code}: {len(words):,} sentences, lexicon of {len(new.lexicon):,} forms")
    return conventions
