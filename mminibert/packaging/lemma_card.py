"""What packages say of their lemmas."""

from __future__ import annotations

from collections.abc import Iterator

from spacy.language import Language

from ..runtime.pipeline import lemmatizer, tagger

__all__ = ["lemma_section"]


def lemma_section(nlp: Language) -> Iterator[str]:
    """The paragraphs of the card's section; none for a pipeline without lemmas."""
    pipe = lemmatizer(nlp)
    if pipe is None:
        return
    known = set(pipe.lemmas.codes)
    yield "## Lemmas"
    yield (
        "A lemma is made of the form by an edit script: prefix and suffix are cut off and others put in "
        "their place. A linear ranker for each language chooses among the scripts of the word's UPOS that"
        " apply, by the ends of the form, UPOS, features, the convention, and the lemma that would come "
        "out. Words that were learned from and for which it would be wrong are kept as exceptions. All is "
        "learned from the LEMMA column of the sentences that conventions are learned from, where a word's "
        "lemma in a dev set counts instead of that in text which stands in for the training set; so a lemma "
        "is what the treebank calls one: capitals, marks of compounds and the lemmas of pronouns differ."
    )
    conventions = tagger(nlp).conventions
    if conventions is not None and (without := [code for code in conventions.codes if code not in known]):
        codes = ", ".join(f"`{code}`" for code in without)
        yield (f"Without lemmas, as their training sets have none: {codes}. There `token.lemma_` is empty.")
