"""Collect targets: the teacher's probabilities, or the gold labels in the same form.

What is there is kept if it was made from the same: each shard holds a digest of its words, of the teacher and
of the temperature. So whatever changes, the text, the treebanks or a setting, what depends on it is made
anew, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, collect_labels, conventions_of, read_docs
from ..data.lock import only_run
from ..data.sources import Sentence, sources
from ..data.targets import (
    ANY_TEMPERATURE,
    MIN_PROB,
    Shard,
    read_shard,
    source_digest,
    sparsify,
    write_shard,
)
from ..files import folder_sha256, read_json, sha256, write_json
from ..packaging.stages import TRAINING, pipeline_name, stages
from ..project.profile import Profile, compose, read_systems
from ..runtime.doc_labels import doc_labels
from ..runtime.labels import Inventory
from ..runtime.losses import log_softmax, one_hot
from ..workers.workers import ahead, start_workers
from .collect_teacher import load_teacher, teacher_of
from .embeddings import write_embeddings
from .manifest import SOFT_TARGETS, outdate, write_manifest
from .text_words import TextWords

Counted = TypeVar("Counted", bound=Sized)
EMBEDDINGS = "embeddings.npy"


@dataclass(frozen=True)
class Job:
    """One shard to be labelled: sentences (lists of words) of one language, and the code of the convention
    that each is to be labelled in, "" where there is none."""

    path: Path
    sentences: Sequence[list[str]]
    conventions: Sequence[str]


def shards(
    target: Path, named: Iterable[tuple[str, Sequence[Sentence]]], *, shard_words: int
) -> Iterator[Job]:
    """Cut each language's sentences into shards ``<lang>-<number>.npz`` of about ``shard_words``."""
    for lang, sentences in named:
        rest = iter(sentences)
        for number, part in enumerate(_parts((words for words, _ in sentences), shard_words)):
            codes = [code for _, code in islice(rest, len(part))]
            yield Job(target / f"{lang}-{number:05d}.npz", part, codes)


def _parts(sentences: Iterable[Counted], limit: int) -> Iterator[list[Counted]]:
    part: list[Counted] = []
    words = 0
    for sentence in sentences:
        part.append(sentence)
        words += len(sentence)
        if words >= limit:
            yield part
            part, words = [], 0
    if part:
        yield part


def gold_shards(
    corpus: Path, treebanks: Sequence[str], inventory: Inventory, target: Path, *, shard_words: int
) -> Iterator[Path]:
    """Write the gold labels of the training sets as shards, of each treebank its own; yields their paths."""
    for ltcode in treebanks:
        docs = read_docs(corpus, ltcode, "train", Vocab(), units=tuple(SUFFIXES))
        shuffled = (docs[i] for i in np.random.default_rng(0).permutation(len(docs)))
        for number, part in enumerate(_parts(shuffled, shard_words)):
            labels = [label for doc in part for label in doc_labels(doc)]
            targets = sparsify(
                one_hot(inventory.encode(labels), inventory.starts),
                inventory.starts,
                np.asarray([bool(feats) for _, feats in labels]),
                temperature=ANY_TEMPERATURE,
            )
            path = target / f"{ltcode}-{number:05d}.npz"
            words = [[token.text for token in doc] for doc in part]
            write_shard(path, Shard(words, targets, [ltcode] * len(words)))
            yield path


def collect_gold(profile: Profile) -> Iterator[Path]:
    """Write ``labels.json``, and ``gold_targets`` with its manifest, of all training sets; yields the shards'
    paths."""
    target = profile.corpus / "gold_targets"
    inventory = collect_labels(profile.corpus, profile.treebanks)
    with only_run(target):
        outdate(target)
        write_json(profile.corpus / "labels.json", inventory.to_json())
        paths = []
        size = profile.settings.collect.shard_words
        for path in gold_shards(profile.corpus, profile.treebanks, inventory, target, shard_words=size):
            paths.append(path)
            yield path
        write_manifest(target, paths)


def collect_soft(
    profile: Profile, *, processes: int, ray: str | None = None
) -> Iterator[tuple[str, int, int]]:
    """Write ``soft_targets``: the teacher's labels, the student's first embeddings, and their manifest.

    Yields what it counts ("word", then "piece"), how many are done and how many there are. Raises
    FileNotFoundError if there is no teacher, no segmenter or no corpus, ValueError if the students of the
    profile differ in width. processes, ray: see `collect`.
    """
    teacher, target = teacher_of(profile), profile.corpus / SOFT_TARGETS
    asked, settings = asked_of(profile), profile.settings.collect
    if settings.teacher and asked.width is not None:
        raise ValueError(
            f"collect.teacher is {settings.teacher!r}, whose vectors make no first embeddings, but students "
            f'of the profile begin with {SOFT_TARGETS}/{EMBEDDINGS}; set distillation.embeddings = "" in '
            "[student.overrides]"
        )
    # A packaged one may have been trained with others than the corpus shows.
    labels = profile.corpus / "labels.json" if settings.teacher else None
    named = sources(
        profile.corpus,
        profile.assets / "unlabelled",
        profile.treebanks,
        TextWords(profile.segmenter),
        train_words=settings.train_words,
        text_words=settings.text_words,
        replaced=settings.replaced,
        conventions=tuple(conventions_of(profile.corpus, profile.treebanks))
        if profile.settings.conventions
        else (),
        seed=profile.seed,
    )
    jobs = list(shards(target, named, shard_words=settings.shard_words))
    with only_run(target):
        done, total = 0, sum(len(sentence) for job in jobs for sentence in job.sentences)
        labelled = collect(
            jobs, teacher, temperature=asked.temperature, labels=labels, processes=processes, ray=ray
        )
        for _, n in labelled:
            done += n
            yield "word", done, total
        meta = read_json(teacher / "meta.json", "train the teacher again")
        made_with: dict[str, Any] = {
            "teacher": folder_sha256(teacher),
            "temperature": asked.temperature,
            TRAINING: stages(meta),
        }
        if settings.teacher:
            made_with["labelled_by"] = pipeline_name(meta)
        if asked.width is not None:
            for done, total in write_embeddings(
                target / EMBEDDINGS,
                vocabulary=profile.assets / "vocab.txt",
                teacher=teacher,
                teacher_sha256=made_with["teacher"],
                width=asked.width,
            ):
                outdate(target)
                yield "piece", done, total
            made_with["embeddings"] = read_json(
                (target / EMBEDDINGS).with_suffix(".json"), "run `collect` again"
            )
        write_manifest(target, [job.path for job in jobs], **made_with)


@dataclass(frozen=True)
class Asked:
    """What a profile's students ask of the teacher: targets that hold up to a temperature, and embeddings of
    a width; None if they begin with others."""

    temperature: float
    width: int | None


def asked_of(profile: Profile) -> Asked:
    """Raises ValueError if two students want embeddings of different widths from the one file."""
    temperatures, widths = [profile.settings.collect.temperature], set()
    for system in read_systems():
        config = compose(system, profile).interpolate()
        section = config.get("distillation", {})
        if SOFT_TARGETS in section.get("targets", ()):
            temperatures.append(float(section["temperature"]))
        if section.get("embeddings") == f"{SOFT_TARGETS}/{EMBEDDINGS}":
            widths.add(int(config["components"]["morphologizer"]["model"]["tok2vec"]["hidden_width"]))
    if len(widths) > 1:
        raise ValueError(
            f"profile {profile.name!r}: its students have the widths {', '.join(map(str, sorted(widths)))}, "
            "expected one, that of their first embeddings; set hidden_width in [student.overrides]"
        )
    return Asked(max(temperatures), next(iter(widths), None))


def collect(
    jobs: Sequence[Job],
    teacher: Path,
    *,
    temperature: float,
    labels: Path | None = None,
    processes: int,
    ray: str | None = None,
) -> Iterator[tuple[Path, int]]:
    """Label the shards that are not there yet, or not of these words, teacher and temperature; yields each
    path and its number of words.

    labels: the ``labels.json`` whose outputs the targets are of; None: the teacher's own. Each process loads
    the teacher and runs on one core. ray: the address of a cluster whose processes they are. Interrupted, it
    continues with the shards that are left. The manifest of the folder goes when the first one is written.
    """
    digest = folder_sha256(teacher)
    made_with = digest, f"{temperature:g}", f"{MIN_PROB:g}", sha256(labels) if labels is not None else ""
    missing = []
    for job in jobs:
        source = source_digest(job.sentences, *made_with, ",".join(job.conventions))
        if _is_made_from(job.path, source):
            yield job.path, sum(map(len, job.sentences))
        else:
            missing.append((job, source))
    if not missing:
        return
    with start_workers(processes, ray) as workers:
        waits = (workers.submit(_label, teacher, digest, labels, temperature, *one) for one in missing)
        for wait in ahead(waits, workers):
            yield wait()


def _is_made_from(path: Path, source: str) -> bool:
    try:
        return path.exists() and read_shard(path).source == source
    except ValueError:  # damaged, or of an earlier format
        return False


def _label(
    teacher: Path, digest: str, labels: Path | None, temperature: float, job: Job, source: str
) -> tuple[Path, int]:
    """What a process does."""
    nlp, label, inventory = load_teacher(teacher, digest, labels)
    with nlp.memory_zone():
        logits = label(job.sentences, job.conventions) / np.float32(temperature)
    probs = np.exp(log_softmax(logits, inventory.starts))
    targets = sparsify(probs, inventory.starts, temperature=temperature)
    outdate(job.path.parent)
    write_shard(job.path, Shard(job.sentences, targets, job.conventions, source))
    return job.path, len(targets)
