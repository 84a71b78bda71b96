"""Addresses in text, as the tokenizer finds them before it reads anything."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import segmenters
import spacy
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.addresses import addresses

VOCAB = spacy.blank("xx").vocab


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in addresses(text)]


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a_(b)/c-d?x=1&y=2#z",
        "http://unitedway.enron.com",
        "ftp://files.example.org/x.tar.gz",
        "WWW.Example.org",
        "www.example.co.uk/path/",
        "Vangie.McGilloway@powersrc.com",
        "mailto:first.last+tag@sub.example.org",
        "https://例え.jp.example/",
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {}.", "({})", "“{}”,", "<{}>", "{}: yes", "[{}]!", "{}'"])
def test_addresses(address: str, around: str) -> None:
    if "例" in address:  # scripts that write no blanks may follow an address without one
        assert found(around.format(address)) == []
    else:
        assert found(around.format(address)) == [address]


@pytest.mark.parametrize(
    "text",
    ["end.Next", "@someone and @others", "a@b", "10 @ 5", "xhttp://a", "www. example", "http://", "://"],
)
def test_other_text(text: str) -> None:
    assert found(text) == []


def test_text_that_follows_without_a_blank() -> None:
    assert found("请看https://example.org/x。谢谢") == ["https://example.org/x"]
    assert found("写信到a.b@example.org吧") == ["a.b@example.org"]
    assert found("(http://www.canon-bs.co.kr)이") == ["http://www.canon-bs.co.kr"]


@given(st.text(alphabet="ab.@:/w-()h tp。", max_size=60))
def test_any_text(text: str) -> None:
    spans = list(addresses(text))
    assert spans == sorted(spans)
    for (_, end), (start, _) in pairwise(spans):
        assert end <= start
    for start, end in spans:
        assert start < end and not any(char.isspace() for char in text[start:end])


@pytest.mark.parametrize("part", ["a.", "@", "www.a", "http://(", "%", "a@b-", "a@b.", "mailto:"])
def test_long_text(part: str) -> None:
    """Patterns that go back over what they have read would take minutes."""
    start = time.process_time()
    list(addresses(part * 100_000 + "@"))
    assert time.process_time() - start < 5


def test_an_address_is_a_token() -> None:
    """The model here takes each run of 40 characters for a token."""
    made = segmenters.segmenter(VOCAB, segmenters.plain_model())
    long = "https://example.org/" + "x" * 60
    assert [token.text for token in made(f"(see {long}).")] == ["(see", long, ")."]
    made.add_special_case("example.org", ["example", ".org"])
    assert "example" in [token.text for token in made(f"see {long}.")]
