"""A treebank of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Pipeline


def finetune(
    pipeline: Pipeline,
    train: Annotated[Path, typer.Argument(help="CoNLL-U file to train on")],
    output: Annotated[
        Path, typer.Argument(help="folder for the result, `model`, and what is made on the way")
    ],
    dev: Annotated[
        Path | None, typer.Option(help="CoNLL-U file to choose the best state by; else a tenth of TRAIN")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="CoNLL-U file to score, before and after; nothing is learned of it")
    ] = None,
    lang: Annotated[
        str | None, typer.Option(help="the treebank's language, such as fi; else it is found")
    ] = None,
    convention: Annotated[
        str | None, typer.Option(help="name of the new convention, such as fi_mine; else LANG_own")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="of the new pipeline, after its language; else that of PIPELINE and the convention"
        ),
    ] = None,
    version: Annotated[str | None, typer.Option(help="of the new pipeline; else that of PIPELINE")] = None,
    wheel: Annotated[bool, typer.Option("--wheel", help="make a wheel, to be installed by pip")] = False,
    encoder: Annotated[
        bool,
        typer.Option(
            "--encoder",
            help="train the encoder and a head for all instead, and give up all conventions; "
            "needs the extra `train`, takes longer, resumes",
        ),
    ] = False,
    words: Annotated[
        int | None,
        typer.Option(help="with --encoder: to train on, repetitions included; else ten times TRAIN", min=1),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="with --encoder: keep corpus, targets and checkpoint")
    ] = False,
) -> None:
    """Teach a pipeline how a treebank of your own annotates: one more convention, beside those it has."""
    import spacy

    from ..evaluation.own_scores import scores_table
    from ..files import check_apart, check_vacant
    from ..systems.fit_progress import FitBar, ScoreRows

    nlp = spacy.load(pipeline)
    check_apart(output, [nlp.path, train, dev, test])
    check_vacant(output, unless="run.json" if encoder else None)  # of a run that goes on
    rows = ScoreRows()
    notes: tuple[str, ...] = ()
    if encoder:
        from ..systems.finetune import finetune as go_on
        from ..systems.progress import Bar

        if convention is not None or lang is not None:
            raise ValueError("--convention and --lang do not go with --encoder, which makes a head for all")
        _, scores = go_on(
            nlp,
            train,
            output,
            dev=dev,
            test=test,
            words=words,
            name=name,
            version=version,
            keep=keep,
            progress=Bar,
            on_row=lambda row: rows(int(row["step"]), row["loss"], row["pos_acc"], row["morph_acc"]),
        )
    else:
        from ..systems.new_convention import add_convention

        if words is not None or keep:
            raise ValueError("--words and --keep go with --encoder; a convention leaves nothing but itself")
        found = add_convention(
            nlp,
            train,
            output,
            dev=dev,
            test=test,
            code=convention,
            lang=lang,
            name=name,
            version=version,
            on_step=FitBar("convention"),
            on_score=lambda step, loss, found: rows(step, loss, found.upos, found.ufeats),
        )
        scores, notes = dict(found.scores), (*found.notes, f"it tags in the convention {found.code}")
    typer.echo(scores_table(scores))
    for note in notes:
        typer.echo(note)
    if wheel:
        from ..packaging.wheels import build_pipeline

        typer.echo(build_pipeline(output / "model", output))
    typer.echo(output / "model")
