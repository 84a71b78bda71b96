"""The wheels of a profile: this package, the multilingual pipeline, and a small pipeline a language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy

from ..evaluation.metrics import macro_average
from ..files import atomic_path, listed, sha256, write_json
from ..project.package_names import PACKAGE
from ..project.profile import CONFIGS, Profile
from ..runtime.pipeline import tagger
from .cards import model_card
from .conventions_default import read_chosen
from .conventions_meta import conventions_meta
from .page import performance
from .records import ENCODERS, SUFFIXES, SYSTEM, TEACHER, Records, read_records
from .segmenter_card import SEGMENTED, segmenter_meta
from .segmenter_part import SegmenterPart, segmenter_of
from .subset import CARD, description, subset
from .wheels import Distribution, build_library, build_pipeline, read_distribution

__all__ = ["meta", "package"]

AUTHOR = "mMiniBERT"


def package(
    profile: Profile,
    languages: Sequence[str] | None = None,
    *,
    system: str = SYSTEM,
    source: Path = Path(),
) -> Iterator[Path]:
    """Make the wheels of a profile in `packages/<profile>`; yields the path of each, then `packages.json`.

    languages: of the small pipelines, by default all with training sentences. system: the student, or the
    teacher, whose wheels have ``_lg`` in their names. source: the repository.
    Names and versions are those of the profile; see `Profile.package_name`. Raises FileNotFoundError if
    a step before this one was not run, ValueError for a language that was not trained on, conventions that
    are not the profile's or a name that spaCy cannot have, RuntimeError if a wheel cannot be built.
    """
    if system not in SUFFIXES:
        raise ValueError(f"got the system {system!r}, expected {' or '.join(SUFFIXES)}: no other is packaged")
    model = profile.training(system) / "model-onnx"
    if not model.is_dir():
        raise FileNotFoundError(
            f"no {model}; run the step `quantize` first: scripts/quantize.py {system} {profile.name}"
        )
    nlp = spacy.load(model)
    records = read_records(profile, nlp, system)
    wanted = records.languages if languages is None else list(dict.fromkeys(languages))
    if unknown := sorted(set(wanted) - set(records.languages)):
        raise ValueError(
            f"got {', '.join(unknown)}, expected languages of the profile with training sentences: "
            f"{', '.join(records.languages)}"
        )
    name = profile.package_name + SUFFIXES[system]
    if name.startswith(starts := tuple(f"{lang}_" for lang in ("xx", *records.languages))):
        raise ValueError(
            f"got package.name {name!r}, expected none that begins with {' or '.join(starts)}: the "
            "language is put before it"
        )
    conventions = tagger(nlp).conventions
    of_conventions = None
    if conventions is not None:
        of_conventions = conventions_meta(conventions, records, read_chosen(CONFIGS))
    out = Path("packages") / profile.name
    out.mkdir(parents=True, exist_ok=True)
    library = _in_place_of_others(build_library(source, out))
    yield library
    distribution = read_distribution(library)
    with TemporaryDirectory() as folder:
        full_path = Path(folder) / "full"
        segmenter = segmenter_of(nlp)
        version = profile.package_version(distribution.version)
        named = {"name": name, "version": version}
        nlp.meta.update(rounded({**meta(records, distribution, of_conventions, segmenter), **named}))
        nlp.to_disk(full_path)
        full = spacy.load(full_path)
        card = model_card(records, full, full)
        (full_path / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        with atomic_path(out / f"MODEL_CARD{SUFFIXES[system]}.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
        yield _in_place_of_others(build_pipeline(full_path, out))
        for lang in wanted:
            light = subset(full, lang)
            path = Path(folder) / lang
            light.to_disk(path)
            (path / "MODEL_CARD.md").write_text(model_card(records, light, full), encoding="utf-8")
            yield _in_place_of_others(build_pipeline(path, out))
    write_json(out / "packages.json", list(_entries(listed(out, "*.whl"), profile.package_name)))
    yield out / "packages.json"


def meta(
    records: Records,
    distribution: Distribution,
    conventions: Sequence[Mapping[str, Any]] | None,
    segmenter: SegmenterPart | None,
) -> dict[str, Any]:
    """The entries of the multilingual pipeline's meta.json. Scores are fractions, speed words a second.

    conventions: see `conventions_meta`; None for a pipeline without. segmenter: None likewise.
    """
    trained = {treebank.ltcode for treebank in records.trained}
    scores = {
        score.ltcode: {**score.as_stored, "trained_on": score.ltcode in trained} for score in records.scores
    }
    speed = [score.words_per_second for score in records.scores]
    return {
        "description": description(records.languages, ENCODERS[records.system]),
        "encoder": ENCODERS[records.system],
        "author": AUTHOR,
        "email": distribution.email,
        "url": distribution.url,
        "license": records.licence,
        "spacy_version": distribution.spacy_version,
        "requirements": distribution.model_requirements(),
        "sources": records.sources(),
        "performance": performance(scores, macro_average(speed) if speed else None),
        "teacher": records.teacher.name,
        "languages": records.languages,
        "notes": CARD if segmenter is None else f"{SEGMENTED} {CARD}",
        **segmenter_meta(segmenter),
        **({} if conventions is None else {"conventions": list(conventions)}),
    }


def rounded(value: Any) -> Any:
    """JSON with fractions of four decimals: more of a score are chance, and are a fifth of what is said of a
    pipeline."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def _in_place_of_others(wheel: Path) -> Path:
    """The wheel, without those of other versions beside it."""
    for other in wheel.parent.glob(f"{wheel.name.split('-')[0]}-*.whl"):
        if other != wheel:
            other.unlink()
    return wheel


def _entries(wheels: Iterable[Path], name: str) -> Iterator[dict[str, Any]]:
    """Of the library, and of the pipelines of this name after the language; others are left out."""
    for wheel in wheels:
        large = SUFFIXES[TEACHER]
        if found := re.match(rf"(?:{PACKAGE}|([a-z]+)_{name}(?:{large})?(?:_([a-z]+))?)-", wheel.name):
            yield {
                "file": wheel.name,
                "language": found[2] or found[1],
                "bytes": wheel.stat().st_size,
                "sha256": sha256(wheel),
            }
