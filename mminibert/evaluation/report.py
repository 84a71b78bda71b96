"""One report of all systems on all treebanks: figures, macro averages, differences, the paper beside them.

All figures are percentages. A score is named by what was tagged and the metric: `gold UPOS` is accuracy on
gold words, `raw UPOS` is F1 of the CoNLL 2018 evaluation from raw text, which counts segmentation errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any

from .metrics import macro_average
from .report_conventions import conventions_part, mean_modes
from .report_lemmas import lemmas_part
from .report_raw import raw_part
from .report_sources import OTHER_TEST_SETS

NOT_RUN = "not run"
METRICS = ("UPOS", "UFeats")
SECONDS = ("seconds", "raw_seconds")
"""Of a record, for its gold words and for its raw text."""
SYSTEMS = {
    "bert": "a transformer a treebank",
    "meta_lstm": "Meta-LSTM, a model a treebank",
    "mbert": "teacher, fine-tuned on gold labels",
    "mmeta_lstm": "Meta-LSTM, one model for all",
    "minibert": "student's size, gold labels, not distilled",
    "mminibert": "student, distilled, as packaged (ONNX Runtime)",
}
PACKAGED = "mminibert"
DIFFERENCES = (
    ("student minus teacher", "mminibert", "mbert"),
    ("distilled minus not distilled", "mminibert", "minibert"),
    ("student minus Meta-LSTM", "mminibert", "mmeta_lstm"),
    ("teacher minus Meta-LSTM", "mbert", "mmeta_lstm"),
    ("one for all minus one a treebank", "mbert", "bert"),
)
AVERAGES = {
    "all": "all treebanks that every system has",
    "paper": "treebanks of the paper's averages that every system has",
    "packaged": f"treebanks of the paper's averages, {PACKAGED} alone",
}
PAPER_COLUMNS = ("mbert", "mminibert")
PAPER_SYSTEMS = ("bert", "meta_lstm", "mbert", "mmeta_lstm", "mminibert")
PAPER_NOTE = (
    "The paper's figures are F1 of the CoNLL 2018 evaluation and include segmentation errors, so scores on "
    "gold words are not directly comparable with them."
)

Record = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Record]]
Paper = Mapping[str, Mapping[str, Mapping[str, float]]]
Report = dict[str, Any]


def paper_treebanks(paper: Paper) -> set[str]:
    """The treebanks of the paper's macro averages: those with a model a treebank (BERT) in its table 8."""
    return {ltcode for ltcode, row in paper.get("UPOS", {}).items() if "bert" in row}


def build_report(
    runs: Sequence[Results],
    paper: Paper,
    *,
    command: str,
    table7: Iterable[Mapping[str, Any]] = (),
    udpipe: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> Report:
    """Everything the report says, as JSON can hold it. `runs` are the results with one seed each, `command`
    is the command line that asked for it, `table7` the rows of the paper's table 7 (`read_table7`), `udpipe`
    the figures of UDPipe (`read_udpipe`).

    Averages are over the treebanks that every system in the results has, over those of them that count in the
    paper's averages, and of the packaged system alone over all of the latter that it was run on. None stands
    for what was not run or cannot be averaged. All figures are means over the runs; the averages have the
    deviations over them too (of a sample, n - 1).
    """
    results = mean_results(runs)
    systems = [name for name in SYSTEMS if name in results]
    systems += sorted(set(results) - set(SYSTEMS))
    ltcodes = sorted({ltcode for records in results.values() for ltcode in records})
    common = [ltcode for ltcode in ltcodes if all(ltcode in results[name] for name in systems)]
    in_paper = paper_treebanks(paper)
    packaged = results.get(PACKAGED, {})
    udpipe = {ltcode: row for ltcode, row in udpipe.items() if ltcode not in OTHER_TEST_SETS}
    records = [r for run in runs for by_treebank in run.values() for r in by_treebank.values()]

    def average(ltcodes: Sequence[str], systems: Sequence[str]) -> dict[str, Any]:
        found = _average(ltcodes, systems, results, paper)
        return {**found, "deviations": _deviations(ltcodes, systems, runs)}

    return {
        "command": command,
        "runs": len(runs),
        "teachers": sorted({r["model"]["teacher"] for r in records if r["model"].get("teacher")}),
        "unit": "percent",
        "note": PAPER_NOTE,
        "systems": systems,
        "models": {name: _models(run.get(name, {}) for run in runs) for name in systems},
        "treebanks": [_row(ltcode, systems, results, paper) for ltcode in ltcodes],
        "table7": list(table7),
        "raw": raw_part(packaged, scores, paper=paper, system=PACKAGED, udpipe=udpipe),
        "lemmas": lemmas_part(packaged, scores, udpipe),
        "conventions": conventions_part(packaged, scores, paper=in_paper, udpipe=udpipe),
        "averages": {
            "all": average(common, systems),
            "paper": average([ltcode for ltcode in common if ltcode in in_paper], systems),
            "packaged": average(
                sorted(in_paper & packaged.keys()),
                [name for name in systems if name == PACKAGED],
            ),
        },
    }


def mean_results(runs: Sequence[Results]) -> Results:
    """The results of several runs as one, each score the mean over the runs that have it.

    Raises ValueError if two runs were scored on different files of a treebank.
    """
    found: dict[str, dict[str, list[Record]]] = {}
    for run in runs:
        for system, records in run.items():
            for ltcode, record in records.items():
                same = found.setdefault(system, {}).setdefault(ltcode, [])
                if same and same[0]["gold_sha256"] != record["gold_sha256"]:
                    raise ValueError(
                        f"{ltcode}: two runs of {system} were scored on different gold files; "
                        "evaluate both again"
                    )
                same.append(record)
    return {
        system: {ltcode: _mean_record(same) for ltcode, same in records.items()}
        for system, records in found.items()
    }


def _mean_record(records: Sequence[Record]) -> Record:
    return {
        **records[0],
        **{name: fmean(r[name] for r in records) for name in SECONDS if all(r.get(name) for r in records)},
        **_mean_scores(records),
        "modes": mean_modes(records, _mean_scores),
    }


def _mean_scores(records: Sequence[Record]) -> Record:
    first = records[0]
    raw = [record["raw_text"] for record in records if record["raw_text"]]
    shared = [name for name in raw[0] if all(name in text for text in raw)] if raw else []
    return {
        "gold_words": {
            name: fmean(record["gold_words"][name] for record in records) for name in first["gold_words"]
        },
        "raw_text": {name: {"f1": fmean(text[name]["f1"] for text in raw)} for name in shared} or None,
    }


def _deviations(
    ltcodes: Sequence[str], systems: Sequence[str], runs: Sequence[Results]
) -> dict[str, dict[str, float]]:
    """Of the averages, over the runs that have all treebanks; a system with fewer than two is left out."""
    found = {}
    for name in systems if ltcodes else ():
        means = [
            _system_average(ltcodes, run[name])
            for run in runs
            if name in run and set(ltcodes) <= run[name].keys()
        ]
        if len(means) > 1:
            shared = [score for score in means[0] if all(score in mean for mean in means)]
            found[name] = {score: stdev(mean[score] for mean in means) for score in shared}
    return found


def scores(record: Record) -> dict[str, float]:
    """The scores of one evaluation in percent, named `gold UPOS`, `raw UFeats` and so on; `lost UPOS` is what
    raw text costs, gold less raw."""
    gold = {f"gold {name}": 100 * value for name, value in record["gold_words"].items()}
    raw = {f"raw {name}": 100 * value["f1"] for name, value in (record["raw_text"] or {}).items()}
    lost = {f"lost {name}": gold[f"gold {name}"] - raw[f"raw {name}"] for name in METRICS if raw}
    return {**gold, **raw, **lost}


def _models(runs: Iterable[Mapping[str, Record]]) -> list[Mapping[str, str]]:
    """The distinct models of a system: one a run, but for a model a treebank or a stale result."""
    records = [record for run in runs for record in run.values()]
    return list({record["model"]["sha256"]: record["model"] for record in records}.values())


def _row(ltcode: str, systems: Sequence[str], results: Results, paper: Paper) -> dict[str, Any]:
    found = {name: scores(results[name][ltcode]) for name in systems if ltcode in results[name]}
    record = next(results[name][ltcode] for name in systems if ltcode in results[name])
    return {
        "ltcode": ltcode,
        "lang": record["lang"],
        "script": record["script"],
        "train_words": record["train"]["words"],
        "train_quality": record["train"]["quality"],
        "systems": {name: found.get(name) for name in systems},
        "differences": _differences(found),
        "paper": {
            metric: {column: paper.get(metric, {}).get(ltcode, {}).get(column) for column in PAPER_SYSTEMS}
            for metric in METRICS
        },
    }


def _average(
    ltcodes: Sequence[str], systems: Sequence[str], results: Results, paper: Paper
) -> dict[str, Any]:
    found = {name: _system_average(ltcodes, results[name]) for name in systems} if ltcodes else {}
    return {
        "treebanks": list(ltcodes),
        "systems": {name: found.get(name) for name in dict.fromkeys([*SYSTEMS, *systems])},
        "words_per_second": {name: _speed(ltcodes, results[name], "seconds") for name in found},
        "raw_words_per_second": {name: _speed(ltcodes, results[name], "raw_seconds") for name in found},
        "differences": _differences(found),
        "paper": {metric: _paper_average(ltcodes, paper.get(metric, {})) for metric in METRICS},
    }


def _system_average(ltcodes: Sequence[str], records: Mapping[str, Record]) -> dict[str, float]:
    """Macro averages of the scores that all treebanks have."""
    rows = [scores(records[ltcode]) for ltcode in ltcodes]
    shared = [score for score in rows[0] if all(score in row for row in rows)]
    return {score: macro_average(row[score] for row in rows) for score in shared}


def _differences(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float] | None]:
    return {
        name: {score: found[a][score] - found[b][score] for score in found[a] if score in found[b]}
        if a in found and b in found
        else None
        for name, a, b in DIFFERENCES
    }


def _speed(ltcodes: Sequence[str], records: Mapping[str, Record], seconds: str) -> float | None:
    """Words of all treebanks by the seconds for all of them, None if those of one are not known."""
    times = [record[seconds] for code in ltcodes if (record := records[code]).get(seconds)]
    words = sum(records[code]["words"] for code in ltcodes)
    return words / sum(times) if len(times) == len(ltcodes) else None


def _paper_average(ltcodes: Sequence[str], table: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Both columns over the treebanks that have both cells, so that their difference means something."""
    rows = [table[code] for code in ltcodes if all(column in table.get(code, {}) for column in PAPER_COLUMNS)]
    means = {column: macro_average(row[column] for row in rows) if rows else None for column in PAPER_COLUMNS}
    return {"treebanks": len(rows), **means}
