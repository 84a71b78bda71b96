"""The report's part on lemmas: on gold words, seen and unseen ones, and from raw text, beside UDPipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .metrics import macro_average

__all__ = ["LEMMA_COLUMNS", "LEMMA_NOTE", "lemma_lines", "lemmas_part"]

LEMMA_COLUMNS = {
    "gold Lemmas": "gold",
    "udpipe gold Lemmas": "gold UDPipe",
    "gold seen Lemmas": "gold seen",
    "gold unseen Lemmas": "gold unseen",
    "raw Lemmas": "raw",
    "udpipe raw Lemmas": "raw UDPipe",
}
"""Figures in percent, and what they are called."""
LEMMA_NOTE = (
    "Lemmas of the CoNLL 2018 evaluation with the most that is known of the text, F1; *gold*: on gold words, "
    "with the tags that are found. *Seen* are words whose form, in whatever case, is in the treebank's "
    "training set, or in its dev set where that was learned from, *unseen* all others; both without words "
    "that have no gold lemma, which that evaluation counts as right. Treebanks without lemmas are left out."
)
UDPIPE = ("udpipe gold Lemmas", "udpipe raw Lemmas")

Record = Mapping[str, Any]


def lemmas_part(
    records: Mapping[str, Record],
    scores: Callable[[Record], Mapping[str, float]],
    udpipe: Mapping[str, Mapping[str, float]],
) -> dict[str, Any] | None:
    """What the report says of lemmas, as JSON can hold it; None if no record has any. records: of the
    packaged system by treebank. scores: of a record in percent, by name. A mean has each figure over the
    treebanks with all that any of them has."""
    rows: list[dict[str, Any]] = []
    for ltcode, record in sorted(records.items()):
        found = scores(record)
        if "gold Lemmas" in found:
            theirs = {f"udpipe {name}": value for name, value in udpipe.get(ltcode, {}).items()}
            every = {**found, **theirs}
            rows.append(
                {"ltcode": ltcode, "figures": {name: every[name] for name in LEMMA_COLUMNS if name in every}}
            )
    if not rows:
        return None
    both = [row for row in rows if all(name in row["figures"] for name in UDPIPE)]
    means = {"all with UDPipe's figures": both, "all": rows}
    return {
        "treebanks": rows,
        "means": [
            {"of": name, "treebanks": len(members), "figures": _mean([row["figures"] for row in members])}
            for name, members in means.items()
            if members
        ],
    }


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        name: macro_average(each[name] for each in figures)
        for name in LEMMA_COLUMNS
        if all(name in each for each in figures)
    }


def lemma_lines(part: Mapping[str, Any]) -> list[tuple[str, list[float | None]]]:
    """A line of the table for each mean and each treebank: its name and its figures in the order of
    `LEMMA_COLUMNS`."""
    rows = [(f"mean of {mean['of']} ({mean['treebanks']})", mean["figures"]) for mean in part["means"]]
    rows += [(row["ltcode"], row["figures"]) for row in part["treebanks"]]
    return [(name, [figures.get(column) for column in LEMMA_COLUMNS]) for name, figures in rows]
