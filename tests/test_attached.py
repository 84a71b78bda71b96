"""Text that is tokens with blanks between, beside the same as it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.attached import as_written
from mminibert.data.segmented import Segmented

FORMS = st.lists(st.sampled_from(["koira", "a", ".", ",", "(", ")", "”", "-", "3,5"]), min_size=1, max_size=9)


def spaced(*forms: str) -> Segmented:
    tokens, at = [], 0
    for form in forms:
        tokens.append((at, at + len(form)))
        at += len(form) + 1
    return Segmented(" ".join(forms), tuple(tokens))


@pytest.mark.parametrize(
    ("forms", "text"),
    [
        ("Koira , joka nukkuu .", "Koira, joka nukkuu."),
        ("( Niin ! )", "(Niin!)"),
        ("« Mitä ? » kysyi hän - taas : 3,5 …", "«Mitä?» kysyi hän - taas: 3,5…"),
        ('" Ei " , sanoi', '" Ei ", sanoi'),  # which side such a mark belongs to is not said
    ],
)
def test_stops_and_closing_marks_are_attached(forms: str, text: str) -> None:
    own, written = as_written([spaced(*forms.split())])
    assert own.text == forms and written.text == text
    assert written.forms == own.forms


def test_words_of_multiword_tokens_stay_theirs() -> None:
    own = Segmented("ettei , niin", ((0, 5), (6, 7), (8, 12)), {0: ("että", "ei")})
    assert as_written([own]) == [
        own,
        Segmented("ettei, niin", ((0, 5), (5, 6), (7, 11)), {0: ("että", "ei")}),
    ]


def test_text_that_is_written_so_stays_as_it_is() -> None:
    natural = Segmented("Niin.", ((0, 4), (4, 5)))
    many = [natural, *[spaced("Niin", ".")] * 8]
    assert as_written(many) == many
    few = [natural, *[spaced("Niin", ".")] * 9]
    assert len(as_written(few)) == 2 * len(few)
    assert as_written([spaced("a", "b")]) == [spaced("a", "b")] and as_written([]) == []


@given(st.lists(FORMS, max_size=5))
def test_nothing_but_blanks_changes(sentences: list[list[str]]) -> None:
    own = [spaced(*forms) for forms in sentences]
    found = as_written(own)
    assert found[: len(own)] == own
    for one, other in zip(own, found[len(own) :], strict=False):
        assert other.forms == one.forms and other.text.replace(" ", "") == one.text.replace(" ", "")
