"""Write a student for use without torch: ONNX encoder with 8-bit embeddings and dense layers."""

from __future__ import annotations

from typing import Annotated

import spacy
import typer

from mminibert.config import Profile
from mminibert.quantize import calibration_docs, quantize


def main(
    system: Annotated[str, typer.Argument(help="a student of configs/systems.toml, such as mminibert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
) -> None:
    settings = Profile.read(profile)
    training = settings.training(system)
    source = training / "model-best"
    if not source.is_dir():
        raise typer.BadParameter(f"no {source}; train it first: scripts/distill.py {system} {profile}")
    target = training / "model-onnx"
    nlp = spacy.load(source)
    quantize(nlp, calibration_docs(settings.corpus, settings.treebanks, nlp.vocab)).to_disk(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
