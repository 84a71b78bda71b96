"""Text as units: what they are, what stands between them, their hashes and pairs."""

from __future__ import annotations

import binascii

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.units import (
    LONGEST_UNIT,
    UNIT,
    Gap,
    gap_of,
    hash_unit,
    is_unspaced,
    pair_rows,
    units_of,
)

TEXT = st.text() | st.text("ab.我ハก\u0e31 \n\t\u00a0\u3000\r\u2028", max_size=100)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("Don't go, Mr. X!", ["Don't", "go,", "Mr.", "X!"]),
        ("我爱iPhone。", ["我", "爱", "iPhone", "。"]),
        ("走。」2010年", ["走", "。", "」", "2010", "年"]),
        ("走！OK：3", ["走", "！", "OK", "：", "3"]),
        ("「はい！」OK", ["「", "は", "い", "！", "」", "OK"]),
        ("他说“好！”2023年", ["他", "说", "“", "好", "！", "”", "2023", "年"]),
        ('カナ\'x "a" don’t', ["カナ", "'", "x", '"a"', "don’t"]),
        ("カメラを買う", ["カメラ", "を", "買", "う"]),
        ("น้ำดี", ["น้", "ำ", "ดี"]),
        ("ສະບາຍ", ["ສ", "ະ", "ບ", "າ", "ຍ"]),
        ("가나 다", ["가나", "다"]),
        ("x" * 95, ["x" * 40, "x" * 40, "x" * 15]),
        ("ア" * 41, ["ア" * 40, "ア"]),
        (" \n", []),
        ("", []),
    ],
)
def test_units_of_scripts(text: str, units: list[str]) -> None:
    assert units_of(text).units == units


@given(TEXT)
def test_units_and_white_space_are_the_text(text: str) -> None:
    found = units_of(text)
    assert found.units == UNIT.findall(text)
    assert "".join(found.units) == "".join(text.split())
    assert all(1 <= len(unit) <= LONGEST_UNIT for unit in found.units)
    bounds = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    assert [text[start:end] for start, end in bounds] == found.units
    after = [*found.starts.tolist(), len(text)][1:]
    between = [text[end:start] for (_, end), start in zip(bounds, after, strict=True)]
    assert found.gaps.tolist() == [gap_of(gap) for gap in between]
    assert all(not gap.strip() for gap in between)


@pytest.mark.parametrize(
    ("white_space", "gap"),
    [
        ("", Gap.NONE),
        (" ", Gap.BLANK),
        ("\u00a0", Gap.BLANK),
        ("\u3000", Gap.BLANK),
        ("  ", Gap.OTHER),
        ("\t", Gap.OTHER),
        ("\n", Gap.LINE),
        (" \r\n ", Gap.LINE),
        ("\r", Gap.LINE),
        ("\x0b", Gap.LINE),
        ("\u2028", Gap.LINE),
        ("\n\n", Gap.PARAGRAPH),
        ("\r\n\r\n", Gap.PARAGRAPH),
        ("\n \t\n", Gap.PARAGRAPH),
    ],
)
def test_what_stands_between_units(white_space: str, gap: Gap) -> None:
    assert gap_of(white_space) is gap
    assert units_of(f"我{white_space}爱").gaps.tolist() == [gap, Gap.NONE]


@pytest.mark.parametrize(
    ("unit", "unspaced"),
    [("我", True), ("ハム", True), ("กั", True), ("a我", False), ("가", False), ("。", True), (".", False)],
)
def test_scripts_without_blanks(unit: str, unspaced: bool) -> None:
    assert is_unspaced(unit) is unspaced


def test_hashes_stay_what_models_were_trained_with() -> None:
    assert hash_unit("我") == binascii.crc32("我".encode()) == 0x267CC491
    assert hash_unit("\ud800") == binascii.crc32(b"\xed\xa0\x80")


UNITS = ["我", "爱", "X", "你", "好", "我", "爱"]
GAPS = np.asarray([0, 0, 0, 0, 1, 0, 0], dtype=np.int32)


def row(first: str, second: str, n_rows: int) -> int:
    """In whole numbers of Python, cut to 64 bits."""
    mixed = hash_unit(first) * 0x9E3779B1 + hash_unit(second) * 0x85EBCA77
    return 1 + (((mixed & (2**64 - 1)) >> 7) % (n_rows - 1))


@pytest.mark.parametrize("n_rows", [2, 1000, 1 << 15])
def test_rows_of_pairs(n_rows: int) -> None:
    hashes = np.asarray([hash_unit(unit) for unit in UNITS], dtype=np.uint64)
    unspaced = np.asarray([is_unspaced(unit) for unit in UNITS])
    found = pair_rows(hashes, unspaced, GAPS, n_rows)
    expected = [row("我", "爱", n_rows), 0, 0, row("你", "好", n_rows), 0, row("我", "爱", n_rows), 0]
    assert found.tolist() == expected
    both = [np.stack([part, part[::-1]]) for part in (hashes, unspaced, GAPS)]
    together = pair_rows(both[0], both[1], both[2], n_rows)
    alone = pair_rows(hashes[::-1], unspaced[::-1], GAPS[::-1], n_rows)
    assert together.tolist() == [expected, alone.tolist()]


@pytest.mark.parametrize("n", [0, 1])
def test_a_single_unit_has_no_pair(n: int) -> None:
    hashes, unspaced = np.ones(n, dtype=np.uint64), np.ones(n, dtype=np.bool_)
    assert pair_rows(hashes, unspaced, np.zeros(n, dtype=np.int32), 9).tolist() == [0] * n
