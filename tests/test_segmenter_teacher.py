"""Text that a larger network segments: where its states are read, what it learns, what is kept of labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import segmenters
import torch
from teachers import write_bert
from transformers import AutoModel, AutoTokenizer

from mminibert.runtime.units import NOTHING, SENTENCE, TOKEN, Gap, units_of
from mminibert.systems import segmenter_labelled as labelled
from mminibert.systems.segmenter_data import UNKNOWN, Running, Units, running
from mminibert.systems.segmenter_teacher import (
    PLACES,
    Labeller,
    SegmentingHead,
    Stretch,
    TeacherSettings,
    UnitStates,
    stretches_of,
)

VOCABULARY = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz.",
    "tôi",
    "sinh",
    "viên",
]
VOCABULARY += ["##" + char for char in "abcdefghijklmnopqrstuvwxyz"] + [
    "我",
    "你",
    "爱",
    "去",
    "北",
    "京",
    "。",
    "老",
]
SETTINGS = TeacherSettings(layers=(1, 2), epochs=12, batch=8, stretch=24, width=48, dropout=0.0, sure=0.6)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    return write_bert(folder / "bert", folder / "vocab.txt")


def stretch(text: str) -> Stretch:
    found = units_of(text)
    return Stretch(found.units, found.gaps)


def test_states_are_those_of_the_piece_in_which_a_unit_begins(bert: Path) -> None:
    """By Hugging Face's own tokenizer and model, a text at a time."""
    states = UnitStates(bert, (1, 2))
    states.mixed = False
    texts = ["abc d. 我你 xyz", "sinh viên", "我爱北京。"]
    model, tokenizer = AutoModel.from_pretrained(str(bert)).eval(), AutoTokenizer.from_pretrained(str(bert))
    for text, found in zip(texts, states([stretch(text) for text in texts], at_once=2), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**encoded, output_hidden_states=True).hidden_states
        rows = torch.cat([hidden[1], hidden[2]], -1)[0]
        pieces = [encoded.char_to_token(0, start) for start in units_of(text).starts.tolist()]
        np.testing.assert_allclose(found.hidden, rows[pieces].numpy(), atol=5e-3)
        assert found.places.tolist() == [[0, 0]] * len(pieces)  # each has a piece of its own


def test_units_of_one_piece_are_told_apart() -> None:
    from mminibert.systems.segmenter_teacher import _piece_of_characters, _places

    pieces = _piece_of_characters(7, np.asarray([[0, 0], [0, 3], [3, 4], [5, 7], [0, 0]]))
    assert pieces.tolist() == [1, 1, 1, 2, 0, 3, 3]
    assert _places(np.asarray([1, 1, 1, 2, 3, 3])).tolist() == [
        [0, 2],
        [1, 1],
        [2, 0],
        [0, 0],
        [0, 1],
        [1, 0],
    ]
    assert _places(np.zeros(20, dtype=np.int64)).max() == PLACES - 1


def test_stretches_are_of_whole_sentences() -> None:
    units = Units()
    text = running(segmenters.sentences("zh_toy", 30), units)
    for length in (5, 24, 10_000):
        found, ends = stretches_of(text, units, length)
        assert [unit for one in found for unit in one.units] == [units.texts[i] for i in text.units]
        np.testing.assert_array_equal(np.concatenate(ends), text.ends)
        for one, labels in zip(found, ends, strict=True):
            assert labels[-1] == SENTENCE
            assert len(one.units) <= length or (labels == SENTENCE).sum() == 1
    assert len(stretches_of(text, units, 10_000)[0]) == 1


def test_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    head = SegmentingHead(SETTINGS, 8, 5, n_pairs=7)
    ids = torch.randint(0, 5, (2, 6))
    scores = head(torch.randn(2, 6, 8), ids, torch.randint(0, 7, (2, 6, 2)), ids % len(Gap), ids)
    assert scores.shape == (2, 6, 3)
    scores.square().sum().backward()
    for name, values in head.named_parameters():
        assert values.grad is not None and bool((values.grad != 0).any()), name


def test_padding_changes_nothing(bert: Path) -> None:
    states = UnitStates(bert, (1, 2))
    states.mixed = False
    labeller = Labeller(states, SETTINGS, [stretch("我爱北京。")] * 2)
    labeller.head.eval()
    texts = [stretch("我爱。"), stretch("我爱北京你去我爱北京你去。")]
    (alone,) = labeller.label(texts[:1])
    together = next(iter(labeller.label(texts)))
    # Convolutions see what is filled up, whose states are zeros but not what the layers make of them.
    assert alone.shape == together.shape == (3, 3)
    np.testing.assert_allclose(alone.sum(axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "zh.txt"
    lines = [sentence.text for sentence in segmenters.sentences("zh_toy", 40, seed=9)]
    lines += [
        "short。",
        "这 is mostly of another script than that.",
        "我爱北京老师去看学校今天天气我",
        "我" * 300,
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def zh(n: int, units: Units, seed: int) -> Running:
    return running(segmenters.sentences("zh_toy", n, seed=seed), units)


def label(bert: Path, text: Path, kept: Path, said: list[str]) -> tuple[Running, dict[str, float], Units]:
    units = Units()
    gold, held_out = zh(150, units, 0), zh(20, units, 1)
    found, facts = labelled.labelled_text(bert, gold, held_out, units, text, 10_000, kept, said.append)
    return found, facts, units


@pytest.fixture
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(labelled, "TeacherSettings", lambda: SETTINGS)
    yield


@pytest.mark.usefixtures("_settings")
def test_labelled_text(bert: Path, text_file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    kept = tmp_path / "labelled.npz"
    found, facts, units = label(bert, text_file, kept, said)
    assert facts["token_f1"] > 0.95 and facts["units"] == len(found)
    text = "".join(units.texts[i] for i in found.units.tolist())
    lines = text_file.read_text(encoding="utf-8").split("\n")
    long = [one for one in segmenters.sentences("zh_toy", 40, seed=9) if len(one.text) >= 10]
    assert 10 < len(long) < 40
    assert text == "".join([*(one.text for one in long), lines[42]])  # what is prose of this script
    expected = running(long, units)
    sure = found.ends[: len(expected)] != UNKNOWN
    assert sure.mean() > 0.8 and set(found.ends.tolist()) <= {UNKNOWN, NOTHING, TOKEN, SENTENCE}
    assert (found.ends[: len(expected)][sure] == expected.ends[sure]).mean() > 0.95
    assert found.ends[-1] == UNKNOWN  # the last line has no full stop
    np.testing.assert_array_equal(found.gaps[: len(expected)], expected.gaps)
    assert set(found.multiword.tolist()) == set(found.stops.tolist()) == {UNKNOWN}
    assert kept.exists()
    # The second time nothing is trained or labelled.
    count = len(said)
    again, same, others = label(bert, tmp_path / "is not read", kept, said)
    assert len(said) == count and same == facts
    np.testing.assert_array_equal(again.ends, found.ends)
    assert [others.texts[i] for i in again.units] == [units.texts[i] for i in found.units]


def test_labels_that_are_not_sure_are_left_out(
    bert: Path, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that nothing is sure enough of, the ends of lines are left."""
    monkeypatch.setattr(labelled, "TeacherSettings", lambda: replace(SETTINGS, epochs=1, sure=1.1))
    found, facts, units = label(bert, text_file, tmp_path / "labelled.npz", [])
    ends = [units.texts[i] == "。" for i in found.units.tolist()]
    assert found.ends.tolist() == [SENTENCE if end else UNKNOWN for end in ends]
    assert facts["sure"] == sum(ends) / len(ends)


def test_what_is_learned_of_labelled_text() -> None:
    """It counts as the treebank's own; where labels are unknown, nothing is learned."""
    from mminibert.systems.segmenter_fit import FitSettings, SegmenterFit

    units = Units()
    gold = zh(20, units, 0)
    names = ["我", "们", "abc"]
    ids = np.asarray([units.add(name) for name in names * 30], dtype=np.int32)
    unknown = np.full(90, UNKNOWN, dtype=np.int32)
    inside = (b"", b"", b"\xff\xff") * 30
    other = Running(ids, np.zeros(90, dtype=np.int32), unknown, unknown, unknown, inside)
    fit = SegmenterFit({"zh_toy": gold}, units, FitSettings(sequence=8, sequences=4), {"zh_toy": other})
    assert "们" in fit.alphabet.known
    own = [source for source in fit.sampler.sources if source.running.stops is other.stops]
    shares = fit.sampler.shares[[source in own for source in fit.sampler.sources]]
    assert 0.2 < shares.sum() < 0.8
    batch = [one for _ in range(50) for one in fit.sample() if one.source in own][:3]
    losses = fit.losses(batch)
    assert {name for name, loss in losses.items() if float(loss.detach()) != 0} == {"languages"} - {
        "languages"
    }
