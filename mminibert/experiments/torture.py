"""The steps of a project under attack: killed before a write, on a full disk, with damaged and crafted files.

A step that is killed and run again must leave the bytes that it leaves undisturbed. A damaged file must be
refused when it is loaded.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import spacy

from ..files import listed, sha256
from ..markdown import table
from ..runtime.tensors import dump_tensors, load_tensors

__all__ = [
    "Outcome",
    "Step",
    "attack_files",
    "attack_headers",
    "attack_step",
    "outcome_table",
    "prepare",
    "steps",
    "to_json",
]

TIMES = frozenset({"seconds", "raw_seconds", "words_per_second", "raw_words_per_second"})
"""What a record has of time, which no two runs share."""
TEXT = "Talo on iso . Näin eilen vanhan ystäväni , joka asuu Turussa ."
RUN = """
import atexit, os, resource, runpy, signal, sys
inside, last, most, counted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
sys.argv = sys.argv[5:]
writes = 0
def watch(event, args):
    global writes
    if event == "open":
        acts = isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        acts = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir")
    if not acts or not isinstance(args[0], str) or not os.path.abspath(args[0]).startswith(inside):
        return
    writes += 1
    if writes == last:
        os.kill(os.getpid(), signal.SIGKILL)
def count():
    with open(counted, "w") as file:
        file.write(str(writes))
atexit.register(count)
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
sys.addaudithook(watch)
sys.path[0] = os.path.dirname(sys.argv[0])
if sys.argv[0] == "-m":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script or a module, and kills it before the write, renaming or removal of this number."""


@dataclass(frozen=True)
class Step:
    """A command, a script or ``-m`` and a module with its arguments, and the folder that it writes."""

    name: str
    command: Sequence[str]
    output: str


@dataclass
class Outcome:
    """How often something was tried, and how often it ended well; what went wrong, in words."""

    attack: str
    tried: int = 0
    well: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, fault: str | None) -> None:
        self.tried += 1
        if fault is None:
            self.well += 1
        else:
            self.wrong.append(fault)


def prepare(root: Path, work: Path, pipeline: str) -> str:
    """Make a folder a project of the bundled sample, of a profile that takes seconds, with the Finnish part
    of a pipeline; returns its name. Raises RuntimeError if that cannot be made."""
    (work / "configs/profiles").mkdir(parents=True)
    for path in listed(root / "configs", "*"):
        if path.name != "profiles":
            (work / "configs" / path.name).symlink_to(path)
    profile = (root / "configs/profiles/sample.toml").read_text("utf-8")
    small = re.sub(r"^(\w*units) = .*", r"\1 = 2000", profile, flags=re.MULTILINE)
    (work / "configs/profiles/torture.toml").write_text(small, "utf-8")
    shutil.copytree(root / "assets/sample", work / "assets/torture")
    making = Step("subset", ("-m", "mminibert", "subset", pipeline, "fi", "small"), "small")
    if said := _Runner(making, work).run():
        raise RuntimeError(f"the Finnish part of {pipeline} cannot be made: {said}")
    return "small"


def steps(root: Path, pipeline: str) -> list[Step]:
    """Of the bundled sample, in an order in which each finds what it needs; pipeline: a small one."""
    script = {path.stem: str(path) for path in (root / "scripts").glob("*.py")}
    train = "assets/torture/ud/fi_sample/fi_sample-ud-train.conllu"
    scored = ("--treebanks", "en_sample,fi_sample")
    return [
        Step("convert", (script["convert"], "assets/torture/ud", "corpus/torture"), "corpus/torture"),
        Step("collect", (script["collect"], "torture", "--labels", "gold"), "corpus/torture/gold_targets"),
        Step("segment", (script["segment"], "torture"), "training/torture/segmenter"),
        Step("finetune", ("-m", "mminibert", "finetune", pipeline, train, "tuned"), "tuned"),
        Step("evaluate", (script["evaluate"], pipeline, "corpus/torture", "metrics", *scored), "metrics"),
    ]


def attack_step(step: Step, work: Path, seconds: float) -> Iterator[Outcome]:
    """Kill a step at each n-th write that the seconds allow, then run it to its end; the same on a disk that
    takes files of a few sizes. work: the folder in which it runs, and may write."""
    until = time.monotonic() + seconds
    output = work / step.output
    runner = _Runner(step, work)
    if done := runner.run():
        raise RuntimeError(f"{step.name} does not run undisturbed: {done}")
    writes, whole = int(runner.counted.read_text(encoding="utf-8")), digest(output)
    largest = max(path.stat().st_size for path in output.rglob("*") if path.is_file())
    start = time.monotonic()
    for kind in ("killed", "full disk"):
        outcome = Outcome(f"{step.name}, {kind}")
        places = spread(writes) if kind == "killed" else iter([largest // 8, largest // 2, largest * 7 // 8])
        for place in places:
            shutil.rmtree(output)
            at = {"last": place} if kind == "killed" else {"most": place}
            said = runner.run(**at)
            fault = None if kind == "killed" or _is_a_line(said) else f"at {place}: {said[-300:]}"
            if fault is None and (said := runner.run()):
                fault = f"at {place}, run again: {said[-300:]}"
            if fault is None and digest(output) != whole:
                fault = f"at {place}: run again, it leaves other files"
            outcome.add(fault)
            if time.monotonic() - start > (until - start) * (0.75 if kind == "killed" else 1):
                break
        yield outcome


def spread(n: int) -> Iterator[int]:
    """1 to n, so that however few are taken they lie all over."""
    step = 1 << max(n - 1, 1).bit_length()
    seen: set[int] = set()
    while step:
        for place in range(step, n + 1, step):
            if place not in seen:
                seen.add(place)
                yield place
        step //= 2


@dataclass(frozen=True)
class _Runner:
    step: Step
    work: Path

    @property
    def counted(self) -> Path:
        return self.work / "writes.txt"

    def run(self, *, last: int = 0, most: int = 0) -> str:
        """What it said if it failed, empty if not. last: the write before which it is killed. most: bytes of
        the largest file that it may write; 0 is none of either."""
        inside = str(self.work / self.step.output)
        arguments = [inside, str(last), str(most), str(self.counted), *self.step.command]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            cwd=self.work,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return "" if done.returncode == 0 else f"status {done.returncode}: {done.stderr}"


def _is_a_line(said: str) -> bool:
    """Whether it succeeded, or failed with status 1 and no traceback."""
    return not said or (said.startswith("status 1: ") and "Traceback" not in said)


def digest(folder: Path) -> dict[str, str]:
    """The checksum of each file but checkpoints, which have times; of records without theirs."""
    return {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in listed(folder, "**/*")
        if path.is_file() and path.suffix != ".pt"
    }


def _digest(path: Path) -> str:
    return (
        json.dumps(_timeless(json.loads(path.read_text("utf-8")))) if path.suffix == ".json" else sha256(path)
    )


def _timeless(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _timeless(value) for key, value in found.items() if key not in TIMES}
    return [_timeless(value) for value in found] if isinstance(found, list) else found


def attack_files(pipeline: Path, work: Path, *, each: int, seed: int = 0) -> Iterator[Outcome]:
    """Flip a bit of each stored file, and cut it off, so many times each. It is well if the pipeline is
    refused, or loads and gives the same tags, as with a file that users may change."""
    chooser = random.Random(seed)
    folder = work / "damaged"
    shutil.copytree(pipeline, folder)
    expected = _tags(folder)
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "a bit flipped": lambda content: _flipped(content, chooser),
        "cut off": lambda content: content[: chooser.randrange(len(content))],
    }
    for kind, damage in kinds.items():
        outcome = Outcome(f"pipeline, {kind}")
        for path in [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]:
            content = path.read_bytes()
            for _ in range(each):
                path.write_bytes(damage(content))
                try:
                    same = _tags(folder) == expected
                    outcome.add(None if same else f"{path.relative_to(folder)}: loads, and gives other tags")
                except Exception:  # whatever refuses it
                    outcome.add(None)
            path.write_bytes(content)
        yield outcome
    shutil.rmtree(folder)


def _flipped(content: bytes, chooser: random.Random) -> bytes:
    changed = bytearray(content)
    changed[chooser.randrange(len(changed))] ^= 1 << chooser.randrange(8)
    return bytes(changed)


def _tags(folder: Path) -> list[tuple[str, str, str]]:
    return [(token.text, token.pos_, str(token.morph)) for token in spacy.load(folder)(TEXT)]


def attack_headers(n: int, *, seed: int = 0) -> Outcome:
    """Tensors whose headers have numbers, names and nesting that were made up."""
    chooser, outcome = random.Random(seed), Outcome("headers of tensors, crafted")
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    whole = dump_tensors({"a": array}, {})
    size = int.from_bytes(whole[:8], "little")
    odd: tuple[Any, ...] = (
        -1,
        0,
        2**31,
        2**62,
        2**64,
        1e308,
        None,
        "12",
        [],
        {},
        [[]] * 9,
        True,
        "F99",
        "__metadata__",
    )
    for _ in range(n):
        header = json.loads(whole[8 : 8 + size])
        entry = header["a"]
        key = chooser.choice(list(entry))
        parts = entry[key] if isinstance(entry[key], list) and chooser.random() < 0.7 else entry
        place = key if parts is entry else chooser.randrange(len(parts))
        parts[place] = chooser.choice(odd)
        text = json.dumps(header).encode()
        given = chooser.choice((len(text), 0, 2**63 - 1, len(text) + 1))
        try:
            found, _ = load_tensors(given.to_bytes(8, "little") + text + whole[8 + size :])
            same = all(value.nbytes <= array.nbytes for value in found.values())
            outcome.add(None if same else f"{header}: loads more than there is")
        except ValueError:
            outcome.add(None)
        except Exception as error:
            outcome.add(f"{header}: {type(error).__name__}: {error}")
    return outcome


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """Markdown, and what went wrong below it."""
    rows = [[each.attack, str(each.tried), str(each.well), str(len(each.wrong))] for each in outcomes]
    lines = [f"- {each.attack}: {fault}" for each in outcomes for fault in each.wrong]
    return (
        "\n".join([table(("attack", "tried", "as it must be", "wrong"), rows, "lrrr"), "", *lines]).rstrip()
        + "\n"
    )


def to_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [asdict(each) for each in outcomes]
