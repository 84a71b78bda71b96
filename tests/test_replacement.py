"""Words of sentences in whose place others are put: which, how many, and that the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mminibert.data.replacement import Replacement, is_written, kinds
from mminibert.training.dataset import Text
from mminibert.training.forms import Forms, replace_words

words = st.text(alphabet="abAB1,\u0301\u093f", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        *((word, True) for word in ("Haus", "\u0939\u093f\u0928\u094d\u0926\u0940", "e\u0301", "\u4e2d")),
        *((word, False) for word in ("x2", "-", "don't", "", "\u0661")),
    ],
)
def test_written_words_have_letters_and_marks_alone(word: str, written: bool) -> None:
    assert is_written(word) is written


def test_a_word_gives_way_to_those_that_end_alike() -> None:
    forms = ["singing", "walking", "Walking", "ring", "sung", "oxen", "eaten", "2walking", "to", "so", "at"]
    replace = Replacement(forms)
    random = np.random.default_rng(0)

    def seen(word: str) -> set[str]:
        return {replace(["first", word], 1.0, random)[1] for _ in range(50)}

    assert seen("talking") == {"singing", "walking"}  # three letters, of words with six or more
    assert seen("Talking") == {"Walking"}
    assert seen("king") == {"ring", "sung"}  # half of four letters
    assert seen("do") == {"to", "so"}
    assert seen("unlike") == {"unlike"}
    assert seen("8") == {"8"}


@given(st.lists(words, max_size=12), st.lists(words, max_size=12), st.integers(0, 2**31))
def test_length_first_word_and_case_stay(forms: list[str], sentence: list[str], seed: int) -> None:
    replace = Replacement(forms)
    found = replace(sentence, 0.7, np.random.default_rng(seed))
    assert len(found) == len(sentence)
    assert found[:1] == sentence[:1]
    for old, new in zip(sentence, found, strict=True):
        assert old == new or (new in forms and is_written(new) and old[0].isupper() == new[0].isupper())
    assert replace(sentence, 0.7, np.random.default_rng(seed)) == found
    assert replace(sentence, 0.0, np.random.default_rng(seed)) == sentence


def test_the_share_is_kept() -> None:
    sentence = ["x", *["bad", "mad"] * 5000]
    found = Replacement(["mad", "bad", "sad", "lad"])(sentence, 0.2, np.random.default_rng(1))
    changed = np.mean([old != new for old, new in zip(sentence, found, strict=True)])
    assert changed == pytest.approx(0.2 * 3 / 4, abs=0.015)  # a form may give way to itself


@given(st.lists(words, unique=True, max_size=30))
def test_kinds_are_those_of_replacement(forms: list[str]) -> None:
    found = kinds(forms)
    for form, kind in zip(forms, found, strict=True):
        replace, random = Replacement(forms), np.random.default_rng(0)
        drawn = {replace(["x", form], 1.0, random)[1] for _ in range(60)}
        assert drawn <= {other for other, its in zip(forms, found, strict=True) if its == kind}
        assert (kind == -1) is not is_written(form)
        assert kind >= 0 or drawn == {form}


@st.composite
def texts(draw: st.DrawFn) -> tuple[Text, torch.Tensor]:
    """Sentences of two languages, and the kinds of ten forms."""
    form_kinds = torch.tensor(draw(st.lists(st.integers(-1, 2), min_size=10, max_size=10)))
    rows = draw(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=20))
    lengths = torch.tensor([len(row) for row in rows])
    languages = torch.tensor([draw(st.integers(0, 1)) for _ in rows]).repeat_interleave(lengths)
    flat = torch.tensor([word for row in rows for word in row])
    return Text(flat, torch.arange(len(flat)), languages, lengths), form_kinds


@given(texts(), st.integers(0, 2**31))
def test_words_on_a_device_give_way_to_alike_ones_of_their_language(
    made: tuple[Text, torch.Tensor], seed: int
) -> None:
    text, form_kinds = made
    forms = Forms(text.rows, text.languages, form_kinds)
    found, again, none = (
        replace_words(text, forms, share, 0.7, torch.Generator().manual_seed(seed)) for share in (0.5, 0.5, 0)
    )
    assert torch.equal(found.rows, again.rows) and torch.equal(found.labels, again.labels)
    assert torch.equal(none.rows, text.rows) and torch.equal(none.labels, text.labels)
    assert torch.equal(found.lengths, text.lengths) and torch.equal(found.languages, text.languages)
    known = set(zip(text.languages.tolist(), text.rows.tolist(), strict=True))
    start = 0
    for length in text.lengths.tolist():
        part = slice(start, start + length)
        old, new, labels = text.rows[part].tolist(), found.rows[part].tolist(), found.labels[part].tolist()
        assert labels in ([-1] * length, text.labels[part].tolist())  # altered sentences lose all labels
        assert old[0] == new[0] and (old == new or labels[0] == -1)
        for before, after in zip(old, new, strict=True):
            assert form_kinds[before] == form_kinds[after] and (before == after or form_kinds[before] >= 0)
            assert (int(text.languages[start]), after) in known
        start += length


def test_all_alike_forms_of_a_language_are_drawn_equally_often() -> None:
    rows, languages = torch.tensor([0, 0, 0, 1, 2, 3]), torch.tensor([0, 0, 0, 0, 0, 1])
    forms = Forms(rows, languages, torch.tensor([0, 0, 1, 0]))
    words, generator = torch.zeros(6000, dtype=torch.int64), torch.Generator().manual_seed(0)
    drawn = forms.others(words, torch.zeros_like(words), generator)
    assert torch.bincount(drawn, minlength=4).tolist() == pytest.approx([3000, 3000, 0, 0], abs=150)


def test_the_shares_of_sentences_and_words_are_kept() -> None:
    lengths = torch.full((2000,), 11)
    rows = torch.zeros(22_000, dtype=torch.int64)
    forms = Forms(torch.arange(50), torch.zeros(50, dtype=torch.int64), torch.zeros(50, dtype=torch.int64))
    text = Text(rows, rows, rows, lengths)
    found = replace_words(text, forms, 0.5, 0.3, torch.Generator().manual_seed(0))
    altered = found.labels == -1
    assert float(altered.double().mean()) == pytest.approx(0.5, abs=0.04)
    changed = float((found.rows != 0)[altered].double().mean())
    assert changed == pytest.approx(0.3 * 10 / 11 * 49 / 50, abs=0.015)
