"""Files in, annotations out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..annotation.outputs import Format
from ..annotation.sources import Kind

if TYPE_CHECKING:
    from ..annotation.documents import Reject

REJECTED = 3
"""The status of a run that is complete but for what it rejected."""
SHOWN = 20
"""Rejects that are shown; all are in the file."""


def annotate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="files or folders: text, .jsonl, .parquet, .conllu, as they are or .gz, .xz, .zst; - is "
            "standard input",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="a file, such as out.conllu, .jsonl, .tsv, .parquet; without an ending, or with .spacy, "
            "a folder",
        ),
    ],
    to: Annotated[
        Format | None, typer.Option(help="format of the output; else that of its ending, or conllu")
    ] = None,
    read_as: Annotated[
        Kind | None, typer.Option("--from", help="format of all inputs; else that of their endings")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="each line of a text is a document, not each file")
    ] = False,
    field: Annotated[str, typer.Option(help="of JSON Lines and Parquet, that has the text")] = "text",
    resegment: Annotated[
        bool, typer.Option("--resegment", help="take `# text` of CoNLL-U, not its tokens")
    ] = False,
    model: Annotated[
        str, typer.Option(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    language: Annotated[str | None, typer.Option(help="of all text, such as fi; else it is found")] = None,
    convention: Annotated[
        str | None, typer.Option(help="that all text is tagged in, see `conventions`")
    ] = None,
    only_languages: Annotated[
        str | None, typer.Option(help="such as fi,et: sentences in others are left out")
    ] = None,
    keep_others: Annotated[
        bool, typer.Option("--keep-others", help="with --only-languages: they stay, without annotation")
    ] = False,
    confidences: Annotated[
        bool, typer.Option("--confidences", help="the probability of each UPOS; not in CoNLL-U")
    ] = False,
    flat: Annotated[
        bool, typer.Option("--flat", help="CoNLL-U with flat trees, as tools want that need one")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="processes", min=1)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="address of a Ray cluster, whose processes work; `local` for one of this machine"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="stop at the first bad document")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="make anew what is finished")] = False,
) -> None:
    """Annotate files of text. Killed, the same command goes on.

    The status is 3 if some documents were rejected: they are in a file beside the output, with the reason.
    """
    from tqdm import tqdm

    from ..annotation.inputs import Inputs
    from ..annotation.outputs import format_of
    from ..annotation.run import Output, Progress
    from ..annotation.run import annotate as run
    from ..annotation.settings import Settings
    from ..annotation.sources import sources, total_size
    from ..annotation.worker import describe
    from ..workers.workers import start_workers

    only = tuple(filter(None, (code.strip() for code in (only_languages or "").split(","))))
    if keep_others and not only:
        raise ValueError("--keep-others goes with --only-languages, which says what the others are")
    format = to or format_of(output) or Format.conllu
    settings = Settings(model, format, language, convention, only, keep_others, confidences, flat)
    found = sources(inputs, kind=read_as, plain=Kind.lines if lines else Kind.text)
    place = Output.of(output, format)
    place.check((source.path for source in found if source.path), force=force)
    progress = Progress()
    shown = 0
    with start_workers(jobs, ray) as workers:
        described = workers.submit(describe, settings)()
        documents = Inputs(found, field, described.longest, resegment)
        with tqdm(total=total_size(found), unit="B", unit_scale=True, mininterval=1) as bar:

            def show(reject: Reject) -> None:
                nonlocal shown
                shown += 1
                if shown <= SHOWN:
                    bar.write(f"rejected {reject}", file=sys.stderr)

            for progress in run(
                documents, place, settings, workers, digest=described.digest, strict=strict, on_reject=show
            ):
                bar.update(progress.read - bar.n)
                bar.set_postfix_str(f"{progress.new / max(bar.format_dict['elapsed'], 1e-9):,.0f} words/s")
    typer.echo(f"{output}: {progress.documents:,} documents, {progress.words:,} words")
    if progress.rejects:
        typer.echo(f"{progress.rejects:,} rejected, see {place.rejects}", err=True)
        raise typer.Exit(REJECTED)
