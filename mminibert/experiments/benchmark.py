"""Speed of taggers beside each other: same sentences, one core, interleaved rounds in one process."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from .. import markdown
from ..data.conllu import read_conllu
from .peers import FORMS, SENTENCES, Sample, System

__all__ = ["measure", "read_samples", "table"]

TITLES = {"raw": "raw text", "paragraphs": f"raw text, {SENTENCES} sentences each", "words": "tokens given"}
PACKAGES = ("mminibert", "spacy", "onnxruntime", "torch", "transformers", "spacy-transformers", "ufal-udpipe")
SWEEP = (1, 10, 100, 1000)
"""Batch sizes, of the systems of SWEPT."""
SWEPT = ("engine", "spacy cnn")


def read_samples(paths: Sequence[Path]) -> list[Sample]:
    """Of CoNLL-U files named ``<ltcode>.conllu`` or in folders of that name: English, and all in turn if they
    are of several treebanks; of one that is not English, that one.

    Raises ValueError if there is no sentence.
    """
    read: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for path in paths:
        code = path.parent.name if path.stem in ("train", "dev", "test") else path.stem
        for sentence in read_conllu(path):
            tokens = [(form, space) for form, space, _ in sentence.tokens()]
            text = "".join(form + " " * space for form, space in tokens).strip()
            read.setdefault(code, []).append((text, tuple(form for form, _ in tokens)))
    english = [pair for code, pairs in read.items() if code.startswith("en_") for pair in pairs]
    turns = [pair for row in zip_longest(*read.values()) for pair in row if pair is not None]
    named = {"English": english, **({"mixed": turns} if len(read) > 1 else {} if english else read)}
    samples = [Sample(name, *zip(*pairs, strict=True)) for name, pairs in named.items() if pairs]
    if not samples:
        raise ValueError(f"got {len(paths)} files without sentences")
    return samples


def measure(
    systems: Sequence[System], samples: Sequence[Sample], *, rounds: int, seconds: float
) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Words a second of each system, form and sample, and over batch sizes; all in turn, round after round.

    A system too slow for a sample in ``seconds`` gets its first sentences only. Yields the number done, the
    number to do and the row measured last, with the rates of all its rounds so far.
    """
    cases = [
        (system, sample, form, system.batch_size, "systems")
        for sample in samples
        for form in FORMS
        for system in systems
        if form in system.forms
    ]
    swept = [system for system in systems if system.name in SWEPT]
    cases += [(system, samples[0], "raw", size, "batch sizes") for size in SWEEP for system in swept]
    prepared = []
    for system, sample, form, size, compared in cases:
        for part in (sample.first(50), sample.first(500)):  # the first also loads what is loaded late
            started = time.perf_counter()
            system.run(part, form, size)
            rate = part.n_words / (time.perf_counter() - started)
        part = sample.first(rate * seconds)
        row: dict[str, Any] = {
            "compared": compared,
            "system": system.name,
            "sample": sample.name,
            "form": form,
            "batch_size": size,
            "words": part.n_words,
            "rounds": [],
        }
        prepared.append((system, part, row))
    done = 0
    random = np.random.default_rng(0)
    for _ in range(rounds):
        for i in random.permutation(len(prepared)):
            system, part, row = prepared[i]
            started = time.perf_counter()
            system.run(part, row["form"], row["batch_size"])
            row["rounds"].append(round(row["words"] / (time.perf_counter() - started), 1))
            done += 1
            yield done, rounds * len(prepared), row


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With ``median`` and ``spread`` (lowest and highest round) of each row; what is compared, together."""
    found = [
        {
            **row,
            "median": statistics.median(row["rounds"]),
            "spread": [min(row["rounds"]), max(row["rounds"])],
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: (row["compared"] != "systems", row["sample"], row["form"]))


def machine() -> dict[str, Any]:
    """Processor, system, versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return {
        "processor": fields.get("model name", platform.processor()),
        "features": [flag for flag in wanted if flag in fields.get("flags", "").split()],
        "cores": os.cpu_count(),
        "threads": 1,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: words a second a system, with the lowest and highest round, and the engine's ratio."""
    head = ("system", "batch size", "words/s", "lowest to highest", "engine is faster by")
    parts = []
    for key in dict.fromkeys((row["compared"], row["sample"], row["form"]) for row in rows):
        part = [row for row in rows if (row["compared"], row["sample"], row["form"]) == key]
        engine = {row["batch_size"]: row["median"] for row in part if row["system"] == "engine"}
        compared, sample, form = key
        same_size = compared == "batch sizes"
        lines = []
        for row in sorted(part, key=lambda row: (row["batch_size"] if same_size else 0, -row["median"])):
            ratio = engine[row["batch_size"]] if same_size else next(iter(engine.values()))
            low, high = row["spread"]
            numbers = f"{row['median']:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ratio / row['median']:.2f}"
            lines.append((row["system"], str(row["batch_size"]), *numbers))
        parts += [f"### {sample}, {TITLES[form]}, {compared}", markdown.table(head, lines, "lrrrr")]
    return "\n\n".join(parts) + "\n"


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Bars of the medians, on a logarithmic scale. Needs matplotlib."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "mminibert"
    from matplotlib import pyplot

    shown = [row for row in rows if row["compared"] == "systems"]
    groups = list(dict.fromkeys((row["sample"], row["form"]) for row in shown))
    figure, axes = pyplot.subplots(1, len(groups), figsize=(4 * len(groups), 3), sharex=True, squeeze=False)
    for axis, group in zip(axes[0], groups, strict=True):
        part = sorted(
            (row for row in shown if (row["sample"], row["form"]) == group), key=lambda row: row["median"]
        )
        axis.barh([row["system"] for row in part], [row["median"] for row in part], color="#4477aa")
        axis.set_xscale("log")
        axis.set_title(f"{group[0]}, {TITLES[group[1]]}", fontsize=9)
        axis.set_xlabel("words a second")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
