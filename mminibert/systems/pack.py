"""A profile's training as a bundle, and pipelines from what came back."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import srsly
import torch
from safetensors.numpy import load_file
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.vocab import Vocab

from ..data.corpus import SUFFIXES, read_docs
from ..data.replacement import kinds
from ..data.sources import sources
from ..files import write_json
from ..project.profile import Profile, compose
from ..runtime.labels import Inventory, Label, doc_labels
from ..runtime.wordpieces import Pieces, WordPieces
from ..training.bundle import TEXT, Bundle, PieceTable, read_weights
from ..training.projection import Projection
from ..training.tagger import WORDS, added
from .embeddings import teacher_embeddings
from .labelling import TeacherPieces
from .networks import Student, network
from .provenance import provenance

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
            [TEXT] * len(words)
            if labels is None
            else [self.rows.setdefault(label, len(self.rows)) for label in labels]
        )


def make_bundle(profile: Profile, target: Path, say: Callable[[str], None] = lambda _: None) -> None:
    """Write a profile's bundle: training sets in both units, the text that its section ``bundle`` says,
    a part of the dev sets, and the pretrained teacher.

    Raises FileNotFoundError if the steps before were not run or the teacher is no folder, ValueError if the
    profile has no such section.
    """
    settings, path = profile.settings.bundle, Path(profile.teacher_path)
    if settings is None:
        raise ValueError(
            f"profile {profile.name!r} has no section [bundle]; take that of the profile `release`"
        )
    for needed in (profile.corpus / "labels.json", path / "config.json", profile.assets / "vocab.txt"):
        if not needed.exists():
            raise FileNotFoundError(
                f"no {needed}; run `assets`, `convert` and `collect-gold`, with a teacher in a folder"
            )
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
    text = profile.assets / "unlabelled"
    named = sources(
        profile.corpus,
        text,
        profile.treebanks,
        train_words=0,
        text_words=settings.text_words,
        replaced=0.0,
    )
    for lang, sentences in named:
        for words in sentences:
            found.add(f"text-{lang}", words, None)
    say(f"{len(found.labels):,} words in all")
    inventory = Inventory.from_json(srsly.read_json(profile.corpus / "labels.json"))
    rows: dict[str, int] = {}
    flat = [rows.setdefault(word, len(rows)) for sentence in found.words for word in sentence]
    distinct = list(rows)
    whole = json.loads((path / "config.json").read_text(encoding="utf-8"))
    overrides = compose("mbert", profile)["components"]["transformer"]["model"]["transformer_config"]
    config = {**whole, **overrides}
    upper = range(config["num_hidden_layers"], whole["num_hidden_layers"])
    left_out = ("pooler", "position_ids", *(f"layer.{i}." for i in upper))
    weights = {
        name: value
        for name, value in load_file(path / "model.safetensors").items()
        if not any(part in name for part in left_out)
    }
    from transformers import AutoTokenizer  # slow to import

    tokenizer = AutoTokenizer.from_pretrained(path)
    pieces = WordPieces.from_file(profile.assets / "vocab.txt")
    tagger = compose("mminibert", profile).interpolate()["components"]["morphologizer"]
    sizes = tagger["model"]["tok2vec"]
    student = piece_table(pieces, distinct, int(sizes["max_pieces"]))
    names = [pieces.vocab[i].removeprefix("##") or pieces.vocab[i] for i in student.ids]
    subwords = [ids[1:-1] for ids in tokenizer(names, truncation=True, max_length=8)["input_ids"]]
    longest = settings.teacher.max_pieces
    teacher = piece_table(TeacherPieces(tokenizer), distinct, longest, [i for ids in subwords for i in ids])
    row_of = {int(i): row for row, i in enumerate(teacher.ids)}
    table = WORDS.removeprefix("bert.")
    weights[table] = weights[table][teacher.ids]
    groups = sorted(set(found.groups))
    label_names = list(found.rows)
    bundle = Bundle(
        {
            "fields": [len(values) for _, values in inventory.fields],
            "upos_weight": tagger["upos_weight"],
            "groups": groups,
            "teacher": {
                "schedule": {**settings.teacher.schedule.model_dump(), "seed": profile.seed},
                "sizes": {
                    "hidden_width": config["hidden_size"],
                    "intermediate_width": config["intermediate_size"],
                    "num_hidden_layers": config["num_hidden_layers"],
                    "num_attention_heads": config["num_attention_heads"],
                    "max_positions": config["max_position_embeddings"],
                    "dropout": settings.teacher.dropout,
                },
            },
            "student": {
                "schedule": {**settings.student.schedule.model_dump(), "seed": profile.seed},
                "sizes": {
                    name: sizes[name]
                    for name in (
                        "hidden_width",
                        "intermediate_width",
                        "num_hidden_layers",
                        "num_attention_heads",
                        "max_positions",
                    )
                }
                | {"dropout": settings.student.dropout},
                "replaced": settings.student.replaced.model_dump(),
            },
        },
        words=np.asarray(flat, dtype=np.int32),
        lengths=np.asarray([len(words) for words in found.words], dtype=np.int32),
        kinds=np.asarray(kinds(distinct), dtype=np.int32),
        groups=np.asarray([groups.index(group) for group in found.groups], dtype=np.int16),
        labels=np.asarray(found.labels, dtype=np.int32),
        dev=np.asarray(found.dev),
        values=inventory.encode(label_names).astype(np.int8),
        teacher=teacher,
        student=student,
        subword_counts=np.asarray([len(ids) for ids in subwords], dtype=np.uint8),
        subwords=np.asarray([row_of[i] for ids in subwords for i in ids], dtype=np.int32),
        weights=weights,
    )
    say(f"{len(distinct):,} distinct words, {len(teacher.ids):,} and {len(student.ids):,} pieces; writing")
    bundle.write(target, found.words)


def piece_table(
    pieces: Pieces, words: Sequence[str], max_pieces: int, more: Sequence[int] = ()
) -> PieceTable:
    """The pieces of some words, and rows for ``more`` ids beside theirs."""
    found = [pieces.encode(word) for word in words]
    flat = np.asarray([i for ids in found for i in ids], dtype=np.int64)
    special = [pieces.cls_id, pieces.sep_id, pieces.pad_id]
    ids = np.unique(np.concatenate([flat, np.asarray([*special, *more], dtype=np.int64)]))
    cls_id, sep_id, pad_id = (int(np.searchsorted(ids, i)) for i in special)
    blank = np.flatnonzero(ids == pieces.blank_id)
    return PieceTable(
        counts=np.asarray([len(ids) for ids in found], dtype=np.uint8),
        pieces=np.searchsorted(ids, flat).astype(np.int32),
        ids=ids.astype(np.int32),
        cls_id=cls_id,
        sep_id=sep_id,
        pad_id=pad_id,
        blank_id=int(blank[0]) if len(blank) else -1,
        max_pieces=max_pieces,
    )


def unpack(
    profile: Profile, bundle: Path, results: Path, say: Callable[[str], None] = lambda _: None
) -> None:
    """Make the pipelines ``training/<profile>/<system>/model-best`` of the weights in ``results``, beside
    them the logs and what they were made with.

    A student's wordpieces that did not occur get the embeddings that the teacher gives them. Raises
    FileNotFoundError if there is no teacher in ``results``, ValueError if they are of another bundle.
    """
    made = Bundle.read(bundle)
    if not (results / "mbert.npz").exists():
        raise FileNotFoundError(f"no mbert.npz in {results}; bring there what accelerate.py wrote")
    nlp = pipeline(profile, "mbert", results / "mbert.npz", made)
    store(nlp, profile, "mbert", bundle, results)
    say("mbert")
    students = [name for name in ("mminibert", "minibert") if (results / f"{name}.npz").exists()]
    if not students:
        return
    with np.load(results / "projection.npz", allow_pickle=False) as arrays:
        projection = Projection(arrays["mean"], arrays["matrix"])
    pieces = WordPieces.from_file(profile.assets / "vocab.txt")
    unseen = np.setdiff1d(np.arange(len(pieces)), made.student.ids)
    rows = np.zeros((len(pieces), projection.matrix.shape[1]), dtype=np.float32)
    at = 0
    for part in teacher_embeddings(nlp, [pieces.vocab[i] for i in unseen]):
        rows[unseen[at : at + len(part)]] = projection(part)
        at += len(part)
        say(f"embeddings of {at:,} of {len(unseen):,} pieces without training text")
    for system in students:
        student = pipeline(profile, system, results / f"{system}.npz", made, rows)
        store(student, profile, system, bundle, results)
        say(system)


def pipeline(
    profile: Profile, system: str, weights: Path, made: Bundle, embeddings: np.ndarray | None = None
) -> Language:
    """A system's pipeline with trained weights; embeddings: of pieces that do not occur in the bundle, by
    default those that the pipeline begins with.

    Raises ValueError for the weights of a model of other sizes.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    nlp = init_nlp(compose(system, profile))
    model = network(nlp)
    prefix = "bert." if isinstance(model, Student) else "transformer."
    old = {name.replace(prefix, "bert.", 1): value.numpy() for name, value in model.state_dict().items()}
    new, table = read_weights(weights), made.student
    if not isinstance(model, Student):
        start, table = {f"bert.{name}": value for name, value in made.weights.items()}, made.teacher
        new = {**added(new, start), WORDS: start[WORDS]}
    whole = (old[WORDS] if embeddings is None else embeddings).copy()
    whole[table.ids] = new[WORDS]
    new[WORDS] = whole
    wrong = [name for name, value in new.items() if name not in old or old[name].shape != value.shape]
    lacking = [name for name in old if name not in new and "pooler" not in name]
    if wrong or lacking:
        raise ValueError(f"{weights}: of another model than the profile's: {sorted({*wrong, *lacking})}")
    state = {name.replace("bert.", prefix, 1): torch.from_numpy(value) for name, value in new.items()}
    model.load_state_dict(state, strict=False)
    model.write_back()
    return nlp


def store(nlp: Language, profile: Profile, system: str, bundle: Path, results: Path) -> None:
    """Write the training folder, whole, in place of the one that is there: pipeline, log, and as
    ``config.cfg`` and ``run.json`` the schedule that was used, and on what machine."""
    output = profile.training(system)
    new = output.with_name(f"{output.name}.partial")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    shutil.copyfile(results / f"{system}.jsonl", new / "log.jsonl")
    settings = srsly.read_json(bundle / "bundle.json")["teacher" if system == "mbert" else "student"]
    schedule = {**settings["schedule"], "words": list(srsly.read_jsonl(new / "log.jsonl"))[-1]["words"]}
    del schedule["seconds"], schedule["evaluations"]
    targets = ["soft_targets", "gold_targets"] if system == "mminibert" else ["gold_targets"]
    config = compose(system, profile)
    config["distillation"] = {"targets": targets, **schedule}
    config.to_disk(new / "config.cfg")
    inputs = sorted(path for path in bundle.rglob("*") if path.is_file())
    record = provenance(config, [profile.corpus / "manifest.json", *inputs])
    machine = srsly.read_json(results / f"{system}.json")
    write_json(new / "run.json", {**record, "accelerator": machine})
    nlp.to_disk(new / "model-best")
    shutil.rmtree(output, ignore_errors=True)
    new.rename(output)
