"""The command `mminibert`: for trained pipelines, without the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .command import reported

# Read when torch is imported: threads that wait for others must not take the core of another process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    help="One small, fast, multilingual tagger: tools for trained pipelines.", no_args_is_help=True
)

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "MMINIBERT_THREADS"),
    "1",
)
Pipeline = Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")]
Force = Annotated[bool, typer.Option("--force", "-f", help="replace the pipeline or wheel that is there")]
Conllu = Annotated[list[Path], typer.Argument(help="CoNLL-U files, such as corpus/sample/*/dev.conllu")]


@app.command()
def quantize(
    student: Annotated[
        Path, typer.Argument(help="folder of a trained student, such as training/…/model-best")
    ],
    output: Annotated[Path, typer.Argument(help="folder to write the pipeline to")],
    sentences: Conllu,
    force: Force = False,
) -> None:
    """Write a student for use without torch, in 8-bit numbers; the sentences fix their ranges."""
    import spacy
    from spacy.tokens import Doc

    from .data.conllu import read_conllu
    from .files import replace_folder
    from .packaging.quantize import CALIBRATION_SENTENCES
    from .packaging.quantize import quantize as quantized

    _check_output(output, [student, *sentences], force)
    nlp = spacy.load(student)
    docs = []
    for path in sentences:
        forms = ([form for form, _, _ in sentence.tokens()] for sentence in read_conllu(path))
        docs += [Doc(nlp.vocab, words=words) for words in islice(forms, CALIBRATION_SENTENCES)]
    replace_folder(output, quantized(nlp, docs).to_disk)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    typer.echo(f"{output}: {size / 1e6:.1f} MB")


@app.command()
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

    from .evaluation.own_scores import scores_table
    from .files import check_apart, check_vacant
    from .systems.fit_progress import FitBar, ScoreRows

    nlp = spacy.load(pipeline)
    check_apart(output, [nlp.path, train, dev, test])
    check_vacant(output, unless="run.json" if encoder else None)  # of a run that goes on
    rows = ScoreRows()
    notes: tuple[str, ...] = ()
    if encoder:
        from .systems.finetune import finetune as go_on
        from .systems.progress import Bar

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
        from .systems.new_convention import add_convention

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
        from .packaging.wheels import build_pipeline

        typer.echo(build_pipeline(output / "model", output))
    typer.echo(output / "model")


@app.command()
def subset(
    pipeline: Pipeline,
    lang: Annotated[str, typer.Argument(help="the language's code, such as fi")],
    output: Annotated[Path, typer.Argument(help="folder to write the pipeline to, or its wheel")],
    wheel: Annotated[bool, typer.Option("--wheel", help="make a wheel, to be installed by pip")] = False,
    force: Force = False,
) -> None:
    """Cut one language's pipeline out of a multilingual one."""
    import shutil
    from tempfile import TemporaryDirectory

    import spacy

    from .files import atomic_path, replace_folder
    from .packaging.subset import subset as cut_out
    from .packaging.wheels import build_pipeline

    full = spacy.load(pipeline)
    made = output
    if not wheel:
        _check_output(made, [full.path], force)
    light = cut_out(full, lang)

    def write(path: Path) -> None:
        light.to_disk(path)
        if full.path and (full.path / "MODEL_CARD.md").exists():
            shutil.copyfile(full.path / "MODEL_CARD.md", path / "MODEL_CARD.md")

    if wheel:
        with TemporaryDirectory() as folder:
            write(Path(folder) / "pipeline")
            built = build_pipeline(Path(folder) / "pipeline", Path(folder))
            made = output / built.name
            _check_output(made, [full.path], force)
            with atomic_path(made) as temporary:
                shutil.copyfile(built, temporary)
    else:
        replace_folder(made, write)
    size = sum(path.stat().st_size for path in (made, *made.rglob("*")) if path.is_file())
    typer.echo(f"{made}: {size / 1e6:.1f} MB")


def _check_output(output: Path, inputs: Sequence[Path | None], force: bool) -> None:
    """Raises ValueError or FileExistsError for a pipeline or wheel that would take the place of an input, or,
    unless forced, of anything; a folder that is no pipeline is never replaced."""
    from .files import check_apart, check_vacant

    check_apart(output, inputs)
    if not force:
        check_vacant(output, mend="give another name, or --force to replace it")
    elif output.suffix != ".whl" or not output.is_file():
        check_vacant(output, unless="meta.json")


@app.command()
def conventions(
    pipeline: Annotated[
        str, typer.Argument(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    language: Annotated[str | None, typer.Option(help="the code of one language, such as fi")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with addresses and reasons")] = False,
) -> None:
    """List the conventions that a pipeline can tag in, the default one of each language with a star."""
    import spacy

    from .markdown import table
    from .runtime.pipeline import tagger

    nlp = spacy.load(pipeline)
    known = tagger(nlp).conventions
    if known is None:
        raise ValueError(
            f"{pipeline} has no conventions; take a pipeline that has, such as xx_mminibert from 0.2 on"
        )
    if language is not None and language not in known.languages:
        raise ValueError(f"got language {language!r}, expected one of {', '.join(known.languages)}")
    described = {row["code"]: row for row in nlp.meta.get("conventions", [])}
    rows = []
    for head in known.heads:
        if language in (None, head.language):
            default = known.defaults[head.language] == head.code
            own = {"code": head.code, "language": head.language, "default": default}
            rows.append({**described.get(head.code, {}), **own})
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    lines = [
        (
            row["code"] + "*" * row["default"],
            row["language"],
            f"{row['words']:,}" if "words" in row else "",
            *(f"{row['scores'][name]:.1%}" if "scores" in row else "" for name in ("UPOS", "UFeats")),
            row.get("licence", ""),
        )
        for row in rows
    ]
    head_line = ("convention", "language", "training words", "UPOS", "UFeats", "licence")
    typer.echo(table(head_line, lines, "llrrrl"))


@app.command()
def benchmark(
    pipeline: Pipeline,
    sentences: Conllu,
    beside: Annotated[
        list[str],
        typer.Option(help="another pipeline, such as the student in torch or an earlier package; repeat it"),
    ] = [],  # noqa: B006
    udpipe: Annotated[Path | None, typer.Option(help="a model of UDPipe 1")] = None,
    convention: Annotated[
        str | None,
        typer.Option(help="that PIPELINE tags in, see `conventions`; else it is found in the text"),
    ] = None,
    rounds: Annotated[int, typer.Option(help="of each measurement", min=1)] = 5,
    seconds: Annotated[
        float, typer.Option(help="a round at most, for a slow system by fewer sentences")
    ] = 2.0,
    output: Annotated[Path, typer.Option(help="folder of benchmark.json, .md and .svg")] = Path("benchmark"),
) -> None:
    """Compare speeds on one core in one run: this engine, others, spacy-transformers, spaCy's CNN, UDPipe."""
    from .files import check_apart, write_json

    check_apart(output / "benchmark.json", map(Path, (pipeline, *beside)))
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these variables when they are imported.
        command = [sys.executable, "-m", "mminibert", *sys.argv[1:]]
        raise typer.Exit(subprocess.run(command, env={**os.environ, **ONE_THREAD}).returncode)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from .experiments.benchmark import machine, measure, plot, read_samples, summary, table
    from .experiments.peers import open_systems

    samples = read_samples(sentences)
    systems, missing = open_systems(pipeline, beside=beside, udpipe_model=udpipe, convention=convention)
    for name, reason in missing.items():
        typer.echo(f"missing: {name} ({reason})")
    rows = {}
    with typer.progressbar(length=1, label="measuring") as bar:
        before = 0
        for done, total, row in measure(systems, samples, rounds=rounds, seconds=seconds):
            bar.length = total
            bar.update(done - before)
            before = done
            rows[id(row)] = row
    results = summary(list(rows.values()))
    text = table(results)
    output.mkdir(parents=True, exist_ok=True)
    write_json(
        output / "benchmark.json",
        {
            "pipeline": Path(pipeline).name,
            "convention": convention,
            "machine": machine(),
            "missing": missing,
            "results": results,
        },
    )
    (output / "benchmark.md").write_text(text, encoding="utf-8")
    typer.echo(text)
    try:
        plot(results, output / "benchmark.svg")
    except ImportError as error:
        typer.echo(f"no plot: {error}")
    typer.echo(json.dumps({"written": str(output)}))


def main() -> None:
    """The command; see `reported` for its errors."""
    with reported():
        app(prog_name="mminibert")
