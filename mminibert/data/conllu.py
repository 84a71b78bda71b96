"""CoNLL-U files, read with line numbers. The format: https://universaldependencies.org/format.html."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# fmt: off
UPOS_TAGS = frozenset({
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT",
    "SCONJ", "SYM", "VERB", "X",
})
# fmt: on
COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

_FEATURE = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[[A-Za-z0-9]+\])?=[A-Za-z0-9]+(,[A-Za-z0-9]+)*")
# No sentence has a billion words, and Python reads no number of more than some thousand digits.
_RANGE_ID = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
_EMPTY_ID = re.compile(r"(0|[1-9][0-9]{0,8})\.([1-9][0-9]{0,8})")
LONGEST_HEAD = 9
UPOS_UNKNOWN = frozenset({"Upos=Unknown", "UposGuess=Yes"})
FEATS_UNKNOWN = frozenset({"Feats=Unknown", "FeatsGuess=Yes"})
"""Marks in MISC of words whose UPOS or FEATS are missing or a guess, neither trained on nor scored."""
_RESERVED = frozenset({"pos", "upos"})
"""Features of these names, in whatever case, would be taken for the part of speech."""
SHOWN = 60
"""Characters of a cell that an error repeats."""
REMEDY = ". Correct the file, or leave such sentences out with --skip-bad."
"""With what a message ends."""
_PARAGRAPH = re.compile(r"#\s*new(par|doc)\b")


class ConlluError(ValueError):
    """A file that is no CoNLL-U: `path`, `line` (from 1) and `message` (got, expected, what to do)."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(path, line, message)
        self.path = path
        self.line = line
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Word:
    """A syntactic word; each field but `id` is the raw cell, `_` if there is none."""

    id: int
    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    head: str
    deprel: str
    deps: str
    misc: str

    @property
    def space_after(self) -> bool:
        return _space_after(self.misc)

    @property
    def upos_masked(self) -> bool:
        """Whether UPOS is marked as missing or a guess (`UPOS_UNKNOWN`)."""
        return not UPOS_UNKNOWN.isdisjoint(self.misc.split("|"))

    @property
    def feats_masked(self) -> bool:
        """Whether FEATS are marked as missing or a guess (`FEATS_UNKNOWN`)."""
        return not FEATS_UNKNOWN.isdisjoint(self.misc.split("|"))


@dataclass(frozen=True, slots=True)
class Range:
    """A multiword token over the words `start` to `end`, both inclusive."""

    start: int
    end: int
    form: str
    misc: str
    feats: str = "_"  # `Typo=Yes` or `_`

    @property
    def space_after(self) -> bool:
        return _space_after(self.misc)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the file `path`, whose first line (a comment or a word) is `line`.

    `comments` keep their `#`. `ranges` are in order and do not overlap. `empty_nodes` are pairs of the id
    of the word they follow (0: before the first) and the raw line.
    """

    path: Path
    line: int
    comments: tuple[str, ...]
    words: tuple[Word, ...]
    ranges: tuple[Range, ...] = ()
    empty_nodes: tuple[tuple[int, str], ...] = ()

    @property
    def text(self) -> str:
        """The surface text, from FORM and `SpaceAfter=No` of words and ranges."""
        return "".join(form + " " * space for form, space, _ in self.tokens()).removesuffix(" ")

    @property
    def starts_paragraph(self) -> bool:
        """Whether a comment `# newpar` or `# newdoc` says that text starts anew here."""
        return any(_PARAGRAPH.match(comment) for comment in self.comments)

    def tokens(self) -> Iterator[tuple[str, bool, tuple[Word, ...]]]:
        """(form, space after, words) of each surface token; several words for a multiword token."""
        ranges = {rng.start: rng for rng in self.ranges}
        position = 0
        while position < len(self.words):
            word = self.words[position]
            rng = ranges.get(word.id)
            if rng is None:
                yield word.form, word.space_after, (word,)
                position += 1
            else:
                yield rng.form, rng.space_after, self.words[position : rng.end]
                position = rng.end

    def to_conllu(
        self,
        *,
        lemmas: Sequence[str] | None = None,
        upos: Sequence[str] | None = None,
        feats: Sequence[str] | None = None,
    ) -> str:
        """The sentence as CoNLL-U with the final blank line, LEMMA, UPOS and FEATS replaced where given.

        Each has one value a word, `_` for none. ValueError if the number differs.
        """
        for name, values in (("lemmas", lemmas), ("upos", upos), ("feats", feats)):
            if values is not None and len(values) != len(self.words):
                raise ValueError(
                    f"got {len(values)} values of {name}, expected one a word: {len(self.words)}"
                )
        ranges = {rng.start: rng for rng in self.ranges}
        empty_nodes: dict[int, list[str]] = {}
        for after, line in self.empty_nodes:
            empty_nodes.setdefault(after, []).append(line)
        lines = [*self.comments, *empty_nodes.get(0, ())]
        for i, word in enumerate(self.words):
            if rng := ranges.get(word.id):
                lines.append(row(f"{rng.start}-{rng.end}", rng.form, feats=rng.feats, misc=rng.misc))
            cells = (
                word.form,
                lemmas[i] if lemmas else word.lemma,
                upos[i] if upos else word.upos,
                word.xpos,
            )
            rest = (feats[i] if feats else word.feats, word.head, word.deprel, word.deps, word.misc)
            lines.append("\t".join((str(word.id), *cells, *rest)))
            lines += empty_nodes.get(word.id, ())
        return "\n".join(lines) + "\n\n"


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


def _space_after(misc: str) -> bool:
    return misc == "_" or "SpaceAfter=No" not in misc.split("|")


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
    """What is wrong with a FEATS cell, empty if nothing."""
    for feature in feats.split("|") if feats != "_" else ():
        if not _FEATURE.fullmatch(feature):
            shown = _shown(feature)
            return f"where {shown} is no feature, expected Name=Value with `|` between features, or `_`"
        if feature.partition("=")[0].lower() in _RESERVED:
            return f"where {_shown(feature)} has the name of a part of speech, expected another name"
    return ""


def _shown(cell: str) -> str:
    """A cell as an error repeats it: quoted, and cut if it is long."""
    return repr(cell) if len(cell) <= SHOWN else f"{cell[:SHOWN]!r}... ({len(cell):,} characters)"


def row(id: str, form: str, *, upos: str = "_", feats: str = "_", misc: str = "_") -> str:
    return f"{id}\t{form}\t_\t{upos}\t_\t{feats}\t_\t_\t_\t{misc}"
