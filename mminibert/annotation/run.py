"""Inputs to an output: documents are read here, tagged and written by processes, put together here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ..files import TEMPORARY, atomic_path, check_apart, check_vacant
from ..workers.workers import Workers, ahead
from .documents import Reject
from .inputs import Inputs
from .outputs import Format, join
from .settings import Settings
from .shards import MANIFEST, Batch, Entry, Manifest, batches, source_digest

__all__ = ["Output", "Progress", "annotate"]

REJECTS = "rejects.jsonl"


@dataclass(frozen=True)
class Output:
    """Where annotations go. path: a file, or a folder of shards."""

    path: Path
    is_folder: bool

    @classmethod
    def of(cls, path: Path, format: Format) -> Output:
        """A path with an ending is a file, unless it is a folder already; DocBins, which nobody reads but
        whole, stay shards."""
        return cls(path, format is Format.spacy or not path.suffix or path.is_dir())

    @property
    def folder(self) -> Path:
        """Of the shards and the manifest."""
        return self.path if self.is_folder else self.path.with_name(f"{self.path.name}.shards")

    @property
    def rejects(self) -> Path:
        return self.path / REJECTS if self.is_folder else self.path.with_name(f"{self.path.name}.{REJECTS}")

    def check(self, inputs: Iterable[Path], *, force: bool) -> None:
        """Raises ValueError or FileExistsError, see `files`, for an output that is an input, or there. What a
        run left that was killed is gone on with; what is finished only with `force`."""
        inputs = list(inputs)
        for path in (self.path, self.folder, self.rejects):
            check_apart(path, inputs)
        unfinished = Manifest(self.folder)
        check_vacant(self.folder, unless=MANIFEST)
        going_on = unfinished.path.exists() and not unfinished.finished
        if force or going_on:
            return
        check_vacant(self.path, mend="give another name, or --force to make it anew")


@dataclass(frozen=True)
class Progress:
    """What was done until now. read: bytes of the inputs on disk. words: those of all shards. new: those that
    this run has tagged."""

    read: int = 0
    documents: int = 0
    words: int = 0
    new: int = 0
    rejects: int = 0

    def after(self, batch: Batch, entry: Entry | None, is_new: bool) -> Progress:
        documents, words = (entry.documents, entry.words) if entry else (0, 0)
        return Progress(
            batch.read,
            self.documents + documents,
            self.words + words,
            self.new + words * is_new,
            self.rejects + len(batch.rejects),
        )


def annotate(
    inputs: Inputs,
    output: Output,
    settings: Settings,
    workers: Workers,
    *,
    digest: str,
    strict: bool = False,
    on_reject: Callable[[Reject], None] = lambda reject: None,
) -> Iterator[Progress]:
    """Annotate all inputs, one yield a shard, in order.

    digest: of the pipeline. strict: raise ValueError for the first reject. Only the batches that the
    processes work at, and some that wait, are held in memory. Killed, the same call goes on. In the end the
    rejects are beside the output, if there are any.
    """
    output.folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(output.folder)
    made_with = f"{digest} {settings.to_json()}"
    progress, files = Progress(), list[str]()
    with closing(manifest):
        manifest.begin()
        # Of a run that is killed this file goes: who goes on reads all inputs again.
        with atomic_path(output.rejects) as temporary, temporary.open("w", encoding="utf-8") as rejects:
            for batch, entry, is_new in _entries(batches(inputs), manifest, settings, workers, made_with):
                for found in batch.rejects:
                    if strict:
                        raise ValueError(str(found))
                    rejects.write(json.dumps(asdict(found), ensure_ascii=False) + "\n")
                    on_reject(found)
                if entry is not None:
                    files.append(entry.file)
                    if is_new:
                        manifest.add(entry)
                progress = progress.after(batch, entry, is_new)
                yield progress
            if not output.is_folder:
                with atomic_path(output.path) as target:
                    join([output.folder / file for file in files], target, settings.format)
        if not progress.rejects:
            output.rejects.unlink()
        manifest.finish(files)
    if not output.is_folder:
        gone = output.folder.with_name(f"{TEMPORARY}{output.folder.name}")
        output.folder.rename(gone)
        shutil.rmtree(gone)


def _entries(
    found: Iterable[Batch], manifest: Manifest, settings: Settings, workers: Workers, made_with: str
) -> Iterator[tuple[Batch, Entry | None, bool]]:
    """Each batch in order, its shard, and whether that was made now."""
    for batch, wait, is_new in ahead(_waits(found, manifest, settings, workers, made_with), workers):
        yield batch, wait(), is_new


def _waits(
    found: Iterable[Batch], manifest: Manifest, settings: Settings, workers: Workers, made_with: str
) -> Iterator[tuple[Batch, Callable[[], Entry | None], bool]]:
    """The same, with what waits for the shard."""
    number = 0
    for batch in found:
        if not batch.documents:
            yield batch, partial(_same, None), False
            continue
        file = f"{number:06}.{settings.format.value}"
        number += 1
        source = source_digest(made_with, batch.documents)
        if entry := manifest.written(file, source):
            yield batch, partial(_same, entry), False
        else:
            yield batch, _submitted(workers, settings, manifest.folder / file, batch, source), True


def _same(entry: Entry | None) -> Entry | None:
    return entry


def _submitted(
    workers: Workers, settings: Settings, path: Path, batch: Batch, source: str
) -> Callable[[], Entry]:
    from .worker import write_shard

    wait = workers.submit(write_shard, settings, path, batch.documents)
    return lambda: Entry(path.name, source, **asdict(wait()))
