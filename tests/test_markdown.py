"""Tables in Markdown, read back by markdown-it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mminibert.markdown import table, without_relative_links

WORDS = st.text("abc |é語", max_size=6).map(str.strip)


def test_a_table_reads_as_plain_text() -> None:
    rows = [("de_gsd", "1,234"), ("a|b", "5")]
    assert table(("treebank", "n"), rows, "lr").splitlines() == [
        "| treebank |     n |",
        "| -------- | ----: |",
        "| de_gsd   | 1,234 |",
        r"| a\|b     |     5 |",
    ]


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n), min_size=2)))
def test_its_cells_are_what_markdown_shows(lines: list[list[str]]) -> None:
    text = table(lines[0], lines[1:], "r" * len(lines[0]))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    cells = [token.content for token in tokens if token.type == "inline"]
    assert cells == [cell for line in lines for cell in line]
    right = [token.attrs.get("style") for token in tokens if token.type in ("th_open", "td_open")]
    assert set(right) == {"text-align:right"}


def test_a_row_of_other_length_is_an_error() -> None:
    for align, row in (("lr", ("a",)), ("l", ("a", "b")), ("lrr", ("a", "b"))):
        with pytest.raises(ValueError, match="argument"):
            table(("x", "y"), [row], align)


def test_relative_links_become_their_words() -> None:
    text = (
        "see [a *b*](docs/x.md#y), [below](#z), ![plot](p.svg), [UD](https://example.org), [m](mailto:a@b.c)"
    )
    block = "```python\nx[0](y)\n```\n"
    assert without_relative_links(f"{text}\n\n{block}") == (
        "see a *b*, below, plot, [UD](https://example.org), [m](mailto:a@b.c)\n\n" + block
    )
