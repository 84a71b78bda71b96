"""Tagged Docs as files, and one file of many."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from .documents import Document

__all__ = ["Format", "format_of", "join", "text_of", "write_docs"]


class Format(str, Enum):
    """What an output is; the value is also its ending."""

    conllu = "conllu"
    jsonl = "jsonl"
    tsv = "tsv"
    parquet = "parquet"
    spacy = "spacy"


COLUMNS = (
    *("document", "sentence", "language", "convention", "token", "start", "end", "text"),
    *("form", "lemma", "upos", "feats", "confidence"),
)
"""Of TSV and Parquet, a row a word."""
INTEGERS = {"sentence", "token", "start", "end"}


def format_of(output: Path) -> Format | None:
    """By the ending; None without one. Raises ValueError for one of no format."""
    ending = output.suffix.removeprefix(".")
    if not ending or output.is_dir():
        return None
    if ending not in (known := [member.value for member in Format]):
        raise ValueError(
            f"{output}: got the ending .{ending}, expected one of .{', .'.join(known)}; or say the format "
            "with --to"
        )
    return Format(ending)


def write_docs(
    path: Path, format: Format, docs: Iterable[tuple[Document, Any]], *, flat: bool = False
) -> None:
    """docs: each document and its tagged Doc. flat: see `docs_conllu`."""
    if format is Format.spacy:
        _write_doc_bin(path, docs)
    elif format is Format.parquet:
        _write_parquet(path, docs)
    else:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(text_of(format, docs, flat=flat))


def text_of(format: Format, docs: Iterable[tuple[Document, Any]], *, flat: bool = False) -> Iterator[str]:
    """The same for a format that is text, piece by piece."""
    if format is Format.conllu:
        return _conllu(docs, flat=flat)
    return _json_lines(docs) if format is Format.jsonl else _tsv(docs)


def join(parts: Sequence[Path], target: Path, format: Format) -> None:
    """Make one file of several. It is copied piece by piece, so that nothing is held in memory."""
    if not parts:
        write_docs(target, format, ())
        return
    if format is Format.parquet:
        _join_parquet(parts, target)
        return
    with target.open("wb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as rest:
                if format is Format.tsv and number:
                    rest.readline()  # the names of the columns
                shutil.copyfileobj(rest, file, 1 << 20)


def _conllu(docs: Iterable[tuple[Document, Any]], *, flat: bool) -> Iterator[str]:
    from ..data.docs_conllu import doc_to_conllu
    from ..runtime.ud_words import multiword_tokens, word_lemmas

    for document, doc in docs:
        if isinstance(document.content, str):
            yield doc_to_conllu(doc, doc_id=document.conllu_id, flat=flat)
            continue
        words = multiword_tokens(doc)
        tags = [
            tag for token in doc for tag in words.get(token.i) or (("", token.pos_ or "_", _feats(token)),)
        ]
        lemmas = [lemma for token in doc for lemma in word_lemmas(token)]
        yield document.content.to_conllu(
            lemmas=[new or word.lemma for new, word in zip(lemmas, document.content.words, strict=True)],
            upos=[upos for _, upos, _ in tags],
            feats=[feats for *_, feats in tags],
        )


def _feats(token: Any) -> str:
    from ..data.docs import feats_string

    return feats_string(token)


def _json_lines(docs: Iterable[tuple[Document, Any]]) -> Iterator[str]:
    from .sentences import sentences_of

    for document, doc in docs:
        record = {"id": document.id, "text": doc.text, "sentences": list(sentences_of(doc))}
        yield json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _rows(docs: Iterable[tuple[Document, Any]]) -> Iterator[tuple[Any, ...]]:
    from .sentences import sentences_of

    for document, doc in docs:
        for number, sentence in enumerate(sentences_of(doc), 1):
            place = document.id, number, sentence["language"], sentence["convention"]
            for i, token in enumerate(sentence["tokens"], 1):
                surface = i, token["start"], token["end"], token["text"]
                own = {**token, "form": token["text"]}
                for word in token["words"] or (own,):
                    cells = word["form"], word["lemma"], word["upos"], word["feats"], token["confidence"]
                    yield *place, *surface, *cells


def _tsv(docs: Iterable[tuple[Document, Any]]) -> Iterator[str]:
    yield "\t".join(COLUMNS) + "\n"
    for row in _rows(docs):
        yield "\t".join("_" if cell is None else re.sub(r"\s+", " ", str(cell)) for cell in row) + "\n"


def _write_doc_bin(path: Path, docs: Iterable[tuple[Document, Any]]) -> None:
    from spacy.tokens import DocBin

    found = DocBin(store_user_data=True)
    for document, doc in docs:
        doc.user_data["id"] = document.id
        found.add(doc)
    found.to_disk(path)


def _schema() -> Any:
    import pyarrow

    types = dict.fromkeys(COLUMNS, pyarrow.string())
    types |= dict.fromkeys(INTEGERS, pyarrow.int64())
    return pyarrow.schema({**types, "confidence": pyarrow.float32()})


def _write_parquet(path: Path, docs: Iterable[tuple[Document, Any]]) -> None:
    import pyarrow.parquet

    columns = list(zip(*_rows(docs), strict=True)) or [()] * len(COLUMNS)
    table = pyarrow.table(dict(zip(COLUMNS, columns, strict=True)), schema=_schema())
    pyarrow.parquet.write_table(table, path, compression="zstd")


def _join_parquet(parts: Sequence[Path], target: Path) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(target, _schema(), compression="zstd") as file:
        for part in parts:
            file.write_table(pyarrow.parquet.read_table(part))
