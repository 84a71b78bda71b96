"""Collect targets: the teacher's probabilities, or the gold labels in the same form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import numpy as np
import spacy
import srsly
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, collect_labels, read_docs
from ..data.replacement import Replacement
from ..data.targets import Shard, read_shard, sparsify, write_shard
from ..data.text import UNSPACED, read_forms, read_sentences
from ..data.treebanks import language_of
from ..files import sha256, write_json
from ..project.profile import Profile
from ..runtime.labels import Inventory, doc_labels
from ..runtime.losses import log_softmax, one_hot
from ..runtime.pipeline import tagger
from .labelling import make_labeller

Sentence = TypeVar("Sentence", bound=Sized)
MAX_WORDS = 200
"""Longer sentences are passed over."""


@dataclass(frozen=True)
class Job:
    """One shard to be labelled: sentences (lists of words) of one language."""

    path: Path
    sentences: Sequence[list[str]]


def sources(
    corpus: Path,
    text: Path,
    treebanks: Sequence[str],
    *,
    train_words: int,
    text_words: int,
    replaced: float,
) -> Iterator[tuple[str, list[list[str]]]]:
    """For each language its name and sentences: first of the training sets, then unlabelled text.

    train_words, text_words: at most so many words a language of each kind; a language short of training
    text gets that much more unlabelled text. Treebanks without training set give none. replaced: the share of
    words in whose place another form of all these texts is put, see `replacement`.
    """
    vocab = Vocab()
    for lang in dict.fromkeys(language_of(ltcode) for ltcode in treebanks):
        codes = [ltcode for ltcode in treebanks if language_of(ltcode) == lang]
        known: list[list[str]] = []
        if train_words or lang in UNSPACED:  # reading takes long
            units = tuple(SUFFIXES)
            docs = [doc for code in codes for doc in read_docs(corpus, code, "train", vocab, units=units)]
            known = [[token.text for token in doc] for doc in docs]
        lexicon = {word for sentence in known for word in sentence}
        train = _first_words(_shuffled(known), train_words)
        missing = train_words - sum(map(len, train))
        path = text / f"{lang}.txt"
        raw = read_sentences(path, lang, lexicon) if path.exists() else iter(())
        taken = train + _first_words(raw, text_words + missing)
        if replaced:
            # A word that a comma follows is one without it elsewhere; text without blanks has no words.
            forms = read_forms(path) if path.exists() and lang not in UNSPACED else set()
            replace, random = Replacement(lexicon | forms), np.random.default_rng(0)
            taken = [replace(sentence, replaced, random) for sentence in taken]
        yield lang, taken


def _shuffled(sentences: list[list[str]]) -> list[list[str]]:
    order = np.random.default_rng(0).permutation(len(sentences))
    return [sentences[i] for i in order]


def _first_words(sentences: Iterable[list[str]], limit: int) -> list[list[str]]:
    taken: list[list[str]] = []
    seen: set[tuple[str, ...]] = set()
    words = 0
    for sentence in sentences:
        key = tuple(sentence)
        if not 0 < len(sentence) <= MAX_WORDS or key in seen:
            continue
        if words >= limit:
            break
        seen.add(key)
        taken.append(sentence)
        words += len(sentence)
    return taken


def shards(
    target: Path, named: Iterable[tuple[str, Sequence[list[str]]]], *, shard_words: int
) -> Iterator[Job]:
    """Cut each language's sentences into shards ``<lang>-<number>.npz`` of about ``shard_words``."""
    for lang, sentences in named:
        rest = iter(sentences)
        number = 0
        while part := _first_words_of(rest, shard_words):
            yield Job(target / f"{lang}-{number:05d}.npz", part)
            number += 1


def _first_words_of(rest: Iterator[Sentence], limit: int) -> list[Sentence]:
    part: list[Sentence] = []
    words = 0
    for sentence in rest:
        part.append(sentence)
        words += len(sentence)
        if words >= limit:
            break
    return part


def gold_shards(
    corpus: Path, treebanks: Sequence[str], inventory: Inventory, target: Path, *, shard_words: int
) -> Iterator[Path]:
    """Write the gold labels of the training sets as shards, of each treebank its own; yields their paths."""
    for ltcode in treebanks:
        docs = read_docs(corpus, ltcode, "train", Vocab(), units=tuple(SUFFIXES))
        rest = iter(docs[i] for i in np.random.default_rng(0).permutation(len(docs)))
        number = 0
        while part := _first_words_of(rest, shard_words):
            labels = [label for doc in part for label in doc_labels(doc)]
            targets = sparsify(
                one_hot(inventory.encode(labels), inventory.starts),
                inventory.starts,
                np.asarray([bool(feats) for _, feats in labels]),
            )
            path = target / f"{ltcode}-{number:05d}.npz"
            write_shard(path, Shard([[t.text for t in doc] for doc in part], targets))
            number += 1
            yield path


def collect_gold(profile: Profile) -> Iterator[Path]:
    """Write ``labels.json``, and ``gold_targets`` with its manifest, of all training sets; yields the shards'
    paths."""
    target = profile.corpus / "gold_targets"
    inventory = collect_labels(profile.corpus, profile.treebanks)
    write_json(profile.corpus / "labels.json", inventory.to_json())
    paths = []
    size = profile.settings.collect.shard_words
    for path in gold_shards(profile.corpus, profile.treebanks, inventory, target, shard_words=size):
        paths.append(path)
        yield path
    write_manifest(target, paths)


@dataclass(frozen=True)
class Settings:
    """What the shards depend on; another value of any of them makes the old ones useless."""

    teacher: str
    """Checksum of the teacher's weights."""
    train_words: int
    text_words: int
    replaced: float
    shard_words: int


def check_settings(target: Path, settings: Settings) -> None:
    """Raises ValueError if the folder holds shards that were made with other settings."""
    path = target / "settings.json"
    if path.exists() and srsly.read_json(path) != asdict(settings):
        raise ValueError(
            f"{path}: the shards there were made with {srsly.read_json(path)}, now asked for "
            f"{asdict(settings)}; delete the folder to collect anew"
        )
    write_json(path, asdict(settings))


def collect(
    jobs: Sequence[Job], teacher: Path, *, component: str, processes: int
) -> Iterator[tuple[Path, int]]:
    """Label the shards that are not there yet; yields each path and its number of words.

    Each process loads the teacher and runs on one core. Interrupted, it continues with the shards that are
    absent.
    """
    for job in jobs:
        if job.path.exists():
            yield job.path, sum(map(len, job.sentences))
    missing = [job for job in jobs if not job.path.exists()]
    if not missing:
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_load_teacher, initargs=(teacher, component)
    ) as pool:
        pending = [pool.submit(_label, job) for job in missing]
        try:
            for future in as_completed(pending):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_TEACHER: list[Any] = []


def _load_teacher(path: Path, component: str) -> None:
    import torch

    Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    nlp = spacy.load(path)
    _TEACHER[:] = [nlp, make_labeller(nlp, component), tagger(nlp, component).inventory]


def _exit_with_parent() -> None:
    # A worker whose parent was killed would wait for work for ever.
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _label(job: Job) -> tuple[Path, int]:
    nlp, label, inventory = _TEACHER
    with nlp.memory_zone():
        probs = np.exp(log_softmax(label(job.sentences), inventory.starts))
    targets = sparsify(probs, inventory.starts)
    write_shard(job.path, Shard(job.sentences, targets))
    return job.path, len(targets)


def write_manifest(target: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """Write ``manifest.json``: words, bytes a word and checksum of each shard; returns it.

    Removes the half-written files of runs that were killed.
    """
    for leftover in target.glob(".tmp-*"):
        leftover.unlink(missing_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(paths):
        words = len(read_shard(path).targets)
        rows[path.name] = {"words": words, "bytes": path.stat().st_size, "sha256": sha256(path)}
    total = sum(row["words"] for row in rows.values())
    size = sum(row["bytes"] for row in rows.values())
    manifest = {"words": total, "bytes_per_word": round(size / max(total, 1), 1), "shards": rows}
    write_json(target / "manifest.json", manifest)
    return manifest
