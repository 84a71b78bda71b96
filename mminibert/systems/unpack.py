"""Pipelines from what came back of a training from a bundle."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import srsly
import torch
from spacy.language import Language
from spacy.training.initialize import init_nlp

from ..archives import read_arrays
from ..data.corpus import conventions_of
from ..files import folder_sha256, listed, read_json, reading, replace_folder, write_json
from ..packaging.stages import TRAINING, stages, training_stage
from ..project.profile import Profile, compose
from ..runtime.wordpieces import WordPieces
from ..training.bundle import RETURNED, Bundle, read_weights
from ..training.model import WORDS, added
from ..training.projection import Projection
from .embeddings import teacher_embeddings
from .model import Transformer, pipeline_model
from .provenance import provenance


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
    students = [name for name in ("mminibert", "minibert") if (results / f"{name}.npz").exists()]
    for system in ("mbert", *students):
        if _returned(results, system)["inputs"]["bundle"] != folder_sha256(bundle):
            raise ValueError(
                f"{results / system}.json: of another bundle than {bundle}; train from this one, or unpack "
                "with the other"
            )
    nlp = pipeline(profile, "mbert", results / "mbert.npz", made)
    store(nlp, profile, "mbert", bundle, results)
    say("mbert")
    if not students:
        return
    arrays = read_arrays(results / "projection.npz", RETURNED)
    with reading(results / "projection.npz", RETURNED):
        projection = Projection(arrays["mean"], arrays["matrix"])
    pieces = WordPieces.from_file(profile.assets / "vocab.txt")
    unseen = np.setdiff1d(np.arange(len(pieces)), made.ids["student"])
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


def _returned(results: Path, system: str) -> dict[str, Any]:
    return read_json(results / f"{system}.json", "bring again what accelerate.py wrote", "inputs")


def pipeline(
    profile: Profile, system: str, weights: Path, made: Bundle, embeddings: np.ndarray | None = None
) -> Language:
    """A system's pipeline with trained weights; embeddings: of pieces that do not occur in the bundle, by
    default those that the pipeline begins with.

    Raises ValueError for the weights of a model of other sizes, or if the corpus lacks a convention.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    nlp = init_nlp(compose(system, profile))
    codes: list[str] = made.settings.get("conventions", [])
    own = conventions_of(profile.corpus, codes)
    if lacking := ", ".join(sorted(set(codes) - own.keys())):
        raise ValueError(
            f"{profile.corpus}: got no labels of {lacking}, which are conventions of the bundle; unpack with "
            "the corpus that it was made of"
        )
    model = pipeline_model(nlp, own)
    old = {name: value.numpy() for name, value in model.state_dict().items()}
    new, role = read_weights(weights), "student"
    if isinstance(model, Transformer):
        start, role = {f"bert.{name}": value for name, value in made.weights.items()}, "teacher"
        new = {**added(new, start), WORDS: start[WORDS]}
    whole = (old[WORDS] if embeddings is None else embeddings).copy()
    whole[made.ids[role]] = new[WORDS]
    new[WORDS] = whole
    wrong = [name for name, value in new.items() if name not in old or old[name].shape != value.shape]
    wrong += [name for name in old if name not in new and "pooler" not in name]
    if wrong:
        raise ValueError(f"{weights}: of another model than the profile's: {sorted(wrong)}")
    state = {name: torch.from_numpy(new.get(name, value)) for name, value in old.items()}
    model.load_state_dict(state, strict=True)
    model.write_back()
    return nlp


def store(nlp: Language, profile: Profile, system: str, bundle: Path, results: Path) -> None:
    """Write the training folder, whole, in place of the one that is there: pipeline, log, and as
    ``config.cfg`` and ``run.json`` the schedule that was used, and on what machine."""
    output = profile.training(system)

    def write(new: Path) -> None:
        new.mkdir()
        shutil.copyfile(results / f"{system}.jsonl", new / "log.jsonl")
        settings = read_json(bundle / "bundle.json", "make the bundle anew", "teacher", "student")
        settings = settings["teacher" if system == "mbert" else "student"]
        with reading(results / f"{system}.jsonl", "bring again what accelerate.py wrote"):
            words = list(srsly.read_jsonl(new / "log.jsonl"))[-1]["words"]
        schedule = {**settings["schedule"], "words": words}
        schedule.pop("seconds", None)
        targets = ["soft_targets", "gold_targets"] if system == "mminibert" else ["gold_targets"]
        config = compose(system, profile)
        temperature = settings["temperature"] if system == "mminibert" else 1.0  # gold labels have none
        config["distillation"] = {"targets": targets, "temperature": temperature, **schedule}
        config.to_disk(new / "config.cfg")
        inputs = [path for path in listed(bundle, "**/*") if path.is_file()]
        record = provenance(config, [profile.corpus / "manifest.json", *inputs])
        machine = _returned(results, system)
        write_json(new / "run.json", {**record, "bundle": machine})
        soft = {}
        if system == "mminibert":
            soft = {"teacher": stages(_meta(profile.training("mbert"))), "soft_words": machine["words"]}
        nlp.meta[TRAINING] = [training_stage(config.interpolate(), **soft)]
        nlp.to_disk(new / "model-best")

    replace_folder(output, write)


def _meta(training: Path) -> dict[str, Any]:
    return read_json(training / "model-best" / "meta.json", "unpack again")
