"""The files of a Universal Dependencies release: a table of them, and getting and checking them by it."""

from __future__ import annotations

import csv
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from ..files import atomic_path, git_blob_id, reading, sha256

SOURCE = "https://raw.githubusercontent.com"
TRIES = 3
PAUSE = 2.0
"""Seconds before a file is tried again, twice as long each time."""
TIMEOUT = 60.0
"""Seconds without an answer."""
LISTED = 20
"""At most so many files are named in an error."""

Row = dict[str, str]


def read_table(path: Path) -> dict[str, list[Row]]:
    """The rows of ``treebanks.tsv``, one a file, by the treebank's code."""
    table: defaultdict[str, list[Row]] = defaultdict(list)
    with reading(path, "restore the table"), path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            table[row["ltcode"]].append(row)
    return dict(table)


def catalogue(configs: Path) -> dict[str, Row]:
    """A row of each treebank that the tables of the folder have, with its repository, tag and licence:
    ``treebanks.tsv`` of the release, ``other_treebanks.tsv`` of others; either may be absent."""
    tables = (configs / name for name in ("treebanks.tsv", "other_treebanks.tsv"))
    return {code: rows[0] for table in tables if table.exists() for code, rows in read_table(table).items()}


def fetch(rows: Sequence[Row], folder: Path, progress: Callable[[str, int], None] = lambda *_: None) -> int:
    """Get each ``folder/<ltcode>/<file>`` that is not there, and compare all with their checksums.

    A row's checksum is its ``sha256``, or the id that git gives the file where that is all there is. A file
    gets its name when it is whole and right, so that an interrupted run continues. progress is told of each
    file's name, and how many there are to get. Returns how many these were.

    Raises ValueError, before anything is got, if a file is there and wrong, and ConnectionError if one cannot
    be got, with its name and address.
    """
    paths = {folder / row["ltcode"] / row["file"]: row for row in rows}
    wrong = [
        f"{path}: got {got}, expected {expected}"
        for path, row in paths.items()
        if path.exists() and (got := _checksum(path, row)) != (expected := row["sha256"] or row["git_blob"])
    ]
    if wrong:
        head = f"{len(wrong)} of {len(rows)} files are not the release's; delete them to get them anew:"
        more = [f"and {len(wrong) - LISTED} more"] if len(wrong) > LISTED else []
        raise ValueError("\n  ".join([head, *wrong[:LISTED], *more]))
    missing = {path: row for path, row in paths.items() if not path.exists()}
    for done, (path, row) in enumerate(missing.items()):
        try:
            _download(path, row)
        except (OSError, HTTPException, ValueError) as error:
            raise ConnectionError(
                f"cannot get {path} from {_address(row)}: {error}; {len(rows) - len(missing) + done} of "
                f"{len(rows)} files are there, and the same command gets the others"
            ) from None
        progress(row["file"], len(missing))
    return len(missing)


def _address(row: Row) -> str:
    return f"{SOURCE}/{row['repository']}/{row['tag']}/{row['file']}"


def _checksum(path: Path, row: Row) -> str:
    return sha256(path) if row["sha256"] else git_blob_id(path)


def _download(path: Path, row: Row) -> None:
    """Raises the error of the last try; ValueError is that of another checksum."""
    for attempt in range(1, TRIES + 1):
        try:
            with atomic_path(path) as temporary:
                with urlopen(_address(row), timeout=TIMEOUT) as answer, temporary.open("wb") as file:
                    shutil.copyfileobj(answer, file)
                got, expected = _checksum(temporary, row), row["sha256"] or row["git_blob"]
                if got != expected:
                    raise ValueError(f"got the checksum {got}, expected {expected}")
            return
        except (OSError, HTTPException, ValueError) as error:
            refused = isinstance(error, HTTPError) and error.code < 500
            if refused or attempt == TRIES:
                raise
            time.sleep(PAUSE * 2 ** (attempt - 1))


def join_parts(rows: Iterable[Row], folder: Path) -> Iterator[str]:
    """Where the release splits a train file (``train-c``, ``train-l``, ...), write the whole beside."""
    parts = [row for row in rows if row["split"].startswith("train-")]
    if not parts:
        return
    ltcode = parts[0]["ltcode"]
    sources = [folder / ltcode / row["file"] for row in parts]
    whole = folder / ltcode / f"{ltcode}-ud-train.conllu"
    if whole.exists() and whole.stat().st_size == sum(source.stat().st_size for source in sources):
        return
    with atomic_path(whole) as path, path.open("wb") as out:
        for source in sources:
            with source.open("rb") as part:
                shutil.copyfileobj(part, out)
    yield f"{ltcode}: joined {', '.join(row['split'] for row in parts)}"
