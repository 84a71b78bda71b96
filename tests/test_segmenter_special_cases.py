"""Strings that a user says the tokens of."""

from __future__ import annotations

import pytest
import segmenters
import spacy
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.special_cases import SpecialCases

VOCAB = spacy.blank("xx").vocab


def plain() -> Segmenter:
    return segmenters.segmenter(VOCAB, segmenters.plain_model())


def special(made: Segmenter, tokens: dict[str, list[str]]) -> Segmenter:
    for string, parts in tokens.items():
        made.add_special_case(string, parts)
    return made


def forms(made: Segmenter, text: str) -> list[str]:
    doc = made(text)
    assert doc.text == text
    return [token.text for token in doc]


def test_special_cases() -> None:
    made = special(plain(), {"casa": ["ca", "sa"], "casa del sol": ["casa del sol"]})
    assert forms(made, "la casa.") == ["la", "ca", "sa", "."]
    assert forms(made, "casa") == ["ca", "sa"]
    assert forms(made, "casas acasa") == ["casas", "acasa"]
    assert forms(made, "(casa)casa") == ["(", "ca", "sa", ")", "ca", "sa"]
    assert forms(made, "la casa del sol.") == ["la", "casa del sol", "."]
    assert forms(made, "la  casa\ncasa del") == ["la", " ", "ca", "sa", "\n", "ca", "sa", "del"]
    assert (
        special(segmenters.segmenter(VOCAB, language="es"), {"del": ["d", "el"]}).explain("del")[0].words
        == ()
    )


def test_special_cases_can_be_added_at_any_time() -> None:
    made = special(plain(), {"casa": ["ca", "sa"]})
    assert forms(made, "casa sol") == ["ca", "sa", "sol"]
    made.add_special_case("sol", ["s", "ol"])
    made.add_special_case("casa", ["c", "asa"])
    assert forms(made, "casa sol") == ["c", "asa", "s", "ol"]


def test_special_cases_and_sentences() -> None:
    made = special(segmenters.segmenter(VOCAB, language="es"), {"sol. Juan": ["sol. Juan"], ":-)": [":-)"]})
    doc = made("come la casa. Juan come el sol. Juan come :-)")
    assert [token.text for token in doc if token.is_sent_start] == ["come", "Juan"]
    assert "sol. Juan" in [token.text for token in doc]
    assert forms(made, "perro:-).") == ["perro", ":-)", "."]


def test_special_cases_in_scripts_without_blanks() -> None:
    made = special(segmenters.segmenter(VOCAB, language="zh"), {"北京天": ["北京天"], "X": ["X"]})
    assert forms(made, "我爱北京天气")[2:3] == ["北京天"]
    assert "X" in forms(made, "我X爱")


def test_special_cases_may_touch_and_share_a_token() -> None:
    made = special(plain(), {"-": ["-"], "+-+": ["+", "-+"]})
    assert forms(made, "casa--+-+casa") == ["casa", "-", "-", "+", "-+", "casa"]
    assert forms(special(segmenters.segmenter(VOCAB, language="vi"), {"Nội": ["Nội"]}), "Hà Nội có") == [
        "Hà",
        "Nội",
        "có",
    ]


@pytest.mark.parametrize(
    ("string", "tokens"),
    [
        ("", []),
        ("", [""]),
        ("ab", ["a"]),
        ("ab", ["a", "", "b"]),
        ("ab", ["a", "c"]),
        ("a b", ["a", "b"]),
        ("a b", ["a ", "b"]),
        ("a\nb", ["a\nb"]),
    ],
)
def test_special_cases_that_are_refused(string: str, tokens: list[str]) -> None:
    made = special(plain(), {})
    before = made.to_bytes()
    with pytest.raises(
        ValueError, match=r"got the tokens .*, expected ones that make it up one after the other"
    ):
        made.add_special_case(string, tokens)
    assert made.to_bytes() == before


STRINGS = st.text("ab-. 我", min_size=1, max_size=4).filter(lambda string: string == string.strip())


@given(st.lists(STRINGS, max_size=4), st.text("ab-. 我\n", max_size=30), st.data())
def test_special_cases_keep_the_text(strings: list[str], text: str, data: st.DataObject) -> None:
    cases = {}
    for string in strings:
        bounds = [
            i
            for i in range(1, len(string))
            if not string[i - 1 : i + 1].count(" ") and data.draw(st.booleans())
        ]
        cases[string] = [
            string[start:end] for start, end in zip([0, *bounds], [*bounds, len(string)], strict=True)
        ]
    made = special(plain(), cases)
    tokens = made(text)
    assert tokens.text == text
    # By a search of another kind: letter by letter, the longest string that stands on its own.
    at, expected = 0, list[tuple[int, int]]()
    while at < len(text):
        for string in sorted(cases, key=len, reverse=True):
            end = at + len(string)
            before = string[0] in "ab" and text[at - 1 : at] in ("a", "b")
            after = string[-1] in "ab" and text[end : end + 1] in ("a", "b")
            if text.startswith(string, at) and not before and not after:
                for part in cases[string]:
                    expected.append((at, at + len(part)))
                    at += len(part)
                break
        else:
            at += 1
    spans = {(token.idx, token.idx + len(token)) for token in tokens}
    assert spans.issuperset(expected)
    assert all(token.is_space or token.text.strip() == token.text for token in tokens)


def test_many_special_cases_take_one_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of the text are gone through once, however many strings there are in it."""
    made = special(plain(), {"sol": ["s", "ol"]})
    calls = {"n": 0}
    applied = SpecialCases.applied

    def counting(self: SpecialCases, *args: object) -> object:
        calls["n"] += 1
        return applied(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(SpecialCases, "applied", counting)
    doc = made("sol " * 20_000)
    assert calls["n"] == 1 and len(doc) == 40_000
