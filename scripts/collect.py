"""Collect the student's targets: the teacher's probabilities and embeddings, or the gold labels."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Annotated

import numpy as np
import spacy
import srsly
import typer
from tqdm import tqdm

from mminibert.command import run_command
from mminibert.files import sha256
from mminibert.project.profile import Profile
from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems.collect import (
    Settings,
    check_settings,
    collect,
    collect_gold,
    shards,
    sources,
    write_manifest,
)
from mminibert.systems.embeddings import teacher_embeddings, write_embeddings
from mminibert.training.projection import Projection


class Labels(str, Enum):
    teacher = "teacher"
    gold = "gold"


def main(
    profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")],
    labels: Annotated[Labels, typer.Option(help="whose labels")] = Labels.teacher,
    jobs: Annotated[int, typer.Option(help="processes, one core each")] = 1,
) -> None:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    settings = Profile.read(profile)
    sizes = settings.settings.collect
    if labels is Labels.gold:
        target = settings.corpus / "gold_targets"
        for _ in tqdm(collect_gold(settings), desc="gold labels", unit="shard"):
            pass
        manifest = srsly.read_json(target / "manifest.json")
    else:
        target = settings.corpus / "soft_targets"
        teacher = settings.training("mbert") / "model-best"
        asked = Settings(teacher=sha256(teacher / "transformer" / "model"), **sizes.model_dump())
        check_settings(target, asked)
        named = sources(
            settings.corpus,
            settings.assets / "unlabelled",
            settings.treebanks,
            train_words=asked.train_words,
            text_words=asked.text_words,
            replaced=asked.replaced,
        )
        todo = list(shards(target, named, shard_words=asked.shard_words))
        total = sum(len(sentence) for job in todo for sentence in job.sentences)
        with tqdm(total=total, desc="teacher labels", unit="word", unit_scale=True) as bar:
            for _, n in collect(todo, teacher, component="morphologizer", processes=jobs):
                bar.update(n)
        manifest = write_manifest(target, [job.path for job in todo])
        if not (target / "embeddings.npy").exists():
            pieces = WordPieces.from_file(settings.assets / "vocab.txt")
            rows = teacher_embeddings(spacy.load(teacher), pieces.vocab)
            with tqdm(total=len(pieces), desc="teacher embeddings", unit="piece", unit_scale=True) as bar:
                read = np.concatenate([part for part in rows if bar.update(len(part)) is not False])
            write_embeddings(target / "embeddings.npy", Projection.fit(read, 256)(read))
    print(f"{target}: {manifest['words']:,} words, {manifest['bytes_per_word']} bytes a word")


if __name__ == "__main__":
    run_command(main)
