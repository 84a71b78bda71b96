"""The benchmark counts the words that there are, runs what is there and says what is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc
from typer.testing import CliRunner

from mminibert.cli import ONE_THREAD, app
from mminibert.experiments.benchmark import measure, read_samples, summary, table
from mminibert.experiments.peers import (
    FORMS,
    Sample,
    System,
    convolutional,
    of_pipeline,
    tokenizer_of,
    transformer,
)

TREEBANKS = {"en_a": ["a cab faced a face .", "bad cabs ."], "de_a": ["worse .", "a .", "acab ."]}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for ltcode, sentences in TREEBANKS.items():
        blocks = []
        for sentence in sentences:
            rows = []
            for i, word in enumerate(sentence.split(), 1):
                if word == "acab":
                    rows.append(f"{i}-{i + 1}\tacab" + "\t_" * 8)
                    rows += [f"{i}\ta\t_\tDET" + "\t_" * 6, f"{i + 1}\tcab\t_\tNOUN" + "\t_" * 6]
                else:
                    misc = "SpaceAfter=No" if i == len(sentence.split()) - 1 else "_"
                    number = i + 1 if rows and rows[0].startswith("1-2") else i
                    rows.append(f"{number}\t{word}\t_\tX" + "\t_" * 5 + f"\t{misc}")
            blocks.append("\n".join(rows) + "\n\n")
        path = tmp_path / ltcode / "test.conllu"
        path.parent.mkdir()
        path.write_text("".join(blocks), encoding="utf-8")
        paths.append(path)
    return paths


def test_samples_are_surface_tokens(files: list[Path]) -> None:
    english, mixed = read_samples(files)
    assert (english.name, mixed.name) == ("English", "mixed")
    assert english.texts == ("a cab faced a face.", "bad cabs.")
    assert english.words == (("a", "cab", "faced", "a", "face", "."), ("bad", "cabs", "."))
    assert english.n_words == 9
    assert mixed.texts == ("a cab faced a face.", "worse.", "bad cabs.", "a.", "acab .")
    assert mixed.words[-1] == ("acab", ".")
    assert [english.first(n).n_words for n in (1, 6, 7, 100)] == [6, 6, 9, 9]
    (german,) = read_samples(files[1:])
    assert (german.name, german.texts) == ("de_a", ("worse.", "a.", "acab ."))
    with pytest.raises(ValueError, match="got 0 files without sentences"):
        read_samples([])


def test_paragraphs_are_all_the_text() -> None:
    texts = tuple(f"text {i}" for i in range(25))
    sample = Sample("English", texts, (("text", "x"),) * 25)
    paragraphs, size = sample.inputs("paragraphs", 256)
    assert size == 25 and sample.inputs("paragraphs", 1)[1] == 1
    assert sample.inputs("raw", 256) == (texts, 256)
    assert [text.count("text") for text in paragraphs] == [10, 10, 5]
    assert " ".join(paragraphs) == " ".join(texts)


@pytest.mark.parametrize("make", [of_pipeline, tokenizer_of])
def test_a_pipeline_reads_the_form_asked_for(make: Callable[[str, Language], System]) -> None:
    nlp = spacy.blank("xx")
    read: list[str] = []

    class Reading(Tokenizer):
        """Its `pipe` calls it."""

        def __call__(self, text: str) -> Doc:
            read.append(text)
            return super().__call__(text)

        def pipe(self, texts: Iterable[str], batch_size: int = 1000) -> Iterator[Doc]:
            yield from map(self, texts)

    nlp.tokenizer = Reading(nlp.vocab)
    sample = Sample("English", ("a b",) * 12, (("a", "b"),) * 12)
    system = make("x", nlp)
    for form, numbers in (("raw", [3] * 12), ("paragraphs", [39, 7])):
        system.run(sample, form, 256)
        assert list(map(len, read)) == numbers
        read.clear()


def test_each_round_runs_each_case_once() -> None:
    calls: list[tuple[str, str, str, int, int]] = []

    def system(name: str) -> System:
        def run(sample: Sample, form: str, batch_size: int) -> None:
            calls.append((name, sample.name, form, batch_size, sample.n_words))

        return System(name, run, 7)

    samples = [Sample("English", ("a b",) * 3, (("a", "b"),) * 3)]
    rows = {}
    totals = set()
    steps = list(measure([system("engine"), system("other")], samples, rounds=3, seconds=60))
    for _, total, row in steps:
        rows[id(row)] = row
        totals.add(total)
    cases = 2 * 3 + 4  # systems and forms, and the engine's batch sizes
    assert totals == {3 * cases}
    assert [done for done, _, _ in steps] == list(range(1, 3 * cases + 1))
    assert all(len(row["rounds"]) == 3 and row["words"] == 6 for row in rows.values())
    warm = 2 * cases
    for start in range(warm, len(calls), cases):
        assert len(set(calls[start : start + cases])) == cases
    assert {call[3] for call in calls} == {7, 1, 10, 100, 1000}


def test_summary_and_table() -> None:
    row = {"compared": "systems", "sample": "English", "form": "raw", "batch_size": 8, "words": 5}
    rows = summary(
        [
            {**row, "system": "engine", "rounds": [100.0, 400.0, 200.0]},
            {**row, "system": "other", "rounds": [50.0, 40.0, 60.0]},
        ]
    )
    assert [(row["median"], row["spread"]) for row in rows] == [(200.0, [100.0, 400.0]), (50.0, [40.0, 60.0])]
    lines = table(rows).splitlines()
    assert lines[0] == "### English, raw text, systems"
    assert [re.sub(" +", " ", line) for line in lines[-2:]] == [
        "| engine | 8 | 200 | 100 to 400 | 1.00 |",
        "| other | 8 | 50 | 40 to 60 | 4.00 |",
    ]


def test_the_convolutional_peer_tags() -> None:
    sample = Sample("English", ("a b",), (("a", "b"),))
    for form in FORMS:
        convolutional().run(sample, form, 2)


def test_command(
    files: list[Path],
    tmp_path: Path,
    make_student: Callable[..., Language],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    student, engine = tmp_path / "student", tmp_path / "engine"
    make_student().to_disk(student)
    run = CliRunner().invoke
    done: Any = run(app, ["quantize", str(student), str(engine), *map(str, files)])
    assert done.exit_code == 0, done.output
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)  # it would bind all tests to one core
    output = tmp_path / "benchmark"
    options = ["--rounds", "1", "--seconds", "0.01", "--output", str(output), "--udpipe", "no.model"]
    options += ["--beside", str(student), "--beside", "no/pipeline"]
    done = run(app, ["benchmark", str(engine), *map(str, files), *options])
    assert done.exit_code == 0, done.output
    assert "missing: udpipe 1" in done.output
    assert "missing: pipeline (OSError" in done.output
    written = json.loads((output / "benchmark.json").read_text(encoding="utf-8"))
    systems = {row["system"] for row in written["results"]}
    assert {"engine", "engine's tokenizer", "spacy cnn", "student"} <= systems
    tokenizer = [row for row in written["results"] if row["system"] == "engine's tokenizer"]
    assert {row["form"] for row in tokenizer} == {"raw", "paragraphs"} and {
        row["sample"] for row in tokenizer
    } == {
        "English",
        "mixed",
    }
    assert systems.isdisjoint(written["missing"])
    assert all(row["median"] > 0 for row in written["results"])
    assert written["machine"]["versions"]["spacy"]
    assert (output / "benchmark.md").read_text(encoding="utf-8") in done.output


def test_a_vocabulary_of_no_wordpieces_is_no_peers() -> None:
    """As that of the large pipeline; the peer is then told to be missing."""
    with pytest.raises(ValueError, match="got no wordpieces"):
        transformer(["<s>", "</s>", "▁a"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["subset", "{folder}/none", "fi", "{folder}/out"], "none"),
        (["quantize", "{folder}/none", "{folder}/out", "{folder}/no.conllu"], "none"),
        (["benchmark", "{folder}/none", "{folder}/no.conllu"], "no.conllu"),
    ],
)
def test_mistakes_are_said_in_a_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mminibert", *(a.format(folder=tmp_path) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert any(line.startswith("Error: ") and message in line for line in done.stderr.splitlines())
