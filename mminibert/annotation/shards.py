"""Documents cut into shards, and the list of those that are written.

A shard is so many characters of the documents in their order, whoever tags it, and its entry in the manifest
has a digest of all that it was made from. So a run that was killed goes on with what is missing, and what an
input or an option changes is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from ..files import atomic_path, reading, sha256
from .documents import Document, Reject

__all__ = ["MANIFEST", "Batch", "Entry", "Manifest", "batches", "source_digest"]

SHARD_CHARACTERS = 500_000
"""A shard is full when it has as many: some seconds of work."""
DOCUMENT_CHARACTERS = 50
"""For how many characters a document counts whatever its length."""
MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Entry:
    """A line of the manifest. source: the digest of what it was made from. sha256: of the file."""

    file: str
    source: str
    sha256: str
    documents: int
    words: int


@dataclass(frozen=True)
class Batch:
    """What one shard is made from, and what was rejected before its end; without documents there is none.
    read: bytes of the inputs until its end."""

    documents: Sequence[Document]
    rejects: Sequence[Reject]
    read: int


def batches(items: Iterable[tuple[int, Document | Reject]]) -> Iterator[Batch]:
    """items: as `Inputs` has them."""
    documents: list[Document] = []
    rejects: list[Reject] = []
    read = full = 0
    for read, item in items:
        if isinstance(item, Document):
            documents.append(item)
            full += len(item.source)
        else:
            rejects.append(item)
        full += DOCUMENT_CHARACTERS
        if full >= SHARD_CHARACTERS:
            yield Batch(documents, rejects, read)
            documents, rejects, full = [], [], 0
    if documents or rejects:
        yield Batch(documents, rejects, read)


def source_digest(made_with: str, documents: Sequence[Document]) -> str:
    """64 hexadecimal digits. made_with: pipeline and settings."""
    digest = hashlib.sha256(made_with.encode("utf-8"))
    for document in documents:
        for part in (document.id, type(document.content).__name__, document.source):
            data = part.encode("utf-8", "surrogateescape")  # of file names that are not UTF-8
            digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


class Manifest:
    """The list of the shards of a folder. While a run goes on a line is added for each shard, so that little
    is lost with it; in the end it has one for each, in order, and a last one that says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / MANIFEST
        self.finished = False
        self.entries: dict[str, Entry] = {}
        self._file: TextIO | None = None
        for line in self._lines():
            self.finished = "finished" in line
            if not self.finished:
                entry = Entry(**line)
                self.entries[entry.file] = entry

    def _lines(self) -> Iterator[dict]:
        if not self.path.exists():
            return
        with reading(self.path, "delete the folder"), self.path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # else the run was killed while it wrote
                    yield json.loads(line)

    def begin(self) -> None:
        """From now on the folder is known as unfinished."""
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(_line(asdict(e)) for e in self.entries.values()), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")
        self.finished = False

    def written(self, file: str, source: str) -> Entry | None:
        """The entry of a shard that is there, whole, and made from this; else None."""
        entry = self.entries.get(file)
        if entry is None or entry.source != source:
            return None
        path = self.folder / file
        return entry if path.is_file() and sha256(path) == entry.sha256 else None

    def add(self, entry: Entry) -> None:
        """Raises ValueError before `begin`."""
        if self._file is None:
            raise ValueError(f"{self.path} is not begun")
        self.entries[entry.file] = entry
        self._file.write(_line(asdict(entry)))
        self._file.flush()

    def finish(self, files: Sequence[str]) -> None:
        """Of these shards the output consists; others are removed."""
        self.close()
        for file in self.entries.keys() - set(files):
            (self.folder / file).unlink(missing_ok=True)
        self.entries = {file: self.entries[file] for file in files}
        with atomic_path(self.path) as temporary, temporary.open("w", encoding="utf-8") as lines:
            lines.writelines(_line(asdict(entry)) for entry in self.entries.values())
            lines.write(_line({"finished": True}))
        self.finished = True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(record: dict) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
