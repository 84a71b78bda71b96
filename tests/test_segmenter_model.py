"""The segmenter's network without torch gives what PyTorch gives of the same weights in 8 bits."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import segmenters
import torch
from torch import Tensor

from mminibert.models.segmenter import SegmenterNet, SegmenterSizes
from mminibert.models.segmenter_export import export_segmenter
from mminibert.runtime.alphabet import CATEGORIES, Alphabet
from mminibert.runtime.conventions import round_rows
from mminibert.runtime.segmentation import REACH
from mminibert.runtime.segmenter_model import LENGTHS, SegmenterModel
from mminibert.runtime.types import Floats
from mminibert.runtime.units import Gap

ALPHABET = Alphabet("abcdeimnoru.,'我爱好")
LANGUAGES, CODES = ("en", "vi", "zh"), ("en", "vi", "zh", "en_x", "vi_x")
UNITS = [
    "a",
    "Bon,",
    "a.",
    "don't",
    "我",
    "爱",
    "ä\u0301Ω",
    "abcdefgh",
    "abcdefghi",
    "x" * 17,
    "c" * 40,
    "\U0001f600",
]
TABLES = ("characters", "categories", "pairs", "character_codes", "unit_codes")


def is_table(name: str) -> bool:
    return name in ("gaps.weight", "label_codes.weight", *(f"{table}.weight" for table in TABLES))


def in_8_bits(weights: Tensor) -> Tensor:
    rows, scales = round_rows(weights.detach().numpy().reshape(len(weights), -1))
    return torch.from_numpy((rows * scales[:, None]).reshape(weights.shape))


@pytest.fixture(scope="module")
def net() -> SegmenterNet:
    """All weights at random, so that none can be left out unseen; in 8 bits where they are stored so."""
    torch.manual_seed(6)
    sizes = SegmenterSizes(len(ALPHABET), 1 + len(CATEGORIES), len(LANGUAGES), len(CODES), pairs=101)
    made = SegmenterNet(sizes).eval()
    with torch.no_grad():
        for name, values in made.named_parameters():
            values.normal_(std=1.0 if is_table(name) else values[0].numel() ** -0.5)
            if name.removesuffix(".weight") in TABLES[:3]:
                values[0] = 0
            if values.ndim > 1 and name not in ("gaps.weight", "label_codes.weight"):
                values.copy_(in_8_bits(values))
        # Of labels the layer for all and each code's own are rounded together.
        layers = (made.character_labels, made.character_heads), (made.unit_labels, made.unit_heads)
        for labels, heads in layers:
            heads.weight.normal_(std=0.3)
            shared = labels.weight[:, :, 0]
            rows = (shared + heads.weight.view(len(CODES), *shared.shape)).reshape(-1, shared.shape[1])
            heads.weight.copy_(in_8_bits(rows).view(len(CODES), *shared.shape).sub(shared).flatten(1))
    return made


@pytest.fixture(scope="module")
def model(net: SegmenterNet) -> SegmenterModel:
    exported = export_segmenter(net, ALPHABET, languages=LANGUAGES, codes=CODES)
    weights = net.pairs.weight
    stored = torch.from_numpy(exported.pairs.rows * exported.pairs.scales[:, None])
    with torch.no_grad():
        assert float((stored - weights).abs().max()) <= 0.5001 * float(weights.std())  # in steps of that size
        weights.copy_(stored)
    return SegmenterModel.from_bytes(exported.to_bytes())


@pytest.mark.parametrize("code", CODES)
def test_characters(net: SegmenterNet, model: SegmenterModel, code: str) -> None:
    found = model.read_units(UNITS, code)
    with torch.no_grad():
        codes = torch.full((len(UNITS),), CODES.index(code))
        logits, vectors = net.of_characters(segmenters.flat(ALPHABET, UNITS), codes)
    np.testing.assert_allclose(found.vectors, vectors.numpy(), atol=1e-4)
    assert np.abs(found.vectors).max() > 1
    expected = [row[:-2].argmax(1).tolist() for row in logits.split([len(unit) + 2 for unit in UNITS])]
    assert [list(row) for row in found.labels] == expected
    assert len({label for row in found.labels for label in row}) > 1


def test_spelling(net: SegmenterNet, model: SegmenterModel) -> None:
    with torch.no_grad():
        expected = net.of_spelling(segmenters.flat(ALPHABET, UNITS)).numpy()
    np.testing.assert_allclose(model.spell(UNITS), expected, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("code", CODES)
def test_units_in_a_row(net: SegmenterNet, model: SegmenterModel, n: int, code: str) -> None:
    random = np.random.default_rng(n)
    vectors = random.standard_normal((n, model.vector_width)).astype(np.float32)
    gaps = random.choice([Gap.NONE, Gap.BLANK, Gap.LINE, Gap.PARAGRAPH], n).astype(np.int32)
    pairs = random.integers(0, 101, n)
    found = model.label_units(vectors, gaps, pairs, code)
    with torch.no_grad():
        (expected,) = net.of_units(
            torch.from_numpy(vectors)[None],
            torch.from_numpy(gaps.astype(np.int64))[None],
            torch.from_numpy(pairs)[None],
            torch.tensor([CODES.index(code)]),
        ).mT.numpy()
    np.testing.assert_allclose(found.logits, expected, atol=1e-4)
    assert found.ends.tolist() == expected[:3].argmax(0).tolist()
    assert found.stop.tolist() == (expected[6] > expected[5]).tolist()
    p = torch.softmax(torch.from_numpy(expected[3:5]), 0)[1].numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-found.multiword)), p, atol=1e-4)
    others = np.maximum(expected[0], expected[1])
    np.testing.assert_allclose(found.sentence, expected[2] - others, atol=1e-4)


def test_a_row_without_pairs(net: SegmenterNet, model: SegmenterModel) -> None:
    vectors = np.ones((3, model.vector_width), dtype=np.float32)
    gaps, none = np.ones(3, dtype=np.int32), np.zeros(3, dtype=np.int64)
    with torch.no_grad():
        (expected,) = net.of_units(
            torch.ones(1, 3, model.vector_width),
            torch.ones(1, 3).long(),
            torch.zeros(1, 3).long(),
            torch.tensor([0]),
        ).mT.numpy()
    np.testing.assert_allclose(model.label_units(vectors, gaps, none, "en").logits, expected, atol=1e-4)


def test_white_space_that_no_treebank_has_is_read_as_a_blank(model: SegmenterModel) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, model.vector_width)).astype(np.float32)
    none = np.zeros(4, dtype=np.int64)

    def logits(gap: Gap) -> Floats:
        return model.label_units(vectors, np.full(4, gap, dtype=np.int32), none, "en").logits

    assert (logits(Gap.OTHER) == logits(Gap.BLANK)).all()
    assert (logits(Gap.LINE) != logits(Gap.BLANK)).any()


def test_what_is_beyond_reach_does_not_matter(model: SegmenterModel) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((101, model.vector_width)).astype(np.float32)
    gaps, pairs = np.ones(101, dtype=np.int32), random.integers(0, 101, 101)
    middle = model.label_units(vectors, gaps, pairs, "en").logits[:, 50]
    vectors[: 50 - REACH] = vectors[51 + REACH :] = 9
    np.testing.assert_allclose(model.label_units(vectors, gaps, pairs, "en").logits[:, 50], middle, atol=1e-5)
    vectors[50 + REACH // 2] = 9
    assert np.abs(model.label_units(vectors, gaps, pairs, "en").logits[:, 50] - middle).max() > 1e-3


def test_what_is_read_of_a_unit_never_depends_on_the_others(model: SegmenterModel) -> None:
    """To the bit, so that it is the same whenever it was read."""
    units = ["abcdeimnoru.,'我爱好xyz0"[i % 7 :][:n] * 2 for i, n in enumerate(range(1, 21))]
    together, spelled = model.read_units(units, "en_x"), model.spell(units)
    chooser = random.Random(0)
    for _ in range(10):
        some = chooser.sample(range(len(units)), chooser.randint(1, len(units)))
        for i, vector, labels, logits in zip(
            some,
            *reversed(model.read_units([units[i] for i in some], "en_x")),
            model.spell([units[i] for i in some]),
            strict=True,
        ):
            assert (vector == together.vectors[i]).all() and labels == together.labels[i]
            assert (logits == spelled[i]).all()
    assert LENGTHS[-1] == 40 and len({len(unit) for unit in units}) > 15


def test_numbers_of_the_alphabet() -> None:
    alphabet = Alphabet("aé")
    assert alphabet.numbers("éaZ1\ud800").tolist() == [32, 31, 10, 14, 5]
    assert [CATEGORIES[i - 1] for i in alphabet.categories[[10, 14, 5, 31, 32]]] == [
        "Lu",
        "Nd",
        "Cs",
        "Ll",
        "Ll",
    ]
    assert alphabet.categories[0] == 0 and len(alphabet) == 33


def test_bytes_keep_everything(model: SegmenterModel) -> None:
    again = SegmenterModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert (again.codes, again.languages) == (CODES, LANGUAGES)
    assert again.alphabet.known == ALPHABET.known


@pytest.mark.parametrize("damage", ["cut", "flipped", "other format", "lacks", "nothing"])
def test_damaged_bytes(model: SegmenterModel, damage: str) -> None:
    data = model.to_bytes()
    match damage:
        case "cut":
            data = data[:-10]
        case "flipped":
            data = data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]
        case "other format":
            data = data.replace(b"mminibert.segmenter.2", b"mminibert.segmenter.0")
        case "lacks":
            data = data.replace(b'"alphabet"', b'"alphadet"')
        case "nothing":
            data = b""
    with pytest.raises(ValueError, match=r"format|checksum|lacks 'alphabet'|not at bytes"):
        SegmenterModel.from_bytes(data)


def test_tables_that_do_not_go_together(model: SegmenterModel) -> None:
    with pytest.raises(ValueError, match=r"4 codes, rows for \[5\], 48 characters and rows for 48 do not"):
        replace(model, codes=CODES[:-1])
    with pytest.raises(ValueError, match="do not go together"):
        replace(model, alphabet=Alphabet("a"))
