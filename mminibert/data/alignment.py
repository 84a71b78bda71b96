"""Tokens found in a text whose blanks may stand elsewhere, and multiword tokens by their words alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .word_ends import bare, distance, plain

MOST_WORDS = 4
"""Of a multiword token that is inferred."""
LONGEST = 40
"""Characters of a multiword token that is inferred."""
WIDTH = 16
"""Places in the text that are followed up for a token, the cheapest ones: so the time is linear."""

Token = tuple[str, tuple[str, ...]]
"""A token's form and, of a multiword token, its words; else none."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A token from `start` to `end` (exclusive) of a text; `words` of a multiword token, else none."""

    start: int
    end: int
    words: tuple[str, ...]


def align(text: str, tokens: Sequence[Token], *, infer: bool) -> list[Placed] | None:
    """The tokens in the text, all of it but blanks; None if they are not what it says.

    Blanks between tokens are free; within one they stand only where the token has some. Digits count as
    alike, as copies of some treebanks have their numbers written backwards. infer: two to four tokens may be
    the words of one multiword token that the text has in their place (`au` for `à` and `le`), with an edit
    distance of at most 3 or half their length; of several ways the one with the fewest edits is taken. The
    time is linear in the number of tokens.
    """
    chars = _Text(text)
    found = _exact(chars, tokens)
    return _cheapest(chars, tokens) if found is None and infer else found


class _Text:
    """A text without its blanks; `origin` says where its characters were."""

    def __init__(self, text: str) -> None:
        self.origin = [i for i, char in enumerate(text) if not char.isspace()]
        self.chars = _alike("".join(text.split()))

    def placed(self, start: int, end: int, words: tuple[str, ...]) -> Placed:
        return Placed(self.origin[start], self.origin[end - 1] + 1, words)

    def end_of(self, form: str, start: int) -> int | None:
        """Where the token ends if it stands at `start`."""
        bare = "".join(form.split())
        end = start + len(bare)
        if not bare or not self.chars.startswith(_alike(bare), start):
            return None
        return end if len(bare) < len(form) or self._unbroken(start, end) else None

    def ends(self, start: int) -> Iterator[int]:
        """Where a multiword token from `start` on may end: before a blank or next to what is no letter."""
        for end in range(start + 1, min(start + LONGEST, len(self.chars)) + 1):
            last = self.ends_at(end)
            if last or not (self.chars[end].isalnum() and self.chars[end - 1].isalnum()):
                yield end
            if last:
                return

    def ends_at(self, end: int) -> bool:
        """Whether a blank follows there, or nothing."""
        return end == len(self.chars) or not self._unbroken(end - 1, end + 1)

    def _unbroken(self, start: int, end: int) -> bool:
        return self.origin[end - 1] - self.origin[start] == end - 1 - start


def _alike(text: str) -> str:
    return re.sub(r"\d", "0", text)


def _exact(text: _Text, tokens: Sequence[Token]) -> list[Placed] | None:
    found, at = [], 0
    for form, words in tokens:
        end = text.end_of(form, at)
        if end is None:
            return None
        found.append(text.placed(at, end, words))
        at = end
    return found if at == len(text.chars) else None


def _cheapest(text: _Text, tokens: Sequence[Token]) -> list[Placed] | None:
    """states[i]: for each place that the tokens before i may reach the least edits, and the step there: the
    tokens before it, its place and the words of an inferred token."""
    states: list[dict[int, tuple[int, int, int, tuple[str, ...]]]] = [{} for _ in range(len(tokens) + 1)]
    states[0][0] = (0, 0, 0, ())
    last = 0
    for i in range(len(tokens)):
        if i > last:
            return None
        for cost, at in sorted((state[0], at) for at, state in states[i].items())[:WIDTH]:
            for j, end, edits, words in _steps(text, tokens, i, at):
                known = states[j].get(end)
                # Of equals the earliest multiword token: Czech `aby se` of `aby`, `by`, `se` is `aby` of two.
                if known is None or cost + edits <= known[0]:
                    states[j][end] = (cost + edits, i, at, words)
                    last = max(last, j)
    i, end = len(tokens), len(text.chars)
    if end not in states[i]:
        return None
    found = []
    while i:
        _, i, start, words = states[i][end]
        found.append(text.placed(start, end, words))
        end = start
    return found[::-1]


def _steps(
    text: _Text, tokens: Sequence[Token], i: int, at: int
) -> Iterator[tuple[int, int, int, tuple[str, ...]]]:
    """What may stand at `at`: the tokens up to which it is, its end, its edits and its words."""
    form, words = tokens[i]
    end = text.end_of(form, at)
    if end is not None:
        yield i + 1, end, 0, words
    forms: tuple[str, ...] = ()
    for j in range(i, min(i + MOST_WORDS, len(tokens))):
        form, words = tokens[j]
        if words or not (form[0].isalpha() or form[0] in "_-'’"):
            return
        forms = (*forms, form)
        if len(forms) > 1:
            yield from ((j + 1, end, edits, forms) for end, edits in _inferred(text, forms, at))


def _inferred(text: _Text, words: Sequence[str], at: int) -> Iterator[tuple[int, int]]:
    """Ends of a multiword token of these words at `at`, and its edits."""
    letters = "".join(map(bare, words))
    most = max(3, len(letters) // 2)
    for end in text.ends(at):
        piece = plain(text.chars[at:end])
        begins, ends = piece[0] == letters[0], piece[-1] == letters[-1]
        # What shares neither its first nor its last letter with the words is none of theirs; most are not.
        fits = (begins or ends) and (begins or piece[0].isalnum()) and (ends or piece[-1].isalnum())
        if fits and abs(len(piece) - len(letters)) <= most and any(map(str.isalpha, piece)):
            edits = distance(piece, letters)
            if edits <= most:
                yield end, 1 + edits
