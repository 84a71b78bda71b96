"""Assets of a profile from a mirror: treebanks, unlabelled text and a vocabulary."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from ..data.treebanks import SPLITS, Terms, meets
from ..files import atomic_path, reading, write_json
from ..runtime.languages import language_of
from .held_out import key
from .mirror import REMEDY, Mirror
from .train_text import SUPPLEMENTS, train_text
from .vocabulary import Source, put_vocabulary

TEXT_FOLDERS = ("unlabelled", "unlabelled-2", "unlabelled-3")
MBERT = Source(
    "Wordpiece vocabulary of bert-base-multilingual-cased",
    "https://github.com/google-research/bert",
    "Apache-2.0",
)
"""What the mirror's ``mbert/vocab.txt`` is."""


def unpack_treebank(
    mirror: Mirror,
    ltcode: str,
    target: Path,
    supplements: Collection[str] = ("rebuilt",),
    *,
    terms: Terms = "any",
) -> list[str]:
    """Write ``target/<ltcode>/<ltcode>-ud-<split>.conllu`` for each split there is; returns the splits.

    Which files these are, see `Mirror.splits`. A train file that the mirror lacks is put together from
    `supplements`, any of `SUPPLEMENTS`; with "dev", where the others have less than `ENOUGH` words, the tenth
    that is left (chosen by hash) stays as dev. But for the release's train files, which are as they are, no
    sentence of a dev or test set of the language is in it (`HeldOut`), and none that a better part has.
    ``sources.json`` beside the files has the parts. Those whose licence does not meet the `terms` are
    left out.

    Raises FileNotFoundError if the mirror has nothing of the treebank, ValueError for an unknown supplement.
    """
    if unknown := set(supplements) - set(SUPPLEMENTS):
        raise ValueError(f"got supplement {sorted(unknown)}, expected any of {list(SUPPLEMENTS)}")
    splits = mirror.splits(ltcode)
    text, dev = train_text(mirror, ltcode, splits, supplements, terms=terms)
    train = ("", text.sentences) if text.parts else None
    files = {split: file for split, file in zip(SPLITS, (train, dev, splits.test), strict=True) if file}
    if not files:
        raise FileNotFoundError(f"{mirror.folder} has no file of treebank {ltcode!r}; see its MANIFEST.tsv")
    for split, (_, sentences) in files.items():
        with atomic_path(target / ltcode / f"{ltcode}-ud-{split}.conllu") as path:
            path.write_text("".join(sentences), encoding="utf-8", newline="")
    names = {split: name for split, (name, _) in files.items() if split != "train"}
    write_json(target / ltcode / "sources.json", {**names, "train": [asdict(part) for part in text.parts]})
    return list(files)


def unpack_text(mirror: Mirror, lang: str, target: Path, *, terms: Terms = "any") -> tuple[int, int]:
    """Write ``target/<lang>.txt``, one unlabelled sentence a line; returns their number, and the number of
    those left out, as a dev or test set of the language has them.

    Files whose licences do not all meet the `terms` are left out.
    """
    licences, held_out = text_licences(mirror, lang), mirror.held_out(lang)

    def sentences() -> Iterator[str]:
        for folder in TEXT_FOLDERS:
            name = f"{folder}/{lang}.txt.xz"
            if (mirror.folder / name).exists() and meets(licences.get(folder, ""), terms):
                yield from StringIO(mirror.unpacked(name), newline=None)

    count = left_out = 0
    with atomic_path(target / f"{lang}.txt") as path, path.open("w", encoding="utf-8") as out:
        for line in sentences():
            if held_out.has([key(line)]):
                left_out += 1
                continue
            out.write(line.rstrip("\n") + "\n")
            count += 1
    return count, left_out


def text_licences(mirror: Mirror, lang: str, *, terms: Terms = "any") -> dict[str, str]:
    """The licences of a language's unlabelled text by folder: those of its sources, if the folder has a table
    ``SOURCES.tsv`` of them, else what the manifest says. Folders that do not meet the terms are left out."""
    found = {}
    for folder in TEXT_FOLDERS:
        if row := mirror.manifest.get(f"{folder}/{lang}.txt.xz"):
            table = mirror.folder / folder / "SOURCES.tsv"
            licence = " + ".join(_licences(table, lang)) if table.exists() else row["licence"]
            if meets(licence, terms):
                found[folder] = licence
    return found


def _licences(table: Path, lang: str) -> list[str]:
    with reading(table, REMEDY), table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list(dict.fromkeys(row["licence"] for row in rows if row["lang"] == lang))


def unpack(
    mirror: Mirror,
    treebanks: Sequence[str],
    target: Path,
    supplements: Collection[str] = ("rebuilt",),
    *,
    terms: Terms = "any",
) -> Iterator[str]:
    """Everything a profile needs from the mirror; yields a line on each thing done.

    ``unlabelled/sources.json`` has the licences of the text that is there, by language and folder.
    """
    for ltcode in treebanks:
        splits = unpack_treebank(mirror, ltcode, target / "ud", supplements, terms=terms)
        yield f"{ltcode}: {', '.join(splits)}"
    text, langs = target / "unlabelled", list(dict.fromkeys(language_of(ltcode) for ltcode in treebanks))
    for lang in langs:
        n, left_out = unpack_text(mirror, lang, text, terms=terms)
        yield f"{lang}: {n:,} unlabelled sentences, {left_out:,} of dev and test sets left out"
    write_json(text / "sources.json", {lang: text_licences(mirror, lang, terms=terms) for lang in langs})
    put_vocabulary(target / "vocab.txt", mirror.checked("mbert/vocab.txt"), MBERT)
    yield "vocab.txt"
