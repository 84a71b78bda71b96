"""From a profile's treebanks to a segmenter."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spacy.vocab import Vocab

from ..data.attached import as_written
from ..data.conllu import read_conllu
from ..data.lock import only_run
from ..data.running_text import RunningText, read_running_text
from ..data.segmented import Segmented
from ..files import atomic_path, listed, read_json, sha256, write_json
from ..packaging.conventions_default import default_conventions, read_chosen
from ..packaging.segmenter_parts import with_apart
from ..project.profile import CONFIGS, Profile
from ..runtime.expansions import Expansions
from ..runtime.languages import language_of
from ..runtime.segmenter import Segmenter
from ..runtime.segmenter_model import SegmenterModel
from .expansion_fit import Occurrence, fit_expansions
from .segmenter_bias import with_sentence_bias
from .segmenter_data import Running, Units, running
from .segmenter_fit import JOINED, FitSettings, SegmenterFit
from .segmenter_labelled import labelled_text
from .segmenter_writings import writings

__all__ = ["segmenter_folder", "train_segmenter"]

RECORD, READ = "run.json", "treebanks_read"
"""Of the folder, beside the segmenter as bytes: what it was made of."""
APART = FitSettings(exponent=0.3, dropout=0.15, pair_dropout=0.7, unit_width=128)
"""Of the network for languages that write no blanks between words: much is to be known of little text."""

TELLING = 100
"""Units of a treebank that a character is in, if it is to tell a language whose words another network
finds."""


def segmenter_folder(profile: Profile) -> Path:
    return profile.segmenter.parent


def train_segmenter(profile: Profile, say: Callable[[str], None]) -> Segmenter:
    """Train on all treebanks of the profile that have text to learn from, and write it and its record.

    What was made of the same text and settings is kept; a training that was cut off goes on. Raises
    FileNotFoundError without treebanks, ValueError if none tells where blanks are, RuntimeError if another
    run trains it.
    """
    with only_run(segmenter_folder(profile)):
        return _train(profile, say)


def _train(profile: Profile, say: Callable[[str], None]) -> Segmenter:
    folder = segmenter_folder(profile)
    source = profile.assets / "ud"
    settings = profile.settings.segmenter
    files = listed(source, "*/*-ud-*.conllu")
    inputs = {path.name: sha256(path) for path in files if not path.stem.endswith("test")}
    for path in [_text_file(profile, code) for code in settings.labelled]:
        inputs[path.name] = sha256(path)
    facts = {
        "settings": json.loads(settings.model_dump_json()),
        "treebanks": list(profile.treebanks),
        "inputs": inputs,
    }
    record = _read(folder / RECORD)
    is_whole = profile.segmenter.exists() and READ in record  # which is written last
    if is_whole and all(record.get(key) == value for key, value in facts.items()):
        say(f"{profile.segmenter} is of these treebanks and settings already")
        return Segmenter(Vocab()).from_disk(profile.segmenter)
    if record.get("inputs") != inputs:
        for stale in [*folder.glob("*.pt"), *folder.glob("*.npz")]:
            stale.unlink()
    write_json(folder / RECORD, {**facts, "versions": _versions()})
    units, dev_units = Units(), Units()
    dev: dict[str, Running] = {}
    held_out: dict[str, Running] = {}
    held_out_of: dict[str, Sequence[Segmented]] = {}
    texts: dict[str, Running] = {}
    records: dict[str, Any] = {}
    occurrences: dict[str, list[Occurrence]] = {}
    words: dict[str, int] = {}
    for text in read_running_text(source, [code for code in profile.treebanks if _learns(source, code)]):
        found = running(as_written(text.learned), units)
        if len(found):
            texts[text.ltcode] = found
        dev[text.ltcode] = running(text.dev, dev_units)
        held_out[text.ltcode] = running(text.held_out, dev_units)
        if text.ltcode in settings.labelled:
            held_out_of[text.ltcode] = text.held_out
        records[text.ltcode] = text.record
        occurrences.setdefault(text.lang, []).extend(_occurrences(text, source))
        words[text.ltcode] = sum(len(sentence.tokens) for sentence in text.train)
        say(f"{text.ltcode}: {len(text.learned):,} sentences")
    if not texts:
        raise ValueError(f"{source}: no sentence tells where blanks are, by SpaceAfter=No or # text")
    limits = FitSettings(units=settings.units, seconds=settings.seconds)
    # Parts of a dev file differ, so that all of it tells more than what is held out of it.
    model = with_sentence_bias(_fit(texts, units, limits, folder / "all.pt", say), dev, dev_units)
    hard = {language_of(code) for code, text in texts.items() if text.joins > JOINED}
    if hard:
        apart = {code: text for code, text in texts.items() if language_of(code) in hard}
        labelled: dict[str, Running] = {}
        for code, n_units in settings.labelled.items():
            say(f"{code}: labels {n_units:,} units of text")
            labelled[code], records[code]["labelled"] = labelled_text(
                profile.teacher_path,
                texts[code],
                running(held_out_of[code], units),
                units,
                _text_file(profile, code),
                n_units,
                folder / f"labelled-{code}.npz",
                say,
            )
        limits = replace(APART, units=settings.apart_units, seconds=settings.seconds)
        # This one knows by heart what it learned from.
        of_hard = _fit(apart, units, limits, folder / "apart.pt", say, labelled)
        of_hard = with_sentence_bias(of_hard, held_out, dev_units)
        model = with_apart(model, of_hard, _characters(texts, hard, units))
    chosen = default_conventions(words, read_chosen(CONFIGS))
    expansions: dict[str, Expansions] = {}
    for lang, of_language in sorted(occurrences.items()):
        if any(of_token is not None for *_, of_token in of_language):
            expansions[lang] = replace(fit_expansions(of_language), default=chosen[lang].code)
            say(f"{lang}: multiword tokens")
    segmenter = Segmenter(Vocab())
    segmenter.learned(model, expansions)
    with atomic_path(profile.segmenter) as temporary:
        temporary.write_bytes(segmenter.to_bytes())
    write_json(folder / RECORD, {**facts, "versions": _versions(), READ: records})
    return segmenter


def _fit(
    texts: Mapping[str, Running],
    units: Units,
    settings: FitSettings,
    checkpoint: Path,
    say: Callable[[str], None],
    labelled: Mapping[str, Running] | None = None,
) -> SegmenterModel:
    say(f"{len(texts)} treebanks, {sum(map(len, texts.values())):,} units: {asdict(settings)}")
    fit = SegmenterFit(texts, units, settings, labelled or {})
    fit.fit(say, checkpoint)
    return fit.model()


def _characters(texts: Mapping[str, Running], apart: Collection[str], units: Units) -> set[str]:
    """Those of the text that the network for all languages segments, and frequent ones of the text that it
    finds the language of alone."""
    found: set[str] = set()
    for code, text in texts.items():
        least = TELLING if language_of(code) in apart else 1
        for written, _ in writings(code, text, units):
            found |= {char for char, n in units.characters(written.units).items() if n >= least}
    return found


def _text_file(profile: Profile, code: str) -> Path:
    """The unlabelled text of a convention's language."""
    return profile.assets / "unlabelled" / f"{language_of(code)}.txt"


def _learns(source: Path, ltcode: str) -> bool:
    return any((source / ltcode / f"{ltcode}-ud-{split}.conllu").exists() for split in ("train", "dev"))


def _occurrences(text: RunningText, source: Path) -> Iterator[Occurrence]:
    """Tokens and their words. A train file that has ranges is right wherever its blanks are; one that has
    none, of a treebank that has multiword tokens, tells of those that were found by its text."""
    path = source / text.ltcode / f"{text.ltcode}-ud-train.conllu"
    own = text.dev_learned == 0
    ranged = False
    if path.exists():
        sentences = list(read_conllu(path, skip_bad=True))
        ranged = any(sentence.ranges for sentence in sentences)
        if ranged:
            for sentence in sentences:
                for form, _, words in sentence.tokens():
                    yield (
                        text.ltcode if own else None,
                        form,
                        tuple(word.form for word in words) if len(words) > 1 else None,
                    )
    for i, of_text in enumerate(text.learned):
        is_train = i < len(text.train)
        if is_train and ranged:
            continue
        code = text.ltcode if own or not is_train else None
        for j, form in enumerate(of_text.forms):
            yield code, form, of_text.words.get(j)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("mminibert", "numpy", "torch")}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, "delete it to train anew") if path.exists() else {}
