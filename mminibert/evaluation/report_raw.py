"""The report's part on raw text: what the packaged system finds in it, beside UDPipe and the paper, and what
is lost to segmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..data.text import UNPARTED
from .conventions import MODES
from .metrics import macro_average

__all__ = ["COLUMNS", "HEADINGS", "RAW_NOTE", "RAW_TITLES", "raw_lines", "raw_part"]

COLUMNS = {
    "Tokens": ("ours",),
    "Words": ("ours", "udpipe"),
    "Sentences": ("ours", "udpipe"),
    "UPOS": ("ours", "udpipe", "paper", "lost"),
    "UFeats": ("ours", "udpipe", "paper", "lost"),
}
"""The figures of each metric, F1 in percent; `lost`: the score on gold words less that from raw text."""
HEADINGS = {"ours": "F1", "udpipe": "UDPipe", "paper": "paper", "lost": "lost"}
GROUPS = {
    "udpipe": "all with UDPipe's figures",
    "blanks": "these with blanks between words",
    "foreign": "these",
}

RAW_TITLES = {"Raw text": True, "Raw text of treebanks that were not trained on": False}
"""Of the two tables, and whether the treebanks were trained on."""
RAW_NOTE = (
    "F1 from running text with the most that is known of it, or as the name says: whole documents, or 50 "
    "sentences and more in a row. *lost*: the score on gold words less that from raw text. UDPipe 1.2 has a "
    "model a treebank; the paper's mMiniBERT is on UDPipe's segmentation. A mean has each metric over the "
    "treebanks with all figures of it, whose number stands behind its name; all languages have blanks "
    f"between words but {', '.join(sorted(UNPARTED))}."
)

Record = Mapping[str, Any]
Scores = Mapping[str, float]
Figures = Mapping[str, Mapping[str, float]]
"""Of a treebank by metric and column; what is not known is left out."""
Line = tuple[str, list[float | None]]


def raw_part(
    records: Mapping[str, Record],
    scores: Callable[[Record], Scores],
    *,
    paper: Mapping[str, Mapping[str, Scores]],
    system: str,
    udpipe: Mapping[str, Scores],
) -> dict[str, Any] | None:
    """What the report says of raw text, as JSON can hold it; None if no record has scores from it.

    records: of the packaged system by treebank. scores: those of a record or a mode in percent, by name.
    paper: its figures by metric, treebank and system; system: the one to stand beside ours. An average has
    each metric over the treebanks with all figures of it. One by a mode takes, of a treebank without it,
    those with the most that is known.
    """

    def theirs(ltcode: str) -> dict[str, float]:
        return {m: row[system] for m, table in paper.items() if system in (row := table.get(ltcode, {}))}

    rows = [
        {"ltcode": ltcode, **_row(record, scores, theirs(ltcode), udpipe.get(ltcode, {}))}
        for ltcode, record in sorted(records.items())
        if record["raw_text"]
    ]
    if not rows:
        return None
    groups = {
        "udpipe": [row for row in rows if "udpipe" in row["figures"]["Words"]],
        "blanks": [row for row in rows if "udpipe" in row["figures"]["Words"] and row["blanks"]],
        "foreign": [row for row in rows if not row["trained"]],
    }
    averages = [average for group, members in groups.items() for average in _averages(group, members)]
    return {"treebanks": rows, "averages": averages}


def _averages(group: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One a mode, or one of mode None of a pipeline without; none of no treebank."""
    modes: list[str | None] = [mode for mode in MODES if any(mode in row["modes"] for row in rows)]
    return [
        {
            "group": group,
            "mode": mode,
            "metrics": _average([row["modes"].get(mode, row["figures"]) for row in rows]),
        }
        for mode in (modes or [None] if rows else [])
    ]


def _row(record: Record, scores: Callable[[Record], Scores], paper: Scores, udpipe: Scores) -> dict[str, Any]:
    return {
        "blanks": record["lang"] not in UNPARTED,
        "trained": bool(record["train"]["words"]),
        "figures": _figures(scores(record), paper, udpipe),
        "modes": {
            mode: _figures(scores(found), paper, udpipe)
            for mode, found in record.get("modes", {}).items()
            if found["raw_text"]
        },
    }


def _figures(scores: Scores, paper: Scores, udpipe: Scores) -> Figures:
    found = {}
    for metric, columns in COLUMNS.items():
        values = {
            "ours": scores.get(f"raw {metric}"),
            "udpipe": udpipe.get(f"raw {metric}"),
            "paper": paper.get(metric),
            "lost": scores.get(f"lost {metric}"),
        }
        found[metric] = {column: x for column in columns if (x := values[column]) is not None}
    return found


def _average(figures: Sequence[Figures]) -> dict[str, Any]:
    """Macro averages, each metric over the treebanks with all of its figures that any of them has."""
    found = {}
    for metric, columns in COLUMNS.items():
        known = [column for column in columns if any(column in each[metric] for each in figures)]
        rows = [each[metric] for each in figures if known and all(column in each[metric] for column in known)]
        means = {column: macro_average(row[column] for row in rows) for column in known} if rows else {}
        found[metric] = {"treebanks": len(rows), **means}
    return found


def raw_lines(part: Mapping[str, Any], *, trained: bool) -> list[Line]:
    """A line of the table for each average and each treebank that was trained on, or was not: its name and
    its figures in the order of `COLUMNS`."""
    lines: list[Line] = []
    for average in part["averages"]:
        if (average["group"] != "foreign") == trained:
            metrics = average["metrics"]
            counts = "/".join(dict.fromkeys(str(m["treebanks"]) for m in metrics.values() if m["treebanks"]))
            mode = f", {average['mode']}" if average["mode"] else ""
            lines.append((f"mean of {GROUPS[average['group']]}{mode} ({counts})", _cells(metrics)))
    rows = [row for row in part["treebanks"] if row["trained"] == trained]
    return lines + [(row["ltcode"], _cells(row["figures"])) for row in rows]


def _cells(figures: Mapping[str, Mapping[str, float]]) -> list[float | None]:
    return [figures[metric].get(column) for metric, columns in COLUMNS.items() for column in columns]
