"""Wheels: this package, the multilingual pipeline, and a small pipeline a language."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
from packaging.requirements import Requirement
from spacy.util import get_minor_version_range

from .cards import description, mean, model_card
from .config import Profile
from .facts import SYSTEM, Facts, read_facts, sources
from .files import atomic_path, sha256, write_json
from .subset import subset, tokenizer_note

__all__ = ["Distribution", "build_library", "build_pipeline", "meta", "package"]

NAME = "mminibert"
LIBRARY_FILES = ("pyproject.toml", "README.md", "LICENSE")
AUTHOR = "mMiniBERT"
EPOCH = "315532800"
"""1980-01-01, the date of files in wheels, so that equal contents make equal wheels."""


@dataclass(frozen=True)
class Distribution:
    """Of the metadata of the library's wheel, what the packages need. requirements: to run it."""

    version: str
    url: str
    email: str
    requirements: tuple[Requirement, ...]

    @property
    def spacy_version(self) -> str:
        spacy = next(r for r in self.requirements if r.name == "spacy")
        return ",".join(sorted(map(str, spacy.specifier), reverse=True))

    def model_requirements(self) -> list[str]:
        """What a package requires besides spaCy: the library, and what that needs to run."""
        own = f"{NAME}{get_minor_version_range(self.version)}"
        return [own, *(str(r) for r in self.requirements if r.name != "spacy")]


def package(
    profile: Profile, languages: Sequence[str] | None = None, *, source: Path = Path()
) -> Iterator[Path]:
    """Make the wheels of a profile in `packages/<profile>`; yields the path of each, then `packages.json`.

    languages: of the small pipelines, by default all with training sentences. source: the repository.
    Raises FileNotFoundError if a step before this one was not run, ValueError for a language that was not
    trained on or a profile without licence, RuntimeError if a wheel cannot be built.
    """
    model = profile.training(SYSTEM) / "model-onnx"
    if not model.is_dir():
        raise FileNotFoundError(
            f"no {model}; run the step `quantize` first: scripts/quantize.py {SYSTEM} {profile.name}"
        )
    nlp = spacy.load(model)
    facts = read_facts(profile, nlp)
    wanted = facts.languages if languages is None else list(dict.fromkeys(languages))
    if unknown := sorted(set(wanted) - set(facts.languages)):
        raise ValueError(
            f"got {', '.join(unknown)}, expected languages of the profile with training sentences: "
            f"{', '.join(facts.languages)}"
        )
    out = Path("packages") / profile.name
    out.mkdir(parents=True, exist_ok=True)
    library = build_library(source, out)
    yield library
    distribution = read_distribution(library)
    with TemporaryDirectory() as folder:
        full_path = Path(folder) / "full"
        nlp.meta.update({"name": NAME, **meta(facts, distribution, "xx")})
        nlp.to_disk(full_path)
        full = spacy.load(full_path)
        card = model_card(facts, full, full)
        (full_path / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        with atomic_path(out / "MODEL_CARD.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
        yield build_pipeline(full_path, facts, out)
        for lang in wanted:
            light = subset(full, lang)
            light.meta.update(meta(facts, distribution, lang))
            path = Path(folder) / lang
            light.to_disk(path)
            (path / "MODEL_CARD.md").write_text(model_card(facts, light, full), encoding="utf-8")
            yield build_pipeline(path, facts, out)
    write_json(out / "packages.json", [_entry(wheel) for wheel in sorted(out.glob("*.whl"))])
    yield out / "packages.json"


def meta(facts: Facts, distribution: Distribution, lang: str) -> dict[str, Any]:
    """The entries of meta.json; `lang` "xx" for all languages. Scores are fractions, speed words a second."""
    own = {k: record for k, record in facts.scores.items() if lang in ("xx", record["lang"])}
    performance: dict[str, Any] = {}
    if own:
        for metric in ("UPOS", "UFeats"):
            performance[f"{metric.lower()}_macro"] = mean(r["gold_words"][metric] for r in own.values())
        performance["speed"] = mean(r["words_per_second"] for r in own.values())
        performance["treebanks"] = {
            ltcode: {"gold_words": record["gold_words"], "raw_text": record["raw_text"]}
            for ltcode, record in own.items()
        }
    notes = [tokenizer_note(lang), "How it was trained, and its limits: MODEL_CARD.md."]
    return {
        "version": distribution.version,
        "description": description(facts, lang),
        "author": AUTHOR,
        "email": distribution.email,
        "url": distribution.url,
        "license": facts.licence,
        "spacy_version": distribution.spacy_version,
        "requirements": distribution.model_requirements(),
        "sources": sources(facts),
        "performance": performance,
        "teacher": facts.teacher,
        "languages": facts.languages if lang == "xx" else [lang],
        "notes": " ".join(filter(None, notes)),
    }


def build_library(source: Path, out: Path) -> Path:
    """The wheel of this package, from a copy of its sources: a `build` folder may hold files long deleted."""
    if not (source / "pyproject.toml").exists():
        raise FileNotFoundError(f"no {source / 'pyproject.toml'}; run this in the folder of the repository")
    with TemporaryDirectory() as folder:
        for name in LIBRARY_FILES:
            shutil.copy(source / name, folder)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / NAME, Path(folder, NAME), ignore=ignored)
        return _pip_wheel(Path(folder), out)


def read_distribution(wheel: Path) -> Distribution:
    """From a wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(name).decode("utf-8"), headersonly=True)
    requirements = map(Requirement, fields.get_all("Requires-Dist", []))
    urls = [url.split(",", 1)[1].strip() for url in fields.get_all("Project-URL", [])]
    return Distribution(
        version=fields["Version"],
        url=fields.get("Home-page") or next(iter(urls), ""),
        email=fields.get("Author-email") or "",
        requirements=tuple(r for r in requirements if r.marker is None),
    )


def build_pipeline(path: Path, facts: Facts, out: Path) -> Path:
    """The wheel of a pipeline's folder, by `spacy package` and pip, without network."""
    from spacy.cli.package import package as spacy_package

    (path / "LICENSE").write_text(f"{facts.licence}\n", encoding="utf-8")
    lines = [" | ".join(filter(None, (s["name"], s.get("url"), s.get("license")))) for s in sources(facts)]
    (path / "LICENSES_SOURCES").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with TemporaryDirectory() as folder:
        output = io.StringIO()
        try:
            # Building is left to pip, since spaCy's way of it wants the network for an isolated environment.
            with redirect_stdout(output), warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # spaCy leaves its files open
                spacy_package(path, Path(folder), create_sdist=False, require_parent=True, silent=True)
        except SystemExit as error:
            raise RuntimeError(f"{path}: `spacy package` failed: {output.getvalue()}") from error
        (package_path,) = Path(folder).iterdir()
        return _pip_wheel(package_path, out)


def _pip_wheel(source: Path, out: Path) -> Path:
    """Build one wheel into `out`, where it replaces those of other versions."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    with TemporaryDirectory(dir=out, prefix=".tmp-") as folder:
        done = subprocess.run(
            [*command, "--wheel-dir", folder, str(source.resolve())],
            capture_output=True,
            text=True,
            env={"SOURCE_DATE_EPOCH": EPOCH, **os.environ},
        )
        built = list(Path(folder).glob("*.whl"))
        if done.returncode or len(built) != 1:
            raise RuntimeError(f"pip could not build a wheel of {source.name}:\n{done.stdout}{done.stderr}")
        wheel = out / built[0].name
        for old in out.glob(f"{wheel.name.split('-')[0]}-*.whl"):
            old.unlink()
        built[0].replace(wheel)
    return wheel


def _entry(wheel: Path) -> dict[str, Any]:
    code, _, rest = wheel.name.split("-")[0].partition("_")
    lang = rest.removeprefix(f"{NAME}_") if rest.startswith(f"{NAME}_") else code
    return {
        "file": wheel.name,
        "language": None if code == NAME else lang,
        "bytes": wheel.stat().st_size,
        "sha256": sha256(wheel),
    }
