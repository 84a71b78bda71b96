"""What `finetune` learns of a treebank that a pipeline does not know: of nine tenths of its sentences, scored
on
the first tenth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy

from .. import markdown
from ..data.conllu import read_conllu
from ..systems.new_convention import add_convention

__all__ = ["learn", "table"]

COLUMNS = (
    ("gold_words", "UPOS"),
    ("gold_words", "UFeats"),
    ("gold_words", "Lemmas"),
    ("raw_text", "Tokens"),
    ("raw_text", "Sentences"),
    ("raw_text", "Words"),
    ("raw_text", "UPOS"),
    ("raw_text", "UFeats"),
    ("raw_text", "Lemmas"),
)


def learn(pipeline: str, path: Path) -> dict[str, Any]:
    """`before` and `after` as `own_scores` gives them, told the language's default convention and the new
    one,
    words learned from, and seconds."""
    sentences = list(read_conllu(path))
    n = len(sentences) // 10
    with TemporaryDirectory() as folder:
        parts = {"test": sentences[:n], "train": sentences[n:]}
        for name, part in parts.items():
            text = "".join(sentence.to_conllu() for sentence in part)
            Path(folder, f"{name}.conllu").write_text(text, encoding="utf-8", newline="\n")
        start = time.perf_counter()
        lang = path.name.split("_")[0]
        train, test = (Path(folder, f"{name}.conllu") for name in ("train", "test"))
        found = add_convention(spacy.load(pipeline), train, Path(folder, "made"), lang=lang, test=test)
        seconds = time.perf_counter() - start
    return {
        "words": sum(len(sentence.words) for sentence in parts["train"]),
        "before": found.scores["test before"],
        "after": found.scores["test after"],
        "notes": found.notes,
        "seconds": seconds,
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row a treebank, each score before and after in percent, – for one that is not there; and
    means."""

    def cell(rows: list[Mapping[str, Any]], kind: str, name: str) -> str:
        means = []
        for when in ("before", "after"):
            values = [row[when][kind][name] for row in rows if name in row[when][kind]]
            means.append(f"{100 * sum(values) / len(values):.1f}" if values else "")
        return " → ".join(mean or "–" for mean in means) if any(means) else ""

    rows = [
        (code, f"{row['words']:,}", *(cell([row], *column) for column in COLUMNS), f"{row['seconds']:.0f}")
        for code, row in found.items()
    ]
    rows.append(("mean", "", *(cell(list(found.values()), *column) for column in COLUMNS), ""))
    of = {"gold_words": "gold words", "raw_text": "text"}
    head = ("treebank", "words", *(f"{name}, {of[kind]}" for kind, name in COLUMNS), "seconds")
    return markdown.table(head, rows, "l" + "r" * (len(COLUMNS) + 2)) + "\n"
