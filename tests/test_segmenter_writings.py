"""Text without capitals, in capitals and in simplified characters has the labels of the text as it is."""

from __future__ import annotations

import numpy as np
import pytest
from opencc import OpenCC
from segmenters import sentence

from mminibert.systems.segmenter_data import Running, Units, running
from mminibert.systems.segmenter_writings import WRITINGS, simplified, writings


def texts(code: str, text: Running, units: Units) -> list[tuple[str, float]]:
    found = list(writings(code, text, units))
    for changed, _ in found:
        assert changed.inside is text.inside
        np.testing.assert_array_equal(changed.ends, text.ends)
    return [(" ".join(units.texts[id] for id in changed.units), share) for changed, share in found]


def test_cases() -> None:
    units = Units()
    text = running(
        [sentence(("Der", True, ()), ("Fuß", True, ()), ("km", False, ()), (".", True, ()))], units
    )
    lower, upper = (writing.share for writing in WRITINGS[:2])
    assert texts("de_x", text, units) == [
        ("der fuß km.", lower),
        ("DER Fuß KM.", upper),  # SS would be a character more
        ("Der Fuß km.", 1 - lower - upper),
    ]


def test_simplified_characters_are_of_chinese_alone() -> None:
    units = Units()
    text = running(
        [sentence(("「", False, ()), ("我們", False, ()), ("愛", False, ()), ("」", False, ()))], units
    )
    assert texts("zh_x", text, units) == [
        ("“ 我 们 爱 ”", WRITINGS[2].share),
        ("「 我 們 愛 」", 1 - WRITINGS[2].share),
    ]
    assert texts("ja_x", text, units) == [("「 我 們 愛 」", 1.0)]


def test_shares() -> None:
    units = Units()
    text = running([sentence(("我們", False, ()), ("Km", False, ()))], units)
    assert sum(share for _, share in texts("zh_x", text, units)) == pytest.approx(1)


def test_simplified_is_what_opencc_says() -> None:
    text = "中華人民共和國憲法規定，國家尊重和保障人權。"
    assert simplified(text) == OpenCC("t2s").convert(text) == "中华人民共和国宪法规定，国家尊重和保障人权。"
