"""A student for use without torch, in 8-bit numbers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from .options import Conllu, Force, check_output


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

    from ..data.conllu import read_conllu
    from ..files import replace_folder
    from ..packaging.quantize import CALIBRATION_SENTENCES
    from ..packaging.quantize import quantize as quantized

    check_output(output, [student, *sentences], force)
    nlp = spacy.load(student)
    docs = []
    for path in sentences:
        forms = ([form for form, _, _ in sentence.tokens()] for sentence in read_conllu(path))
        docs += [Doc(nlp.vocab, words=words) for words in islice(forms, CALIBRATION_SENTENCES)]
    replace_folder(output, quantized(nlp, docs).to_disk)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    typer.echo(f"{output}: {size / 1e6:.1f} MB")
