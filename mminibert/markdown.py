"""Markdown: tables, and text that is shown elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

RELATIVE = re.compile(r"!?\[([^\[\]]*)\]\((?!https?://|mailto:)[^()]*\)")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """A Markdown table, padded so that it reads as plain text too; without a final newline.

    align: `l` for text or `r` for numbers, a letter a column. Raises ValueError if a row has more or fewer
    cells than there are columns.
    """
    lines = [[cell.replace("|", r"\|") for cell in line] for line in (head, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = [
        "-" * width if side == "l" else "-" * (width - 1) + ":"
        for side, width in zip(align, widths, strict=True)
    ]
    padded = [
        [
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, side, width in zip(line, align, widths, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def without_relative_links(text: str) -> str:
    """The text with the words of links to files and headings beside it, which are not where it is shown, in
    the place of these links. Fenced blocks stay as they are."""
    parts = FENCED.split(text)
    return "".join(part if i % 2 else RELATIVE.sub(r"\1", part) for i, part in enumerate(parts))
