"""From forms and their lemmas to edit scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from ..runtime.lemma_scripts import KEEP, LOWER, TITLE, UPPER, WILDCARD, Script, lowered

__all__ = ["choose_scripts", "possible_scripts"]


def choose_scripts(words: Sequence[tuple[str, str, str]]) -> list[Script]:
    """Of each form, UPOS and lemma the script, of those that give the lemma, that most words of this UPOS
    have."""
    found = {(form, lemma): possible_scripts(form, lemma) for form, _, lemma in words}
    counts = Counter((upos, script) for form, upos, lemma in words for script in found[form, lemma])
    return [
        max(found[form, lemma], key=lambda script: (counts[upos, script], script))
        for form, upos, lemma in words
    ]


def possible_scripts(form: str, lemma: str) -> tuple[Script, ...]:
    """The scripts that give this lemma and are considered, at least one.

    What stays is what form and lemma begin with, or their longest common substring; the suffix after it is
    cut off whole, or characters of it that the lemma has are kept by wildcards."""
    low = lowered(form)
    scripts: dict[Script, None] = {}
    for case in LOWER + KEEP + TITLE + UPPER:
        if case == KEEP and form == low:
            continue
        text = form if case == KEEP else low
        goal = lemma
        if case == TITLE and lemma[:1] != lemma[:1].lower():
            goal = lowered(lemma[:1]) + lemma[1:]
        elif case == UPPER and lemma == lemma.upper():
            goal = lowered(lemma)
        elif case in (TITLE, UPPER):
            continue
        for start, at, size in _stems(text, goal):
            suffix, end = low[start + size :], goal[at + size :]
            for edited in ((suffix, end), _kept(suffix, end)):
                script = Script(case, low[:start], goal[:at], *edited)
                if script.matches(form) and script.apply(form) == lemma:
                    scripts[script] = None
    return tuple(scripts)


@lru_cache(maxsize=1 << 16)
def _stems(text: str, goal: str) -> tuple[tuple[int, int, int], ...]:
    """Where what both have in common begins in each, and its length: what they begin with, and the longest
    common
    substring."""
    size = next(
        (i for i, (a, b) in enumerate(zip(text, goal, strict=False)) if a != b), min(len(text), len(goal))
    )
    if 2 * size >= len(text):  # there is nothing longer
        return ((0, 0, size),)
    found = SequenceMatcher(None, text, goal, autojunk=False).find_longest_match()
    longest = (found.a, found.b, found.size)
    return ((0, 0, size), longest) if found.size > size else ((0, 0, size),)


@lru_cache(maxsize=1 << 16)
def _kept(suffix: str, end: str) -> tuple[str, str]:
    """The same with a wildcard for what both have, in the shortest edit without replacements."""
    cut, put = list(suffix), list(end)
    for block in SequenceMatcher(None, suffix, end, autojunk=False).get_matching_blocks():
        for i in range(block.size):
            cut[block.a + i] = put[block.b + i] = WILDCARD
    return "".join(cut), "".join(put)
