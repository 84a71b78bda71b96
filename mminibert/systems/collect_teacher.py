"""The pipeline that labels what students learn from: the profile's teacher, or a packaged pipeline."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import get_package_path, is_package

from ..files import read_json, reading
from ..project.profile import Profile
from ..runtime.labels import Inventory
from ..runtime.pipeline import tagger
from .labelling import Labeller, make_labeller
from .manifest import REMEDY


def teacher_of(profile: Profile) -> Path:
    """The folder of the pipeline that labels: the profile's teacher, or the packaged one that it names.
    Raises FileNotFoundError if it is not there."""
    own = profile.training("mbert") / "model-best"
    name = profile.settings.collect.teacher
    if not name:
        if not (own / "meta.json").exists():
            raise FileNotFoundError(f"no teacher {own}; run the step `train` first")
        return own
    try:
        return Path(name) if Path(name).is_dir() else folder_of(name)
    except OSError as error:
        raise FileNotFoundError(
            f"collect.teacher is {name!r}, expected an installed pipeline or the folder of one; install it "
            "or take the setting out of the profile"
        ) from error


def folder_of(package: str) -> Path:
    """Where an installed pipeline has its files. Raises OSError if it is not installed."""
    if not is_package(package):
        raise OSError(f"{package} is not installed")
    folder = get_package_path(package)
    meta = read_json(folder / "meta.json", "install the pipeline again", "lang", "name", "version")
    return folder / f"{meta['lang']}_{meta['name']}-{meta['version']}"


@lru_cache(maxsize=1)
def load_teacher(path: Path, digest: str, labels: Path | None) -> tuple[Language, Labeller, Inventory]:
    """The pipeline, what labels by it, and whose outputs the labels are of: of the ``labels.json``, by
    default the pipeline's. digest: of the folder, as another teacher may be there later."""
    nlp = spacy.load(path)
    inventory = tagger(nlp).inventory
    if labels is not None:
        with reading(labels, REMEDY):
            inventory = Inventory.from_json(json.loads(labels.read_text(encoding="utf-8")))
    return nlp, make_labeller(nlp, inventory=inventory), inventory
