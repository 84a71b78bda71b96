"""Write a student for use without torch: ONNX encoder with 8-bit embeddings and dense layers."""

from __future__ import annotations

from typing import Annotated

import spacy
import typer

from mminibert.command import run_command
from mminibert.files import write_json
from mminibert.packaging.language_parts import language_parts
from mminibert.packaging.quantize import calibration_docs, compare_treebanks, quantize
from mminibert.project.profile import Profile
from mminibert.runtime.languages import Languages
from mminibert.runtime.pipeline import tagger


def main(
    system: Annotated[str, typer.Argument(help="a student of configs/systems.toml, such as mminibert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
) -> None:
    settings = Profile.read(profile)
    training = settings.training(system)
    source = training / "model-best"
    if not source.is_dir():
        raise FileNotFoundError(f"no {source}; train it first: scripts/train.py {system} {profile}")
    target = training / "model-onnx"
    nlp = spacy.load(source)
    light = quantize(nlp, calibration_docs(settings.corpus, settings.treebanks, nlp.vocab))
    changes = compare_treebanks(nlp, light, settings.corpus, settings.treebanks)
    write_json(training / "quantization.json", changes)
    mean = changes["mean"]
    if mean:
        print(
            f"dev sets, mean: the same prediction for {mean['same']:.2%} of the words, the same UPOS for "
            f"{mean['same_upos']:.2%}; right UPOS {mean['upos']:+.3%}, UFeats {mean['ufeats']:+.3%}"
        )
    tagger(light).languages = Languages.of_parts(language_parts(settings, light))
    light.to_disk(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)
