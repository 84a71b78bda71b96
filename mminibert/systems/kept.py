"""A trained teacher as a small file, as `accelerate.py` writes it: what training changed, in 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.language import Language
from spacy.training.initialize import init_nlp

from ..data.corpus import conventions_of
from ..files import read_json, reading, replace_folder, write_json
from ..packaging.records import TEACHER
from ..packaging.stages import TRAINING, stages
from ..project.profile import Profile, compose
from ..training.bundle import read_weights, write_weights
from ..training.model import DELTAS, WORDS, added, changes, load, state
from .model import PipelineTagger, pipeline_model

REMEDY = "take the files that `keep.py` wrote"


def keep(profile: Profile, target: Path) -> None:
    """Write ``target``, the teacher's weights less the pretrained ones, and beside it, as JSON, its labels,
    conventions, log and how it was trained. What is frozen comes from the pretrained encoder.

    Raises FileNotFoundError if there is no teacher, ValueError if its word embeddings were trained.
    """
    training = profile.training(TEACHER)
    path = training / "model-best"
    if not path.is_dir():
        raise FileNotFoundError(f"no {path}; train it first: scripts/train.py {TEACHER} {profile.name}")
    nlp = spacy.load(path)
    model = _model(nlp, profile)
    found, start = state(model), state(_model(init_nlp(compose(TEACHER, profile)), profile))
    if not (found[WORDS] == start[WORDS]).all():
        raise ValueError(
            f"{path}: its word embeddings are not the pretrained ones, expected a teacher trained with "
            "initialize.after_init.freeze_embeddings = true"
        )
    found = changes(found, start)
    matrices = {name for name, value in found.items() if value.ndim == 2 and name.startswith("bert.")}
    write_weights(target, found, {*matrices, DELTAS})
    with reading(training / "log.jsonl", "train anew"):
        log = list(srsly.read_jsonl(training / "log.jsonl"))
    write_json(_record(target), {**_told(model), "log": log, TRAINING: stages(nlp.meta)})


def restore(profile: Profile, source: Path) -> None:
    """Make ``training/<profile>/mbert/model-best`` of what `keep` wrote and the pretrained encoder.

    Raises ValueError if the labels of the corpus, or its conventions, are not those of the teacher.
    """
    record = read_json(_record(source), REMEDY, "labels", "conventions", TRAINING)
    nlp = init_nlp(compose(TEACHER, profile))
    model = _model(nlp, profile)
    own = srsly.json_loads(srsly.json_dumps(_told(model)))
    if wrong := [name for name, value in own.items() if record[name] != value]:
        raise ValueError(
            f"{source}: its {' and '.join(wrong)} are not those of {profile.corpus}; use the profile and the "
            "treebanks that it was trained with"
        )
    start = state(model)
    with reading(source, REMEDY):
        weights = {**start, **added(read_weights(source), start)}
        load(model, weights)
    model.write_back()
    nlp.meta[TRAINING] = record[TRAINING]
    replace_folder(profile.training(TEACHER) / "model-best", nlp.to_disk)


def _model(nlp: Language, profile: Profile) -> PipelineTagger:
    told = profile.settings.conventions
    return pipeline_model(nlp, conventions_of(profile.corpus, profile.treebanks) if told else {})


def _told(model: PipelineTagger) -> dict[str, Any]:
    """What the rows of a teacher's head stand for."""
    return {"labels": model.pipe.inventory.to_json(), "conventions": list(model.conventions)}


def _record(weights: Path) -> Path:
    return weights.with_suffix(".json")
