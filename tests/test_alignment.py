"""Tokens found in text: at random blanks, with multiword tokens whose ranges are lost; or refused, fast."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.alignment import Token, align

FORM = st.text("abZ9.,'-ü語", min_size=1, max_size=5)
PAIRS = st.lists(st.tuples(FORM, st.sampled_from(["", " ", "  "])), min_size=1, max_size=12)


def shown(text: str, tokens: list[Token], *, infer: bool = True) -> list[tuple[str, tuple[str, ...]]] | None:
    placed = align(text, tokens, infer=infer)
    return placed if placed is None else [(text[p.start : p.end], p.words) for p in placed]


def plain(*forms: str) -> list[Token]:
    return [(form, ()) for form in forms]


@given(PAIRS, st.booleans())
def test_tokens_are_found_wherever_blanks_stand(pairs: list[tuple[str, str]], infer: bool) -> None:
    text, bounds = "", []
    for form, blank in pairs:
        bounds.append((len(text), len(text) + len(form)))
        text += form + blank
    placed = align(text, plain(*(form for form, _ in pairs)), infer=infer)
    assert placed is not None
    assert [(token.start, token.end) for token in placed] == bounds


@pytest.mark.parametrize(
    ("text", "tokens", "expected"),
    [
        ("Je vais au marché.", "Je vais à le marché .", "Je vais au{à le} marché ."),
        ("Zum Haus", "Zu dem Haus", "Zum{Zu dem} Haus"),
        ("quiero dárselo, hoy", "quiero dar se lo , hoy", "quiero dárselo{dar se lo} , hoy"),
        ("aby se smál", "aby by se smál", "aby{aby by} se smál"),
        ("dell'acqua", "di l' acqua", "dell'{di l'} acqua"),
        ("del.", "de el .", "del{de el} ."),
        ("בו", "ב_ _הוא", "בו{ב_ _הוא}"),
        ("a el al", "a el a el", "a el al{a el}"),
    ],
)
def test_multiword_tokens_are_inferred(text: str, tokens: str, expected: str) -> None:
    found = shown(text, plain(*tokens.split()))
    assert found is not None
    assert " ".join(form + "{" + " ".join(words) + "}" if words else form for form, words in found) == (
        expected
    )


def test_nothing_is_inferred_unless_asked() -> None:
    assert shown("Zum Haus", plain("Zu", "dem", "Haus"), infer=False) is None


def test_known_multiword_tokens_keep_their_words() -> None:
    tokens: list[Token] = [("vom", ("von", "dem")), ("Baum", ())]
    assert shown("vomBaum", tokens) == tokens


def test_a_token_is_broken_by_blanks_only_where_it_has_some() -> None:
    assert shown("Hà\u00a0 Nội", plain("Hà Nội")) == [("Hà\u00a0 Nội", ())]
    assert shown("Ha Noi", plain("HaNoi"), infer=False) is None


def test_digits_count_as_alike() -> None:
    assert shown("ב0991, 15", plain("ב1990", ",", "51")) == [("ב0991", ()), (",", ()), ("15", ())]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("eins zwei drei", "eins zwei"),
        ("eins", "eins zwei drei"),
        ("eins zwei", "eins vier"),
        ("", "eins"),
        ("(del", "de el"),
    ],
)
def test_text_that_says_something_else_is_refused(text: str, tokens: str) -> None:
    assert shown(text, plain(*tokens.split())) is None


def test_long_text_that_does_not_fit_is_refused_fast() -> None:
    """With these words nearly every place may be that of a multiword token."""
    words = ["aa", "ab", "ba", "a"] * 1250
    started = time.process_time()
    assert align("".join(words) + "!", plain(*words), infer=True) is None
    assert align(" ".join(["aab", "aba", "ab"] * 1250) + " x", plain(*words), infer=True) is None
    assert align(" ".join(words) + " x", plain(*words), infer=True) is None
    assert time.process_time() - started < 20
