"""Ablations: short trainings of one system that differ in a setting each, and a table of their dev scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.util import dict_to_dot

from ..data.convert import convert
from ..markdown import table
from ..project.assets import prepare
from ..project.profile import Profile, read_toml
from ..project.settings import read_settings
from ..systems.collect import collect_gold


@dataclass(frozen=True)
class Variant:
    """A training; `question` groups those that are to be compared, `change` says what is other than in the
    first, the baseline.

    `settings` replace the profile's own, for example its ``supplements``; such a training has treebanks of
    its own.
    """

    name: str
    question: str
    change: str
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Ablations:
    """A file of ablations: the system and profile that all trainings share, and what differs."""

    system: str
    profile: Profile
    variants: Sequence[Variant]

    @classmethod
    def read(cls, path: Path) -> Ablations:
        """Raises ValueError if the file lacks a key, FileNotFoundError if there is no file or profile."""
        found = read_toml(path)
        try:
            shared = found.get("overrides", {})
            variants = [
                Variant(
                    name,
                    v["question"],
                    v["change"],
                    {**dict_to_dot(shared), **dict_to_dot(v.get("overrides", {}))},
                    v.get("settings", {}),
                )
                for name, v in found["variants"].items()
            ]
            return cls(found["system"], Profile.read(found["profile"]), variants)
        except KeyError as error:
            raise ValueError(
                f"{path}: no key {error}; expected system, profile, variants, and in each question and change"
            ) from None

    def folder(self, variant: Variant) -> Path:
        return self.profile.training("ablations") / variant.name

    def settings(self, variant: Variant) -> Profile:
        """The profile with the variant's settings laid over those of the system; one of its own name,
        ``<profile>-<variant>``, if it has other settings than overrides."""
        settings = {**self.profile.settings.model_dump(), **variant.settings}
        own = settings["systems"].get(self.system, {}).get("overrides", {})
        overrides = {**dict_to_dot(own), **variant.overrides}
        settings["systems"] = {**settings["systems"], self.system: {"overrides": overrides}}
        name = f"{self.profile.name}-{variant.name}" if variant.settings else self.profile.name
        return Profile(name, read_settings(settings, f"variant {variant.name!r}"))

    def rows(self) -> list[dict[str, Any]]:
        """The last line of each training's log that there is, with the variant's name and texts."""
        found = []
        for variant in self.variants:
            log = self.folder(variant) / "log.jsonl"
            if log.exists():
                last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
                facts = {"name": variant.name, "question": variant.question, "change": variant.change}
                found.append({**facts, "overrides": dict(variant.overrides), **last})
        return found


def make_corpus(profile: Profile, mirror: Path | None) -> Iterator[str]:
    """Treebanks and gold targets of a variant with settings of its own; yields a line on each thing done.

    What is complete is kept. Raises ValueError or FileNotFoundError that say what is missing.
    """
    yield from prepare(profile, mirror)
    convert(profile.assets / "ud", profile.corpus, profile.treebanks)
    shards = list(collect_gold(profile))
    yield f"{profile.corpus}: {len(shards)} shards of gold labels"


def to_markdown(rows: Sequence[Mapping[str, Any]], *, description: str, command: str) -> str:
    """A table a question, each beginning with the baseline, the first row of all."""
    base = rows[0]
    lines = ["# Ablations", "", description, "", f"Written by `{command}`."]
    questions = dict.fromkeys(row["question"] for row in rows[1:])
    for question in questions:
        cells = []
        for row in [base, *(row for row in rows[1:] if row["question"] == question)]:
            scores = []
            for name in ("pos_acc", "morph_acc"):
                difference = "" if row is base else f" ({100 * (row[name] - base[name]):+.2f})"
                scores.append(f"{100 * row[name]:.2f}{difference}")
            cells.append([row["change"], *scores, f"{row['words']:,}", f"{row['seconds']:,.0f}"])
        head = ("training", "dev UPOS", "dev FEATS", "words", "seconds")
        lines += ["", f"## {question}", "", table(head, cells, "lrrrr")]
    return "\n".join(lines) + "\n"
