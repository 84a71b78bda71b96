"""Where blanks stand between tokens, learned from sentences of which it is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from copy import copy

STRENGTH = 1.0
"""How many pairs the next coarser estimate counts for."""
SURE = 0.8
"""How likely each blank of a sentence must be, or that there is none, for the sentence to be sure."""
FOLDS = 5
"""Parts of the sentences that are held out in turn."""
_QUOTES = frozenset("\"'„“”«»`") | {"''", "``"}

Sample = tuple[Sequence[str], Sequence[bool]]
"""A sentence's tokens, and whether a blank stands after each but the last."""
_Key = tuple[Hashable, ...]
_NONE = (0, 0)


class Blanks:
    """P(blank | left, right), of two tokens that are neighbours.

    Counts of the pair are smoothed by those of a token and its neighbour's kind, these by those of both
    kinds, these by those of each token by itself, and these by p_0 = 1: p_i = (blanks_i + STRENGTH p_(i-1)) /
    (pairs_i + STRENGTH), the mean of a posterior with a Dirichlet prior (MacKay and Peto 1995). A token's
    kind is its character next to the bound; of letters and digits, whether it is a letter, a capital or a
    digit.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        counts: dict[_Key, list[int]] = defaultdict(lambda: [0, 0])
        for tokens, blanks in samples:
            for keys, blank in zip(_keys(tokens), blanks, strict=True):
                for level in keys:
                    for key in level:
                        count = counts[key]
                        count[0] += blank
                        count[1] += 1
        self._counts = {key: (blanks, pairs) for key, (blanks, pairs) in counts.items()}
        self._less: dict[_Key, tuple[int, int]] = {}

    def without(self, part: Blanks) -> Blanks:
        """As if the samples of `part` had not been among those of this one."""
        found = copy(self)
        found._less = part._counts
        return found

    def __call__(self, tokens: Sequence[str]) -> list[float]:
        """The probability of a blank after each token but the last."""
        return [self._probability(levels) for levels in _keys(tokens)]

    def _probability(self, levels: Sequence[Sequence[_Key]]) -> float:
        p = 1.0
        for level in levels:
            blanks = pairs = 0
            for key in level:
                found, less = self._counts.get(key, _NONE), self._less.get(key, _NONE)
                blanks += found[0] - less[0]
                pairs += found[1] - less[1]
            p = (blanks + STRENGTH * p) / (pairs + STRENGTH)
        return p


def most_likely(probabilities: Sequence[float]) -> list[bool]:
    return [p >= 0.5 for p in probabilities]


def are_sure(probabilities: Sequence[float]) -> bool:
    """Whether it is likely enough of each whether there is a blank."""
    return all(max(p, 1 - p) >= SURE for p in probabilities)


def share_right(samples: Sequence[Sample]) -> float:
    """The share of blanks that are as they should be in sentences that are sure; each fifth of the samples is
    judged by the others. 0 without any."""
    right = total = 0
    everything = Blanks(samples)
    for fold in range(FOLDS):
        blanks = everything.without(Blanks(samples[fold::FOLDS]))
        for tokens, expected in samples[fold::FOLDS]:
            found = blanks(tokens)
            if are_sure(found):
                right += sum(got == want for got, want in zip(most_likely(found), expected, strict=True))
                total += len(expected)
    return right / max(total, 1)


def _keys(tokens: Sequence[str]) -> Iterator[list[list[_Key]]]:
    """For each pair of neighbours what it is counted as, from coarse to fine."""
    named = list(_named(tokens))
    kinds = [(_kind(token[0]), _kind(token[-1])) for token in tokens]
    for i in range(len(tokens) - 1):
        left, right = named[i], named[i + 1]
        left_kind, right_kind = kinds[i][1], kinds[i + 1][0]
        yield [
            [(0, left), (1, right)],
            [(2, left_kind, right_kind)],
            [(3, left, right_kind), (4, left_kind, right)],
            [(5, left, right)],
        ]


def _named(tokens: Sequence[str]) -> Iterator[Hashable]:
    """The tokens; of quotes also whether an even number of the same went before."""
    opened: set[str] = set()
    for token in tokens:
        if token in _QUOTES:
            yield token, token in opened
            opened ^= {token}
        else:
            yield token.lower()


def _kind(char: str) -> str:
    if char.isdigit():
        return "0"
    return ("A" if char.isupper() else "a") if char.isalpha() else char
