"""What several commands have: arguments, options, and where their outputs may go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Pipeline = Annotated[str, typer.Argument(help="an installed package or the folder of a pipeline")]
Force = Annotated[bool, typer.Option("--force", "-f", help="replace the pipeline or wheel that is there")]
Conllu = Annotated[list[Path], typer.Argument(help="CoNLL-U files, such as corpus/sample/*/dev.conllu")]


def check_output(output: Path, inputs: Sequence[Path | None], force: bool) -> None:
    """Raises ValueError or FileExistsError for a pipeline or wheel that would take the place of an input, or,
    unless forced, of anything; a folder that is no pipeline is never replaced."""
    from ..files import check_apart, check_vacant

    check_apart(output, inputs)
    if not force:
        check_vacant(output, mend="give another name, or --force to replace it")
    elif output.suffix != ".whl" or not output.is_file():
        check_vacant(output, unless="meta.json")
