"""Assets of a profile from a local mirror of UD 2.3."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .files import atomic_path
from .treebanks import SPLITS


def unpack_treebank(mirror: Path, ltcode: str, target: Path) -> list[str]:
    """Write ``target/<ltcode>/<ltcode>-ud-<split>.conllu`` for each split there is; returns the splits.

    A split that the release's mirror lacks is taken from ``train-rebuilt/`` (silver labels) or from
    ``other-releases/``. Raises FileNotFoundError if the mirror has nothing of the treebank.
    """
    folder = target / ltcode
    archive = mirror / "ud-2.3" / f"{ltcode}.tar.xz"
    if archive.exists():
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if name.endswith(".conllu") and (source := tar.extractfile(member)) is not None:
                    with atomic_path(folder / name) as path, path.open("wb") as out:
                        shutil.copyfileobj(source, out)
    for split in SPLITS:
        path = folder / f"{ltcode}-ud-{split}.conllu"
        candidates = [
            *sorted((mirror / "train-rebuilt").glob(f"{ltcode}-{split}-rebuilt.conllu.xz")),
            *sorted((mirror / "other-releases").glob(f"{ltcode}-*-{split}.conllu.xz")),
        ]
        if not path.exists() and candidates:
            with (
                atomic_path(path) as temporary,
                lzma.open(candidates[0]) as source,
                temporary.open("wb") as out,
            ):
                shutil.copyfileobj(source, out)
    splits = [split for split in SPLITS if (folder / f"{ltcode}-ud-{split}.conllu").exists()]
    if not splits:
        raise FileNotFoundError(f"{mirror} has no file of treebank {ltcode!r}; see its MANIFEST.tsv")
    return splits


def unpack_text(mirror: Path, lang: str, target: Path) -> int:
    """Write ``target/<lang>.txt``, one unlabelled sentence a line; returns their number."""

    def sentences() -> Iterator[str]:
        for folder in ("unlabelled", "unlabelled-2"):
            path = mirror / folder / f"{lang}.txt.xz"
            if path.exists():
                with lzma.open(path, "rt", encoding="utf-8") as lines:
                    yield from lines

    count = 0
    with atomic_path(target / f"{lang}.txt") as path, path.open("w", encoding="utf-8") as out:
        for line in sentences():
            out.write(line.rstrip("\n") + "\n")
            count += 1
    return count


def unpack(mirror: Path, treebanks: Sequence[str], target: Path) -> Iterator[str]:
    """Everything a profile needs from the mirror; yields a line on each thing done.

    Raises FileNotFoundError if ``mirror`` is no such folder.
    """
    if not (mirror / "MANIFEST.tsv").exists():
        raise FileNotFoundError(
            f"{mirror} holds no MANIFEST.tsv; give the mirror's folder, e.g. --vars.mirror ../mirror"
        )
    for ltcode in treebanks:
        yield f"{ltcode}: {', '.join(unpack_treebank(mirror, ltcode, target / 'ud'))}"
    for lang in dict.fromkeys(ltcode.split("_")[0] for ltcode in treebanks):
        yield f"{lang}: {unpack_text(mirror, lang, target / 'unlabelled'):,} unlabelled sentences"
    with atomic_path(target / "vocab.txt") as path:
        shutil.copyfile(mirror / "mbert" / "vocab.txt", path)
    yield "vocab.txt"
