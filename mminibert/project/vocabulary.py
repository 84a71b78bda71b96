"""The vocabulary of a profile, and whose it is: recorded when it is put in place, never guessed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import atomic_path, sha256, write_json

RECORD = "sources.json"
"""Beside the vocabulary."""


@dataclass(frozen=True)
class Source:
    """What something is or was made from; empty where it is not known."""

    name: str
    url: str = ""
    license: str = ""


def put_vocabulary(path: Path, content: bytes, source: Source) -> None:
    """Write a ``vocab.txt``, and beside it what it is."""
    record = {**asdict(source), "sha256": hashlib.sha256(content).hexdigest()}
    write_json(path.with_name(RECORD), {"vocabulary": record})
    with atomic_path(path) as temporary:  # last, as it says that all is there
        temporary.write_bytes(content)


def vocabulary_source(path: Path) -> Source | None:
    """What a ``vocab.txt`` is, as recorded; None if nothing is recorded, or of another file.

    Raises ValueError if the record cannot be read.
    """
    record = path.with_name(RECORD)
    if not (path.exists() and record.exists()):
        return None
    try:
        found = json.loads(record.read_text(encoding="utf-8"))["vocabulary"]
        digest = found.pop("sha256")
        source = Source(**found)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{record}: no record of a vocabulary ({error}); run `assets` again") from error
    return source if digest == sha256(path) else None
