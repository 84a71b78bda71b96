"""A packaged pipeline beside spaCy's small models, each on test files of its language: accuracy from raw text
and speed, in one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language

from .. import markdown
from ..evaluation.conventions import Told, modes_of
from ..evaluation.evaluate import NO_MODES, RAW_METRICS, Scorer, evaluate_treebank
from ..files import listed
from .benchmark import measure, read_samples, summary
from .peers import of_pipeline

__all__ = ["compare", "table"]

NOTHING_TOLD = ""
"""The mode of a pipeline that is of one language."""


def compare(
    pipeline: str, peers: Sequence[str], corpus: Path, *, score: Scorer, rounds: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """A record for each peer as soon as it is measured: `accuracy`, a row for each system, mode and treebank
    with a test file in the language, F1 in percent; `speed`, rows as `benchmark.summary` has them.

    The corpus has ``<ltcode>/test.conllu``. Raises ValueError for a peer without a test file in its language.
    """
    for peer in peers:
        loaded = {Path(name).name: spacy.load(name) for name in (pipeline, peer)}
        theirs = loaded[Path(peer).name]
        golds = listed(corpus, f"{theirs.lang}_*/test.conllu")
        if not golds:
            raise ValueError(
                f"{corpus}: no {theirs.lang}_*/test.conllu for {peer}; convert the profile's treebanks"
            )
        systems = [of_pipeline(name, nlp) for name, nlp in loaded.items()]
        rows: dict[int, dict[str, Any]] = {}
        for _, _, row in measure(systems, read_samples(golds)[:1], rounds=rounds, seconds=seconds):
            rows[id(row)] = row
        accuracy = [
            {"system": name, "mode": mode, "treebank": gold.parent.name, **found}
            for gold in golds
            for name, nlp in loaded.items()
            for mode, found in _scores(nlp, gold, score)
        ]
        speed = [row for row in summary(list(rows.values())) if row["compared"] == "systems"]
        yield {
            "peer": Path(peer).name,
            "version": theirs.meta["version"],
            "accuracy": accuracy,
            "speed": speed,
        }


def _scores(nlp: Language, gold: Path, score: Scorer) -> Iterator[tuple[str, dict[str, float]]]:
    modes: Mapping[str, Told] = modes_of(nlp, gold.parent.name) or NO_MODES
    record = evaluate_treebank(nlp, gold, score=score, modes=modes)
    for mode in modes or (NOTHING_TOLD,):
        raw = record["modes"][mode]["raw_text"] if modes else record["raw_text"]
        if raw is None:  # labels of the file are unknown
            return
        yield mode, {metric: 100 * raw[metric]["f1"] for metric in RAW_METRICS}


def table(records: Iterable[Mapping[str, Any]]) -> str:
    """Markdown: a row a treebank and system, then words a second."""
    head = ("treebank", "system", "told", *RAW_METRICS)
    parts = []
    for record in records:
        lines = [
            (row["treebank"], row["system"], row["mode"], *(f"{row[metric]:.1f}" for metric in RAW_METRICS))
            for row in record["accuracy"]
        ]
        speeds = [
            (
                row["system"],
                row["form"],
                f"{row['median']:,.0f}",
                " to ".join(f"{x:,.0f}" for x in row["spread"]),
            )
            for row in record["speed"]
        ]
        parts += [
            f"## {record['peer']} {record['version']}",
            markdown.table(head, lines, "lll" + "r" * len(RAW_METRICS)),
            markdown.table(("system", "given", "words/s", "lowest to highest"), speeds, "llrr"),
        ]
    return "\n\n".join(parts) + "\n"
