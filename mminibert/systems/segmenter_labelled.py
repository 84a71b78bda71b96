"""Unlabelled text that a larger network segments, for the small one to learn from (Hinton et al. 2015,
*Distilling the Knowledge in a Neural Network*)."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..archives import read_arrays
from ..data.text import MIN_CHARACTERS, script_of
from ..files import atomic_path, reading
from ..runtime.types import Ints
from ..runtime.unit_cache import SENTENCE_FINAL
from ..runtime.units import SENTENCE, TOKEN, units_of
from .segmenter_bias import sentence_f1
from .segmenter_data import UNKNOWN, Running, Units
from .segmenter_teacher import Labeller, Stretch, TeacherSettings, UnitStates, stretches_of

__all__ = ["label_text", "labelled_text"]


def labelled_text(
    folder: str | Path,
    gold: Running,
    held_out: Running,
    units: Units,
    text: Path,
    n_units: int,
    kept: Path,
    say: Callable[[str], None],
) -> tuple[Running, dict[str, float]]:
    """`label_text` with the transformer of a folder; what was made is kept in a file, and read from there."""
    if not kept.exists():
        settings = TeacherSettings()
        states = UnitStates(folder, settings.layers)
        found, facts = label_text(states, gold, held_out, units, text, n_units, say, settings)
        joined = "\n".join(units.texts[i] for i in found.units.tolist()).encode()
        with atomic_path(kept) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                units=np.frombuffer(joined, np.uint8),
                gaps=found.gaps,
                ends=found.ends,
                facts=json.dumps(facts),
            )
    stored = read_arrays(kept, remedy := "delete it to label anew")
    with reading(kept, remedy):
        names = stored["units"].tobytes().decode()
        return _running(names.split("\n"), stored["gaps"], stored["ends"], units), json.loads(
            str(stored["facts"])
        )


def label_text(
    states: UnitStates,
    gold: Running,
    held_out: Running,
    units: Units,
    path: Path,
    n_units: int,
    say: Callable[[str], None],
    settings: TeacherSettings,
) -> tuple[Running, dict[str, float]]:
    """So many units of a text file, one sentence a line, labelled as the gold text is; and how many tokens of
    the held-out text are found, `token_f1` in 0..1, with the `units` that were labelled and the share that is
    `sure`. held_out: of the same `Units`.

    What ends inside of units, multiword tokens and full stops stay unknown. Lines are passed over that are
    short, longer than `longest`, or not mostly of the script of the gold text.
    """
    start = time.perf_counter()
    learned, ends = stretches_of(gold, units, settings.stretch)
    labeller = Labeller(states, settings, learned)
    labeller.fit(learned, ends, say)
    f1 = _token_f1(labeller, *stretches_of(held_out, units, settings.stretch))
    script = script_of("".join(units.texts[i] for i in gold.units[:5000].tolist()))
    texts, left = [], n_units
    for line in _prose(path, script, settings.longest):
        read = units_of(line)
        texts.append(Stretch(read.units, read.gaps))
        left -= len(read.units)
        if left <= 0:
            break
    between = np.bincount(gold.gaps[gold.ends == SENTENCE]).argmax()
    columns: list[tuple[Ints, Ints]] = []
    for stretch, probs in zip(texts, labeller.label(texts), strict=True):
        labels = np.where(probs.max(axis=1) >= settings.sure, probs.argmax(axis=1), UNKNOWN)
        labels[-1] = SENTENCE if stretch.units[-1][-1] in SENTENCE_FINAL else UNKNOWN
        gaps = stretch.gaps.copy()
        gaps[-1] = between
        columns.append((gaps, labels.astype(np.int32)))
    gaps, labels = (np.concatenate(column) for column in zip(*columns, strict=True))
    found = _running([unit for stretch in texts for unit in stretch.units], gaps, labels, units)
    sure = float((labels != UNKNOWN).mean())
    say(
        f"  {path.name}: {len(found):,} units labelled, {sure:.0%} surely, in "
        f"{time.perf_counter() - start:.0f} s; token F1 {100 * f1:.1f} on held-out text"
    )
    return found, {"token_f1": f1, "units": len(found), "sure": sure}


def _running(names: Sequence[str], gaps: Ints, ends: Ints, units: Units) -> Running:
    """Of which nothing else is known."""
    ids = np.asarray([units.add(unit) for unit in names], dtype=np.int32)
    unknown = np.full(len(ids), UNKNOWN, dtype=np.int32)
    inside = tuple(bytes([UNKNOWN & 0xFF]) * (len(unit) - 1) for unit in names)
    return Running(ids, gaps.astype(np.int32), ends.astype(np.int32), unknown, unknown, inside)


def _token_f1(labeller: Labeller, stretches: Sequence[Stretch], ends: Sequence[Ints]) -> float:
    """Of tokens whose bounds are those of units."""
    gold, found = (
        np.concatenate(parts) >= TOKEN
        for parts in (ends, [probs.argmax(axis=1) for probs in labeller.label(stretches)])
    )
    gold[-1] = found[-1] = True
    return sentence_f1(gold, found)


def _prose(path: Path, script: str, longest: int) -> Iterator[str]:
    """Lines that are text, composed."""
    with reading(path, "save it in UTF-8"), path.open(encoding="utf-8") as lines:
        for line in lines:
            text = unicodedata.normalize("NFC", " ".join(line.split()))
            if MIN_CHARACTERS <= len(text) <= longest and script_of(text) == script:
                letters = sum(char.isalpha() or unicodedata.category(char)[0] == "M" for char in text)
                if letters >= 0.7 * sum(not char.isspace() for char in text):
                    yield text
