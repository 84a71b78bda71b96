"""A text with its annotations, as a page."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer

from .options import Force


def show(
    text: Annotated[str, typer.Argument(help="the text itself; - is standard input")],
    html: Annotated[Path, typer.Option(help="the page, a file that needs no other")],
    model: Annotated[
        str, typer.Option(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    language: Annotated[str | None, typer.Option(help="of the text, such as fi; else it is found")] = None,
    convention: Annotated[
        str | None, typer.Option(help="that the text is tagged in, see `conventions`")
    ] = None,
    force: Force = False,
) -> None:
    """Write a page that shows a text with its annotations."""
    from ..annotation.outputs import Format
    from ..annotation.settings import Settings
    from ..annotation.worker import pipeline_of
    from ..display.page import fragment, page
    from ..files import atomic_path, check_vacant

    if not force:
        check_vacant(html, mend="give another name, or --force to replace it")
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8")
    nlp = pipeline_of(Settings(model, Format.conllu, language, convention, confidences=True))
    doc = nlp(text)
    title = shorten(text, 60, placeholder="…") or "…"
    with atomic_path(html) as temporary:
        temporary.write_text(page(title=title, shown=fragment([doc])), encoding="utf-8")
    typer.echo(str(html))
