"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..markdown import table
from .conventions import MODES
from .report import AVERAGES, DIFFERENCES, METRICS, NOT_RUN, PACKAGED, PAPER_COLUMNS, SYSTEMS, Report
from .report_conventions import conventions_lines
from .report_lemmas import LEMMA_COLUMNS, LEMMA_NOTE, lemma_lines
from .report_raw import COLUMNS, HEADINGS, RAW_NOTE, RAW_TITLES, raw_lines

CONVENTIONS_NOTE = (
    f"{PACKAGED}, told how the text is annotated: "
    + "; ".join(f"*{mode}*: {what}" for mode, what in MODES.items())
    + ". `-`: there is no such mode, as where the treebank was not trained on; in the means it has the "
    "most that is known. *- UDPipe* is ours with the most that is known, less UDPipe's; from raw text its "
    "figures are above. `*`: sentences of the treebank's dev set were trained on; `?`: whether they were is "
    "not recorded."
)
MODELS_NAMED = 3
"""Of a system with more models, as of a model a treebank, only the JSON has their names."""


def to_markdown(report: Report) -> str:
    """The report as Markdown whose tables are aligned, so that it reads as plain text too."""
    systems, rows = report["systems"], report["treebanks"]
    teachers = ", ".join(report["teachers"]) or "not stated"
    absent = [name for name in SYSTEMS if name not in systems]
    parts = [
        "# Results",
        f"Teacher: {teachers}.",
        f"Written by `{report['command']}`.",
        "All figures are percentages: *gold* is accuracy on gold words, *raw* is F1 from raw text (CoNLL "
        f"2018 evaluation). {report['note']} `-`: no figure in the paper. `{NOT_RUN}`: no result here.",
        *([f"Means over {report['runs']} runs, ± their standard deviation."] if report["runs"] > 1 else []),
        *([f"Not run: {', '.join(absent)}."] if absent else []),
        "\n".join(_model_line(name, report["models"][name]) for name in systems),
    ]
    for key, title in AVERAGES.items():
        average = report["averages"][key]
        parts += [f"## Macro average, {title}: {len(average['treebanks'])}"]
        parts += [_average_table(average)]
    if report["raw"]:
        for title, trained in RAW_TITLES.items():
            if lines := raw_lines(report["raw"], trained=trained):
                parts += [f"## {title}", _raw_table(lines)]
        parts += [RAW_NOTE]
    if report["lemmas"]:
        cells = [
            [name, *(_number(x, absent="-") for x in found)] for name, found in lemma_lines(report["lemmas"])
        ]
        columns = ["treebank", *LEMMA_COLUMNS.values()]
        parts += ["## Lemmas", table(columns, cells, "l" + "r" * len(LEMMA_COLUMNS)), LEMMA_NOTE]
    if report["conventions"]:
        for metric in METRICS:
            parts += [f"## Conventions, {metric}", _conventions_table(metric, report["conventions"])]
        parts += [CONVENTIONS_NOTE]
    for metric in METRICS:
        parts += [f"## {metric}", _treebank_table(metric, systems, rows)]
    return "\n\n".join(parts) + "\n"


def _model_line(system: str, models: Sequence[Mapping[str, str]]) -> str:
    if len(models) > MODELS_NAMED:
        return f"- {system}: results of {len(models)} different models, named in the JSON"
    names = [f"{model['name']} {model['version']} (sha256 {model['sha256'][:12]})" for model in models]
    several = "" if len(models) == 1 else f"results of {len(models)} different models: "
    return f"- {system}: {several}{', '.join(names)}"


def _average_table(average: Mapping[str, Any]) -> str:
    names = [f"gold {name}" for name in ("UPOS", "UFeats", "FEATS")]
    names += [f"raw {name}" for name in ("Words", "Sentences", "UPOS", "UFeats")]
    speeds = ("words_per_second", "raw_words_per_second")
    rows = []
    for system, found in average["systems"].items():
        deviations = average["deviations"].get(system, {})
        cells = [
            _number(found and found.get(name)) + (f" ± {deviations[name]:.2f}" if name in deviations else "")
            for name in names
        ]
        cells += [_number(average[speed].get(system), ",.0f") for speed in speeds]
        rows.append([system, SYSTEMS.get(system, ""), *cells])
    for title, a, b in DIFFERENCES:
        found = average["differences"][title]
        rows.append(
            [f"{a} - {b}", title, *(_number(found and found.get(name), "+.2f") for name in names), "", ""]
        )
    paper = average["paper"]
    counts = ", ".join(f"{metric}: {paper[metric]['treebanks']}" for metric in METRICS)
    for column in PAPER_COLUMNS:
        cells = [
            _number(paper[name[4:]][column], absent="-") if name[4:] in METRICS else "" for name in names
        ]
        gold, raw = [""] * 3, cells[3:]
        rows.append([f"paper {column}", f"F1, treebanks with a figure ({counts})", *gold, *raw, "", ""])
    header = ["system", "what", *names, "words/s", "raw words/s"]
    return table(header, rows, "ll" + "r" * (len(header) - 2))


def _treebank_table(metric: str, systems: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    title, student, teacher = next((row for row in DIFFERENCES if row[1] in systems), DIFFERENCES[0])
    gold, raw = f"gold {metric}", f"raw {metric}"
    header = ["treebank", "language", "script", "labels", "train words"]
    header += [f"{name} {kind}" for name in systems for kind in ("gold", "raw")]
    header += [f"{student} - {teacher} gold", *(f"paper {column}" for column in PAPER_COLUMNS)]
    lines = []
    for row in rows:
        cells = [
            row["ltcode"],
            row["lang"],
            row["script"],
            row["train_quality"],
            _number(row["train_words"], ",d"),
        ]
        cells += [
            _number(row["systems"][name] and row["systems"][name].get(s))
            for name in systems
            for s in (gold, raw)
        ]
        difference = row["differences"][title]
        cells += [_number(difference and difference[gold], "+.2f")]
        cells += [_number(row["paper"][metric][column], absent="-") for column in PAPER_COLUMNS]
        lines.append(cells)
    return table(header, lines, "llll" + "r" * (len(header) - 4))


def _raw_table(lines: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    columns = [
        metric if column == "ours" else f"{metric} {HEADINGS[column]}"
        for metric, columns in COLUMNS.items()
        for column in columns
    ]
    cells = [[name, *(_number(x, absent="-") for x in figures)] for name, figures in lines]
    return table(["treebank", *columns], cells, "l" + "r" * len(columns))


def _conventions_table(metric: str, part: Mapping[str, Any]) -> str:
    columns = [f"gold {column}" for column in (*MODES, "UDPipe", "- UDPipe")]
    columns += [f"raw {mode}" for mode in MODES]
    signs = ["+" if column.endswith("- UDPipe") else "" for column in columns]
    lines = [
        [name, default, *(_number(x, f"{s}.2f", absent="-") for x, s in zip(figures, signs, strict=True))]
        for name, default, figures in conventions_lines(part, metric)
    ]
    return table(["treebank", "default", *columns], lines, "ll" + "r" * len(columns))


def _number(value: float | None, form: str = ".2f", *, absent: str = NOT_RUN) -> str:
    return absent if value is None else format(value, form)
