"""CoNLL-U files and spaCy Docs: reading with line numbers, conversion both ways.

The format is that of https://universaldependencies.org/format.html. A sentence becomes one of two Docs:
`words_doc` has a token for each syntactic word, `tokens_doc` one for each surface token, in which the
words of a multiword token (a range line such as `3-4`) are joined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from spacy.tokens import Doc, Span, Token
from spacy.vocab import Vocab

# fmt: off
UPOS_TAGS = frozenset({
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT",
    "SCONJ", "SYM", "VERB", "X",
})
# fmt: on
COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")

_FEATURE = re.compile(r"[A-Za-z][A-Za-z0-9]*(\[[A-Za-z0-9]+\])?=[A-Za-z0-9]+(,[A-Za-z0-9]+)*")
_WORD_ID = re.compile(r"[1-9][0-9]*")
_RANGE_ID = re.compile(r"([1-9][0-9]*)-([1-9][0-9]*)")
_EMPTY_ID = re.compile(r"(0|[1-9][0-9]*)\.([1-9][0-9]*)")
_PARAGRAPH = re.compile(r"#\s*new(par|doc)\b")
_FORM_SPACE = re.compile(r"[ \t\n\v\f\r]+")  # not str.isspace: a no-break space may be a FORM

# The words of a multiword token: a sequence of (form, upos, feats), None for any other token.
Token.set_extension("ud_words", default=None, force=True)


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
    def feats_masked(self) -> bool:
        """Whether FEATS are marked as a guess (`FeatsGuess=Yes` in MISC), not to be trained on."""
        return "FeatsGuess=Yes" in self.misc.split("|")


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

    def to_conllu(self, *, upos: Sequence[str] | None = None, feats: Sequence[str] | None = None) -> str:
        """The sentence as CoNLL-U with the final blank line, UPOS and FEATS replaced where given.

        `upos` and `feats` have one value a word, `_` for none. ValueError if the number differs.
        """
        for name, values in (("upos", upos), ("feats", feats)):
            if values is not None and len(values) != len(self.words):
                raise ValueError(
                    f"got {len(values)} values of {name}, expected one a word: {len(self.words)}"
                )
        ranges = {rng.start: rng for rng in self.ranges}
        lines = list(self.comments)
        lines.extend(row for after, row in self.empty_nodes if after == 0)
        for i, word in enumerate(self.words):
            if rng := ranges.get(word.id):
                lines.append(_row(f"{rng.start}-{rng.end}", rng.form, feats=rng.feats, misc=rng.misc))
            cells = (word.form, word.lemma, upos[i] if upos else word.upos, word.xpos)
            rest = (feats[i] if feats else word.feats, word.head, word.deprel, word.deps, word.misc)
            lines.append("\t".join((str(word.id), *cells, *rest)))
            if self.empty_nodes:
                lines.extend(row for after, row in self.empty_nodes if after == word.id)
        return "\n".join(lines) + "\n\n"


def read_conllu(
    path: str | Path, *, skip_bad: bool = False, on_bad: Callable[[ConlluError], None] | None = None
) -> Iterator[Sentence]:
    """The sentences of a CoNLL-U file in UTF-8, one at a time.

    A byte order mark, CRLF, a missing final newline and repeated blank lines are accepted; comments that
    stand alone go to the sentence that follows. The first error in a sentence raises `ConlluError`; with
    `skip_bad` the sentence is left out, `on_bad` is called with the error and reading goes on. A file
    of which no sentence is left raises `ConlluError` in any case.
    """
    path = Path(path)
    good = bad = 0
    last = 1
    comments: list[tuple[int, bytes]] = []
    for block in _blocks(path):
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


def words_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """A Doc with one token a syntactic word: POS, MORPH, TAG (XPOS), LEMMA, and HEAD and DEP if complete.

    Inside a multiword token no space follows a word; after its last the range line decides. FEATS `_` is
    an empty MORPH; a word whose FEATS are a guess (`Word.feats_masked`) has none, so `token.has_morph()`
    is False and training leaves it out; DocBin keeps the difference. UPOS `_` leaves POS unset. HEAD and
    DEP are set only if they form a tree with one root, which has the relation `ROOT`.
    """
    spaces: list[bool] = []
    for _, space, words in sentence.tokens():
        spaces.extend([False] * (len(words) - 1))
        spaces.append(space)
    words = sentence.words
    tree = _tree(words)
    deps = ["ROOT" if tree[i] == i else word.deprel for i, word in enumerate(words)] if tree else None
    return _doc(vocab, [word.form for word in words], spaces, words, heads=tree, deps=deps)


def tokens_doc(sentence: Sentence, vocab: Vocab) -> Doc:
    """A Doc with one token a surface token: POS, MORPH, TAG and LEMMA; HEAD and DEP are left unset.

    A multiword token takes them from its first word whose head lies outside of it (from its first word
    if no word has a head), and has its words in `token._.ud_words` as (form, upos, feats). They survive
    a DocBin with `store_user_data=True`.
    """
    tokens = list(sentence.tokens())
    heads = [_head_word(words) if len(words) > 1 else words[0] for _, _, words in tokens]
    doc = _doc(vocab, [form for form, _, _ in tokens], [space for _, space, _ in tokens], heads)
    if sentence.ranges:
        starts = {rng.start for rng in sentence.ranges}
        for token, (_, _, words) in zip(doc, tokens, strict=True):
            if words[0].id in starts:
                token._.ud_words = tuple((w.form, w.upos, canonical_feats(w.feats)) for w in words)
    return doc


def doc_to_conllu(doc: Doc) -> str:
    """The Doc as CoNLL-U, a block for each of its sentences (one if sentence starts are unset).

    Tokens with `ud_words` become a range line and their words. White space tokens are left out, as a FORM
    cannot hold them. HEAD and DEPREL are written where the Doc has them and every token is one word.
    """
    spans = doc.sents if doc.has_annotation("SENT_START") else [doc[:]]
    return "".join(_span_to_conllu(span) for span in spans)


def feats_string(token: Token) -> str:
    """FEATS of a token in canonical UD order, `_` if MORPH is empty or unset."""
    return canonical_feats(str(token.morph))


@lru_cache(maxsize=1 << 17)
def canonical_feats(feats: str) -> str:
    """FEATS in the order the UD validator wants: names, and values of a name, regardless of case.

    spaCy sorts capitals first. Values of a repeated name are put together (`A=1|A=2` is `A=1,2`), since
    a Doc holds a name once and would drop all but the last.
    """
    if feats in ("", "_"):
        return "_"
    values: dict[str, list[str]] = {}
    for feature in feats.split("|"):
        name, _, value = feature.partition("=")
        values.setdefault(name, []).extend(value.split(","))
    features = (f"{name}={','.join(sorted(vs, key=_fold))}" for name, vs in values.items())
    return "|".join(sorted(features, key=_fold))


def _fold(string: str) -> tuple[str, str]:
    return string.lower(), string


def _space_after(misc: str) -> bool:
    return misc == "_" or "SpaceAfter=No" not in misc.split("|")


def _blocks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    """Runs of lines between blank ones, each line with its number, without BOM and line end."""
    block: list[tuple[int, bytes]] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
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
    return ConlluError(
        path, line, f"{message}. Correct the file, or leave such sentences out with --skip-bad."
    )


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
            raise ValueError(f"got ID {cells[0]!r} after a range, expected the first word of it, {next_id}")
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
            raise ValueError(f"got ID {cells[0]!r}, expected {next_id}, or a range or empty node before it")

    def _add_word(self, id: int, cells: list[str]) -> None:
        upos, feats = cells[3], cells[5]
        if upos not in UPOS_TAGS and upos != "_":
            hint = " (CCONJ since UD version 2)" if upos == "CONJ" else ""
            raise ValueError(f"got UPOS {upos!r}{hint}, expected one of {' '.join(sorted(UPOS_TAGS))} or `_`")
        if wrong := _wrong_feature(feats):
            raise ValueError(f"got FEATS {feats!r}, {wrong}")
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
            return f"where {feature!r} is no feature, expected Name=Value with `|` between features, or `_`"
        if feature[:4].lower() == "pos=":
            return "with a feature of the name of spaCy's own attribute, expected another name"
    return ""


def _tree(words: Sequence[Word]) -> list[int] | None:
    """Positions of the heads, a root its own; None unless they form a tree with relations and one root."""
    heads = []
    for word in words:
        if not (word.head.isascii() and word.head.isdecimal()) or word.deprel == "_":
            return None
        heads.append(int(word.head))
    if heads.count(0) != 1 or max(heads) > len(words):
        return None
    done = [True] + [False] * len(words)  # whether a word's chain of heads is known to end in the root
    for id in range(1, len(words) + 1):
        chain = []
        while not done[id]:
            if id in chain:
                return None
            chain.append(id)
            id = heads[id - 1]
        for link in chain:
            done[link] = True
    return [head - 1 if head else i for i, head in enumerate(heads)]


def _head_word(words: Sequence[Word]) -> Word:
    """The first word whose head lies outside of `words`, the first word if there is none."""
    inside = {str(word.id) for word in words}
    return next((word for word in words if word.head != "_" and word.head not in inside), words[0])


def _doc(
    vocab: Vocab,
    forms: list[str],
    spaces: list[bool],
    words: Sequence[Word],
    *,
    heads: list[int] | None = None,
    deps: list[str] | None = None,
) -> Doc:
    """A Doc of one sentence, whose tokens have the forms and spaces given and the annotation of `words`."""
    doc = Doc(
        vocab,
        words=forms,
        spaces=spaces,
        pos=[_unset(word.upos) for word in words],
        morphs=[_unset(canonical_feats(word.feats)) for word in words],
        tags=[_unset(word.xpos) for word in words],
        lemmas=[_unset(word.lemma) for word in words],
        heads=heads,
        deps=deps,
        sent_starts=[i == 0 for i in range(len(words))],
    )
    for token, word in zip(doc, words, strict=True):
        if word.feats_masked:
            token.set_morph(None)  # type: ignore[attr-defined]
    return doc


def _unset(cell: str) -> str:
    return "" if cell == "_" else cell


def _span_to_conllu(span: Span) -> str:
    tokens = [token for token in span if _form(token)]
    parsed = (
        span.doc.has_annotation("DEP", require_complete=True)
        and len(tokens) == len(span)
        and all(span.start <= token.head.i < span.end and not token._.ud_words for token in tokens)
    )
    rows: list[str] = []
    text, next_id = "", 1
    for token in tokens:
        last = token.i + 1 == len(span.doc)
        space = bool(token.whitespace_) or not (last or _form(token.nbor()))
        misc = "_" if space else "SpaceAfter=No"
        text += _form(token) + " " * space
        if words := token._.ud_words:
            rows.append(_row(f"{next_id}-{next_id + len(words) - 1}", _form(token), misc=misc))
            rows.extend(_row(str(next_id + i), w[0], upos=w[1], feats=w[2]) for i, w in enumerate(words))
            next_id += len(words)
            continue
        head, deprel = "_", "_"
        if parsed:
            head = "0" if token.head == token else str(token.head.i - span.start + 1)
            deprel = "root" if token.dep_ == "ROOT" else token.dep_
        upos = token.pos_ if token.pos_ in UPOS_TAGS else "_"
        cells = (
            str(next_id),
            _form(token),
            token.lemma_ or "_",
            upos,
            token.tag_ or "_",
            feats_string(token),
        )
        rows.append("\t".join((*cells, head, deprel, "_", misc)))
        next_id += 1
    if not rows:
        return ""
    return "\n".join((f"# text = {text.strip(' ')}", *rows)) + "\n\n"


def _form(token: Token) -> str:
    """The token's text as a FORM, empty for white space."""
    return _FORM_SPACE.sub(" ", token.text).strip(" ")


def _row(id: str, form: str, *, upos: str = "_", feats: str = "_", misc: str = "_") -> str:
    return f"{id}\t{form}\t_\t{upos}\t_\t{feats}\t_\t_\t_\t{misc}"
