"""What a package says of its conventions, in meta.json and in the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evaluation.conventions import DEV_IN_TRAINING
from ..markdown import table
from ..runtime.conventions import STRONG_EVIDENCE, Conventions
from .conventions_default import Default, default_conventions
from .records import Records

__all__ = ["CONVENTION_TEXT", "LIMIT", "conventions_meta", "conventions_section"]

CONVENTION_TEXT = "convention_text"
"""The entry of meta.json that says of which text the conventions learned besides: ``words``, and
``labelled_by``, name and version of the pipeline that labelled it, empty for the teacher."""
LIMIT = (
    "- A combination of UPOS and features that a convention's treebank never shows is predicted only if it "
    f"is {STRONG_EVIDENCE:g} times as probable as the best one that it shows."
)


def conventions_meta(
    conventions: Conventions, records: Records, chosen: Mapping[str, Default]
) -> list[dict[str, Any]]:
    """The entry `conventions` of meta.json, one a convention: code, language, default, words (of training),
    licence, url; `reason` where it is its language's default; `scores` (UPOS and UFeats on the gold words of
    the treebank, in 0..1) if they were measured with the convention given.

    chosen: see `read_chosen`. Raises ValueError for a convention without training sentences in the records,
    and where the pipeline's default of a language is not the one that would be chosen.
    """
    treebanks = {treebank.ltcode: treebank for treebank in records.trained}
    if missing := [code for code in conventions.codes if code not in treebanks]:
        raise ValueError(
            f"the pipeline has conventions without training sentences in the corpus: {', '.join(missing)}; "
            "package it with the profile that it was made with"
        )
    words = {code: treebanks[code].train_words or 0 for code in conventions.codes}
    defaults = default_conventions(words, chosen)
    for lang, (code, reason) in defaults.items():
        if (got := conventions.defaults[lang]) != code:
            raise ValueError(
                f"the default convention of {lang!r} is {got} in the pipeline, expected {code} ({reason}); "
                "make the pipeline's conventions anew"
            )
    scores = {score.ltcode: score.gold_words for score in records.scores if score.convention == score.ltcode}
    rows = []
    for head in conventions.heads:
        treebank, default = treebanks[head.code], defaults[head.language]
        row: dict[str, Any] = {
            "code": head.code,
            "language": head.language,
            "default": head.code == default.code,
            "words": words[head.code],
            "licence": treebank.licence,
            "url": treebank.url,
        }
        if row["default"]:
            row["reason"] = default.reason
        if found := scores.get(head.code):
            row["scores"] = {metric: found[metric] for metric in ("UPOS", "UFeats")}
        rows.append(row)
    return rows


def conventions_section(meta: Mapping[str, Any], records: Records) -> Iterator[str]:
    """The paragraphs of the card's section; none without conventions of the package's languages."""
    rows = [row for row in meta.get("conventions", []) if row["language"] in meta["languages"]]
    if not rows:
        return
    yield "## Conventions"
    yield (
        "Treebanks of one language disagree in what they annotate and how. The pipeline tags as the treebank "
        'does whose code `nlp.get_pipe("morphologizer").convention` is set to; the code of a language stands '
        "for its default. If it is not set, the language of each sentence is found in the text, and the "
        "default of that language is taken. `doc._.convention` says what was used. `mminibert conventions` "
        "lists training words, licences and scores of all."
    )
    by_language: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_language.setdefault(row["language"], []).append(row)
    lines = []
    for lang, of_language in sorted(by_language.items()):
        default = next(row for row in of_language if row["default"])
        codes = ", ".join(row["code"] for row in of_language)
        lines.append((lang, codes, default["code"], default["reason"]))
    yield table(("language", "conventions", "default", "why it is the default"), lines, "llll")
    if text := meta.get(CONVENTION_TEXT):
        by = f"`{text['labelled_by']}`" if text["labelled_by"] else "the teacher"
        yield (
            f"Besides their treebanks' sentences they learned from {text['words']:,} words of text that {by} "
            "had labelled in them."
        )
    learned = meta.get(DEV_IN_TRAINING)
    if learned is None:
        yield "It is not recorded from which dev sets the conventions learned."
    dev = {treebank.ltcode for treebank in records.trained if treebank.has_dev} | set(learned or ())
    if with_dev := sorted(dev & {row["code"] for row in rows}):
        yield f"Sentences of their dev sets were trained on: {', '.join(with_dev)}."
