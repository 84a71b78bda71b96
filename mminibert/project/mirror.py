"""A local mirror of treebanks and text: its manifest, and which files of it there are for what."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..archives import members, unpacking
from ..data.treebanks import MIXED, SPLITS
from ..files import listed, reading
from ..runtime.languages import language_of
from .held_out import HeldOut
from .parts import edit, from_columns, lacks_words, split_sentences

ARABIC_VOWEL_SIGNS = re.compile("[\u064b-\u0652\u0670]")
VERSION_2 = {"Definite=Red": "Definite=Cons", "Foreign=Foreign": "Foreign=Yes", "Negative=": "Polarity="}
"""Names of features in version 1 of UD, and those that they have since."""
REMEDY = "copy the mirror again"
MOST_DEV = 500
"""Sentences that are held out for dev, at most, of a treebank that has no dev file."""
FOLDERS = {
    "more": "train-more",
    "rebuilt": "train-rebuilt",
    "rebuilt2": "train-rebuilt2",
    "upos": "upos-only",
}
"""Where a treebank's files ``<ltcode>-train*`` are, by the name of the supplement."""

Text = tuple[str, list[str]]
"""The path of a file within the mirror, and its sentences."""


@dataclass(frozen=True)
class Splits:
    """A treebank's files. `train`: the release's, or those of a newer treebank, as `source` says ("train" or
    "newer"); empty if there is none. `cut`: whether dev is a tenth of train, which lacks it."""

    train: list[Text]
    dev: Text | None
    test: Text | None
    source: str = "train"
    cut: bool = False


@dataclass(frozen=True)
class Mirror:
    """The folder of a mirror; see ``docs/data.md``. Raises FileNotFoundError if it has no manifest."""

    folder: Path
    _held_out: dict[str, HeldOut] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not (self.folder / "MANIFEST.tsv").exists():
            raise FileNotFoundError(
                f"{self.folder} holds no MANIFEST.tsv; give the mirror's folder, e.g. --vars.mirror ../mirror"
            )

    @cached_property
    def manifest(self) -> dict[str, dict[str, str]]:
        """The manifest's rows by path."""
        path = self.folder / "MANIFEST.tsv"
        with reading(path, REMEDY), path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            return {row["path"]: row for row in rows}

    def splits(self, ltcode: str) -> Splits:
        """A treebank's files; of a code-mixed treebank there is only the test file.

        Where the release lacks a dev or test file it is that of another release. Train files of newer
        treebanks that lack words which dev has (`lacks_words`) are left out. Where there is train and no dev,
        dev is a tenth of train, at most `MOST_DEV` sentences.
        """
        files = self._archive("ud-2.3", ltcode)
        if "test" in (mixed := self._archive("ud-codemixed", ltcode)):
            files["test"] = mixed["test"]
        for split in ("dev", "test"):
            for path in () if split in files else self._other(ltcode, split):
                files[split] = self._read(path)
        train = [files["train"]] if "train" in files else self._newer(ltcode, files.get("dev"))
        dev, cut = files.get("dev"), bool(train) and "dev" not in files
        if cut:
            train, dev = hold_out(ltcode, train)
        return Splits(train, dev, files.get("test"), "train" if "train" in files else "newer", cut)

    def supplement(self, source: str, ltcode: str) -> Iterator[Text]:
        """The files of `FOLDERS`, or the train files of other releases but those of version 1's tag set."""
        if source == "releases":
            paths = [path for path in self._other(ltcode, "train*") if "-v1-" not in path.name]
        else:
            paths = listed(self.folder / FOLDERS[source], f"{ltcode}-train*.xz")
        for path in paths:
            yield self._read(path)

    def held_out(self, lang: str) -> HeldOut:
        """The sentences of dev and test of all the language's treebanks, whatever profile has them."""
        if lang not in self._held_out:
            found = self._held_out[lang] = HeldOut()
            codes = {
                path.name.partition(".")[0].partition("-")[0]
                for folder in ("ud-2.3", "ud-codemixed", "other-releases", "newer-treebanks")
                for path in listed(self.folder / folder, "*.xz")
            }
            for ltcode in sorted(codes):
                if lang in (language_of(ltcode), *MIXED.get(language_of(ltcode), ())):
                    splits = self.splits(ltcode)
                    mixed = self._archive("ud-codemixed", ltcode).get("dev")  # in no profile's assets
                    for split, text in (("dev", splits.dev or mixed), ("test", splits.test)):
                        found.add(f"{ltcode} {split}", text[1] if text else ())
        return self._held_out[lang]

    def _newer(self, ltcode: str, dev: Text | None) -> list[Text]:
        paths = listed(self.folder / "newer-treebanks", f"{ltcode}-train-*.conllu.xz")
        texts = [self._read(path) for path in paths]
        return [text for text in texts if dev is None or not lacks_words(text[1], dev[1])]

    def _other(self, ltcode: str, split: str) -> list[Path]:
        return listed(self.folder / "other-releases", f"{ltcode}-*-{split}.conllu.xz")

    def _read(self, path: Path) -> Text:
        name = self._name(path)
        return name, read_sentences(path.name, self.unpacked(name))

    def _archive(self, folder: str, ltcode: str) -> dict[str, Text]:
        files: dict[str, Text] = {}
        archive = self.folder / folder / f"{ltcode}.tar.xz"
        for member, content in members(archive, REMEDY) if archive.exists() else ():
            name = Path(member).name
            split = name.removesuffix(".conllu").rpartition("-")[2]
            if name.endswith(".conllu") and split in SPLITS:
                path = f"{self._name(archive)}:{name}"
                self._check(path, content)
                with reading(archive, REMEDY):
                    files[split] = (path, split_sentences(content.decode("utf-8")))
        return files

    def checked(self, name: str) -> bytes:
        """A file as it is. Raises ValueError if it is not the one of the manifest."""
        content = (self.folder / name).read_bytes()
        self._check(name, content)
        return content

    def unpacked(self, name: str) -> str:
        """The text of a compressed file. Raises ValueError if it is damaged or not that of the manifest."""
        path = self.folder / name
        with unpacking(path, REMEDY) as file:
            content = file.read()
        self._check(name, content)
        with reading(path, REMEDY):
            return content.decode("utf-8")

    def _check(self, name: str, content: bytes) -> None:
        """Raises ValueError if the manifest has the checksum of another file. One that it lacks is not
        checked."""
        expected = self.manifest.get(name, {}).get("sha256_uncompressed")
        if expected and (got := hashlib.sha256(content).hexdigest()) != expected:
            raise ValueError(
                f"{self.folder / name}: got SHA-256 {got}, expected {expected}, by MANIFEST.tsv; {REMEDY}"
            )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def hold_out(ltcode: str, texts: Sequence[Text]) -> tuple[list[Text], Text]:
    """The texts less a tenth of their sentences, at most `MOST_DEV`, chosen by hash; and that tenth."""

    def digest(index: int) -> bytes:
        return hashlib.sha256(f"{ltcode} dev {index}".encode()).digest()

    count = sum(len(sentences) for _, sentences in texts)
    wanted = min(max(round(count / 10), min(count - 1, 1)), MOST_DEV)
    tenth = frozenset(sorted(range(count), key=digest)[:wanted])
    kept: list[Text] = []
    held: list[str] = []
    start = 0
    for name, sentences in texts:
        kept.append((name, [s for i, s in enumerate(sentences, start) if i not in tenth]))
        held += [s for i, s in enumerate(sentences, start) if i in tenth]
        start += len(sentences)
    return kept, (f"a tenth of {', '.join(name for name, _ in texts)}", held)


def read_sentences(name: str, text: str) -> list[str]:
    """The sentences of a file, as those of version 2 of UD, of whatever kind it is by its name."""
    if name.endswith(".tsv.xz"):
        return [from_columns(block) for block in text.strip("\n").split("\n\n")]
    for old, new in VERSION_2.items():
        text = text.replace(old, new)
    sentences = split_sentences(text)
    return [_from_version_1(sentence) for sentence in sentences] if "-v1-" in name else sentences


def _from_version_1(sentence: str) -> str:
    """Version 1 of UD had CONJ for CCONJ, and the Arabic treebank's forms then had vowel signs."""

    def cells(row: list[str]) -> list[str]:
        row[1] = ARABIC_VOWEL_SIGNS.sub("", row[1]) or row[1]
        row[3] = "CCONJ" if row[3] == "CONJ" else row[3]
        return row

    return edit(sentence, cells)
