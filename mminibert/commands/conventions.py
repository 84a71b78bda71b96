"""What a pipeline can tag in."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def conventions(
    pipeline: Annotated[
        str, typer.Argument(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    language: Annotated[str | None, typer.Option(help="the code of one language, such as fi")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with addresses and reasons")] = False,
) -> None:
    """List the conventions that a pipeline can tag in, the default one of each language with a star."""
    import spacy

    from ..markdown import table
    from ..runtime.pipeline import tagger

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
