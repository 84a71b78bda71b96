"""Sentences as what the segmenter learns: labels by hand."""

from __future__ import annotations

import numpy as np
from segmenters import sentence

from mminibert.runtime.alphabet import Alphabet
from mminibert.runtime.units import NOTHING, SENTENCE, TOKEN, WORD, Gap, hash_unit
from mminibert.systems.segmenter_data import Units, running

N, T, S, W = NOTHING, TOKEN, SENTENCE, WORD


def test_multiword_tokens_and_full_stops() -> None:
    units = Units()
    found = running(
        [
            sentence(("Mr.", True, ()), ("Li", True, ()), ("dalo", False, ("da", "lo")), (".", False, ())),
            sentence(("¡", False, ()), ("del", True, ("de", "el")), ("U.S.", False, ()), paragraph=True),
        ],
        units,
    )
    assert units.texts == ["Mr.", "Li", "dalo.", "¡del", "U.S."]
    assert found.units.tolist() == [0, 1, 2, 3, 4]
    assert found.gaps.tolist() == [Gap.BLANK, Gap.BLANK, Gap.PARAGRAPH, Gap.BLANK, Gap.BLANK]
    assert found.ends.tolist() == [T, T, S, T, S]
    assert found.stops.tolist() == [0, -1, 1, -1, 0]
    assert found.multiword.tolist() == [0, 0, 1, 1, 0]
    # `el` of `del` begins where `de` ends, but for the letter that both have.
    assert [list(row) for row in found.inside] == [[N, N], [N], [N, W, N, T], [T, N, W], [N, N, N]]
    assert len(found) == 5 and found.joins == 0


def test_chinese() -> None:
    units = Units()
    words = [("我", False, ()), ("北京", False, ()), ("iPhone", False, ()), ("。", False, ())]
    found = running([sentence(*words, gap=""), sentence(("去", False, ()), gap="")], units)
    assert [units.texts[i] for i in found.units] == ["我", "北", "京", "iPhone", "。", "去"]
    assert found.gaps.tolist() == [Gap.NONE] * 6
    assert found.ends.tolist() == [T, N, T, T, S, S]
    assert [list(row) for row in found.inside] == [[], [], [], [N] * 5, [], []]
    assert found.joins == 1 / 6


def test_vietnamese() -> None:
    found = running([sentence(("Hà Nội", True, ()), ("có", True, ()), (".", True, ()))], Units())
    assert found.ends.tolist() == [N, T, T, S]
    assert found.gaps.tolist() == [Gap.BLANK] * 4
    assert found.stops.tolist() == [-1, -1, -1, -1]


def test_a_sentence_may_end_inside_of_a_unit() -> None:
    """Where the next one follows without a blank, both are one unit of running text."""
    first = sentence(("so", False, ()), (".", False, ()), gap="")
    units = Units()
    found = running([first, sentence(("Da", False, ())), sentence(("X", False, ()), paragraph=True)], units)
    assert units.texts == ["so.Da", "X"] and found.gaps.tolist() == [Gap.PARAGRAPH, Gap.BLANK]
    assert found.ends.tolist() == [S, S] and list(found.inside[0]) == [N, T, S, N]
    apart = running([first, sentence(("Da", False, ()), paragraph=True)], Units())
    assert apart.ends.tolist() == [S, S] and apart.gaps.tolist() == [Gap.PARAGRAPH, Gap.BLANK]


def test_a_multiword_token_of_several_units() -> None:
    """Where a word of it ends with a unit, the token does not."""
    units = Units()
    found = running([sentence(("x" * 50, False, ("x" * 40, "x" * 5, "x" * 5)))], units)
    assert units.texts == ["x" * 40, "x" * 10]
    assert found.ends.tolist() == [N, S] and found.multiword.tolist() == [1, 1]
    assert list(found.inside[1]) == [N, N, N, N, W, N, N, N, N]


def test_units_by_number() -> None:
    units = Units()
    assert [units.add(text) for text in ("ab", "我", "ab")] == [0, 1, 0]
    assert units.characters(np.asarray([0, 0])) == {"a": 2, "b": 2}
    assert units.characters(np.asarray([1, 0, 1])) == {"a": 1, "b": 1, "我": 2}
    numbers, hashes, unspaced = units.encoded(Alphabet("a"))
    assert [row.tolist() for row in numbers] == [[31, 6], [8]]
    assert hashes.dtype == np.uint64 and hashes.tolist() == [hash_unit("ab"), hash_unit("我")]
    assert unspaced.tolist() == [False, True]
