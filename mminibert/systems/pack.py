"""A profile's training as a bundle, for a machine that has PyTorch alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, conventions_of, read_docs
from ..data.replacement import kinds
from ..data.sources import sources
from ..files import read_json, reading
from ..project.profile import Profile, compose
from ..project.settings import BundleSection, ScheduleSection
from ..runtime.doc_labels import doc_labels
from ..runtime.labels import Inventory, Label
from ..runtime.wordpieces import WordPieces
from ..training.bundle import UNLABELLED, Bundle
from ..training.model import WORDS
from ..training.pieces import compress, distinct, piece_table
from .labelling import TeacherPieces
from .provenance import teacher_files
from .text_words import TextWords

DEV_SENTENCES = 40
"""Of each treebank, for the choice of the best weights."""


@dataclass
class _Sentences:
    words: list[list[str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    dev: list[bool] = field(default_factory=list)
    rows: dict[Label, int] = field(default_factory=dict)

    def add(self, group: str, words: list[str], labels: Sequence[Label] | None, *, dev: bool = False) -> None:
        self.words.append(words)
        self.groups.append(group)
        self.dev.append(dev)
        self.labels += (
            [UNLABELLED] * len(words)
            if labels is None
            else [self.rows.setdefault(label, len(self.rows)) for label in labels]
        )


def make_bundle(profile: Profile, target: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Write a profile's bundle: training sets in both units, the text that its section ``bundle`` says, a
    part of the dev sets, and the pretrained teacher.

    Raises FileNotFoundError if the steps before were not run or the teacher is no folder, ValueError if the
    profile has no such section, or if the teacher is none that `models.bert` computes.
    """
    section, path = _section(profile), Path(profile.teacher_path)
    for needed in (profile.corpus / "labels.json", path / "config.json", profile.assets / "vocab.txt"):
        if not needed.exists():
            raise FileNotFoundError(
                f"no {needed}; run `assets`, `convert` and `collect-gold`, with a teacher in a folder"
            )
    teacher_files(path)
    weights, config = read_bert(path, _transformer(profile))
    settings = bundle_settings(profile, config)
    found = _sentences(profile, section.text_words, say)
    inventory = _labels(profile.corpus / "labels.json")
    forms, flat, lengths = distinct(found.words)
    from transformers import AutoTokenizer  # slow to import

    tokenizer = AutoTokenizer.from_pretrained(path)
    pieces = WordPieces.from_file(profile.assets / "vocab.txt")
    groups = sorted(set(found.groups))
    if profile.settings.conventions:
        settings["conventions"] = list(conventions_of(profile.corpus, profile.treebanks))
        settings["not_given"] = profile.settings.not_given
    student, student_ids = compress(piece_table(pieces, forms, settings["student"]["max_pieces"]))
    names = [pieces.vocab[i].removeprefix("##") or pieces.vocab[i] for i in student_ids]
    subwords = [ids[1:-1] for ids in tokenizer(names, truncation=True, max_length=8)["input_ids"]]
    teacher, teacher_ids = compress(
        piece_table(TeacherPieces(tokenizer), forms, settings["teacher"]["max_pieces"]),
        [i for ids in subwords for i in ids],
    )
    row_of = {int(i): row for row, i in enumerate(teacher_ids)}
    table = WORDS.removeprefix("bert.")
    bundle = Bundle(
        {**settings, "fields": [len(values) for _, values in inventory.fields], "groups": groups},
        words=flat,
        lengths=lengths,
        kinds=np.asarray(kinds(forms), dtype=np.int32),
        groups=np.asarray([groups.index(group) for group in found.groups], dtype=np.int16),
        labels=np.asarray(found.labels, dtype=np.int32),
        dev=np.asarray(found.dev),
        values=inventory.encode(list(found.rows)).astype(np.int8),
        teacher=teacher,
        student=student,
        ids={"teacher": teacher_ids, "student": student_ids},
        subword_counts=np.asarray([len(ids) for ids in subwords], dtype=np.uint8),
        subwords=np.asarray([row_of[i] for ids in subwords for i in ids], dtype=np.int32),
        weights={**weights, table: weights[table][teacher_ids]},
    )
    say(f"{len(forms):,} distinct words, {len(teacher_ids):,} and {len(student_ids):,} pieces; writing")
    bundle.write(target, found.words)


def bundle_settings(profile: Profile, bert: Mapping[str, Any]) -> dict[str, Any]:
    """What ``bundle.json`` says of the profile: schedules and sizes of teacher and student. bert: the
    teacher's config.json.

    Raises ValueError if the profile has no section ``bundle``.
    """
    section = _section(profile)
    tagger = compose("mminibert", profile).interpolate()["components"]["morphologizer"]
    tok2vec = tagger["model"]["tok2vec"]
    teacher_sizes = {
        "hidden_width": bert["hidden_size"],
        "intermediate_width": bert["intermediate_size"],
        "num_hidden_layers": bert["num_hidden_layers"],
        "num_attention_heads": bert["num_attention_heads"],
        "max_positions": bert["max_position_embeddings"],
    }
    student_sizes = {name: tok2vec[name] for name in (*teacher_sizes, "word_layers")}
    teacher, student = section.teacher, section.student
    roles: dict[str, dict[str, Any]] = {
        "teacher": {
            "schedule": _schedule(teacher.schedule, profile),
            "sizes": {**teacher_sizes, "dropout": teacher.dropout},
            "max_pieces": teacher.max_pieces,
        },
        "student": {
            "schedule": _schedule(student.schedule, profile),
            "sizes": {**student_sizes, "dropout": student.dropout},
            "max_pieces": int(tok2vec["max_pieces"]),
            "replaced": student.replaced.model_dump(),
            "temperature": student.temperature,
        },
    }
    return {"upos_weight": tagger["upos_weight"], **roles}


def read_bert(path: Path, overrides: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights of a pretrained encoder, as many layers as are to be used, and its config.

    Raises ValueError if it is not what `models.bert` computes.
    """
    whole = read_json(path / "config.json", "take another teacher", "num_hidden_layers")
    config = {**whole, **overrides}
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    got = {name: config.get(name, value) for name, value in expected.items()}
    if got != expected:
        raise ValueError(f"{path / 'config.json'}: got {got}, expected {expected}; take another teacher")
    upper = range(config["num_hidden_layers"], whole["num_hidden_layers"])
    left_out = ("pooler", "position_ids", *(f"layer.{i}." for i in upper))
    found = load_file(path / "model.safetensors")
    return {n: value for n, value in found.items() if not any(part in n for part in left_out)}, config


def _labels(path: Path) -> Inventory:
    remedy = "run `collect-gold` again"
    found = read_json(path, remedy)
    with reading(path, remedy):
        return Inventory.from_json(found)


def _section(profile: Profile) -> BundleSection:
    section = profile.settings.bundle
    if section is None:
        raise ValueError(
            f"profile {profile.name!r} has no section [bundle]; take that of the profile `release`"
        )
    return section


def _transformer(profile: Profile) -> Mapping[str, Any]:
    """What the profile changes in the teacher's config."""
    transformer = compose("mbert", profile)["components"]["transformer"]
    return dict(transformer["model"]["transformer_config"])


def _sentences(profile: Profile, text_words: int, say: Callable[[str], None]) -> _Sentences:
    found = _Sentences()
    for code in profile.treebanks:
        for split, limit in (("train", None), ("dev", DEV_SENTENCES)):
            docs = read_docs(profile.corpus, code, split, Vocab(), units=tuple(SUFFIXES))
            seen = set()
            for doc in docs[:limit]:
                words, labels = [token.text for token in doc], doc_labels(doc)
                if words and (key := (*words, *labels)) not in seen:
                    seen.add(key)
                    found.add(code, words, labels, dev=split == "dev")
    say(f"{len(found.labels):,} words with labels")
    named = sources(
        profile.corpus,
        profile.assets / "unlabelled",
        profile.treebanks,
        TextWords(profile.segmenter),
        train_words=0,
        text_words=text_words,
        replaced=0.0,
    )
    for lang, sentences in named:
        for words, _ in sentences:
            found.add(f"text-{lang}", words, None)
    say(f"{len(found.labels):,} words in all")
    return found


def _schedule(section: ScheduleSection, profile: Profile) -> dict[str, Any]:
    """Without a limit of no seconds at all: JSON has no infinity, and a schedule has no limit by default."""
    schedule = {**section.model_dump(), "seed": profile.seed}
    return {name: value for name, value in schedule.items() if value != inf}
