"""What a user sees first of a package: its README, which is also its page in an index; scores and licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.treebanks import meets
from ..evaluation.metrics import macro_average
from ..markdown import table

__all__ = ["licence", "page", "performance", "scores_table"]

METRICS = ("UPOS", "UFeats")
LEMMAS = "Lemmas"
"""Of the treebanks alone that have lemmas."""
GOLD, RAW = "gold words (accuracy)", "raw text (F1)"


def page(meta: Mapping[str, Any]) -> str:
    """Markdown without links, of a pipeline's meta.json."""
    name, wheel = f"{meta['lang']}_{meta['name']}", f"{meta['lang']}_{meta['name']}-{meta['version']}"
    lemma = ", token.lemma_" if "lemmatizer" in meta.get("pipeline", ()) else ""
    parts = [
        f"# {name} {meta['version']}",
        f"{meta['description']} It runs on spaCy and ONNX Runtime, without PyTorch. {meta.get('notes', '')}",
        licence(meta),
        f"```\npip install mminibert-*.whl {wheel}-py3-none-any.whl\n```",
        f'```python\nimport spacy\n\nnlp = spacy.load("{name}")\nfor doc in nlp.pipe(texts):\n'
        f"    print([(token.text, token.pos_, str(token.morph){lemma}) for token in doc])\n```",
    ]
    if scores := scores_table(meta):
        parts += ["## Accuracy", scores]
    if languages := meta.get("languages"):
        parts += ["## Languages", f"{', '.join(languages)}."]
    if conventions := meta.get("conventions"):
        codes = ", ".join(row["code"] + "*" * row["default"] for row in conventions)
        parts += [
            "## Conventions",
            "The treebanks whose ways to annotate it has; a star is on the default of a language. "
            f"`mminibert conventions {name}` says more of them.",
            f"{codes}.",
        ]
    return "\n\n".join(parts) + "\n"


def licence(meta: Mapping[str, Any]) -> str:
    """What may be done with a package, and where its sources are listed."""
    stated = meta.get("license") or "none stated"
    barred = "" if meets(stated, "commercial") else ", **not for commercial use**"
    return (
        f"Licence of this package: {stated}{barred}, by those of the treebanks that it was trained on. They "
        "are listed with their licences in MODEL_CARD.md and LICENSES_SOURCES, in the package's folder."
    )


def scores_table(meta: Mapping[str, Any]) -> str:
    """The averages in percent, on gold words and from raw text, and of what they are; empty without any."""
    found = meta.get("performance") or {}
    if "measured" not in found:
        return ""
    metrics = [*METRICS, LEMMAS] if f"gold_words_{LEMMAS.lower()}" in found else METRICS
    rows = [
        (name, *(f"{100 * found[key]:.2f}" for key in keys))
        for name, keys in (
            (GOLD, [f"gold_words_{metric.lower()}" for metric in metrics]),
            (RAW, [f"raw_text_{metric.lower()}_f1" for metric in metrics]),
        )
        if all(key in found for key in keys)
    ]
    return f"{found['measured']}\n\n{table(('', *metrics), rows, 'l' + 'r' * len(metrics))}"


def performance(scores: Mapping[str, Mapping[str, Any]], speed: float | None = None) -> dict[str, Any]:
    """The entry of meta.json: averages over treebanks as fractions, ``gold_words_upos`` and so on; of the F1
    from raw text, ``raw_text_upos_f1`` and so on, where all treebanks have it; ``measured``, a sentence on
    what they are; ``treebanks``, the scores themselves. speed: words a second.
    """
    if not scores:
        return {}
    rows = list(scores.values())
    gold = {
        f"gold_words_{metric.lower()}": macro_average(row["gold_words"][metric] for row in rows)
        for metric in METRICS
    }
    lemmas = [row["gold_words"][LEMMAS] for row in rows if LEMMAS in row["gold_words"]]
    if lemmas:
        gold[f"gold_words_{LEMMAS.lower()}"] = macro_average(lemmas)
    texts = [row.get("raw_text") or {} for row in rows]
    raw = {
        f"raw_text_{metric.lower()}_f1": macro_average(text[metric]["f1"] for text in texts)
        for metric in texts[0]
        if metric != LEMMAS and all(metric in text for text in texts)
    }
    if lemmas_of_text := [text[LEMMAS]["f1"] for text in texts if LEMMAS in text]:
        raw[f"raw_text_{LEMMAS.lower()}_f1"] = macro_average(lemmas_of_text)
    splits = " and ".join(dict.fromkeys(row["split"] for row in rows if row.get("split")))
    sets = f"{splits} set{'s' if len(rows) > 1 else ''}".strip()
    given = any(row.get("convention") for row in rows)
    known = ", in the treebank's convention or else its language's default" if given else ""
    new = sum(row.get("trained_on") is False for row in rows)
    of_new = f" ({new} of them not trained on)" if new else ""
    with_lemmas = f", lemmas of the {len(lemmas)} that have them" if 0 < len(lemmas) < len(rows) else ""
    measured = (
        f"Means over the {sets} of {len(rows)} treebank{'s' if len(rows) > 1 else ''}{of_new}, of the "
        f"multilingual pipeline in 8 bits{known}: {GOLD}{f', {RAW}' if raw else ''} of the CoNLL 2018 "
        f"evaluation{with_lemmas}."
    )
    fast = {} if speed is None else {"speed": speed}
    return {**gold, **raw, "measured": measured, **fast, "treebanks": dict(scores)}
