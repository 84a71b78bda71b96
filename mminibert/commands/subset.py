"""One language's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Force, Pipeline, check_output


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

    from ..files import atomic_path, replace_folder
    from ..packaging.subset import subset as cut_out
    from ..packaging.wheels import build_pipeline

    full = spacy.load(pipeline)
    made = output
    if not wheel:
        check_output(made, [full.path], force)
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
            check_output(made, [full.path], force)
            with atomic_path(made) as temporary:
                shutil.copyfile(built, temporary)
    else:
        replace_folder(made, write)
    size = sum(path.stat().st_size for path in (made, *made.rglob("*")) if path.is_file())
    typer.echo(f"{made}: {size / 1e6:.1f} MB")
