"""The parts of a train file: text of several sources, with what is unknown of its labels marked."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..data.conllu import FEATS_UNKNOWN, UPOS_UNKNOWN

_UNKNOWN = UPOS_UNKNOWN | FEATS_UNKNOWN
LEMMA, UPOS, FEATS = 2, 3, 5
"""Columns of CoNLL-U."""
MARKUP = "####"
"""LEMMA of what is no word, in Estonian EDT's own files: `kindel_piir/`, the bound of a clause."""
MISSING, EXPECTED = 0.01, 20
"""A UPOS that at least this share of the release's words has must occur in text that is large enough to be
expected to have it so often."""
LEAST_AGREEMENT = 0.85
"""FEATS of a part are masked where they agree with the release's for a smaller share of words (see
`agreement`)."""
LEAST_TIMES = 5
"""A form is compared if both texts have it so often."""
MOST_APART, CHANCE = 0.25, 0.5
"""The UPOS of a form is masked where its two distributions are further apart, in total variation, than the
first and the second over the square root of how often the release has it, as chance alone may do."""


@dataclass(frozen=True)
class Part:
    """A part of a train file. `labels`: "gold", or which labels there are, and whether they are converted
    (gold ones of another copy or release) or silver. `unknown_upos`, `unknown_feats`: words without.
    `agreement`: of its FEATS with the release's, see `agreement`; None if they were not compared. `held_out`,
    `repeated`: sentences left out, as a dev or test set or a better part has them."""

    source: str
    file: str
    labels: str
    sentences: int
    words: int
    agreement: float | None = None
    repository: str = ""
    licence: str = ""
    unknown_upos: int = 0
    unknown_feats: int = 0
    held_out: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class Counts:
    """Words of sentences, and how many of them have no known UPOS, no known FEATS."""

    words: int
    unknown_upos: int
    unknown_feats: int


def count_words(sentences: Iterable[str]) -> Counts:
    words = upos = feats = 0
    for row in _words(sentences):
        words += 1
        upos += is_unknown(row[9], UPOS_UNKNOWN)
        feats += is_unknown(row[9], FEATS_UNKNOWN)
    return Counts(words, upos, feats)


def is_unknown(misc: str, marks: frozenset[str]) -> bool:
    return misc != "_" and not marks.isdisjoint(misc.split("|"))


def split_sentences(text: str) -> list[str]:
    """The sentences of CoNLL-U, each with the blank lines after it; together they are the text."""
    return re.findall(r"(?:[^\r\n][^\n]*\n)*(?:\r?\n)+|(?:[^\n]+\n?)+\Z", text)


def edit(sentence: str, cells: Callable[[list[str]], list[str]]) -> str:
    """The sentence with each row of ten columns as `cells` gives it."""
    lines = []
    for line in sentence.split("\n"):
        row = line.split("\t")
        lines.append("\t".join(cells(row)) if len(row) == 10 else line)
    return "\n".join(lines)


def without_markup(sentences: Iterable[str]) -> list[str]:
    """The sentences without rows of the LEMMA `MARKUP`; those that had some without `# text`, where it stands
    as well. Raises ValueError if one of these has multiword tokens."""
    found = (_without_rows(one) if f"\t{MARKUP}\t" in one else one for one in sentences)
    return [sentence for sentence in found if sentence]


def _without_rows(sentence: str) -> str:
    lines, n = [], 0
    for line in sentence.split("\n"):
        row = line.split("\t")
        if len(row) == 10:
            if not row[0].isdecimal():
                raise ValueError(
                    f"got the row {row[0]} {row[1]!r} beside markup, expected single words alone"
                )
            if row[LEMMA] == MARKUP:
                continue
            n += 1
            line = "\t".join([str(n), *row[1:]])
        if not line.startswith("# text ="):
            lines.append(line)
    return "\n".join(lines) if n else ""


def lacks_words(sentences: Sequence[str], reference: Sequence[str]) -> bool:
    """Whether text has no word of a UPOS that is frequent in the reference (`MISSING`, `EXPECTED`), as a copy
    that has lost such words."""
    own, release = (Counter(row[UPOS] for row in _words(text)) for text in (sentences, reference))
    shares = {upos: n / release.total() for upos, n in release.items() if not own[upos]}
    return any(share >= MISSING and own.total() * share >= EXPECTED for share in shares.values())


def from_columns(block: str) -> str:
    """CoNLL-U of lines of form, lemma and UPOS, with FEATS unknown.

    A line without lemma and UPOS is a multiword token, whose words are the next two, as all that there are
    have two. Raises ValueError if fewer are there.
    """
    rows: list[str] = []
    n = end = 0  # words so far, and with those of the multiword token
    for line in (*block.split("\n"), ""):
        is_word = bool(line) and line.split("\t")[1:] != ["_", "_"]
        if not is_word and n < end:
            raise ValueError(f"got a multiword token without two words after it: {rows[-1]!r}")
        if is_word:
            n += 1
            rows.append(f"{n}\t{line}\t_\t_\t_\t_\t_\tFeats=Unknown\n")
        elif line:
            end = n + 2
            rows.append(f"{n + 1}-{end}\t{line}\t_\t_\t_\t_\t_\t_\n")
    return "".join(rows) + "\n"


def masked(
    sentences: Sequence[str], dev: Sequence[str], train: Sequence[str], *, trusted: bool
) -> tuple[list[str], float | None]:
    """FEATS that the release's dev file, or without one its train file, contradicts are marked as unknown;
    with their agreement. So are lemmas, all of them, by their own agreement (as where one part has them in
    capitals).

    All FEATS where they agree for less than `LEAST_AGREEMENT` of the words, else those with values that
    neither dev nor the release's train file has. Without both `trusted` FEATS are kept, others are masked.
    """
    reference = dev or train
    if not reference and trusted:
        return list(sentences), None
    lemmas = agreement(sentences, reference, column=LEMMA)
    if lemmas is not None and lemmas < LEAST_AGREEMENT:
        sentences = [edit(sentence, lambda row: [*row[:2], "_", *row[3:]]) for sentence in sentences]
    agrees, values = agreement(sentences, reference) or 0.0, set()
    if agrees >= LEAST_AGREEMENT:
        values = {value for _, feats in _labels([*dev, *train]) for value in feats.split("|")}
    return [_without_feats(sentence, but=values) for sentence in sentences], round(agrees, 4)


def without_doubtful(sentences: Sequence[str], reference: Sequence[str]) -> list[str]:
    """UPOS is marked as unknown of forms that the release's sentences ``reference`` annotate otherwise, by
    `MOST_APART`: where labels were inferred, a form that can be several things may have become one of them
    throughout."""
    own, release = _upos(sentences), _upos(reference)
    doubtful = {form for form in own.keys() & release.keys() if _are_apart(own[form], release[form])}

    def cells(row: list[str]) -> list[str]:
        if row[0].isdecimal() and row[1].lower() in doubtful:
            row[9] = _marked(row[9], UPOS_UNKNOWN, "UposGuess=Yes")
        return row

    return [edit(sentence, cells) for sentence in sentences] if doubtful else list(sentences)


def _upos(sentences: Iterable[str]) -> dict[str, Counter[str]]:
    """How often each form, in lower case, has which UPOS, where that is known."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _words(sentences):
        if not is_unknown(row[9], UPOS_UNKNOWN):
            found[row[1].lower()][row[UPOS]] += 1
    return found


def _are_apart(own: Counter[str], release: Counter[str]) -> bool:
    n, m = own.total(), release.total()
    if min(n, m) < LEAST_TIMES:
        return False
    distance = sum(abs(own[upos] / n - release[upos] / m) for upos in own.keys() | release.keys()) / 2
    return distance > MOST_APART + CHANCE / math.sqrt(m)


def _marked(misc: str, marks: frozenset[str], mark: str) -> str:
    """MISC with a mark, unless it has one that says the same."""
    if is_unknown(misc, marks):
        return misc
    return mark if misc == "_" else f"{misc}|{mark}"


def _without_feats(sentence: str, *, but: Collection[str]) -> str:
    """Masks FEATS; those of words whose every feature with its value is one of `but` stay."""

    def cells(row: list[str]) -> list[str]:
        if not set(row[FEATS].split("|")).issubset(but):
            row[9] = _marked(row[9], FEATS_UNKNOWN, "FeatsGuess=Yes")
        return row

    return edit(sentence, cells)


def agreement(sentences: Iterable[str], dev: Iterable[str], *, column: int = FEATS) -> float | None:
    """The share of the words of dev whose FEATS (or what else the column has) the sentences have, too, for
    this form and UPOS; of the words whose form and UPOS the sentences have. None if there are none. Lemmas
    ``_`` do not count."""
    found = defaultdict(set)
    for word, value in _labels(sentences, column):
        found[word].add(value)
    shared = [value in found[word] for word, value in _labels(dev, column) if word in found]
    return sum(shared) / len(shared) if shared else None


def _labels(sentences: Iterable[str], column: int = FEATS) -> Iterator[tuple[tuple[str, str], str]]:
    """Form in lower case and UPOS, and FEATS or another column, of the words that have all that for sure."""
    for row in _words(sentences):
        if not is_unknown(row[9], _UNKNOWN) and not (column == LEMMA and row[LEMMA] == "_" != row[1]):
            yield (row[1].lower(), row[UPOS]), row[column]


def _words(sentences: Iterable[str]) -> Iterator[list[str]]:
    """The rows of words, but for those of multiword tokens and empty nodes."""
    for sentence in sentences:
        for line in sentence.split("\n"):
            row = line.split("\t")
            if len(row) == 10 and row[0].isdecimal():
                yield row
