"""A treebank's own way to segment text, learned beside those that a segmenter has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import segmenters
import torch
from packaged import random_segmenter
from spacy.vocab import Vocab
from torch.nn import functional

from mminibert.data.segmented import Segmented
from mminibert.packaging.segmenter_part import SegmenterPart
from mminibert.packaging.segmenter_parts import with_apart, with_code
from mminibert.runtime.expansions import Entry, Expansions
from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.segmenter_model import SegmenterModel
from mminibert.runtime.ud_words import ud_words
from mminibert.systems import new_segmentation
from mminibert.systems.expansion_fit import with_convention
from mminibert.systems.new_segmentation import Target, loss_and_gradient, with_segmentation
from mminibert.systems.segmenter_data import Running, Units
from mminibert.systems.segmenter_states import character_states, unit_states

UNITS = ["abc", "bad.", "漢", "cab-ace", "x" * 30]


def test_states_times_the_head_are_what_the_network_says() -> None:
    model = random_segmenter().model
    gaps, pairs = np.asarray([0, 1, 2, 1, 0], dtype=np.int32), np.asarray([3, 0, 7, 1, 2])
    vectors = model.read_units(UNITS, "en").vectors
    for code in ("en", "en_y", "zh"):
        number = model.code_numbers[code]
        states = unit_states(model, vectors, gaps, pairs, code)
        head = model.unit_heads[model.head_rows(model.unit_heads, number)]
        expected = model.label_units(vectors, gaps, pairs, code).logits
        assert np.allclose((states @ head.T + model.label_codes[number]).T, expected, atol=1e-4)
        rows, bias = character_states(model, UNITS, code)
        assert len(rows) == sum(map(len, UNITS))
        head = model.character_heads[model.head_rows(model.character_heads, number)]
        labels = (rows @ head.T + bias).argmax(axis=1).astype(np.uint8).tobytes()
        assert labels == b"".join(model.read_units(UNITS, code).labels)


def test_loss_and_gradient_are_those_of_pytorch() -> None:
    rng = np.random.default_rng(0)
    states, head, offset = (rng.standard_normal(shape).astype(np.float32) for shape in ((9, 5), (7, 5), (7,)))
    first = Target(slice(0, 3), rng.integers(0, 3, 9, dtype=np.int32), np.ones(9, dtype=np.float32))
    second = Target(
        slice(3, 5),
        np.asarray([0, -1, 1, -1, 1, 0, -1, -1, 1], dtype=np.int32),
        rng.random(9).astype(np.float32),
    )
    nothing = Target(slice(5, 7), np.full(9, -1, dtype=np.int32), np.ones(9, dtype=np.float32))
    loss, gradient = loss_and_gradient(states, head, offset, [first, second, nothing])
    weights = torch.from_numpy(head).requires_grad_()
    scores = torch.from_numpy(states) @ weights.T + torch.from_numpy(offset)
    expected = torch.zeros(())
    for target in (first, second):
        each = functional.cross_entropy(
            scores[:, target.labels], torch.from_numpy(target.right).long(), ignore_index=-1, reduction="none"
        )
        known = torch.from_numpy(target.weights * (target.right >= 0))
        expected = expected + (each * known).sum() / known.sum()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert weights.grad is not None
    assert np.allclose(gradient, weights.grad.numpy(), atol=1e-6)


@pytest.mark.parametrize(("code", "like"), [("es_own", "es"), ("zh_own", "zh_toy")])
@pytest.mark.parametrize("apart", [False, True])
def test_all_others_stay_to_the_bit(code: str, like: str, apart: bool) -> None:
    part = toy(apart=apart)
    network = part.model.of(like)
    new = {
        "character_head": np.ones((4, network.character_heads.rows.shape[1]), dtype=np.float32),
        "unit_head": np.ones((7, network.unit_heads.rows.shape[1]), dtype=np.float32),
        "label_code": np.arange(7, dtype=np.float32),
    }
    model = with_code(part.model, code, like, **new)
    assert model.codes == (*part.model.codes, code)
    assert model.languages == part.model.languages
    told = model.of(code)
    assert (told is model) == (network is part.model)
    assert np.allclose(told.unit_heads[told.head_rows(told.unit_heads, told.code_numbers[code])], 1)
    assert told.label_codes[told.code_numbers[code]].tolist() == list(range(7))
    text = "Juan come del libro. 我爱北京。今天天气。 tôi học . đi"
    for known in part.model.codes:
        assert tokens(SegmenterPart(model, part.expansions), known, text) == tokens(part, known, text)
    again = with_code(model, code, like, **new)  # takes the place of the first
    assert again.codes == model.codes and again.to_bytes() == model.to_bytes()


def toy(*, apart: bool = False) -> SegmenterPart:
    """The trained toy segmenter; apart: Chinese has a network of its own."""
    model = segmenters.trained_model()
    if apart:
        own = model
        chinese = [own.code_numbers[code] for code in ("zh", "zh_toy")]
        network = replace(
            own,
            codes=("zh", "zh_toy"),
            languages=("zh",),
            character_codes=own.character_codes.only(chinese),
            unit_codes=own.unit_codes.only(chinese),
            label_codes=own.label_codes[chinese],
            character_heads=own.character_heads.only(own.head_rows(own.character_heads, *chinese)),
            unit_heads=own.unit_heads.only(own.head_rows(own.unit_heads, *chinese)),
        )
        model = with_apart(model, network, own.alphabet.known)
    return SegmenterPart(model, segmenters.EXPANSIONS)


def tokens(part: SegmenterPart, code: str, text: str) -> list[tuple[str, bool, object]]:
    segmenter = Segmenter(Vocab(), language=None)
    segmenter.learned(part.model, part.expansions)
    segmenter.language = code
    return [(token.text, bool(token.is_sent_start), ud_words(token)) for token in segmenter(text)]


def odd(code: str, n: int, seed: int) -> list[Segmented]:
    """Sentences of a toy language whose full stops are part of the last word."""
    found = []
    for sentence in segmenters.sentences(code, n, seed=seed):
        *before, last, (_, end) = sentence.tokens
        found.append(Segmented(sentence.text, (*before, (last[0], end)), sentence.words, sentence.gap))
    return found


@pytest.mark.parametrize("apart", [False, True])
def test_it_learns_where_words_end(apart: bool) -> None:
    code = "zh_toy" if apart else "es_toy"
    own = f"{code[:2]}_own"
    part = toy(apart=apart)
    made = with_segmentation(part, own, odd(code, 200, seed=1))
    assert made is not None
    text, gold = segmenters.joined(odd(code, 30, seed=2))

    def right(part: SegmenterPart, code: str) -> float:
        segmenter = Segmenter(Vocab())
        segmenter.learned(part.model, part.expansions)
        segmenter.language = code
        found = {(t.idx, t.idx + len(t), bool(t.is_sent_start)) for t in segmenter(text) if not t.is_space}
        return 2 * len(found & gold) / (len(found) + len(gold))

    assert right(part, code) < 0.9  # it splits the full stops off
    assert right(made, own) > 0.97
    assert tokens(made, code, text) == tokens(part, code, text)


def test_a_language_that_the_segmenter_lacks() -> None:
    assert with_segmentation(toy(), "fi_own", segmenters.sentences("es_toy", 5)) is None


ONE = Entry("always", ("d", "el"))
LANGUAGE = Expansions(
    {"": {"del": ONE, "al": Entry("mostly", ("a", "el"))}, "es_x": {"al": Entry("never", ())}}
)


@pytest.mark.parametrize(
    ("seen", "expected", "without"),
    [
        ([("del", ("d", "el"))], None, False),  # as the language has it
        ([("del", ("de", "el"))] * 3, {"del": Entry("always", ("de", "el"))}, False),
        ([("del", ("de", "el"))] * 2, None, False),  # too seldom to differ
        (
            [("del", None)] * 3 + [("dal", ("da", "el"))],
            {"del": Entry("never", ()), "dal": Entry("always", ("da", "el"))},
            False,
        ),
        ([("del", None), ("casa", None)], None, True),  # no multiword tokens at all
    ],
)
def test_multiword_tokens_of_a_convention(
    seen: Sequence[tuple[str, tuple[str, ...] | None]], expected: dict[str, Entry] | None, without: bool
) -> None:
    made = with_convention(LANGUAGE, "es_own", seen)
    assert made is not None
    assert made.lexicon.get("es_own") == expected
    assert ("es_own" in made.without) == without
    others = {code: forms for code, forms in made.lexicon.items() if code != "es_own"}
    assert others == LANGUAGE.lexicon
    assert with_convention(made, "es_own", seen) == made


def test_multiword_tokens_of_a_language_that_had_none() -> None:
    assert with_convention(None, "fi_own", [("a", None)]) is None
    made = with_convention(None, "fi_own", [("ettei", ("että", "ei"))])
    assert made is not None
    assert made.expand("ettei", (), 0.5, "fi_own") == ("että", "ei")
    assert made.expand("ettei", (), 0.5, "fi_tdt") is None


def test_how_readily_a_sentence_ends_is_chosen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the labels that were learned, on the treebank's own text."""
    found, part = [], toy()
    for bias in (0.0, 1.5):

        def best(model: SegmenterModel, text: Running, units: Units, code: str, bias: float = bias) -> float:
            assert code in model.codes and len(text) > 20
            return bias

        monkeypatch.setattr(new_segmentation, "best_bias", best)
        made = with_segmentation(part, "es_own", odd("es_toy", 20, seed=1))
        assert made is not None
        found.append(made.model.label_codes[made.model.code_numbers["es_own"]])
    assert np.allclose(found[1] - found[0], [0, 0, 1.5, 0, 0, 0, 0])
