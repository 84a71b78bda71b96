"""Text to tokens by labels: against the plainest way to say what is meant."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import segmenters
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mminibert.runtime import segmentation, stretches
from mminibert.runtime.joined_texts import JoinedTexts, join
from mminibert.runtime.segmentation import LONGEST_SENTENCE, Reader, Segmentation
from mminibert.runtime.segmenter_model import SegmenterModel, UnitLabels, UnitReading
from mminibert.runtime.special_cases import SpecialCases
from mminibert.runtime.types import Floats, Ints
from mminibert.runtime.unit_cache import CUTS, FINAL, STOP, UNSPACED, UnitCache
from mminibert.runtime.units import NOTHING, SENTENCE, TOKEN, WORD, Gap, units_of

NO_SPECIAL = SpecialCases()
LAST = np.asarray([-1])
"""Of the units of one stretch."""
CODES = [None, "es", "vi", "zh", "vi_toy"]
TEXT = st.text() | st.lists(
    st.sampled_from(
        [
            "casa",
            "del",
            "dalo.",
            "Sr.",
            "EE.UU.",
            "Hà",
            "Nội",
            "我",
            "北",
            "京",
            "。",
            " ",
            "  ",
            "\n",
            "\n\n",
            "",
        ]
    ),
    max_size=40,
).map("".join)


def reader() -> Reader:
    return Reader(segmenters.trained_model())


def read(made: Reader, text: str, code: str | None = None, *, line_breaks: bool = False) -> Segmentation:
    return made.read(join([text]), code=code, line_breaks=line_breaks, special=NO_SPECIAL)


def as_lists(found: Segmentation) -> list[object]:
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in found]


SCORES = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.integers(-9, 9))


@settings(max_examples=500)
@given(SCORES, st.lists(st.sampled_from([0.5, 4.0, 8.0]), min_size=5, max_size=5))
def test_the_best_path_is_the_best_of_all(scores: Floats, costs: list[float]) -> None:
    n, languages = scores.shape
    stay = np.asarray(costs[: n - 1], dtype=np.float32)

    def total(path: Sequence[int]) -> float:
        changes = sum(cost for a, b, cost in zip(path, path[1:], stay, strict=False) if a != b)
        return float(sum(scores[i, state] for i, state in enumerate(path)) - changes)

    best = max(total(path) for path in itertools.product(range(languages), repeat=n))
    assert total(stretches._best_path(scores, stay).tolist()) == best


def labels_of(
    ends: Sequence[int], *, stop: Sequence[bool] = (), sentence: Sequence[float] = ()
) -> UnitLabels:
    logits = np.zeros((7, len(ends)), dtype=np.float32)
    logits[ends, range(len(ends))] = 1
    if len(sentence):
        logits[2] += sentence
    if len(stop):
        logits[6] = np.where(stop, 1, -1)
    return UnitLabels(logits)


@pytest.mark.parametrize(
    ("gap", "line_breaks", "end"),
    [
        (Gap.NONE, True, NOTHING),
        (Gap.BLANK, True, NOTHING),
        (Gap.OTHER, True, TOKEN),
        (Gap.LINE, False, TOKEN),
        (Gap.LINE, True, SENTENCE),
        (Gap.PARAGRAPH, False, SENTENCE),
    ],
)
def test_white_space_decides_over_context(gap: Gap, line_breaks: bool, end: int) -> None:
    found = segmentation._unit_ends(labels_of([0, 0, 2, 0]), np.asarray([gap, 1, gap, 1]), LAST, line_breaks)
    assert found.tolist() == [end, NOTHING, SENTENCE, SENTENCE]


@pytest.mark.parametrize("n", [1, 399, 400, 401, 1000, 5000])
def test_sentences_are_not_too_long(n: int) -> None:
    random = np.random.default_rng(n)
    ends = random.choice([0, 1], n)
    labels = labels_of(ends.tolist(), sentence=random.uniform(-9, -2, n).tolist())
    found = segmentation._unit_ends(labels, np.ones(n, dtype=np.int32), LAST, False)
    bounds = [-1, *np.flatnonzero(found == SENTENCE).tolist()]
    assert bounds[-1] == n - 1
    assert max(np.diff(bounds)) <= LONGEST_SENTENCE
    for before, last in itertools.pairwise(bounds[:-1]):  # the likeliest of the second half
        assert last == before + 200 + labels.sentence[before + 200 : before + 400].argmax()
    others = np.delete(np.arange(n), bounds[1:])
    assert (found[others] == ends[others]).all()


def test_a_long_sentence_ends_at_its_end() -> None:
    labels = labels_of([1] * 399 + [2] + [1] * 400 + [2])
    found = segmentation._unit_ends(labels, np.ones(801, dtype=np.int32), LAST, False)
    first, second = np.flatnonzero(found == SENTENCE)[:2]
    assert (first, second) == (399, 599)


class Told:
    """A model whose every label is given."""

    languages = codes = ("xx",)
    vector_width = 1

    def of(self, code: str) -> Told:
        return self

    def __init__(self, labels: UnitLabels, inside: dict[str, bytes]) -> None:
        self.labels, self.inside = labels, inside

    def read_units(self, units: Sequence[str], code: str) -> UnitReading:
        return UnitReading([self.inside[unit] for unit in units], np.zeros((len(units), 1), dtype=np.float32))

    def pair_rows(self, hashes: object, unspaced: object, gaps: Ints) -> Ints:
        return gaps

    def label_rows(self, vectors: Floats, gaps: Ints, pairs: Ints, code: str) -> Floats:
        return self.labels.logits[None]


def plainly(
    text: str, labels: UnitLabels, inside: dict[str, bytes]
) -> list[tuple[str, bool, list[int], float]]:
    """Token by token: its form, whether a sentence begins, where words end in it, the largest multiword."""
    units = units_of(text)
    ends = segmentation._unit_ends(labels, units.gaps, LAST, False).tolist()
    found: list[tuple[str, bool, list[int], float]] = []
    start, begins, splits, own = int(units.starts[0]), True, list[int](), list[float]()
    for i, unit in enumerate(units.units):
        at = int(units.starts[i])
        own.append(float(labels.multiword[i]))
        cuts = list(inside[unit])
        if unit.endswith(".") and len(unit) > 1:
            cuts[-2] = TOKEN if labels.stop[i] else NOTHING
        cuts[-1] = ends[i]
        for after, kind in enumerate(cuts, start=1):
            if kind == WORD:
                splits.append(at + after - start)
            elif kind:
                found.append((text[start : at + after], begins, splits, max(own)))
                start, begins, splits, own = at + after, kind == SENTENCE, [], own[-1:]
        if ends[i]:
            start, own = int(units.starts[i + 1]) if i + 1 < len(units.units) else len(text), []
    return found


@settings(max_examples=500)
@given(st.data())
def test_tokens_are_what_labels_say(data: st.DataObject) -> None:
    text = "x" + data.draw(st.text("ab.我 \n\t", max_size=30))
    units = units_of(text).units
    n = len(units)
    logits = data.draw(arrays(np.float32, (7, n), elements=st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0])))
    inside = {
        unit: bytes(data.draw(st.lists(st.integers(0, 3), min_size=len(unit), max_size=len(unit))))
        for unit in units
    }
    labels = UnitLabels(logits)
    model: SegmenterModel = Told(labels, inside)  # type: ignore[assignment]
    found = read(Reader(model), text)
    forms = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    splits = [found.splits.get(i, []) for i in range(len(forms))]
    rows = zip(forms, found.begins.tolist(), splits, found.multiword.tolist(), strict=True)
    assert list(rows) == plainly(text, labels, inside)
    assert found.stretches == [(0, "xx")]


@pytest.mark.parametrize("code", CODES)
@given(text=TEXT, line_breaks=st.booleans())
def test_nothing_is_lost_and_no_token_has_a_line_break(
    code: str | None, text: str, line_breaks: bool
) -> None:
    found = read(reader(), text, code, line_breaks=line_breaks)
    forms = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    assert "".join("".join(form.split()) for form in forms) == "".join(text.split())
    assert all(form and form == form.strip() and len(form.splitlines()) == 1 for form in forms)
    assert (found.starts[1:] >= found.ends[:-1]).all()
    assert found.begins[:1].tolist() == [True] * bool(forms)
    if line_breaks:
        for i, start in enumerate(found.starts.tolist()[1:], start=1):
            if len(f"{text[found.ends[i - 1] : start]}.".splitlines()) > 1:
                assert found.begins[i]
    assert [first for first, _, _ in found.stretch_bounds()] == sorted(
        {first for first, _ in found.stretches}
    )


def test_the_toy_languages_are_learned() -> None:
    for code in segmenters.TREEBANKS:
        text, gold = segmenters.joined(segmenters.sentences(code, 60, seed=1))
        for told in (None, code.partition("_")[0], code):
            found = read(reader(), text, told)
            right = (
                set(zip(found.starts.tolist(), found.ends.tolist(), found.begins.tolist(), strict=True))
                & gold
            )
            assert len(right) > 0.98 * max(len(gold), len(found.starts)), (code, told)
            assert [name for _, name in found.stretches] == [told or code.partition("_")[0]]


def test_which_language_is_found_sentence_by_sentence() -> None:
    parts = [segmenters.joined(segmenters.sentences(code, 3, seed=2))[0] for code in segmenters.TREEBANKS]
    text = "\n".join(parts)
    found = read(reader(), text)
    assert [code for _, code in found.stretches] == ["es", "vi", "zh"]
    starts = found.starts[[first for first, _ in found.stretches]].tolist()
    assert starts == [0, len(parts[0]) + 1, len(parts[0]) + len(parts[1]) + 2]


@given(st.lists(TEXT, min_size=1, max_size=4), TEXT, st.sampled_from(CODES))
def test_what_was_read_before_does_not_matter(before: list[str], text: str, code: str | None) -> None:
    cold = as_lists(read(reader(), text, code))
    warm = reader()
    for other in before:
        read(warm, other, code)
    assert as_lists(read(warm, text, code)) == cold  # to the bit: logits too
    assert as_lists(read(warm, text, code)) == cold


def test_slices_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(segmenters.joined(segmenters.sentences(code, 20))[0] for code in segmenters.TREEBANKS)
    whole = read(reader(), text)
    monkeypatch.setattr(segmentation, "SLICE", 17)
    monkeypatch.setattr(stretches, "SENTENCES_AT_ONCE", 3)
    sliced = read(reader(), text)
    assert (sliced.starts == whole.starts).all() and (sliced.begins == whole.begins).all()
    np.testing.assert_allclose(sliced.multiword, whole.multiword, atol=1e-4)
    assert sliced.stretches == whole.stretches


def test_the_work_grows_with_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many units are read and labelled as the text has, and a few more where slices meet."""
    model = segmenters.trained_model()
    counts = {"read": 0, "labelled": 0, "spelled": 0}

    def counting(name: str, function: Callable) -> Callable:
        def call(units: Sequence, *args: object) -> object:
            counts[name] += units.shape[0] * units.shape[1] if isinstance(units, np.ndarray) else len(units)
            return function(units, *args)

        return call

    made = Reader(model)
    for name, method in (("read", "read_units"), ("labelled", "label_rows"), ("spelled", "spell")):
        monkeypatch.setitem(model.__dict__, method, counting(name, getattr(model, method)))
    text = "la casa del sol. " * 5000 + "x" * 10_000 + "我" * 5000
    n = len(units_of(text).units)
    read(made, text)
    assert n <= counts["labelled"] <= 1.02 * n
    assert counts["read"] <= 9 and counts["spelled"] <= 9  # the different ones, of one language or two


def test_the_language_of_a_single_sentence() -> None:
    """What most of its units say, added up."""
    model = segmenters.trained_model()
    languages = set()
    for code in segmenters.TREEBANKS:
        for sentence in segmenters.sentences(code, 20, seed=9):
            expected = model.languages[model.spell(units_of(sentence.text).units).sum(axis=0).argmax()]
            assert read(reader(), sentence.text).stretches == [(0, expected)]
            languages.add(expected)
    assert languages == {"es", "vi", "zh"}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation, "KEPT_UNITS", 50)
    made = reader()
    for i in range(30):
        read(made, " ".join(f"{i}a{j}" for j in range(10)), segmenters.trained_model().codes[i % 6])
        assert sum(map(len, made._caches.values())) <= 60


def a_reading(units: Sequence[str]) -> UnitReading:
    """Vectors and labels that say whose they are."""
    vectors = np.asarray([[len(unit), float(hash(unit) % 1000)] for unit in units], dtype=np.float32)
    return UnitReading([bytes(i % 2 for i in range(len(unit))) for unit in units], vectors)


def test_what_is_kept_of_units() -> None:
    cache = UnitCache(2)
    units = ["我", "a", "U.S.", "ab.", ".", "abc", "abcd.", "a"]
    numbers = cache.numbers(units, a_reading)
    assert numbers.tolist() == [0, 1, 2, 3, 4, 5, 6, 1] and len(cache) == 7
    assert (cache.vectors(numbers) == a_reading(units).vectors).all()
    final = STOP | FINAL | CUTS
    assert cache.flags(numbers).tolist() == [UNSPACED, 0, STOP | CUTS, STOP, FINAL, CUTS, final, 0]
    assert cache.cuts(2) == ((2, 1),)  # not the one before its full stop
    assert cache.cuts(5) == ((2, 1),)


def test_threads_share_what_is_kept() -> None:
    cache = UnitCache(2)
    units = [f"u{i}" for i in range(5000)]
    wrong: list[str] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(60):
            own = [units[i] for i in random.integers(0, len(units), 200)]
            numbers = cache.numbers(own, a_reading)
            if not (cache.vectors(numbers) == a_reading(own).vectors).all():
                wrong.append("vectors")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong and len(cache) == len(set(cache.numbers(units, a_reading).tolist())) == 5000


SPECIAL = SpecialCases({"del.": ["d", "el."], "北京": ["北京"]})
SPECIAL_TEXTS = ["del.", "casa del. ", "北京。", "x@y.es", " www.x.es", "www.x.es.\n", "la del. casa."]


@settings(max_examples=60)
@given(st.lists(TEXT | st.sampled_from(SPECIAL_TEXTS), max_size=6), st.sampled_from(CODES), st.booleans())
def test_texts_that_are_read_together_are_what_they_are_alone(
    texts: list[str], code: str | None, line_breaks: bool
) -> None:
    def read(*texts: str) -> tuple[JoinedTexts, Segmentation]:
        joined = join(texts)
        return joined, reader().read(joined, code=code, line_breaks=line_breaks, special=SPECIAL)

    joined, together = read(*texts)
    bounds = [*together.starts.searchsorted(joined.starts).tolist(), len(together.starts)]
    for text, at, (first, end) in zip(texts, joined.starts, itertools.pairwise(bounds), strict=True):
        _, alone = read(text)
        assert (together.starts[first:end] - at).tolist() == alone.starts.tolist()
        assert (together.ends[first:end] - at).tolist() == alone.ends.tolist()
        assert together.begins[first:end].tolist() == alone.begins.tolist()
        assert together.multiword[first:end].tolist() == alone.multiword.tolist()
        assert {i - first: at for i, at in together.splits.items() if first <= i < end} == alone.splits
        assert [(i - first, of) for i, of in together.stretches if first <= i < end] == alone.stretches


@pytest.mark.parametrize("code", [None, "es"])
def test_units_of_texts_that_are_read_together_are_read_at_once(code: str | None) -> None:
    made = replace(segmenters.trained_model())
    calls: list[list[str]] = []

    def read_units(units: Sequence[str], code: str) -> UnitReading:
        calls.append(list(units))
        return SegmenterModel.read_units(made, units, code)

    def spell(units: Sequence[str]) -> Floats:
        calls.append(list(units))
        return SegmenterModel.spell(made, units)

    vars(made).update(read_units=read_units, spell=spell)
    texts = ["casa perro", "", "perro come", "casa"]
    Reader(made).read(join(texts), code=code, line_breaks=False, special=NO_SPECIAL)
    assert [sorted(units) for units in calls] == [["casa", "come", "perro"]] * (2 if code is None else 1)


def test_texts_of_equal_length_are_labelled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a slice has units, each code by itself."""
    made = replace(segmenters.trained_model())
    shapes: list[tuple[int, ...]] = []

    def label_rows(vectors: Floats, gaps: Ints, pairs: npt.NDArray[np.int64], code: str) -> Floats:
        shapes.append(gaps.shape)
        return SegmenterModel.label_rows(made, vectors, gaps, pairs, code)

    vars(made).update(label_rows=label_rows)
    monkeypatch.setattr(segmentation, "SLICE", 100)
    texts = ["la casa"] * 70 + ["", "la casa del sol"] * 8 + ["casa"]
    Reader(made).read(join(texts), code="es", line_breaks=False, special=NO_SPECIAL)
    assert sorted(shapes) == [(1, 1), (8, 4), (20, 2), (50, 2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_can_read_while_a_thread_of_the_parent_did() -> None:
    """It must not inherit a lock that nobody releases."""
    from mminibert.runtime.unit_cache import _growing

    cache, held, done = UnitCache(2), threading.Event(), threading.Event()

    def hold() -> None:
        with _growing:
            held.set()
            done.wait(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(20)
        cache.numbers(["new"], a_reading)
        os._exit(0)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_chinese_and_japanese_punctuation_says_little_of_the_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = segmenters.trained_model()
    spelled = {"我": [0.0, 0.0, 1.0], "。": [3.0, 0.0, 0.0], ".": [3.0, 0.0, 0.0]}

    def spell(units: Sequence[str]) -> np.ndarray:
        return np.asarray([spelled[unit] for unit in units], dtype=np.float32)

    made = replace(model)
    object.__setattr__(made, "spell", spell)

    def found(text: str) -> str:
        return read(Reader(made), text).stretches[0][1]

    assert [found(text) for text in ("我。", "。", "我.")] == ["zh", "es", "es"]
