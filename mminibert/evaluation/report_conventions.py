"""The report's part on conventions: scores of the packaged system in each mode, and UDPipe's beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from .conventions import DEV_IN_TRAINING, MODES
from .metrics import macro_average
from .report_sources import SCORES

__all__ = ["conventions_lines", "conventions_part", "mean_modes"]

Record = Mapping[str, Any]
Scores = Mapping[str, float]


def mean_modes(records: Sequence[Record], mean: Callable[[Sequence[Record]], Record]) -> dict[str, Record]:
    """The modes that all records of a treebank have, each the mean over the records."""
    modes = [record.get("modes", {}) for record in records]
    return {
        mode: {**modes[0][mode], **mean([found[mode] for found in modes])}
        for mode in MODES
        if all(mode in found for found in modes)
    }


def conventions_part(
    records: Mapping[str, Record],
    scores: Callable[[Record], dict[str, float]],
    *,
    paper: Collection[str],
    udpipe: Mapping[str, Scores],
) -> dict[str, Any] | None:
    """What the report says of conventions, as JSON can hold it; None if no record has modes.

    records: of the packaged system by treebank. scores: those of a record or a mode in percent, by name.
    paper: the treebanks of the paper's averages. A treebank without a mode stands in its average with the
    most that is known of it, so that the averages are of the same treebanks.
    """
    rows = [
        _row(ltcode, record, scores, udpipe.get(ltcode, {}))
        for ltcode, record in sorted(records.items())
        if record.get("modes")
    ]
    if not rows:
        return None
    ours = [row for row in rows if row["ltcode"] in paper]
    foreign = [row for row in rows if "given" not in row["modes"]]
    return {
        "treebanks": rows,
        "averages": {"paper": _average(ours), "foreign": _average(foreign)},
        "udpipe": {score: _beside(ours, score) for score in SCORES},
    }


def _row(
    ltcode: str, record: Record, scores: Callable[[Record], dict[str, float]], udpipe: Scores
) -> dict[str, Any]:
    modes = {mode: scores(row) for mode, row in record["modes"].items()}
    return {
        "ltcode": ltcode,
        "lang": record["lang"],
        "default": record["modes"].get("default", {}).get("convention"),
        DEV_IN_TRAINING: record[DEV_IN_TRAINING],
        "modes": modes,
        "gain": _less(modes["given"], modes["found"]) if {"given", "found"} <= modes.keys() else None,
        "udpipe": udpipe,
        "minus_udpipe": _less(_most(modes), udpipe),
    }


def _most(modes: Mapping[str, Scores]) -> Scores:
    """The scores with the most that is known."""
    return next(modes[mode] for mode in MODES if mode in modes)


def _less(a: Scores, b: Scores) -> dict[str, float]:
    return {score: a[score] - b[score] for score in SCORES if score in a and score in b}


def _average(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Macro averages by mode of the scores that all rows have."""
    modes = [mode for mode in MODES if any(mode in row["modes"] for row in rows)]
    found = {mode: [row["modes"].get(mode) or _most(row["modes"]) for row in rows] for mode in modes}
    return {
        "treebanks": [row["ltcode"] for row in rows],
        "modes": {
            mode: {
                score: macro_average(each[score] for each in of_mode)
                for score in SCORES
                if all(score in each for each in of_mode)
            }
            for mode, of_mode in found.items()
        },
    }


def _beside(rows: Sequence[Mapping[str, Any]], score: str) -> dict[str, Any]:
    """UDPipe's macro average of a score and ours by mode, over the treebanks that both have."""
    both = [row for row in rows if score in row["minus_udpipe"]]
    if not both:
        return {"treebanks": 0}
    average = _average(both)["modes"]
    theirs = fmean(row["udpipe"][score] for row in both)
    ours = fmean(_most(row["modes"])[score] for row in both)
    modes = {mode: of_mode[score] for mode, of_mode in average.items() if score in of_mode}
    return {"treebanks": len(both), "modes": modes, "udpipe": theirs, "minus_udpipe": ours - theirs}


Line = tuple[str, str, list[float | None]]


def conventions_lines(part: Mapping[str, Any], metric: str) -> list[Line]:
    """A line of the table of a metric for each average and each treebank: its name, its language's default
    convention; the score on gold words by each of `MODES`, UDPipe's, and ours with the most that is known
    less UDPipe's; the score from raw text by each of `MODES`."""
    gold, raw = f"gold {metric}", f"raw {metric}"
    lines: list[Line] = []
    for title, key in (("the paper's treebanks", "paper"), ("those not trained on", "foreign")):
        average = part["averages"][key]
        if number := len(average["treebanks"]):
            cells = [*_in_modes(average["modes"], gold), None, None, *_in_modes(average["modes"], raw)]
            lines.append((f"mean of {title} ({number})", "", cells))
    beside, beside_raw = part["udpipe"][gold], part["udpipe"][raw]
    if beside["treebanks"] and beside_raw["treebanks"]:
        numbers = "/".join(dict.fromkeys(str(found["treebanks"]) for found in (beside, beside_raw)))
        cells = [*map(beside["modes"].get, MODES), beside["udpipe"], beside["minus_udpipe"]]
        cells += map(beside_raw["modes"].get, MODES)
        lines.insert(1, (f"mean of those of UDPipe ({numbers})", "", cells))
    for row in part["treebanks"]:
        cells = [*_in_modes(row["modes"], gold), row["udpipe"].get(gold), row["minus_udpipe"].get(gold)]
        mark = {True: "*", False: "", None: "?"}[row[DEV_IN_TRAINING]]
        lines.append((row["ltcode"] + mark, row["default"] or "", [*cells, *_in_modes(row["modes"], raw)]))
    return lines


def _in_modes(modes: Mapping[str, Scores], score: str) -> list[float | None]:
    return [modes.get(mode, {}).get(score) for mode in MODES]
