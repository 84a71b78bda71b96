"""Blanks put back, or taken away, where a treebank's text is its tokens with blanks between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

from .blanks import Blanks, are_sure, most_likely, share_right
from .segmented import Segmented

LEAST_RIGHT = 0.995
"""Blanks are put back only where this share of them is right in gold sentences held out."""
MOST_SPREAD = 0.05
"""More sentences than usual that have blanks all over, by their share, make text tokenized."""
MOST_MULTIWORD = 0.1
"""Multiword tokens a sentence in text that is known; with more, text without any is of no use."""
KNOWN = ("spaces", "text")

Found = Sequence[tuple[Segmented, str]]
"""Sentences, each with what `segmented` says of it."""


class Rejoiner:
    """What gold sentences tell of blanks."""

    def __init__(self, gold: Sequence[Segmented]) -> None:
        self._samples = [(sentence.forms, sentence.blanks) for sentence in gold]
        self._blanks = Blanks(self._samples)
        self._beside = Counter(pair for sentence in gold for pair in _pairs(sentence.forms))
        self._inside = Counter(
            pair for sentence in gold for words in sentence.words.values() for pair in _pairs(words)
        )

    @cached_property
    def right(self) -> float:
        """The share of blanks that is right in gold sentences held out, see `share_right`."""
        return share_right(self._samples)

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

    def is_unjoined(self, sentence: Segmented) -> bool:
        """Whether neighbours are rather words of a multiword token than tokens, as `de le` of French `du`."""
        return any(self._inside[pair] > self._beside[pair] for pair in _pairs(sentence.forms))


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
                kinds[i] = "unjoined" if lost else _fate(found[i][0], rejoiner)
    kept = [
        rejoiner.rejoined(sentence) if kind == "rejoined" else sentence
        for (sentence, _), kind in zip(found, kinds, strict=True)
        if kind in (*KNOWN, "rejoined")
    ]
    return kept, Counter(kinds)


def _fate(sentence: Segmented, rejoiner: Rejoiner) -> str:
    if rejoiner.is_unjoined(sentence):
        return "unjoined"
    return "rejoined" if rejoiner.is_sure(sentence) else "unsure"


def _pairs(forms: Sequence[str]) -> Iterator[tuple[str, str]]:
    return pairwise(form.lower() for form in forms)
