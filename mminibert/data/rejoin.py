"""Blanks put back, or taken away, where a treebank's text is its tokens with blanks between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise

from .blanks import FOLDS, Blanks, are_sure, most_likely, share_right
from .segmented import Segmented

LEAST_RIGHT = 0.995
"""Blanks are put back only where this share of them is right in gold sentences held out."""
MOST_SPREAD = 0.05
"""More sentences than usual that have blanks all over, by their share, make text tokenized."""
MOST_MULTIWORD = 0.1
"""Multiword tokens a sentence in text that is known; with more, text without any has words in their place."""
LEAST_CAUGHT = 0.9
"""Of the sentences with multiword tokens so many must be known by the words in their place, for the others of
such text to be kept."""
KNOWN = ("spaces", "text")

Found = Sequence[tuple[Segmented, str]]
"""Sentences, each with what `segmented` says of it."""


class Joins:
    """What gold sentences tell of words and neighbours: how often they are tokens, or of multiword ones."""

    def __init__(self, gold: Sequence[Segmented]) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._words: Counter[str] = Counter()
        for sentence in gold:
            forms = _lower(sentence.forms)
            self._pairs.subtract(pairwise(forms))
            self._words.subtract(form for i, form in enumerate(forms) if i not in sentence.words)
            for words in map(_lower, sentence.words.values()):
                self._pairs.update(pairwise(words))
                self._words.update(words)

    def has_pair(self, forms: Sequence[str]) -> bool:
        """Whether neighbours are rather words of a multiword token than tokens, as `de le` of French `du`."""
        return any(self._pairs[pair] > 0 for pair in pairwise(_lower(forms)))

    def has_word(self, forms: Sequence[str]) -> bool:
        """Whether a word is rather one of a multiword token than a token."""
        return any(self._words[word] > 0 for word in _lower(forms))


class Rejoiner:
    """What gold sentences tell of blanks, and of the words of multiword tokens."""

    def __init__(self, gold: Sequence[Segmented]) -> None:
        self._gold = gold
        self._samples = [(sentence.forms, sentence.blanks) for sentence in gold]
        self._blanks = Blanks(self._samples)
        self._joins = Joins(gold)

    @cached_property
    def right(self) -> float:
        """The share of blanks that is right in gold sentences held out, see `share_right`."""
        return share_right(self._samples)

    @cached_property
    def caught(self) -> float:
        """The share of gold sentences held out with multiword tokens that are known by the words in their
        place; 0 without any."""
        caught = total = 0
        for fold in range(FOLDS):
            joins = Joins([sentence for i, sentence in enumerate(self._gold) if i % FOLDS != fold])
            tested = [sentence.word_forms for sentence in self._gold[fold::FOLDS] if sentence.words]
            caught += sum(joins.has_pair(forms) or joins.has_word(forms) for forms in tested)
            total += len(tested)
        return caught / max(total, 1)

    def rejoined(self, sentence: Segmented) -> Segmented:
        return sentence.with_blanks(most_likely(self._blanks(sentence.forms)))

    def is_sure(self, sentence: Segmented) -> bool:
        return are_sure(self._blanks(sentence.forms))

    def is_spread(self, sentence: Segmented) -> bool:
        """Whether it has blanks between all tokens, and gold sentences have none between some of them."""
        return all(sentence.blanks) and not all(most_likely(self._blanks(sentence.forms)))

    def share_spread(self, found: Found) -> float:
        """Of the sentences that have no blank between some tokens, or would have none by the gold ones."""
        said = [sentence for sentence, how in found if how != "unsaid"]
        spread = sum(map(self.is_spread, said))
        return spread / max(spread + sum(not all(sentence.blanks) for sentence in said), 1)

    def is_unjoined(self, sentence: Segmented, *, lost: bool) -> bool:
        """Whether words stand in the place of a multiword token, or may do so. lost: whether they do wherever
        there should be one, so that a single word tells of it, too."""
        if lost and (self.caught < LEAST_CAUGHT or self._joins.has_word(sentence.forms)):
            return True
        return self._joins.has_pair(sentence.forms)


def rejoin(
    found: Found, rejoiner: Rejoiner, *, usual: float, put_back: bool
) -> tuple[list[Segmented], Counter[str]]:
    """The sentences whose text is known, and how many there are of each kind.

    Those of which nothing is said, and in tokenized text those with blanks all over, are rejoined if
    `put_back` says so and the blanks are right often enough, and left out otherwise. usual: the share of
    sentences with blanks all over in text as it is written (`Rejoiner.share_spread`). Kinds: "spaces",
    "text", "rejoined"; left out "unsaid", "tokenized", "unjoined", "unsure".
    """
    tokenized = rejoiner.share_spread(found) > usual + MOST_SPREAD
    kinds = [
        "tokenized" if how != "unsaid" and tokenized and rejoiner.is_spread(sentence) else how
        for sentence, how in found
    ]
    if put_back and rejoiner.right >= LEAST_RIGHT:
        known = [sentence for (sentence, _), kind in zip(found, kinds, strict=True) if kind in KNOWN]
        multiword = sum(len(sentence.words) for sentence in known) > MOST_MULTIWORD * len(known)
        for kind in ("unsaid", "tokenized"):
            places = [i for i, other in enumerate(kinds) if other == kind]
            lost = multiword and not any(found[i][0].words for i in places)
            for i in places:
                kinds[i] = _fate(found[i][0], rejoiner, lost=lost)
    kept = [
        rejoiner.rejoined(sentence) if kind == "rejoined" else sentence
        for (sentence, _), kind in zip(found, kinds, strict=True)
        if kind in (*KNOWN, "rejoined")
    ]
    return kept, Counter(kinds)


def _fate(sentence: Segmented, rejoiner: Rejoiner, *, lost: bool) -> str:
    if rejoiner.is_unjoined(sentence, lost=lost):
        return "unjoined"
    return "rejoined" if rejoiner.is_sure(sentence) else "unsure"


def _lower(forms: Iterable[str]) -> list[str]:
    return [form.lower() for form in forms]
