"""Evaluate a pipeline on the treebanks of a corpus with the official CoNLL 2018 evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import spacy
import typer
from spacy.language import Language
from udtools import udeval  # GPL: a development dependency, used by this script and never by the package

from mminibert.cli import ONE_THREAD
from mminibert.command import run_command
from mminibert.data.lock import only_run
from mminibert.evaluation.evaluate import Outcome, evaluate_corpus, treebanks_to_score
from mminibert.evaluation.tagging import TagWords
from mminibert.files import listed, sha256
from mminibert.systems.labelling import make_tagger


def official(gold: Path, system: Path) -> dict[str, Any]:
    """The official scores of a system file against a gold file."""
    return dict(udeval.evaluate(gold_side(gold, sha256(gold)), side(system)))


@lru_cache(maxsize=1)
def gold_side(path: Path, digest: str) -> Any:
    """A gold file as the evaluation reads it, once for all that is compared with it."""
    return side(path)


def side(path: Path) -> Any:
    with path.open(encoding="utf-8") as file:
        return udeval.load_conllu(file, str(path), {})


def line(outcome: Outcome) -> str:
    """One treebank's progress in words."""
    record = outcome.record
    if record is None:
        return f"{outcome.ltcode}: failed: {type(outcome.error).__name__}: {outcome.error}"
    gold, raw = record["gold_words"], record["raw_text"]
    found = " ".join(f"{name} {scores['f1']:.2%}" for name, scores in (raw or {}).items())
    lemmas = f" Lemmas {gold['Lemmas']:.2%}" if "Lemmas" in gold else ""
    in_modes = ", ".join(
        f"{mode} {scores['gold_words']['UPOS']:.2%} {scores['gold_words']['UFeats']:.2%}"
        for mode, scores in record["modes"].items()
    )
    return (
        f"{outcome.ltcode}: gold words UPOS {gold['UPOS']:.2%} UFeats {gold['UFeats']:.2%}{lemmas}, "
        f"{found and f'raw text {found}, '}"
        f"{in_modes and f'gold words {in_modes}, '}"
        f"{record['words_per_second']:,.0f} words/s{' (kept)' if outcome.kept else ''}"
    )


def models(pattern: str, treebanks: list[str] | None) -> list[tuple[str, list[str] | None]]:
    """The pipelines to evaluate, each with its treebanks: one for all, or all that the pattern matches."""
    if "{treebank}" not in pattern:
        return [(pattern, treebanks)]
    before, _, after = pattern.partition("{treebank}")
    found = {p.name: f"{p}{after}" for p in listed(Path(before), "*") if Path(f"{p}{after}").is_dir()}
    if missing := [code for code in treebanks or found or ["any"] if code not in found]:
        raise ValueError(f"no pipeline {pattern} for {', '.join(missing)}; train it first")
    return [(found[code], [code]) for code in treebanks or found]


class Task(NamedTuple):
    """Treebanks to be scored by one pipeline; None: all with the split."""

    pipeline: str
    treebanks: list[str] | None
    corpus: Path
    out: Path
    split: str
    teacher: str | None
    quick: bool

    def outcomes(self) -> Iterator[Outcome]:
        nlp, tag = load(self.pipeline, self.quick)
        yield from evaluate_corpus(
            nlp,
            self.corpus,
            self.out,
            score=official,
            treebanks=self.treebanks,
            split=self.split,
            teacher=self.teacher,
            tag=tag,
        )

    def a_treebank_each(self) -> list[Task]:
        codes = treebanks_to_score(self.corpus, self.split, self.treebanks)
        return [self._replace(treebanks=[code]) for code in codes]


@lru_cache(maxsize=1)
def load(pipeline: str, quick: bool) -> tuple[Language, TagWords | None]:
    nlp = spacy.load(pipeline)
    return nlp, make_tagger(nlp) if quick else None


def progress(task: Task) -> list[tuple[bool, str]]:
    """What became of the treebanks of a task, in another process: whether each was scored, and its line."""
    return [(outcome.record is not None, line(outcome)) for outcome in task.outcomes()]


def side_by_side(tasks: list[Task], jobs: int) -> Iterator[tuple[bool, str]]:
    """Score the treebanks in processes of one thread each, as results do not depend on their number."""
    each = [part for task in tasks for part in task.a_treebank_each()]
    os.environ.update(ONE_THREAD)  # libraries read it when a process imports them
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from chain.from_iterable(pool.map(progress, each))


def main(
    model: Annotated[
        str, typer.Argument(help="Folder or package of the pipeline; `{treebank}` in it: one a treebank.")
    ],
    corpus: Annotated[Path, typer.Argument(help="Folder with manifest.json and <ltcode>/<split>.conllu.")],
    out: Annotated[Path, typer.Argument(help="Folder for <ltcode>.json; records there are resumed.")],
    treebanks: Annotated[str, typer.Option(help="Codes with commas between; by default all.")] = "",
    split: Annotated[str, typer.Option(help="Split to evaluate on.")] = "test",
    quick: Annotated[
        bool,
        typer.Option("--quick", help="gold words only, by the fast engine of `collect` (a BERT teacher)"),
    ] = False,
    teacher_name: Annotated[str, typer.Option(help="Encoder that the teacher began from.")] = "",
    jobs: Annotated[int, typer.Option(help="Treebanks at once, each on a core of its own.", min=1)] = 1,
) -> None:
    tasks = [
        Task(path, codes, corpus, out, split, teacher_name or None, quick)
        for path, codes in models(model, treebanks.split(",") if treebanks else None)
    ]
    if jobs > 1:
        found = side_by_side(tasks, jobs)
    else:
        found = ((o.record is not None, line(o)) for task in tasks for o in task.outcomes())
    failed = 0
    with only_run(out):
        for scored, text in found:
            failed += not scored
            typer.echo(text, err=not scored)
    if failed:
        typer.echo(f"{failed} treebank(s) failed; the others are in {out}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
