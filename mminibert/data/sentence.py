"""A sentence as CoNLL-U has it, and the way back to CoNLL-U. The format:
https://universaldependencies.org/format.html."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# fmt: off
UPOS_TAGS = frozenset({
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT",
    "SCONJ", "SYM", "VERB", "X",
})
# fmt: on
UPOS_UNKNOWN = frozenset({"Upos=Unknown", "UposGuess=Yes"})
FEATS_UNKNOWN = frozenset({"Feats=Unknown", "FeatsGuess=Yes"})
"""Marks in MISC of words whose UPOS or FEATS are missing or a guess, neither trained on nor scored."""
_PARAGRAPH = re.compile(r"#\s*new(par|doc)\b")


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


def _space_after(misc: str) -> bool:
    return misc == "_" or "SpaceAfter=No" not in misc.split("|")


def row(id: str, form: str, *, upos: str = "_", feats: str = "_", misc: str = "_") -> str:
    return f"{id}\t{form}\t_\t{upos}\t_\t{feats}\t_\t_\t_\t{misc}"
