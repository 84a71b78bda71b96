"""Inputs to annotate, a pipeline that does it, and processes that are killed while they work."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import spacy
from packaged import SENTENCES, random_segmenter, three_languages, with_conventions
from spacy.language import Language

from mminibert.annotation import shards
from mminibert.annotation.inputs import Inputs
from mminibert.annotation.outputs import Format
from mminibert.annotation.run import Output, Progress, annotate
from mminibert.annotation.settings import Settings
from mminibert.annotation.sources import Kind, sources
from mminibert.packaging.quantize import with_segmenter
from mminibert.workers import pool as pool_module
from mminibert.workers.pool import pool

EXPANDED = ("cab", "як")
"""Multiword tokens, each in one language."""
WORDS = [word for sentences in SENTENCES.values() for sentence in sentences for word in sentence]


class Here:
    """Workers that are this process."""

    size = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        result = function(*arguments)
        return lambda: result


def make_pipeline(folder: Path) -> Path:
    """Of three languages, with a segmenter, with random weights."""
    nlp = with_segmenter(with_conventions(three_languages()), random_segmenter())
    for word in EXPANDED:
        nlp.tokenizer.add_special_case(word, [word])  # type: ignore[union-attr]
    nlp.to_disk(folder)
    return folder


def loaded(pipeline: Path) -> Language:
    return spacy.load(pipeline)


def random_lines(n: int, *, seed: int = 0) -> list[str]:
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(WORDS, k=chooser.randint(1, 12))) for _ in range(n)]


def run(
    inputs: list[Path],
    output: Path,
    pipeline: Path,
    *,
    format: Format = Format.jsonl,
    plain: Kind = Kind.lines,
    workers: Any = None,
    force: bool = False,
    strict: bool = False,
    **settings: Any,
) -> Iterator[Progress]:
    """As the command does it."""
    reading = {name: settings.pop(name) for name in ("field", "longest", "resegment") if name in settings}
    found = sources([str(path) for path in inputs], plain=plain)
    place = Output.of(output, format)
    place.check(inputs, force=force)
    yield from annotate(
        Inputs(found, **reading),
        place,
        Settings(str(pipeline), format, **settings),
        workers or Here(),
        digest="of the pipeline",
        strict=strict,
    )


def annotate_in(folder: Path, output: str, jobs: int, characters: int, *, forked: bool = True) -> None:
    """The process that is killed: `folder/in` by `folder/pipeline`, in shards of so many characters. forked:
    its workers are, as new ones take seconds to import."""
    if forked:
        vars(pool_module)["get_context"] = lambda _: get_context("fork")
    warnings.simplefilter("ignore")
    shards.SHARD_CHARACTERS = characters
    with pool(jobs) as workers:
        for _ in run([folder / "in"], folder / output, folder / "pipeline", workers=workers):
            pass
