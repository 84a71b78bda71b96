"""Write a student for use without torch: ONNX encoder, 8-bit embedding rows."""

from __future__ import annotations

from typing import Annotated

import spacy
import typer

from mminibert.config import Profile
from mminibert.quantize import quantize


def main(
    system: Annotated[str, typer.Argument(help="mminibert or minibert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
) -> None:
    training = Profile.read(profile).training(system)
    source = training / "model-best"
    if not source.is_dir():
        raise typer.BadParameter(f"no {source}; train it first: scripts/distill.py {system} {profile}")
    target = training / "model-onnx"
    quantize(spacy.load(source)).to_disk(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
