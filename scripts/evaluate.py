"""Evaluate a pipeline on the treebanks of a corpus with the official CoNLL 2018 evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from udtools import udeval  # GPL: a development dependency, used by this script and never by the package

from mminibert.command import run_command
from mminibert.evaluation.evaluate import Outcome, evaluate_corpus
from mminibert.systems.labelling import make_tagger


def official(gold: Path, system: Path) -> dict[str, Any]:
    """The official scores of a system file against a gold file."""
    sides = []
    for path in (gold, system):
        with path.open(encoding="utf-8") as file:
            sides.append(udeval.load_conllu(file, str(path), {}))
    return dict(udeval.evaluate(*sides))


def line(outcome: Outcome) -> str:
    """One treebank's progress in words."""
    record = outcome.record
    if record is None:
        return f"{outcome.ltcode}: failed: {type(outcome.error).__name__}: {outcome.error}"
    gold, raw = record["gold_words"], record["raw_text"]
    on_raw = raw and f"raw text UPOS {raw['UPOS']['f1']:.2%} UFeats {raw['UFeats']['f1']:.2%}, "
    return (
        f"{outcome.ltcode}: gold words UPOS {gold['UPOS']:.2%} UFeats {gold['UFeats']:.2%}, {on_raw or ''}"
        f"{record['words_per_second']:,.0f} words/s{' (kept)' if outcome.kept else ''}"
    )


def models(pattern: str, treebanks: list[str] | None) -> list[tuple[str, list[str] | None]]:
    """The pipelines to evaluate, each with its treebanks: one for all, or all that the pattern matches."""
    if "{treebank}" not in pattern:
        return [(pattern, treebanks)]
    before, _, after = pattern.partition("{treebank}")
    found = {p.name: f"{p}{after}" for p in sorted(Path(before).iterdir()) if Path(f"{p}{after}").is_dir()}
    if missing := [code for code in treebanks or found or ["any"] if code not in found]:
        raise ValueError(f"no pipeline {pattern} for {', '.join(missing)}; train it first")
    return [(found[code], [code]) for code in treebanks or found]


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
) -> None:
    failed = 0
    wanted = treebanks.split(",") if treebanks else None
    for path, codes in models(model, wanted):
        nlp = spacy.load(path)
        for outcome in evaluate_corpus(
            nlp,
            corpus,
            out,
            score=official,
            treebanks=codes,
            split=split,
            teacher=teacher_name or None,
            tag=make_tagger(nlp) if quick else None,
        ):
            failed += outcome.record is None
            typer.echo(line(outcome), err=outcome.record is None)
    if failed:
        typer.echo(f"{failed} treebank(s) failed; the others are in {out}", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
