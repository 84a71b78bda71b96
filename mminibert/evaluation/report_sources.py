"""What a report is made of: our records, the paper's tables, UDPipe's figures."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..files import listed, read_json, reading

SCORES = (
    *(f"{kind} {metric}" for metric in ("UPOS", "UFeats", "Lemmas") for kind in ("gold", "raw")),
    *("raw Words", "raw Sentences"),
)
"""Those that UDPipe's figures are of."""
OTHER_TEST_SETS = frozenset({"ar_padt", "hi_hdtb"})
"""Treebanks whose test set here is that of another release (docs/data.md); UDPipe's figures are not of it."""
REPORT = "report.json"
PAPER_TABLES = {"UPOS": "table8_upos_f1.tsv", "UFeats": "table9_morphology_f1.tsv"}

Record = Mapping[str, Any]


def read_results(folder: str | Path) -> dict[str, dict[str, Record]]:
    """`<folder>/<system>/<ltcode>.json` as {system: {ltcode: record}}; systems without a record are left out.

    Raises FileNotFoundError if there is no record at all, ValueError if two systems were scored on different
    files of a treebank.
    """
    folder = Path(folder)
    results: dict[str, dict[str, Record]] = {}
    for path in listed(folder, "*/*.json"):
        if path.name != REPORT:  # of another report, written below these folders
            found = read_json(path, "run `evaluate` again", "gold_sha256", "model", "gold_words")
            results.setdefault(path.parent.name, {})[path.stem] = found
    if not results:
        raise FileNotFoundError(f"{folder}: no <system>/<ltcode>.json; run the evaluation first")
    gold: dict[str, tuple[str, str]] = {}
    for system, records in results.items():
        for ltcode, record in records.items():
            first, digest = gold.setdefault(ltcode, (system, record["gold_sha256"]))
            if digest != record["gold_sha256"]:
                raise ValueError(
                    f"{ltcode}: {first} and {system} were scored on different gold files; evaluate both again"
                )
    return results


def read_paper(folder: str | Path) -> dict[str, dict[str, dict[str, float]]]:
    """The paper's tables 8 and 9 as {metric: {ltcode: {system: F1 in percent}}}; empty cells are left out."""
    tables = {}
    for metric, name in PAPER_TABLES.items():
        with _table(Path(folder) / name) as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        tables[metric] = {
            row["ltcode"]: {
                column: float(cell) for column, cell in row.items() if column != "ltcode" and cell
            }
            for row in rows
        }
    return tables


def read_table7(folder: str | Path) -> list[dict[str, Any]]:
    """The paper's table 7, macro F1 with and without distillation, in percent."""
    with _table(Path(folder) / "table7_distillation.tsv") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [{**row, "upos": float(row["upos"]), "morphology": float(row["morphology"])} for row in rows]


def read_udpipe(path: Path) -> dict[str, dict[str, float]]:
    """The published figures of UDPipe in percent, {ltcode: {`gold UPOS`, `raw UFeats` ...: figure}}; empty
    cells are left out."""
    with _table(path) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = {score: score.lower().replace(" ", "_") for score in SCORES}
    return {
        row["ltcode"]: {score: float(row[name]) for score, name in columns.items() if row[name]}
        for row in rows
    }


@contextmanager
def _table(path: Path) -> Iterator[TextIO]:
    with reading(path, "restore the table"), path.open(encoding="utf-8", newline="") as file:
        yield file
