"""The report as one page: tables and plots, without network, for a desk and for a phone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.resources import files
from statistics import fmean
from typing import Any

from jinja2 import Environment

from .conventions import MODES
from .report import METRICS, PACKAGED, SYSTEMS
from .report_conventions import conventions_lines
from .report_lemmas import LEMMA_COLUMNS, LEMMA_NOTE, lemma_lines
from .report_raw import COLUMNS, HEADINGS, RAW_NOTE, RAW_TITLES, raw_lines

LOW_RESOURCE = 10_000
"""Words of training text below which a treebank is named in the plot."""

Report = Mapping[str, Any]


def to_html(report: Report) -> str:
    """A page that needs no other file. Raises ModuleNotFoundError without matplotlib."""
    plots = [
        ("Accuracy and training text", by_training_words(report)),
        ("Accuracy and speed", by_speed(report)),
        ("Student minus teacher", by_language(report)),
        ("Words found in raw text", by_segments(report, "Words")),
        ("Sentences found in raw text", by_segments(report, "Sentences")),
        ("Lemmas on gold words", by_lemmas(report)),
        ("What a treebank gains when its convention is given", by_gain(report)),
    ]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, signed=_signed)
    template = files(__package__).joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        report=report,
        plots=[(title, svg) for title, svg in plots if svg],
        names=SYSTEMS,
        metrics=METRICS,
        absent=[name for name in SYSTEMS if name not in report["systems"]],
        minus=_minus,
        modes=MODES,
        conventions_lines=conventions_lines,
        raw_columns=COLUMNS,
        raw_headings=HEADINGS,
        raw_titles=RAW_TITLES,
        raw_note=RAW_NOTE.replace("*", ""),
        raw_lines=raw_lines,
        lemma_columns=LEMMA_COLUMNS,
        lemma_note=LEMMA_NOTE.replace("*", ""),
        lemma_lines=lemma_lines,
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def by_training_words(report: Report) -> str:
    """UPOS of the packaged student on gold words against the words of its training text; "" without any."""
    points = [
        (row["train_words"], row["systems"][PACKAGED]["gold UPOS"], row["ltcode"])
        for row in report["treebanks"]
        if row["train_words"] and row["systems"].get(PACKAGED)
    ]
    if not points:
        return ""
    figure, axes = _figure("words of training text", "UPOS on gold words, %")
    axes.set_xscale("log")
    axes.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=14, color="#0b6e99")
    for x, y, name in points:
        if x < LOW_RESOURCE:
            axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8)
    return _svg(figure)


def by_speed(report: Report) -> str:
    """Macro UPOS against words a second of the evaluation; "" if no system was timed."""
    average = report["averages"]["all"]
    points = [
        (average["words_per_second"][name], average["systems"][name]["gold UPOS"], name)
        for name in average["words_per_second"]
    ]
    if not points:
        return ""
    figure, axes = _figure("words a second while it was evaluated", "macro UPOS on gold words, %")
    axes.set_xscale("log")
    axes.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=30, color="#0b6e99")
    for x, y, name in points:
        axes.annotate(name, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
    axes.margins(x=0.25, y=0.2)
    return _svg(figure)


def by_language(report: Report) -> str:
    """UPOS of the packaged student less its teacher's, the mean over a language's treebanks; "" without."""
    found: dict[str, list[float]] = {}
    for row in report["treebanks"]:
        student, teacher = row["systems"].get(PACKAGED), row["systems"].get("mbert")
        if student and teacher:
            found.setdefault(row["lang"], []).append(student["gold UPOS"] - teacher["gold UPOS"])
    if not found:
        return ""
    rows = sorted((fmean(values), lang) for lang, values in found.items())
    figure, axes = _figure("UPOS, student minus teacher, points", "", height=max(2.5, 0.19 * len(rows)))
    axes.barh([lang for _, lang in rows], [value for value, _ in rows], color="#0b6e99")
    axes.axvline(0, color="#888", linewidth=0.8)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.01)
    return _svg(figure)


def by_lemmas(report: Report) -> str:
    """Lemmas of the packaged student on gold words against UDPipe's, a point a treebank; "" without."""
    part = report["lemmas"] or {"treebanks": []}
    points = [
        (figures["udpipe gold Lemmas"], figures["gold Lemmas"], row["ltcode"])
        for row in part["treebanks"]
        if "udpipe gold Lemmas" in (figures := row["figures"])
    ]
    if not points:
        return ""
    figure, axes = _figure("UDPipe 1.2, %", "ours, %")
    low = min(min(x, y) for x, y, _ in points)
    axes.plot([low, 100], [low, 100], color="#888", linewidth=0.8)
    axes.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=14, color="#0b6e99")
    for x, y, name in sorted(points, key=lambda point: point[1] - point[0])[:6]:
        axes.annotate(name, (x, y), xytext=(4, -8), textcoords="offset points", fontsize=8)
    return _svg(figure)


def by_segments(report: Report, metric: str) -> str:
    """F1 of Words or Sentences from raw text, ours and UDPipe's; "" without both."""
    part = report["raw"] or {"treebanks": []}
    found = [(row["figures"][metric], row["ltcode"]) for row in part["treebanks"]]
    rows = sorted((f["ours"], f["udpipe"], name) for f, name in found if {"ours", "udpipe"} <= f.keys())
    if not rows:
        return ""
    ours, theirs, names = zip(*rows, strict=True)
    figure, axes = _figure(f"{metric}, F1 from raw text, %", "", height=max(2.5, 0.17 * len(rows)))
    axes.hlines(names, ours, theirs, color="#bbb", linewidth=1)
    axes.scatter(theirs, names, s=16, color="#d1495b", zorder=2, label="UDPipe 1.2, a model a treebank")
    axes.scatter(ours, names, s=16, color="#0b6e99", zorder=3, label=PACKAGED)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.01)
    axes.legend(loc="upper left", frameon=False)
    return _svg(figure)


def by_gain(report: Report) -> str:
    """Scores on gold words, the convention given less nothing known; "" without conventions."""
    part = report["conventions"] or {"treebanks": []}
    rows = [(row["gain"], row["ltcode"]) for row in part["treebanks"] if row["gain"]]
    if not rows:
        return ""
    rows.sort(key=lambda row: (row[0]["gold UFeats"], row[1]))
    names = [name for _, name in rows]
    figure, axes = _figure("given minus nothing known, points", "", height=max(2.5, 0.17 * len(rows)))
    axes.barh(names, [gain["gold UFeats"] for gain, _ in rows], color="#0b6e99", label="UFeats")
    axes.scatter(
        [gain["gold UPOS"] for gain, _ in rows], names, s=14, color="#d1495b", zorder=3, label="UPOS"
    )
    axes.axvline(0, color="#888", linewidth=0.8)
    axes.tick_params(axis="y", labelsize=8)
    axes.margins(y=0.01)
    axes.legend(loc="lower right", frameon=False)
    return _svg(figure)


def _figure(x: str, y: str, height: float = 4.0) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """Without the date and with stable ids, so that equal reports make equal pages."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "mminibert"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
