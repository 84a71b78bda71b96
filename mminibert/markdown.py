"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


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
