"""What multiword tokens expand to: lexicon, edits, marks, case, and the text that keeps them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.expansions import WHOLE, Edit, Entry, Expansions, fold

GERMAN = Expansions({"": {"zum": Entry("always", ("zu", "dem")), "im": Entry("always", ("in", "dem"))}})
FRENCH = Expansions(
    {
        "": {
            "des": Entry("mostly", ("de", "les")),
            "du": Entry("always", ("de", "le")),
            "sur": Entry("rarely", ("su", "r")),
        },
        "fr_x": {"du": Entry("never", ()), "des": Entry("always", ("dé", "les"))},
    },
    without=frozenset({"fr_spoken"}),
)
SPANISH = Expansions(
    {"": {"dándole": Entry("always", ("dando", "le"))}},
    fronts={">-": Edit(1, ("",))},
    backs={"<rsá": Edit(2, ("ar",)), "=esr": Edit(2, ("", "se"))},
)
HEBREW = Expansions(
    fronts={"<ב|": Edit(WHOLE, ("ב", "ה_", ""))},
    backs={">ו|": Edit(WHOLE, ("_של_", "_הוא")), "<תו": Edit(1, ("ה_",))},
)
ALL = (GERMAN, FRENCH, SPANISH, HEBREW, Expansions(marks="՞՛՜"), Expansions())


def test_a_known_form_has_the_words_of_the_lexicon_in_its_own_case() -> None:
    assert GERMAN.expand("zum", (), 0.0) == ("zu", "dem")
    assert GERMAN.expand("Zum", (), 0.0) == ("Zu", "dem")
    assert GERMAN.expand("ZUM", (), 0.0) == ("ZU", "DEM")
    assert GERMAN.expand("Haus", (), 0.5) is None


def test_the_probability_decides_for_forms_that_are_both_and_the_majority_if_it_says_nothing() -> None:
    assert [FRENCH.expand("des", (), p) is not None for p in (0.49, 0.5, 0.51)] == [False, True, True]
    assert [FRENCH.expand("sur", (), p) is not None for p in (0.49, 0.5, 0.51)] == [False, False, True]
    assert FRENCH.expand("du", (), 0.0) == ("de", "le")


def test_a_convention_has_its_own_words_or_none() -> None:
    assert FRENCH.expand("Des", (), 1.0, "fr_gsd") == ("De", "les")
    assert FRENCH.expand("Des", (), 1.0, "fr_x") == ("Dé", "les")
    assert FRENCH.expand("du", (1,), 1.0, "fr_x") is None
    assert FRENCH.expand("des", (1,), 1.0, "fr_spoken") is None


def test_an_unknown_form_is_cut_at_its_splits_and_its_pieces_are_edited() -> None:
    assert SPANISH.expand("dárselo", (3, 5), 0.9) == ("dar", "se", "lo")
    assert SPANISH.expand("Dárselo", (3, 5), 0.9) == ("Dar", "se", "lo")
    assert SPANISH.expand("DÁRSELO", (3, 5), 0.9) == ("DAR", "SE", "LO")
    assert SPANISH.expand("dárselo", (3, 5), 0.4) is None
    assert SPANISH.expand("vi-o", (2,), 0.9) == ("vi", "o")
    assert SPANISH.expand("McDonaldlo", (8,), 0.9) == ("McDonald", "lo")


def test_without_splits_the_affix_decides() -> None:
    assert SPANISH.expand("irse", (), 0.5) == ("ir", "se")
    assert SPANISH.expand("Irse", (), 0.5) == ("Ir", "se")
    assert SPANISH.expand("clase", (), 1.0) is None


def test_both_ends_of_a_piece_never_take_the_same_letter() -> None:
    quotes = Expansions(fronts={'="': Edit(1, ('"', ""))}, backs={'="': Edit(1, ("", '"'))})
    assert quotes.expand('"rozdíl"', (), 0.9) == ('"', "rozdíl", '"')
    assert quotes.expand('"', (), 0.9) is None


def test_words_that_no_letter_stands_for() -> None:
    assert HEBREW.expand("בבית", (1,), 0.9) == ("ב", "ה_", "בית")
    assert HEBREW.expand("העמדתו", (5,), 0.9) == ("העמדה_", "_של_", "_הוא")


def test_marks_inside_of_a_form_are_words_after_it() -> None:
    armenian = Expansions(marks="՞՛՜")
    assert armenian.expand("Ի՞նչ", (), 0.9) == ("Ինչ", "՞")
    assert armenian.expand("՞", (), 0.9) is None


def test_positions_stay_where_lower_case_is_longer() -> None:
    assert "İ".lower() != fold("İ") == "İ"
    assert Expansions().expand("İstanbul'daki", (11,), 0.9) == ("İstanbul'da", "ki")
    known = Expansions({"": {fold("İŞTEYDİ"): Entry("always", (fold("İŞTE"), fold("YDİ")))}})
    assert known.expand("İŞTEYDİ", (), 0.0) == ("İŞTE", "YDİ")


forms = st.one_of(st.text(max_size=12), st.text("deszumDÁRáro-İßบב՞ ִ", max_size=8))


@given(
    forms,
    st.lists(st.integers(-3, 14), max_size=4),
    st.floats(0, 1),
    st.sampled_from(["", "fr_x", "zz", None]),
)
def test_any_form_gives_two_words_or_more_or_none(
    form: str, splits: list[int], p: float, convention: str | None
) -> None:
    for expansions in ALL:
        words = expansions.expand(form, splits, p, convention)
        assert words is None or (len(words) > 1 and all(words))


@given(forms, st.lists(st.integers(-3, 14), max_size=4))
def test_where_nothing_is_rewritten_the_words_are_the_form(form: str, splits: list[int]) -> None:
    words = Expansions().expand(form, splits, 1.0)
    inside = {at for at in splits if 0 < at < len(form)}
    if not inside:
        assert words is None
    else:
        assert words is not None
        assert "".join(words) == form
        assert {len("".join(words[:k])) for k in range(1, len(words))} == inside


@pytest.mark.parametrize("expansions", ALL)
def test_text_keeps_everything(expansions: Expansions) -> None:
    assert Expansions.from_text(expansions.to_text()) == expansions


def test_a_form_that_is_its_words_is_not_written_twice() -> None:
    text = Expansions({"": {"hazlo": Entry("always", ("haz", "lo"))}}).to_text()
    assert "\thaz\tlo" in text
    assert "hazlo" not in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("du\tde\tle", "under no heading"),
        ("nonsense", "neither a heading nor fields"),
        ("[sometimes fr]", "not known"),
        ("[always ]\ndu\tde\t", "line 5 .* empty word"),
        ("[back ]\n<e\tx\ty", "line 5 .* invalid literal"),
    ],
)
def test_damaged_text_is_refused_with_its_line(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expansions.from_text("[marks ]\n[without ]\n[marks ]\n" + line)
