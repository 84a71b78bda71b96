"""Soft targets: sparse and dense forms against loops, and files that are whole or absent."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from students import field_softmax, random_probs, same_shard, same_targets

from mminibert.data.targets import (
    ANY_TEMPERATURE,
    MIN_PROB,
    Shard,
    Targets,
    densify,
    read_shard,
    source_digest,
    sparsify,
    write_shard,
)
from mminibert.runtime.types import Floats, Ints

# UPOS of 3 values, then features of 2 to 4 values, the first of each of which is "absent"
STARTS = np.asarray([0, 3, 5, 9, 12], dtype=np.int32)


@st.composite
def distributions(draw: st.DrawFn) -> tuple[Floats, Ints]:
    """Random fields and words, from nearly uniform to nearly one-hot, many features at times."""
    sizes = draw(
        st.lists(st.integers(2, 5), min_size=0, max_size=8)
        | st.lists(st.integers(2, 3), min_size=40, max_size=60)
    )
    starts = np.cumsum([0, draw(st.integers(1, 6)), *sizes], dtype=np.int32)
    sharpness = draw(st.sampled_from([0.0, 1.0, 4.0, 20.0]))
    n = draw(st.integers(0, 5))
    return random_probs(n, starts, seed=draw(st.integers(0, 2**32)), sharpness=sharpness), starts


def kept_values(row: Floats, starts: Ints) -> list[int]:
    """The feature values of a word in descending order of probability, as long as they matter."""
    absent = set(starts[1:-1].tolist())
    columns = [c for c in range(starts[1], starts[-1]) if c not in absent and row[c] >= MIN_PROB]
    return sorted(columns, key=lambda c: -row[c])


@given(distributions())
def test_sparsify_keeps_the_most_probable_feature_values(case: tuple[Floats, Ints]) -> None:
    probs, starts = case
    targets = sparsify(probs, starts)
    assert np.array_equal(targets.upos, probs[:, : starts[1]].astype(np.float16))
    assert targets.known.all()
    bounds = np.cumsum([0, *targets.counts.astype(int)])
    assert len(targets) == len(probs)
    assert bounds[-1] == len(targets.columns) == len(targets.probs)
    for row, (a, b) in zip(probs, pairwise(bounds), strict=True):
        expected = kept_values(row, starts)
        columns = targets.columns[a:b].tolist()
        # Of values that tie any may be kept, so the probabilities are compared.
        assert sorted(row[columns].tolist()) == sorted(row[expected].tolist())
        assert len(set(columns)) == len(columns)
        assert np.array_equal(targets.probs[a:b], row[columns].astype(np.float16))


def dense_by_loops(targets: Targets, starts: Ints, temperature: float) -> np.ndarray:
    dense = np.zeros((len(targets), int(starts[-1])))
    at = 0
    for i in range(len(targets)):
        dense[i, : starts[1]] = targets.upos[i]
        for _ in range(int(targets.counts[i])):
            dense[i, targets.columns[at]] = targets.probs[at]
            at += 1
        for a, b in list(pairwise(starts))[1:]:
            dense[i, a] = max(1.0 - dense[i, a + 1 : b].sum(), 0.0)
        for a, b in pairwise(starts):
            powers = dense[i, a:b] ** (targets.temperature / temperature)
            dense[i, a:b] = powers / (powers.sum() or 1.0)
        if not targets.known[i]:
            dense[i, starts[1] :] = 0.0
    return dense


@given(distributions(), st.sampled_from([1.0, 2.0, 3.0]), st.integers(0, 2**32))
def test_densify_equals_loops(case: tuple[Floats, Ints], temperature: float, seed: int) -> None:
    probs, starts = case
    known = np.random.default_rng(seed).random(len(probs)) < 0.7
    targets = sparsify(probs, starts, known, temperature=3.0)
    dense = densify(targets, starts, temperature)
    assert dense.dtype == np.float32
    np.testing.assert_allclose(dense, dense_by_loops(targets, starts, temperature), atol=1e-3)
    sums = np.add.reduceat(dense, starts[:-1], axis=1)
    expected = np.ones_like(sums)
    expected[~known, 1:] = 0.0
    np.testing.assert_allclose(sums, expected, atol=1e-5)


REAL_STARTS = np.cumsum([0, 15, 3, 2, 3, 3, 20, 2, 2, 3, 4, 3, 9, 2, 5, 6, 4], dtype=np.int32)
"""As many values as the fields of a small corpus have."""


def teachers_logits(*, confident: float, n: int = 400) -> np.ndarray:
    """Logits as a teacher has them: nearly all features far less likely than their absence (the quantiles of
    the profile `sample`'s teacher are -10.5, -8.7, -6.7, -3.1 and 3.4), some words in doubt."""
    random = np.random.default_rng(0)
    logits = random.normal(-6.5, 1.7, size=(n, int(REAL_STARTS[-1])))
    logits[:, REAL_STARTS[1:-1]] = random.normal(0.0, 0.3, size=(n, len(REAL_STARTS) - 2))
    likely = random.random(logits.shape) < 0.08
    logits[likely] = random.normal(0.0, 4.0, size=int(likely.sum()))
    return confident * logits


@pytest.mark.parametrize("confident", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("highest", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
def test_targets_at_a_temperature_are_the_softmax_of_the_divided_logits(
    confident: float, highest: float, temperature: float
) -> None:
    logits = teachers_logits(confident=confident)
    probs = field_softmax(logits / highest, REAL_STARTS).astype(np.float32)
    targets = sparsify(probs, REAL_STARTS, temperature=highest)
    if temperature > highest:
        with pytest.raises(
            ValueError, match=f"got the temperature {temperature:g}, expected at most .*{highest:g};"
        ):
            densify(targets, REAL_STARTS, temperature)
        return
    dense = densify(targets, REAL_STARTS, temperature)
    expected = field_softmax(logits / temperature, REAL_STARTS)
    distance = np.add.reduceat(np.abs(dense - expected), REAL_STARTS[:-1], axis=1) / 2
    # The largest field has 20 values, of which 19 may be left out.
    assert distance.max() < 19 * MIN_PROB
    assert distance.mean() < MIN_PROB
    if temperature == highest:
        kept = sparsify(expected.astype(np.float32), REAL_STARTS)
        rows = np.repeat(np.arange(len(kept)), kept.counts)
        off = np.abs(dense - expected)[rows, kept.columns]
        assert off.max() < MIN_PROB / 2  # half precision, and a sum that is not quite 1


def test_one_hot_targets_are_the_same_at_any_temperature() -> None:
    probs = np.asarray([[1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0]], dtype=np.float32)
    targets = sparsify(probs, STARTS, temperature=ANY_TEMPERATURE)
    for temperature in (0.5, 1.0, 3.0, 100.0):
        assert np.array_equal(densify(targets, STARTS, temperature), probs)


def test_joined_targets_keep_the_temperature_of_the_soft_ones() -> None:
    soft = sparsify(random_probs(3, STARTS), STARTS, temperature=3.0)
    gold = sparsify(np.eye(12, dtype=np.float32)[[0]], STARTS, temperature=ANY_TEMPERATURE)
    both = Targets.join([gold, soft, soft])
    assert (len(both), both.temperature) == (7, 3.0)
    for temperature in (1.0, 3.0):
        expected = [densify(part, STARTS, temperature) for part in (gold, soft, soft)]
        assert np.array_equal(densify(both, STARTS, temperature), np.concatenate(expected))
    assert Targets.join([gold, gold]).temperature == ANY_TEMPERATURE
    with pytest.raises(ValueError, match="of the temperatures 2, 3, expected one"):
        Targets.join([soft, sparsify(random_probs(3, STARTS), STARTS, temperature=2.0)])
    with pytest.raises(ValueError, match="got no targets"):
        Targets.join([])


def test_what_is_left_out_goes_to_the_absent_value() -> None:
    probs = np.asarray([[1, 0, 0, 0.5, 0.5, 0.7, 0.2985, 0.0015, 0, 1, 0, 0]], dtype=np.float32)
    targets = sparsify(probs, STARTS)
    assert targets.columns.tolist() == [4, 6]
    np.testing.assert_allclose(
        densify(targets, STARTS), [[1, 0, 0, 0.5, 0.5, 0.7015, 0.2985, 0, 0, 1, 0, 0]], atol=2e-4
    )


def test_masked_words_have_zero_targets() -> None:
    probs = random_probs(4, STARTS)
    probs[1, : STARTS[1]] = 0.0  # unknown UPOS, as `one_hot` has it
    known = np.asarray([True, True, False, True])
    for temperature in (1.0, 3.0):
        dense = densify(sparsify(probs, STARTS, known, temperature=3.0), STARTS, temperature)
        assert not dense[1, :3].any()
        assert dense[1, 3:].sum() == pytest.approx(3, abs=1e-5)
        assert not dense[2, 3:].any()
        assert dense[2, :3].sum() == pytest.approx(1, abs=1e-5)
        assert dense[3].sum() == pytest.approx(4, abs=1e-5)


CODES = ["de_a", "", "fi_ftb", "de_a"]
"""The conventions of the sentences of `shard`."""


@pytest.fixture
def shard() -> Shard:
    sentences = [["Ein", "Wort"], ["\u2028", "東京", "a b"], [], ["\r", "x"]]
    known = np.asarray([True, False, True, True, True, False, True])
    return Shard(sentences, sparsify(random_probs(7, STARTS), STARTS, known, temperature=3.0), CODES, "5e0")


def test_shard_roundtrip(shard: Shard, tmp_path: Path) -> None:
    path = tmp_path / "new" / "de-00000.npz"
    write_shard(path, shard)
    assert same_shard(read_shard(path), shard)
    assert read_shard(path).source == "5e0"
    first = path.read_bytes()
    write_shard(path, shard)
    assert path.read_bytes() == first  # no time or name in it
    assert list(path.parent.iterdir()) == [path]


def test_a_words_bytes(tmp_path: Path) -> None:
    # 17 UPOS values in 34 bytes, the entries in 4 each, counts and masks in 3, a length, text, convention.
    probs = np.zeros((2000, 17 + 8 * 60), dtype=np.float32)
    starts = np.cumsum([0, 17, *[8] * 60], dtype=np.int32)
    probs[:, [0, *range(18, 26)]] = 0.1
    write_shard(tmp_path / "x-0.npz", Shard([["w" * 24]] * 2000, sparsify(probs, starts), ["ab_cde"] * 2000))
    size = (tmp_path / "x-0.npz").stat().st_size / 2000
    assert size == pytest.approx(34 + 7 * 4 + 3 + 4 + 25 + 7, abs=2)


def test_the_digest_tells_words_and_sentences_apart() -> None:
    cases: list[list[list[str]]]
    cases = [[["a", "b"]], [["a"], ["b"]], [["ab"]], [["a", "b"], []], [["b", "a"]], [[]], []]
    digests = [source_digest(case, *made) for case in cases for made in ((), ("x",), ("x", "y"), ("xy",))]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)
    assert source_digest([["a"]], "x") == source_digest([["a"]], "x")


def outcome(path: Path) -> Shard | str:
    try:
        return read_shard(path)
    except ValueError as error:
        return str(error)


def test_a_damaged_shard_is_reported_with_its_name(shard: Shard, tmp_path: Path) -> None:
    path = tmp_path / "de-00000.npz"
    write_shard(path, shard)
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        found = outcome(path)
        assert isinstance(found, str)
        assert str(path) in found
        assert "collect" in found
    for content in (b"", b"text", b"\x93NUMPY", b"PK\x03\x04"):
        path.write_bytes(content)
        assert str(path) in str(outcome(path))
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").rename(path)
    assert str(path) in str(outcome(path))
    np.savez(path, text=np.zeros(3, dtype=np.uint8))
    assert str(path) in str(outcome(path))


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_is_found_or_harmless(data: st.DataObject) -> None:
    shard = Shard([["Ein", "Wort"], ["da"]], sparsify(random_probs(3, STARTS), STARTS), ["de_a", ""])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "de-00000.npz"
        write_shard(path, shard)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found = outcome(path)
        assert str(path) in found if isinstance(found, str) else same_shard(found, shard)


def test_words_and_targets_that_differ_in_number_are_an_error(shard: Shard, tmp_path: Path) -> None:
    path = tmp_path / "de-00000.npz"
    with pytest.raises(ValueError, match=r"de-00000\.npz: got 1 words but 7 targets"):
        write_shard(path, Shard([["a"]], shard.targets, [""]))
    with pytest.raises(ValueError, match=r"de-00000\.npz: got a word with a line break"):
        write_shard(path, Shard([["a\nb", *"cdefgh"]], shard.targets, [""]))
    with pytest.raises(ValueError, match=r"de-00000\.npz: got 1 sentences but 2 conventions"):
        write_shard(path, Shard([[*"abcdefg"]], shard.targets, ["de_a", ""]))
    assert list(tmp_path.iterdir()) == []
    write_shard(path, shard)
    with np.load(path) as arrays:
        changed = dict(arrays)
    for name, fewer in (("lengths", changed["lengths"][:-1]), ("conventions", changed["text"][:2])):
        np.savez(path, **{**changed, name: fewer})
        with pytest.raises(ValueError, match=r"de-00000\.npz: damaged"):
            read_shard(path)


def test_an_interrupted_write_leaves_the_old_file(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "de-00000.npz"
    write_shard(path, shard)
    before = path.read_bytes()

    def fail(target: Any, **arrays: Any) -> None:
        assert Path(target) != path
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("numpy.savez", fail)
    other = Shard([["a"]], sparsify(random_probs(1, STARTS), STARTS), ["de_b"])
    with pytest.raises(OSError, match="disk full"):
        write_shard(path, other)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path / "de-00001.npz", other)
    assert list(tmp_path.iterdir()) == [path]


def test_same_targets_can_tell_a_difference() -> None:
    one, other = (sparsify(random_probs(3, STARTS, seed=seed), STARTS) for seed in (0, 1))
    assert same_targets(one, one)
    assert not same_targets(one, other)
