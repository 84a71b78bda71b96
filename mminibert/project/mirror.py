"""Assets of a profile from a local mirror of UD 2.3, and what stands in for the train files it lacks."""

from __future__ import annotations

import csv
import hashlib
import lzma
import re
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..data.treebanks import SPLITS, is_commercial, language_of
from ..files import atomic_path, write_json

SUPPLEMENTS = ("dev", "rebuilt", "releases", "upos")
"""What may stand in for a train file: nine tenths of dev, rebuilt text (silver labels), the train files of
other releases, and text with UPOS only."""
LEAST_AGREEMENT = 0.85
"""FEATS of rebuilt text and of other releases are masked where they agree with dev for a smaller share of
words (see `_agreement`)."""
ARABIC_VOWEL_SIGNS = re.compile("[\u064b-\u0652\u0670]")


@dataclass(frozen=True)
class Part:
    """A part of a train file. `labels`: "gold", or which labels there are, and whether they are silver.
    `agreement`: of its FEATS with dev, see `_agreement`; None if they were not compared."""

    source: str
    file: str
    labels: str
    sentences: int
    words: int
    agreement: float | None = None


def unpack_treebank(
    mirror: Path, ltcode: str, target: Path, supplements: Sequence[str] = ("rebuilt",)
) -> list[str]:
    """Write ``target/<ltcode>/<ltcode>-ud-<split>.conllu`` for each split there is; returns the splits.

    Of a code-mixed treebank only the test file is taken. A dev or test file that the release's mirror lacks
    is taken from ``other-releases/``. A train file that it lacks is put together from `supplements`, any of
    `SUPPLEMENTS`; with "dev", the tenth that is left (chosen by hash) stays as dev. ``sources.json`` beside
    the files has the parts. Raises FileNotFoundError if the mirror has nothing of the treebank, ValueError
    for an unknown supplement.
    """
    if unknown := set(supplements) - set(SUPPLEMENTS):
        raise ValueError(f"got supplement {sorted(unknown)}, expected any of {list(SUPPLEMENTS)}")
    files = _released(mirror, ltcode)
    for split in ("dev", "test"):
        if split not in files:
            for path in sorted((mirror / "other-releases").glob(f"{ltcode}-*-{split}.conllu.xz")):
                files[split] = (path.name, _stand_in(path))
    parts: list[tuple[Part, list[str]]] = []
    if "train" in files:
        parts.append(_part("train", files["train"][0], "gold", files["train"][1]))
    elif files:
        dev = files["dev"][1] if "dev" in files else []
        for supplement in SUPPLEMENTS:
            if supplement == "dev" and supplement in supplements and "dev" in files:
                name, sentences = files["dev"]
                kept, files["dev"] = _split_tenth(ltcode, name, sentences)
                parts.append(_part("dev", name, "gold", kept))
            elif supplement in supplements:
                parts += _PARTS[supplement](mirror, ltcode, dev)
        if parts:
            files["train"] = ("", [sentence for _, sentences in parts for sentence in sentences])
    if not files:
        raise FileNotFoundError(f"{mirror} has no file of treebank {ltcode!r}; see its MANIFEST.tsv")
    for split, (_, sentences) in files.items():
        with atomic_path(target / ltcode / f"{ltcode}-ud-{split}.conllu") as path:
            path.write_text("".join(sentences), encoding="utf-8", newline="")
    names = {split: name for split, (name, _) in files.items() if split != "train"}
    write_json(target / ltcode / "sources.json", {**names, "train": [asdict(part) for part, _ in parts]})
    return [split for split in SPLITS if split in files]


_Files = dict[str, tuple[str, list[str]]]


def _released(mirror: Path, ltcode: str) -> _Files:
    files: _Files = {}
    for folder, splits in (("ud-2.3", SPLITS), ("ud-codemixed", ("test",))):
        archive = mirror / folder / f"{ltcode}.tar.xz"
        if not archive.exists():
            continue
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                split = name.removesuffix(".conllu").rpartition("-")[2]
                wanted = name.endswith(".conllu") and split in splits
                if wanted and (source := tar.extractfile(member)) is not None:
                    files[split] = (name, _sentences(source.read().decode("utf-8")))
    return files


def _sentences(text: str) -> list[str]:
    """The sentences of CoNLL-U, each with the blank lines after it; together they are the text."""
    return re.findall(r"(?:[^\r\n][^\n]*\n)*(?:\r?\n)+|(?:[^\n]+\n?)+\Z", text)


def _read(path: Path) -> list[str]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return _sentences(lines.read())


def _stand_in(path: Path) -> list[str]:
    sentences = _read(path)
    return [_from_version_1(sentence) for sentence in sentences] if "-v1-" in path.name else sentences


def _from_version_1(sentence: str) -> str:
    """Version 1 of UD had CONJ for CCONJ, and the Arabic treebank's forms then had vowel signs."""

    def cells(row: list[str]) -> list[str]:
        row[1] = ARABIC_VOWEL_SIGNS.sub("", row[1]) or row[1]
        row[3] = "CCONJ" if row[3] == "CONJ" else row[3]
        return row

    return _edit(sentence, cells)


def _without_feats(sentence: str, *, but: Collection[str]) -> str:
    """Masks FEATS; those of words whose every feature with its value is one of `but` stay."""

    def cells(row: list[str]) -> list[str]:
        if not set(row[5].split("|")).issubset(but) and "FeatsGuess=Yes" not in row[9]:
            row[9] = "FeatsGuess=Yes" if row[9] == "_" else f"{row[9]}|FeatsGuess=Yes"
        return row

    return _edit(sentence, cells)


def _edit(sentence: str, cells: Callable[[list[str]], list[str]]) -> str:
    lines = []
    for line in sentence.split("\n"):
        row = line.split("\t")
        lines.append("\t".join(cells(row)) if len(row) == 10 else line)
    return "\n".join(lines)


def _split_tenth(ltcode: str, name: str, sentences: list[str]) -> tuple[list[str], tuple[str, list[str]]]:
    """Nine tenths for training, and a tenth, those with the lowest hashes, as the dev that stays."""

    def digest(index: int) -> bytes:
        return hashlib.sha256(f"{ltcode} dev {index}".encode()).digest()

    tenth = set(sorted(range(len(sentences)), key=digest)[: max(round(len(sentences) / 10), 1)])
    kept = [sentence for i, sentence in enumerate(sentences) if i not in tenth]
    return kept, (f"a tenth of {name}", [sentences[i] for i in sorted(tenth)])


def _part(
    source: str, file: str, labels: str, sentences: Sequence[str], agreement: float | None = None
) -> tuple[Part, list[str]]:
    words = sum(len(re.findall(r"^\d+\t", sentence, re.MULTILINE)) for sentence in sentences)
    closed = [sentence.rstrip("\r\n") + "\n\n" for sentence in sentences]
    return Part(source, file, labels, len(sentences), words, agreement), closed


def _rebuilt(mirror: Path, ltcode: str, dev: Sequence[str]) -> Iterator[tuple[Part, list[str]]]:
    path = mirror / "train-rebuilt" / f"{ltcode}-train-rebuilt.conllu.xz"
    if path.exists():
        yield _compared("rebuilt", path, "silver ", dev)


def _releases(mirror: Path, ltcode: str, dev: Sequence[str]) -> Iterator[tuple[Part, list[str]]]:
    for path in sorted((mirror / "other-releases").glob(f"{ltcode}-*-train*.conllu.xz")):
        if "-v1-" not in path.name:  # another tag set
            yield _compared("releases", path, "", dev)


def _compared(source: str, path: Path, quality: str, dev: Sequence[str]) -> tuple[Part, list[str]]:
    """Masks FEATS that the release's dev file contradicts: of all words, or those with values it lacks."""
    sentences = _read(path)
    agreement = _agreement(sentences, dev)
    used = agreement >= LEAST_AGREEMENT
    values = {value for _, feats in _labels(dev) for value in feats.split("|")} if used else set()
    masked = [_without_feats(sentence, but=values) for sentence in sentences]
    return _part(source, path.name, f"{quality}UPOS{', FEATS' * used}", masked, round(agreement, 4))


def _agreement(sentences: Iterable[str], dev: Iterable[str]) -> float:
    """The share of the words of dev whose FEATS the sentences have, too, for this form and UPOS; of the
    words whose form and UPOS the sentences have. 0 if there are none."""
    found = defaultdict(set)
    for word, feats in _labels(sentences):
        found[word].add(feats)
    shared = [feats in found[word] for word, feats in _labels(dev) if word in found]
    return sum(shared) / max(len(shared), 1)


def _labels(sentences: Iterable[str]) -> Iterator[tuple[tuple[str, str], str]]:
    """Form in lower case and UPOS, and FEATS, of the words whose FEATS are no guess."""
    for sentence in sentences:
        for line in sentence.split("\n"):
            row = line.split("\t")
            if len(row) == 10 and row[0].isdigit() and "FeatsGuess=Yes" not in row[9]:
                yield (row[1].lower(), row[3]), row[5]


def _upos(mirror: Path, ltcode: str, dev: Sequence[str]) -> Iterator[tuple[Part, list[str]]]:
    path = mirror / "upos-only" / f"{ltcode}-train-upos.tsv.xz"
    if path.exists():
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            sentences = [_from_columns(block) for block in lines.read().strip("\n").split("\n\n")]
        yield _part("upos", path.name, "UPOS", sentences)


def _from_columns(block: str) -> str:
    rows = (line.split("\t") for line in block.split("\n"))
    words = (
        f"{i}\t{form}\t{lemma}\t{upos}\t_\t_\t_\t_\t_\tFeatsGuess=Yes\n"
        for i, (form, lemma, upos) in enumerate(rows, start=1)
    )
    return "".join(words) + "\n"


_PARTS: dict[str, Callable[[Path, str, Sequence[str]], Iterable[tuple[Part, list[str]]]]] = {
    "dev": lambda mirror, ltcode, dev: (),
    "rebuilt": _rebuilt,
    "releases": _releases,
    "upos": _upos,
}


def unpack_text(mirror: Path, lang: str, target: Path, *, commercial: bool = False) -> int:
    """Write ``target/<lang>.txt``, one unlabelled sentence a line; returns their number.

    With `commercial`, files are left out whose licence in the manifest forbids commercial use or is unknown.
    """
    licences = text_licences(mirror, lang)

    def sentences() -> Iterator[str]:
        for folder in ("unlabelled", "unlabelled-2"):
            path = mirror / folder / f"{lang}.txt.xz"
            if path.exists() and (not commercial or is_commercial(licences.get(folder, ""))):
                with lzma.open(path, "rt", encoding="utf-8") as lines:
                    yield from lines

    count = 0
    with atomic_path(target / f"{lang}.txt") as path, path.open("w", encoding="utf-8") as out:
        for line in sentences():
            out.write(line.rstrip("\n") + "\n")
            count += 1
    return count


def text_licences(mirror: Path, lang: str) -> dict[str, str]:
    """The licences of a language's unlabelled text by folder, as the manifest has them."""
    wanted = {f"{folder}/{lang}.txt.xz": folder for folder in ("unlabelled", "unlabelled-2")}
    return {wanted[row["path"]]: row["licence"] for row in _manifest(mirror) if row.get("path") in wanted}


def _manifest(mirror: Path) -> Iterator[dict[str, str]]:
    with (mirror / "MANIFEST.tsv").open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def unpack(
    mirror: Path,
    treebanks: Sequence[str],
    target: Path,
    supplements: Sequence[str] = ("rebuilt",),
    *,
    commercial: bool = False,
) -> Iterator[str]:
    """Everything a profile needs from the mirror; yields a line on each thing done.

    ``unlabelled/sources.json`` has the licences of the text, by language and folder.

    Raises FileNotFoundError if ``mirror`` is no such folder.
    """
    if not (mirror / "MANIFEST.tsv").exists():
        raise FileNotFoundError(
            f"{mirror} holds no MANIFEST.tsv; give the mirror's folder, e.g. --vars.mirror ../mirror"
        )
    for ltcode in treebanks:
        yield f"{ltcode}: {', '.join(unpack_treebank(mirror, ltcode, target / 'ud', supplements))}"
    text, langs = target / "unlabelled", list(dict.fromkeys(language_of(ltcode) for ltcode in treebanks))
    for lang in langs:
        n = unpack_text(mirror, lang, text, commercial=commercial)
        yield f"{lang}: {n:,} unlabelled sentences"
    write_json(text / "sources.json", {lang: text_licences(mirror, lang) for lang in langs})
    with atomic_path(target / "vocab.txt") as path:
        shutil.copyfile(mirror / "mbert" / "vocab.txt", path)
    yield "vocab.txt"
