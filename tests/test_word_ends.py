"""Where words end within multiword tokens: by hand, and against all ways to cut."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.word_ends import NO_LETTERS, distance, plain, prefix_distances, word_ends

LETTERS = st.text("abc", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("form", "words", "parts"),
    [
        ("zum", ("zu", "dem"), "zu|m"),
        ("Zum", ("zu", "dem"), "Zu|m"),
        ("dárselo", ("dar", "se", "lo"), "dár|se|lo"),
        ("della", ("di", "la"), "del|la"),
        ("aux", ("à", "les"), "a|ux"),
        ("abych", ("aby", "bych"), "aby|ch"),
        ("kannst's", ("kannst", "es"), "kannst|'s"),
        ("בבית", ("ב", "ה_", "בית"), "ב|בית"),  # the article has no letter
        ("לו", ("ל_", "_הוא"), "ל|ו"),
        ("İstanbulda", ("İstanbul", "da"), "İstanbul|da"),  # in lower case longer by a letter
        ("hier", ("hier",), "hier"),
        ("x", ("a", "b", "x"), "x"),
    ],
)
def test_words_end_where_a_reader_would_cut(form: str, words: tuple[str, ...], parts: str) -> None:
    ends = (0, *word_ends(form, words), len(form))
    assert "|".join(form[start:end] for start, end in pairwise(ends)) == parts


@cache
def edits(a: str, b: str) -> int:
    """By the definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


@given(LETTERS, st.text("abc", max_size=6))
def test_distances_are_those_of_the_definition(text: str, word: str) -> None:
    assert prefix_distances(text, word) == [edits(text[:end], word) for end in range(len(text) + 1)]
    assert distance(text, word) == edits(text, word)


@given(LETTERS, st.lists(LETTERS, min_size=1, max_size=3).map(tuple))
def test_no_way_to_cut_costs_less(form: str, words: tuple[str, ...]) -> None:
    def cost(cuts: tuple[int, ...]) -> float:
        ends = (0, *cuts, len(form))
        parts = [form[start:end] for start, end in pairwise(ends)]
        pairs = zip(parts, words, strict=True)
        return sum(edits(part, word) + NO_LETTERS * (not part) for part, word in pairs)

    ways = list(combinations_with_replacement(range(len(form) + 1), len(words) - 1))
    least = min(map(cost, ways))
    inner = {tuple(sorted({*cuts} - {0, len(form)})) for cuts in ways if cost(cuts) == least}
    assert word_ends(form, words) in inner


@given(st.text(max_size=30))
def test_plain_text_is_as_long_as_the_text(text: str) -> None:
    assert len(plain(text)) == len(text)
