"""Documents of files, one at a time, and what is wrong with those that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from ..data.conllu import REMEDY, ConlluError, Sentence, read_conllu
from .documents import Document, Reject
from .sources import MOST_BYTES, Kind, Source, UnreadableError, lines_of, opened, readable, whole

__all__ = ["Inputs", "Item"]

Item = Document | Reject
SHOWN = 200
"""Characters of what is rejected that are kept with the reason."""
ROWS = 256
"""Of Parquet that are read at a time."""


@dataclass(frozen=True)
class Inputs:
    """Files to read. field: of JSON Lines and Parquet, which has the text. longest: characters that a text
    may have. resegment: whether of CoNLL-U only `# text` is taken."""

    sources: Sequence[Source]
    field: str = "text"
    longest: int = 1_000_000
    resegment: bool = False

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        """Each document or reject, after the bytes of the files on disk that were read until then.

        Errors of the file system pass, as does the ImportError of a package that a format needs.
        """
        before = 0
        for source in self.sources:
            at = 0
            with opened(source) as (file, stream):
                for item in self._items(source, file, stream):
                    at = max(at, file.tell() if source.path else 0)
                    yield before + at, item
            before += source.size

    def _items(self, source: Source, file: IO[bytes], stream: IO[bytes]) -> Iterator[Item]:
        line = None
        try:
            if source.kind is Kind.parquet:
                found = self._rows(source, file)
            elif source.kind is Kind.conllu:
                found = self._sentences(source, stream)
            else:
                found = self._texts(source, stream)
            for item, line in found:  # noqa: B007
                yield item
        except UnreadableError as error:
            yield Reject(source.name, None if line is None else line + 1, str(error))

    def _texts(self, source: Source, stream: IO[bytes]) -> Iterator[tuple[Item, int]]:
        if source.kind is Kind.text:
            yield self._document(source.name, None, source.name, whole(stream)), 0
            return
        for number, raw in enumerate(lines_of(stream), 1):
            if not raw.strip():
                continue
            yield self._document(source.name, number, f"{source.name}:{number}", raw, source.kind), number

    def _document(self, name: str, line: int | None, id: str, raw: bytes, kind: Kind = Kind.text) -> Item:
        try:
            if len(raw) > MOST_BYTES:
                raise ValueError(f"got more than {MOST_BYTES:,} bytes, expected a shorter document; split it")
            text = _decoded(raw)
            if kind is Kind.lines:
                text = text.rstrip("\r\n")
            elif kind is Kind.jsonl:
                text = self._field(text)
            return Document(id, self._checked(text))
        except ValueError as error:
            start = raw[: 4 * SHOWN].decode("utf-8", "backslashreplace")[:SHOWN]
            return Reject(name, line, str(error), start)

    def _field(self, line: str) -> str:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"got no JSON ({error}), expected an object a line") from None
        if not isinstance(record, dict):
            raise ValueError(f"got {type(record).__name__}, expected an object with the field {self.field!r}")
        if self.field not in record:
            fields = ", ".join(map(repr, record)) or "nothing"
            raise ValueError(
                f"got the fields {fields[:SHOWN]}, expected {self.field!r}; name another one with --field"
            )
        return self._string(record[self.field])

    def _string(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"got {type(value).__name__} in {self.field!r}, expected a string")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"got half of a surrogate pair at character {error.start + 1}, expected Unicode"
            ) from None
        return value

    def _checked(self, text: str) -> str:
        if not text or text.isspace():
            raise ValueError("got nothing but white space, expected text")
        if len(text) > self.longest:
            raise ValueError(f"got {len(text):,} characters, expected at most {self.longest:,}; split it")
        return text

    def _rows(self, source: Source, file: IO[bytes]) -> Iterator[tuple[Item, int]]:
        import pyarrow.parquet

        number = 0
        with readable():
            table = pyarrow.parquet.ParquetFile(file)
            names = table.schema_arrow.names
        if self.field not in names:
            fields = ", ".join(map(repr, names))
            raise UnreadableError(
                f"got the columns {fields[:SHOWN]}, expected {self.field!r}; name another one with --field"
            )
        batches = table.iter_batches(batch_size=ROWS, columns=[self.field])
        while True:
            with readable():
                batch = next(batches, None)
            if batch is None:
                return
            for value in batch.column(0).to_pylist():
                number += 1
                try:
                    item: Item = Document(f"{source.name}:{number}", self._checked(self._string(value)))
                except ValueError as error:
                    item = Reject(source.name, number, str(error), str(value)[:SHOWN])
                yield item, number

    def _sentences(self, source: Source, stream: IO[bytes]) -> Iterator[tuple[Item, int]]:
        bad: list[ConlluError] = []
        found = read_conllu(
            source.path or source.name, skip_bad=True, on_bad=bad.append, lines=lines_of(stream)
        )
        seen = False
        while True:
            try:
                sentence = next(found, None)
            except ConlluError as error:  # there is none at all
                sentence = None
                if not bad and not seen:
                    bad.append(error)
            for fault in bad:
                seen = True
                yield Reject(source.name, fault.line, fault.message.removesuffix(REMEDY)), fault.line
            bad.clear()
            if sentence is None:
                return
            seen = True
            yield self._of_sentence(source, sentence), sentence.line

    def _of_sentence(self, source: Source, sentence: Sentence) -> Item:
        said = dict(_key_and_value(comment) for comment in reversed(sentence.comments))
        id = said.get("sent_id") or f"{source.name}:{sentence.line}"
        if not self.resegment:
            return Document(id, sentence)
        text = said.get("text") or sentence.text
        try:
            return Document(id, self._checked(text))
        except ValueError as error:
            return Reject(source.name, sentence.line, str(error), text[:SHOWN])


def _key_and_value(comment: str) -> tuple[str, str]:
    key, _, value = comment.removeprefix("#").partition("=")
    return key.strip(), value.strip()


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"got byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        raise ValueError(f"{got}, expected UTF-8; convert it, for example with iconv") from None
