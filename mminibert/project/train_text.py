"""A treebank's training text, put together from what a mirror has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ..data.treebanks import Terms, meets
from ..runtime.languages import language_of
from .held_out import HeldOut, sentence_keys
from .mirror import Mirror, Splits, Text, hold_out
from .parts import Part, count_words, masked, without_doubtful, without_markup

SUPPLEMENTS = ("dev", "more", "rebuilt", "rebuilt2", "releases", "upos")
"""What may stand in for a train file, the best first: nine tenths of dev; gold labels of other copies and
releases, converted to the release's conventions, which a train file of the release gets, too; rebuilt text
(silver labels), in two folders; the train files of other releases; text with UPOS only."""
QUALITY = {"more": "converted ", "rebuilt": "silver ", "rebuilt2": "silver "}
"""Of supplements made to the release's conventions, which are trusted if there is nothing to compare with."""
ENOUGH = 20_000
"""Words with UPOS and FEATS; where the other parts have that many, the dev file stays whole."""


@dataclass
class TrainText:
    """The parts of a train file, and their sentences, as they come: a better one first."""

    mirror: Mirror
    ltcode: str
    terms: Terms = "any"
    parts: list[Part] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    @property
    def held_out(self) -> HeldOut:
        return self.mirror.held_out(language_of(self.ltcode))

    @property
    def known_words(self) -> int:
        """Words of which UPOS and FEATS are known, or fewer."""
        return sum(part.words - part.unknown_upos - part.unknown_feats for part in self.parts)

    def add_released(self, text: Text) -> None:
        """The release's own train file, as it is."""
        self._add("train", text, "gold", [set(sentence_keys(sentence)) - {""} for sentence in text[1]])

    def add_beside(self, source: str, text: Text, tenth: Text) -> None:
        """Gold sentences that a tenth was cut from for dev, but those that it has, too.

        They are a train file of the release, as it is else, or nine tenths of dev, which other dev and test
        sets may have.
        """
        kept = HeldOut()
        kept.add("tenth", tenth[1])
        others = [] if source == "train" else [self.held_out]
        self._add_checked(source, text, "gold", [kept, *others], but={f"{self.ltcode} dev"})

    def add(self, source: str, text: Text, splits: Splits) -> None:
        """A supplement, its FEATS compared with those of dev, or a file of a newer treebank."""
        name, sentences = text
        if not meets(self._row(name).get("licence", ""), self.terms):
            return
        if source == "newer":
            self._add_checked(source, text, "gold", [self.held_out])
            return
        dev = [] if splits.dev is None or splits.cut else splits.dev[1]
        train = [sentence for _, released in splits.train for sentence in released]
        agreement, sentences = None, without_markup(sentences)
        if source != "upos":
            sentences, agreement = masked(sentences, dev, train, trusted=source in QUALITY)
        sentences = without_doubtful(sentences, [*dev, *train])
        counts = count_words(sentences)
        labels = f"{QUALITY.get(source, '')}UPOS{', FEATS' * (counts.unknown_feats < counts.words)}"
        self._add_checked(source, (name, sentences), labels, [self.held_out], agreement=agreement)

    def add_supplements(self, sources: Iterable[str], splits: Splits) -> None:
        for source in sources:
            for text in self.mirror.supplement(source, self.ltcode):
                self.add(source, text, splits)

    def _add_checked(
        self,
        source: str,
        text: Text,
        labels: str,
        held_out: Sequence[HeldOut],
        *,
        but: Collection[str] = (),
        agreement: float | None = None,
    ) -> None:
        kept, keys, leaks, repeated = [], [], 0, 0
        for sentence in text[1]:
            found = set(sentence_keys(sentence)) - {""}
            if any(sets.has(found, but) for sets in held_out):
                leaks += 1
            elif not found.isdisjoint(self._taken):
                repeated += 1
            else:
                kept.append(sentence)
                keys.append(found)
        self._add(source, (text[0], kept), labels, keys, agreement, leaks, repeated)

    def _add(
        self,
        source: str,
        text: Text,
        labels: str,
        keys: Iterable[set[str]],
        agreement: float | None = None,
        held_out: int = 0,
        repeated: int = 0,
    ) -> None:
        name, sentences = text
        row, counts = self._row(name), count_words(sentences)
        self.parts.append(
            Part(
                source=source,
                file=name.rpartition("/")[2].rpartition(":")[2],
                labels=labels,
                sentences=len(sentences),
                words=counts.words,
                agreement=agreement,
                repository=row.get("repository", ""),
                licence=row.get("licence", ""),
                unknown_upos=counts.unknown_upos,
                unknown_feats=counts.unknown_feats,
                held_out=held_out,
                repeated=repeated,
            )
        )
        if self.sentences:  # a file may end without a blank line
            self.sentences[-1] = self.sentences[-1].rstrip("\r\n") + "\n\n"
        self.sentences += sentences
        self._taken.update(*keys)

    def _row(self, name: str) -> dict[str, str]:
        return self.mirror.manifest.get(name, {})


def train_text(
    mirror: Mirror, ltcode: str, splits: Splits, supplements: Collection[str], *, terms: Terms = "any"
) -> tuple[TrainText, Text | None]:
    """The training text of a treebank, empty if there is none, and its dev, less what is in the text."""
    text, dev = TrainText(mirror, ltcode, terms), splits.dev
    others = [source for source in SUPPLEMENTS[1:] if source in supplements]
    for file in splits.train:
        if splits.source == "newer":
            text.add("newer", file, splits)
        elif splits.cut and dev is not None:
            text.add_beside("train", file, dev)
        else:
            text.add_released(file)
    if splits.train:
        text.add_supplements({"more"}.intersection(others), splits)
        return text, dev
    text.add_supplements(others, splits)
    if "dev" in supplements and dev is not None and text.known_words < ENOUGH:
        (kept,), tenth = hold_out(ltcode, [dev])
        text = TrainText(mirror, ltcode, terms)
        text.add_beside("dev", kept, tenth)
        text.add_supplements(others, splits)
        return text, tenth
    return text, dev
