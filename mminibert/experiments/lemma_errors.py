"""Which words get another lemma than the treebank's, the most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from spacy.language import Language

from .. import markdown
from ..data.conllu import Sentence
from ..evaluation.conventions import Told
from ..evaluation.tagging import gold_words

__all__ = ["lemma_errors", "table"]

SHOWN = 20


def lemma_errors(
    nlp: Language, sentences: Sequence[Sentence], convention: str, seen: frozenset[str]
) -> dict[str, Any]:
    """On gold words, in this convention: `words` with a lemma, wrong ones (`errors`), how many of those are
    not among ``seen`` forms in lower case (`unseen`) or have another UPOS than gold (`other_upos`), and the
    most frequent: form, gold UPOS, gold lemma, lemma found, how often."""
    told = Told(convention)
    lines = gold_words(nlp, sentences, (told,)).conllu[told].splitlines()
    rows = (line.split("\t") for line in lines if line[:1].isdigit())
    found = [(row[2], row[3]) for row in rows if row[0].isdigit()]
    errors: Counter[tuple[str, str, str, str]] = Counter()
    words = unseen = other_upos = 0
    for word, (lemma, upos) in zip([w for s in sentences for w in s.words], found, strict=True):
        if word.lemma == "_" != word.form:
            continue
        words += 1
        if lemma != word.lemma:
            errors[word.form, word.upos, word.lemma, lemma] += 1
            unseen += word.form.lower() not in seen
            other_upos += upos != word.upos
    return {
        "words": words,
        "errors": errors.total(),
        "unseen": unseen,
        "other_upos": other_upos,
        "most_frequent": [[*error, n] for error, n in errors.most_common(SHOWN)],
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a section a treebank."""
    parts = ["# Lemmas that are wrong"]
    for code, row in found.items():
        parts += [
            f"## {code}",
            f"{row['errors']:,} of {row['words']:,} words; of these {row['unseen']:,} have a form that the "
            f"training set has not, {row['other_upos']:,} another UPOS than gold.",
            markdown.table(
                ("form", "UPOS", "gold", "found", "times"),
                [list(map(str, error)) for error in row["most_frequent"]],
                "llllr",
            ),
        ]
    return "\n\n".join(parts) + "\n"
