"""Write a student, or the teacher, for use without torch: ONNX encoder with 4 to 5 bits of embeddings and
8-bit dense layers, conventions, what finds languages, and segmenter and lemmas if the steps `segment` and
`lemmatize` were run."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.language import Language

from mminibert.command import run_command
from mminibert.evaluation.conventions import DEV_IN_TRAINING
from mminibert.files import check_apart, check_vacant, replace_folder, write_json
from mminibert.packaging.assemble import assemble, parts_of
from mminibert.packaging.conventions_default import default_conventions, read_chosen
from mminibert.packaging.conventions_meta import CONVENTION_TEXT
from mminibert.packaging.language_parts import language_parts
from mminibert.packaging.quantize import (
    calibration_docs,
    compare_treebanks,
    quantize,
    score_conventions,
    with_lemmas,
    with_segmenter,
)
from mminibert.packaging.records import TEACHER
from mminibert.packaging.segmenter_part import SegmenterPart
from mminibert.packaging.subset import RARE, RARE_OF_TEACHER, without_rare_pieces
from mminibert.project.profile import CONFIGS, Profile, compose
from mminibert.runtime.lemmas import Lemmas
from mminibert.runtime.pipeline import tagger
from mminibert.systems.convention_text import LabelledText
from mminibert.systems.conventions import fit_again, fit_conventions
from mminibert.systems.counted import fit_counted
from mminibert.systems.fit_progress import FitBar
from mminibert.systems.lemmas import FILE
from mminibert.systems.manifest import SOFT_TARGETS

LOWEST = 5
"""Conventions that are told of: a score far below others' is a fault of a treebank, or of ours."""


def main(
    system: Annotated[str, typer.Argument(help="a student of configs/systems.toml, or the teacher, mbert")],
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    packaged: Annotated[
        str | None,
        typer.Option(
            help="a packaged pipeline, installed or a folder, whose encoder is taken instead of a student's"
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="with --packaged: its heads, and what finds languages, as they are"),
    ] = False,
    again: Annotated[
        str,
        typer.Option(help="with --keep: codes of conventions, with commas between, to fit anew nevertheless"),
    ] = "",
) -> None:
    if keep and not packaged:
        raise ValueError("got --keep, expected --packaged with it: the pipeline whose conventions are kept")
    if again and not keep:
        raise ValueError("got --again, expected --keep with it: all conventions are fitted anew without")
    settings = Profile.read(profile)
    training = settings.training(system)
    segmenter = SegmenterPart.read(settings.segmenter) if settings.segmenter.exists() else None
    path = settings.training("lemmatizer") / FILE
    lemmas = Lemmas.from_bytes(path.read_bytes()) if path.exists() else None
    target = training / "model-onnx"
    check_vacant(target, unless="meta.json")
    light = spacy.load(packaged) if packaged else _quantized(settings, training, system)
    check_apart(target, [light.path] if packaged else [])
    pipe = tagger(light)
    learned_from = compose(system, settings).interpolate().get("distillation", {}).get("targets", [])
    text = LabelledText.read(settings.corpus) if SOFT_TARGETS in learned_from else None
    if packaged and not keep:
        pipe.conventions = pipe.languages = None  # they are fitted anew
    if settings.settings.conventions and not keep:
        chosen = read_chosen(CONFIGS)
        fitted = fit_conventions(
            light,
            settings.corpus,
            settings.treebanks,
            lambda words: {lang: row.code for lang, row in default_conventions(words, chosen).items()},
            known=treebanks_of(light) if packaged else settings.treebanks,
            text=text,
            say=print,
            on_step=FitBar("conventions"),
        )
        pipe.conventions = fitted.conventions
        light.meta[DEV_IN_TRAINING] = fitted.dev
        light.meta.pop(CONVENTION_TEXT, None)
        if text is not None:
            light.meta[CONVENTION_TEXT] = {"words": fitted.text_words, "labelled_by": text.labelled_by}
    only = [code.strip() for code in again.split(",") if code.strip()]
    if only:
        known = treebanks_of(light)
        pipe.conventions = fit_again(light, settings.corpus, only, known=known, text=text, say=print)
    if not keep:
        pipe.languages = language_parts(settings, light, print)
        light = without_rare_pieces(light, RARE_OF_TEACHER if system == TEACHER else RARE)
    if (conventions := tagger(light).conventions) is not None:
        learned = light.meta.get(DEV_IN_TRAINING, [])
        own = [code for code in conventions.codes if code in settings.treebanks]
        tagger(light).conventions = fit_counted(light, settings.corpus, only or own, learned, print)
        scores = score_conventions(light, settings.corpus, own)
        write_json(training / "conventions.json", scores)
        for code, row in sorted(scores.items(), key=lambda item: item[1]["UPOS"])[:LOWEST]:
            print(f"{code}: {row['UPOS']:.2%} of the UPOS of its dev set, {row['UFeats']:.2%} of the UFeats")
    light = assemble(light, parts_of(light))  # without the words of sentences that it has read
    if segmenter is not None:
        light = with_segmenter(light, segmenter)
    if lemmas is not None:
        light = with_lemmas(light, lemmas)
    light.meta["version"] = settings.package_version(version("mminibert"))  # reports name what they are of
    replace_folder(target, light.to_disk)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


def treebanks_of(nlp: Language) -> list[str]:
    """The treebanks that a packaged pipeline learned from, by its meta.json."""
    names = (source["name"].split() for source in nlp.meta.get("sources") or [])
    return [words[1] for words in names if len(words) > 1 and words[0] in ("UD", "Treebank")]


def _quantized(settings: Profile, training: Path, system: str) -> Language:
    source = training / "model-best"
    if not source.is_dir():
        raise FileNotFoundError(f"no {source}; train it first: scripts/train.py {system} {settings.name}")
    nlp = spacy.load(source)
    light = quantize(nlp, calibration_docs(settings.corpus, settings.treebanks, nlp.vocab))
    if (
        system == TEACHER
    ):  # too slow on whole dev sets; `evaluate --quick` scores it, and `evaluate` what is made
        return light
    changes = compare_treebanks(nlp, light, settings.corpus, settings.treebanks)
    write_json(training / "quantization.json", changes)
    if mean := changes["mean"]:
        print(
            f"dev sets, mean: the same prediction for {mean['same']:.2%} of the words, the same UPOS for "
            f"{mean['same_upos']:.2%}; right UPOS {mean['upos']:+.3%}, UFeats {mean['ufeats']:+.3%}"
        )
    return light


if __name__ == "__main__":
    run_command(main)
