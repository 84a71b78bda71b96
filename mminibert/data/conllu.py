"""CoNLL-U files, read with line numbers, as the sentences of `sentence`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from ..files import cut
from .sentence import FEATS_UNKNOWN, UPOS_TAGS, UPOS_UNKNOWN, Range, Sentence, Word, row

__all__ = [
    "FEATS_UNKNOWN",
    "UPOS_TAGS",
    "UPOS_UNKNOWN",
    "ConlluError",
    "Range",
    "Sentence",
    "Word",
    "read_conllu",
    "row",
]

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

_FEATURE = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[[A-Za-z0-9]+\])?=[A-Za-z0-9]+(,[A-Za-z0-9]+)*")
# No sentence has a billion words, and Python reads no number of more than some thousand digits.
_RANGE_ID = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
_EMPTY_ID = re.compile(r"(0|[1-9][0-9]{0,8})\.([1-9][0-9]{0,8})")
LONGEST_HEAD = 9
_RESERVED = frozenset({"pos", "upos"})
"""Features of these names, in whatever case, would be taken for the part of speech."""
REMEDY = ". Correct the file, or leave such sentences out with --skip-bad."
"""With what a message ends."""
SHOWN = 60
"""Characters of a cell that an error repeats."""


class ConlluError(ValueError):
    """A file that is no CoNLL-U: `path`, `line` (from 1) and `message` (got, expected, what to do)."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(path, line, message)
        self.path = path
        self.line = line
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.message}"


def read_conllu(
    path: str | Path,
    *,
    skip_bad: bool = False,
    on_bad: Callable[[ConlluError], None] | None = None,
    lines: Iterable[bytes] | None = None,
) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file in UTF-8, one at a time.

    lines: those of the file with their ends, if it is not to be opened here, as one that is compressed.

    A byte order mark, CRLF, a missing final newline and repeated blank lines are accepted; comments that
    stand alone go to the sentence that follows. The first error in a sentence raises `ConlluError`; with
    `skip_bad` the sentence is left out, `on_bad` is called with the error and reading goes on. A file
    of which no sentence is left raises `ConlluError` in any case.
    """
    path = Path(path)
    good = bad = 0
    last = 1
    comments: list[tuple[int, bytes]] = []
    for block in _blocks(path) if lines is None else _blocks_of(lines):
        last = block[-1][0]
        if all(raw.startswith(b"#") for _, raw in block):
            comments += block
            continue
        block, comments = comments + block, []
        try:
            sentence = _parse(path, block)
        except ConlluError as error:
            if not skip_bad:
                raise
            bad += 1
            if on_bad is not None:
                on_bad(error)
            continue
        good += 1
        yield sentence
    if not good:
        got = f"only sentences in error, {bad} of them" if bad else "no sentence"
        raise ConlluError(path, last, f"got {got}, expected at least one. Get the file anew or leave it out.")


def _blocks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Runs of lines between blank ones, each line with its number, without BOM and line end."""
    with path.open("rb") as file:
        yield from _blocks_of(file)


def _blocks_of(lines: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    block: list[tuple[int, bytes]] = []
    for number, raw in enumerate(lines, 1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            block.append((number, raw.rstrip(b"\r\n")))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _parse(path: Path, block: list[tuple[int, bytes]]) -> Sentence:
    rows = _Rows()
    for number, raw in block:
        try:
            rows.add(number, raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            got = f"got byte 0x{raw[error.start]:02x} at position {error.start + 1} of the line"
            raise _bad(path, number, f"{got}, expected UTF-8") from None
        except ValueError as error:
            raise _bad(path, number, str(error)) from None
    words, ranges = tuple(rows.words), tuple(rows.ranges)
    for number, rng in zip(rows.range_lines, ranges, strict=True):
        if rng.end > len(words):
            got = f"got range {rng.start}-{rng.end} in a sentence of {len(words)} words"
            raise _bad(path, number, f"{got}, expected one that ends within it")
    if not words:
        raise _bad(path, block[-1][0], "got a sentence without words, expected at least the word 1")
    return Sentence(path, block[0][0], tuple(rows.comments), words, ranges, tuple(rows.empty_nodes))


def _bad(path: Path, line: int, message: str) -> ConlluError:
    return ConlluError(path, line, message + REMEDY)


class _Rows:
    """The lines of a sentence by kind, checked as they come; ValueError says what is wrong with one."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.words: list[Word] = []
        self.ranges: list[Range] = []
        self.range_lines: list[int] = []
        self.empty_nodes: list[tuple[int, str]] = []
        self._range_opens = False  # the line before was a range
        self._empty_count = 0  # empty nodes since the last word

    def add(self, number: int, line: str) -> None:
        if line.startswith("#"):
            self.comments.append(line)
            return
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise ValueError(f"got {len(cells)} columns, expected {len(COLUMNS)} with tabs between")
        if "" in cells:
            raise ValueError(f"got an empty {COLUMNS[cells.index('')]}, expected a value or `_`")
        next_id = len(self.words) + 1
        if cells[0] == str(next_id):
            self._add_word(next_id, cells)
        elif self._range_opens:
            raise ValueError(
                f"got ID {_shown(cells[0])} after a range, expected the first word of it, {next_id}"
            )
        elif match := _RANGE_ID.fullmatch(cells[0]):
            self._add_range(int(match[1]), int(match[2]), cells)
            self.range_lines.append(number)
        elif _EMPTY_ID.fullmatch(cells[0]):
            self._empty_count += 1
            expected = f"{len(self.words)}.{self._empty_count}"
            if cells[0] != expected:
                raise ValueError(f"got empty node {cells[0]}, expected {expected} here")
            self.empty_nodes.append((len(self.words), line))
        else:
            raise ValueError(
                f"got ID {_shown(cells[0])}, expected {next_id}, or a range or empty node before it"
            )

    def _add_word(self, id: int, cells: list[str]) -> None:
        upos, feats = cells[3], cells[5]
        if upos not in UPOS_TAGS and upos != "_":
            hint = " (CCONJ since UD version 2)" if upos == "CONJ" else ""
            tags = " ".join(sorted(UPOS_TAGS))
            raise ValueError(f"got UPOS {_shown(upos)}{hint}, expected one of {tags} or `_`")
        if wrong := _wrong_feature(feats):
            raise ValueError(f"got FEATS {_shown(feats)}, {wrong}")
        if len(cells[6]) > LONGEST_HEAD:
            raise ValueError(f"got HEAD {_shown(cells[6])}, expected the ID of a word, 0, or `_`")
        self.words.append(Word(id, *cells[1:]))
        self._range_opens, self._empty_count = False, 0

    def _add_range(self, start: int, end: int, cells: list[str]) -> None:
        next_id = len(self.words) + 1
        if end < start:
            raise ValueError(f"got range {cells[0]}, which runs backwards, expected the lower ID first")
        if self.ranges and start <= self.ranges[-1].end:
            last = f"{self.ranges[-1].start}-{self.ranges[-1].end}"
            raise ValueError(f"got range {cells[0]}, expected one that does not overlap with {last}")
        if start != next_id:
            raise ValueError(
                f"got range {cells[0]} before word {next_id}, expected it right before word {start}"
            )
        self.ranges.append(Range(start, end, cells[1], cells[9], cells[5]))
        self._range_opens = True


@lru_cache(maxsize=1 << 17)
def _wrong_feature(feats: str) -> str:
    """What is wrong with a FEATS cell, empty if nothing. Treebanks have a name twice, with other values."""
    features = feats.split("|") if feats != "_" else []
    for feature in features:
        if not _FEATURE.fullmatch(feature):
            shown = _shown(feature)
            return f"where {shown} is no feature, expected Name=Value with `|` between features, or `_`"
        if feature.partition("=")[0].lower() in _RESERVED:
            return f"where {_shown(feature)} has the name of a part of speech, expected another name"
    if len(set(features)) < len(features):
        twice = next(feature for feature, n in Counter(features).items() if n > 1)
        return f"where {_shown(twice)} is there more than once, expected each feature once"
    return ""


def _shown(cell: str) -> str:
    """A cell as an error repeats it: quoted, and cut if it is long."""
    return repr(cut(cell, SHOWN)) + (f" ({len(cell):,} characters)" if len(cell) > SHOWN else "")
