"""Edit scripts: what they give, and that those found for a lemma give it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.lemma_scripts import WILDCARD, Script, lowered, shape
from mminibert.systems.lemma_scripts import choose_scripts, possible_scripts

TEXT = st.text(
    st.sampled_from("abcABCäÄßİσΣç1-+中ж") | st.characters(exclude_categories=["Cs", "Cn"]), min_size=1
)


@pytest.mark.parametrize(
    ("script", "form", "lemma"),
    [
        (Script("l", "", "", "ies", "y"), "Ladies", "lady"),
        (Script("k", "", "", "s", ""), "McDonalds", "McDonald"),
        (Script("u", "", "", "s", ""), "HUNDS", "Hund"),
        (Script("U", "", "", "", ""), "usa", "USA"),
        (Script("l", "", "", "were", "be"), "Were", "be"),
        (Script("l", "ge", "", "en", "en"), "gegangen", "gangen"),
        (Script("l", "", "", f"{WILDCARD}{WILDCARD}", f"a{WILDCARD}i{WILDCARD}"), "ktb", "katib"),
    ],
)
def test_a_script_gives_the_lemma(script: Script, form: str, lemma: str) -> None:
    assert script.apply(form) == lemma


def test_a_script_says_where_it_applies() -> None:
    script = Script("l", "ge", "", f"e{WILDCARD}", "")
    assert [script.matches(form) for form in ("geben", "GEBEN", "gaben", "geban", "gen", "geeb")] == [
        *(True, True, False, False, False, True)
    ]


@given(TEXT, TEXT)
def test_all_scripts_found_for_a_lemma_give_it(form: str, lemma: str) -> None:
    found = possible_scripts(form, lemma)
    assert found
    assert {script.apply(form) for script in found} == {lemma}
    assert all(script.matches(form) for script in found)


def test_of_several_scripts_the_most_frequent_is_chosen() -> None:
    words = [("dogs", "NOUN", "dog"), ("cats", "NOUN", "cat"), ("ss", "NOUN", "s")]
    assert set(choose_scripts(words)) == {Script("l", "", "", "s", "")}
    assert choose_scripts([("abc", "NOUN", "xyz")]) == [Script("l", "", "", "abc", "xyz")]


@given(st.text())
def test_lower_case_keeps_the_length(text: str) -> None:
    assert len(lowered(text)) == len(text)


def test_shapes() -> None:
    assert [shape(text) for text in ("abc", "Abc", "ABC", "aBc", "A", "123", "", "ΟΔΟΣ", "İ")] == [
        *(0, 1, 2, 3, 1, 0, 0, 2, 0)
    ]
