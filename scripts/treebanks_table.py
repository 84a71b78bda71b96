"""Make configs/treebanks.tsv, the files of UD 2.3 with their checksums, from a MANIFEST.tsv; and
configs/other_treebanks.tsv, what treebanks it has besides."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.files import atomic_path

COLUMNS = {
    "ltcode": "code",
    "language": "language",
    "split": "split",
    "file": "",
    "repository": "repository",
    "tag": "tag",
    "licence": "licence",
    "git_blob": "git_blob",
    "sha256": "sha256_uncompressed",
    "sentences": "sentences",
    "words": "words",
}
"""Columns of treebanks.tsv, and the manifest's names for them."""


OTHERS = ("ltcode", "language", "repository", "tag", "licence")


def read_others(manifest: Path) -> list[dict[str, str]]:
    """A row a treebank that is not of the release: repository and tag as in an address, the tag empty where
    the manifest has none of a whole tree."""
    found: dict[str, dict[str, str]] = {}
    with manifest.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["kind"] in ("newer-treebank", "other-release", "ud-codemixed"):
                row |= {"ltcode": row["code"], "repository": row["repository"].split(" ")[0]}
                row["tag"] = "" if row["tag"].startswith("blob") else row["tag"].removeprefix("HEAD ")
                found.setdefault(row["code"], {name: row[name] for name in OTHERS})
    released = {row["ltcode"] for row in read_rows(manifest)}
    return [found[ltcode] for ltcode in sorted(found.keys() - released)]


def read_rows(manifest: Path) -> list[dict[str, str]]:
    """A row a released file, by treebank and then train, dev, test."""
    with manifest.open(encoding="utf-8", newline="") as lines:
        found = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        released = [row for row in found if row["kind"] in ("ud-2.3", "missing") and row["tag"] == "r2.3"]
    rows = [{name: row[source] if source else "" for name, source in COLUMNS.items()} for row in released]
    for row in rows:
        row["file"] = f"{row['ltcode']}-ud-{row['split']}.conllu"
    order = {"train": 0, "dev": 1, "test": 2}
    return sorted(rows, key=lambda row: (row["ltcode"], order[row["split"].partition("-")[0]], row["split"]))


def main(
    manifest: Annotated[Path, typer.Argument(help="MANIFEST.tsv with the released files")],
    treebanks: Annotated[Path, typer.Option(help="table to write")] = Path("configs/treebanks.tsv"),
    others: Annotated[Path, typer.Option(help="table to write")] = Path("configs/other_treebanks.tsv"),
) -> None:
    rows, other = read_rows(manifest), read_others(manifest)
    for target, found, columns in ((treebanks, rows, COLUMNS), (others, other, OTHERS)):
        with atomic_path(target) as path:
            lines = ["\t".join(columns), *("\t".join(row.values()) for row in found)]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(rows)} files of {len({row['ltcode'] for row in rows})} treebanks; {len(other)} others")


if __name__ == "__main__":
    run_command(main)
