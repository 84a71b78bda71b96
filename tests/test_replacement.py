"""Words of sentences in whose place others are put: which, how many, and that the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.replacement import Replacement, is_written

words = st.text(alphabet="abAB1,\u0301\u093f", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        *((word, True) for word in ("Haus", "\u0939\u093f\u0928\u094d\u0926\u0940", "e\u0301", "\u4e2d")),
        *((word, False) for word in ("x2", "-", "don't", "", "\u0661")),
    ],
)
def test_written_words_have_letters_and_marks_alone(word: str, written: bool) -> None:
    assert is_written(word) is written


def test_a_word_gives_way_to_those_that_end_alike() -> None:
    forms = ["singing", "walking", "Walking", "ring", "sung", "oxen", "eaten", "2walking", "to", "so", "at"]
    replace = Replacement(forms)
    random = np.random.default_rng(0)

    def seen(word: str) -> set[str]:
        return {replace(["first", word], 1.0, random)[1] for _ in range(50)}

    assert seen("talking") == {"singing", "walking"}  # three letters, of words with six or more
    assert seen("Talking") == {"Walking"}
    assert seen("king") == {"ring", "sung"}  # half of four letters
    assert seen("do") == {"to", "so"}
    assert seen("unlike") == {"unlike"}
    assert seen("8") == {"8"}


@given(st.lists(words, max_size=12), st.lists(words, max_size=12), st.integers(0, 2**31))
def test_length_first_word_and_case_stay(forms: list[str], sentence: list[str], seed: int) -> None:
    replace = Replacement(forms)
    found = replace(sentence, 0.7, np.random.default_rng(seed))
    assert len(found) == len(sentence)
    assert found[:1] == sentence[:1]
    for old, new in zip(sentence, found, strict=True):
        assert old == new or (new in forms and is_written(new) and old[0].isupper() == new[0].isupper())
    assert replace(sentence, 0.7, np.random.default_rng(seed)) == found
    assert replace(sentence, 0.0, np.random.default_rng(seed)) == sentence


def test_the_share_is_kept() -> None:
    sentence = ["x", *["bad", "mad"] * 5000]
    found = Replacement(["mad", "bad", "sad", "lad"])(sentence, 0.2, np.random.default_rng(1))
    changed = np.mean([old != new for old, new in zip(sentence, found, strict=True)])
    assert changed == pytest.approx(0.2 * 3 / 4, abs=0.015)  # a form may give way to itself
