"""What is learnt of which sentences: stored targets, gold labels, a teacher's."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from students import SCHEDULE, field_softmax, inventory, make_student, write_soft_shards, write_vocabulary

from mminibert.data.targets import densify, read_shard
from mminibert.systems.model import PipelineTagger, pipeline_model
from mminibert.systems.shards import stored_targets
from mminibert.training.bundle import Bundle
from mminibert.training.dataset import Dataset
from mminibert.training.pieces import PieceTable
from mminibert.training.sampling import Ahead, draw
from mminibert.training.targets import Epoch, Gold, Replaced, Stored, Taught

LABELS = inventory()
STARTS = LABELS.starts
PLAN = replace(SCHEDULE, batch_pieces=300)


@pytest.fixture
def model(tmp_path: Path) -> PipelineTagger:
    nlp = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS, max_pieces=64)
    return pipeline_model(nlp)


def stored(paths: list[Path], model: PipelineTagger, schedule: Any = PLAN, **settings: Any) -> Stored:
    return stored_targets(paths, model, schedule, **{"temperature": 3.0, "masking": 0.0, **settings})


def test_batches_have_the_pieces_and_targets_of_their_sentences(
    tmp_path: Path, model: PipelineTagger
) -> None:
    model.max_pieces, pieces = 12, model.pieces
    paths = write_soft_shards(tmp_path, en=20, de=12)
    sentences: list[tuple[list[str], np.ndarray]] = []
    for path in sorted(paths):
        shard = read_shard(path)
        dense = densify(shard.targets, STARTS, 3.0)
        bounds = np.cumsum([0, *map(len, shard.sentences)])
        sentences += [
            (list(words), dense[a:b]) for words, (a, b) in zip(shard.sentences, pairwise(bounds), strict=True)
        ]
    schedule = replace(PLAN, exponent=1.0, batch_pieces=60)
    epoch = stored(paths[::-1], model, schedule)(0)  # the order of the paths does not matter
    assert sorted(epoch.plan.order) == list(range(32))
    cut = 0
    for (start, end), (batch, targets) in zip(epoch.plan.bounds, epoch.batches(), strict=True):
        rows, positions = [], []
        longest = batch.piece_ids.shape[1]
        for place, i in enumerate(epoch.plan.order[start:end]):
            words, dense = sentences[i]
            ids = [pieces.cls_id]
            for word, row in zip(words, dense, strict=True):
                found = pieces.pieces(word)
                if len(ids) + len(found) >= 12:
                    cut += 1
                    break
                positions.append(place * longest + len(ids))
                rows.append(row)
                ids += found
            ids.append(pieces.sep_id)
            assert batch.piece_ids[place].tolist() == ids + [pieces.pad_id] * (longest - len(ids))
            assert batch.mask[place].tolist() == [True] * len(ids) + [False] * (longest - len(ids))
        assert batch.first.tolist() == positions
        np.testing.assert_allclose(targets.numpy(), np.stack(rows), atol=1e-6)
        assert longest <= 12
    assert cut > 10  # so that words and targets could have come apart


def test_masked_words_are_mask_pieces_and_nothing_else_changes(tmp_path: Path, model: PipelineTagger) -> None:
    paths = write_soft_shards(tmp_path, en=40)
    plain, hidden, again = (stored(paths, model, masking=share)(2) for share in (0.0, 0.4, 0.4))
    mask_id, n_masked, n_words = model.pieces.mask_id, 0, 0
    assert mask_id not in (model.pieces.cls_id, model.pieces.sep_id, model.pieces.pad_id)
    for (batch, targets), (other, same), (repeated, _) in zip(
        plain.batches(), hidden.batches(), again.batches(), strict=True
    ):
        assert torch.equal(targets, same) and torch.equal(repeated.piece_ids, other.piece_ids)
        assert torch.equal(batch.mask, other.mask) and torch.equal(batch.first, other.first)
        before, after = batch.piece_ids.flatten(), other.piece_ids.flatten()
        left = torch.ones_like(before, dtype=torch.bool)
        for first, following in pairwise([*batch.first.tolist(), len(before)]):
            end = first  # to the next word, [SEP] or padding
            while end < following and before[end] not in (model.pieces.sep_id, model.pieces.pad_id):
                end += 1
            old, new = before[first:end], after[first:end]
            assert torch.equal(old, new) or set(new.tolist()) == {mask_id}
            n_masked += not torch.equal(old, new)
            left[first:end] = False
        assert torch.equal(before[left], after[left])
        n_words += len(batch.first)
    assert 0.3 * n_words < n_masked < 0.5 * n_words
    other_epoch = next(iter(stored(paths, model, masking=0.4)(3).batches()))[0]
    assert (other_epoch.piece_ids == mask_id).any()


def test_no_shards_is_an_error(model: PipelineTagger) -> None:
    with pytest.raises(FileNotFoundError, match="run the step `collect` first"):
        stored([], model)


def order(epoch: Epoch) -> list[list[int]]:
    return [epoch.plan.order[start:end].tolist() for start, end in epoch.plan.bounds]


def test_an_epoch_depends_on_seed_and_number_alone(tmp_path: Path, model: PipelineTagger) -> None:
    paths = write_soft_shards(tmp_path, en=60, de=20)
    one, other = (stored(paths, model) for _ in range(2))
    forwards = [order(one(number)) for number in range(3)]
    backwards = [order(other(number)) for number in (2, 1, 0)]
    assert forwards == backwards[::-1]
    assert forwards[0] != forwards[1] != forwards[2]
    assert order(stored(paths, model, replace(PLAN, seed=2))(0)) != forwards[0]


def test_what_is_computed_ahead_is_what_is_asked_for() -> None:
    asked: list[int] = []
    ahead = Ahead(lambda number: asked.append(number) or number * number)  # type: ignore[func-returns-value]
    assert [ahead(number) for number in (3, 4, 5, 1, 2)] == [9, 16, 25, 1, 4]
    assert asked[:5] == [3, 4, 5, 6, 1]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_groups_are_drawn_by_a_power_of_their_size(
    tmp_path: Path, model: PipelineTagger, exponent: float
) -> None:
    counts = {"de": 20, "en": 400, "fr": 90}
    paths = sorted(write_soft_shards(tmp_path, **counts))
    shards = [(path.name[:2], len(sentence)) for path in paths for sentence in read_shard(path).sentences]
    langs, words = np.asarray([lang for lang, _ in shards]), np.asarray([n for _, n in shards])
    sizes = {lang: int(words[langs == lang].sum()) for lang in counts}
    total = sum(size**exponent for size in sizes.values())
    chosen = stored(paths, model, replace(PLAN, exponent=exponent))(0).plan.order
    for lang, size in sizes.items():
        times = sum(sizes.values()) * size**exponent / total / size
        drawn = np.bincount(chosen[langs[chosen] == lang], minlength=len(langs))[langs == lang]
        # Whole rounds through a language, then a part of one.
        assert drawn.sum() == round(counts[lang] * times)
        assert int(times + 1e-9) <= drawn.min() <= drawn.max() <= int(np.ceil(times - 1e-9))
    if exponent == 1.0:
        assert sorted(chosen) == list(range(len(langs)))


def test_small_groups_are_drawn_more_often() -> None:
    groups, n_words = np.repeat([0, 1], [900, 100]), np.full(1000, 10)
    drawn = np.bincount(groups[draw(groups, n_words, 0.5, np.random.default_rng(0))])
    assert drawn.tolist() == [750, 250]  # as 30 : 10
    assert np.bincount(groups[draw(groups, n_words, 1.0, np.random.default_rng(0))]).tolist() == [900, 100]


@pytest.mark.parametrize("batch_pieces", [20, 100, 1000])
def test_batches_are_bounded(tmp_path: Path, model: PipelineTagger, batch_pieces: int) -> None:
    model.max_pieces = 40
    paths = write_soft_shards(tmp_path, en=200, de=40)
    epoch = stored(paths, model, replace(PLAN, batch_pieces=batch_pieces))(0)
    shapes = [tuple(batch.piece_ids.shape) for batch, _ in epoch.batches()]
    assert all(n * longest <= batch_pieces or n == 1 for n, longest in shapes)
    if batch_pieces >= 100:
        used = sum(int(batch.mask.sum()) for batch, _ in epoch.batches())
        assert used / sum(n * longest for n, longest in shapes) > 0.75  # little of it is padding


# Of a bundle: six forms, a piece each, of two kinds; sentences of two languages, with and without labels.

FORMS = 6
FIELDS = [3, 2]
VALUES = np.asarray([[0, 0], [1, 1], [2, -1]], dtype=np.int8)
LENGTHS = np.asarray([4, 3, 5, 4, 2] * 12, dtype=np.int32)
GROUPS = np.repeat([0, 1], [50, 10]).astype(np.int16)
DEV = np.arange(len(LENGTHS)) % 20 == 7
TEXT = (np.arange(len(LENGTHS)) % 3 == 1) & ~DEV
ALL_WORDS = np.random.default_rng(0).integers(0, FORMS, LENGTHS.sum()).astype(np.int32)
ALL_LABELS = np.where(np.repeat(TEXT, LENGTHS), -1, ALL_WORDS % 3).astype(np.int32)
TABLE = PieceTable(
    counts=np.ones(FORMS, np.uint8),
    pieces=np.arange(3, 3 + FORMS, dtype=np.int32),
    cls_id=0,
    sep_id=1,
    pad_id=2,
    blank_id=-1,
    max_pieces=32,
)
IDS = np.arange(3 + FORMS, dtype=np.int32)
LOGITS = torch.from_numpy(np.random.default_rng(1).normal(scale=2, size=(3 + FORMS, sum(FIELDS)))).float()


class TeacherByForm(torch.nn.Module):
    """A teacher whose logits are those of the word's piece, and of the convention that it is told."""

    def forward(
        self,
        piece_ids: torch.Tensor,
        mask: torch.Tensor,
        first: torch.Tensor,
        conventions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        logits = LOGITS[piece_ids.flatten()[first]]
        if conventions is None:
            return logits
        return logits.roll(1, 1) * (conventions[first // piece_ids.shape[1]] + 2)[:, None]


@pytest.fixture
def data() -> Dataset:
    return make_data()


def make_data(**more: Any) -> Dataset:
    """The bundle on a device; more: settings, and `of_sentences`, the groups of these."""
    groups = more.pop("of_sentences", GROUPS)
    settings = {"fields": FIELDS, "upos_weight": 4.0, "groups": ["aa_x", "bb_y"], **more}
    bundle = Bundle(
        settings,
        words=ALL_WORDS,
        lengths=LENGTHS,
        kinds=np.asarray([0, 0, 0, 1, 1, -1], dtype=np.int32),
        groups=groups,
        labels=ALL_LABELS,
        dev=DEV,
        values=VALUES,
        teacher=TABLE,
        student=TABLE,
        ids={"teacher": IDS, "student": IDS},
        subword_counts=np.zeros(0, np.uint8),
        subwords=np.zeros(0, np.int32),
        weights={},
    )
    return Dataset(bundle, "cpu")


def taught(data: Dataset, sentences: float, words: float, *, temperature: float = 1.0) -> Taught:
    replaced = Replaced(sentences, words, passes=2)
    teacher: Any = TeacherByForm()
    return Taught(teacher, data, PLAN, replaced, temperature=temperature)


def words_of(epoch: Epoch) -> tuple[np.ndarray, np.ndarray]:
    """Of all words of an epoch, in order, the form and the targets."""
    found: dict[int, tuple[int, np.ndarray]] = {}
    for batch, targets in epoch.batches():
        forms = batch.piece_ids.flatten()[batch.first] - 3
        for word, form, row in zip(batch.words.tolist(), forms.tolist(), targets.numpy(), strict=True):
            found[word] = form, row
    rows = [found[word] for word in range(len(found))]
    return np.asarray([form for form, _ in rows]), np.stack([row for _, row in rows])


def gold_row(label: int) -> np.ndarray:
    row = np.zeros(sum(FIELDS), dtype=np.float32)
    for field, (start, value) in enumerate(zip((0, 3), VALUES[label], strict=True)):
        if value >= 0:
            row[start + value] = 1.0
        assert field in (0, 1)
    return row


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_teacher_labels_what_gold_labels_leave_unknown(data: Dataset, temperature: float) -> None:
    strategy = taught(data, 0.0, 0.0, temperature=temperature)
    assert strategy.temperature == temperature
    soft = field_softmax(LOGITS.numpy()[3:] / temperature, np.asarray([0, 3, 5], dtype=np.int32))
    draws = np.random.default_rng([PLAN.seed, 0])
    chosen = np.flatnonzero(~DEV)
    drawn = chosen[draw(GROUPS[chosen], LENGTHS[chosen], PLAN.exponent, draws)]
    starts = LENGTHS.cumsum() - LENGTHS
    places = np.concatenate([np.arange(starts[i], starts[i] + LENGTHS[i]) for i in drawn])
    forms, targets = words_of(strategy(0))
    assert np.array_equal(forms, ALL_WORDS[places])
    n_gold = 0
    for form, label, row in zip(forms, ALL_LABELS[places], targets, strict=True):
        expected = soft[form].copy()
        if label >= 0:
            gold = gold_row(label)
            for field in (slice(0, 3), slice(3, 5)):
                expected[field] = gold[field] if gold[field].any() else expected[field]
            n_gold += 1
        np.testing.assert_allclose(row, expected, atol=1e-3)  # half precision
    assert 0 < n_gold < len(forms)


def test_words_give_way_and_their_sentences_are_the_teachers(data: Dataset) -> None:
    strategy, plain = taught(data, 1.0, 0.5), taught(data, 0.0, 0.0)
    soft = field_softmax(LOGITS.numpy()[3:], np.asarray([0, 3, 5], dtype=np.int32))
    forms, targets = words_of(strategy(0))
    before, _ = words_of(plain(0))
    assert 0.1 < np.mean(forms != before) < 0.5
    np.testing.assert_allclose(targets, soft[forms], atol=1e-3)


def test_passes_share_labels_and_rounds_do_not(data: Dataset) -> None:
    strategy = taught(data, 0.5, 0.5)
    said: list[str] = []
    strategy._say = said.append
    epochs = [words_of(strategy(number))[0] for number in range(4)]
    assert np.array_equal(epochs[0], epochs[1]) and np.array_equal(epochs[2], epochs[3])
    assert not np.array_equal(epochs[0], epochs[2])
    assert len(said) == 2
    plans = [order(strategy(number)) for number in (0, 1)]
    assert plans[0] != plans[1]
    # In the middle of a round a training that goes on gets what it had.
    again = taught(data, 0.5, 0.5)
    assert np.array_equal(words_of(again(3))[0], epochs[3])


def words_by_group(chosen: np.ndarray) -> list[float]:
    return np.bincount(GROUPS[chosen], LENGTHS[chosen]).tolist()


def expected_words(usable: np.ndarray, exponent: float) -> list[float]:
    sizes = np.bincount(GROUPS[usable], LENGTHS[usable])
    found: list[float] = (sizes.sum() * sizes**exponent / (sizes**exponent).sum()).tolist()
    return found


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_gold_sentences_are_drawn_by_the_size_of_their_group(data: Dataset, exponent: float) -> None:
    usable = np.flatnonzero(~DEV & ~TEXT)
    order = Gold(data, "student", replace(PLAN, exponent=exponent))(0).plan.order
    assert words_by_group(usable[order]) == pytest.approx(expected_words(usable, exponent), rel=0.15)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_taught_sentences_are_drawn_by_the_size_of_their_group(data: Dataset, exponent: float) -> None:
    schedule, usable = replace(PLAN, exponent=exponent), np.flatnonzero(~DEV)
    teacher: Any = TeacherByForm()
    forms, _ = words_of(Taught(teacher, data, schedule, Replaced(0.0, 0.0, 1))(0))
    random = np.random.default_rng([schedule.seed, 0])
    chosen = usable[draw(GROUPS[usable], LENGTHS[usable], exponent, random)]
    starts = LENGTHS.cumsum() - LENGTHS
    wanted = np.concatenate([ALL_WORDS[starts[i] : starts[i] + LENGTHS[i]] for i in chosen])
    assert np.array_equal(forms, wanted)
    assert words_by_group(chosen) == pytest.approx(expected_words(usable, exponent), rel=0.15)


def test_gold_labels_are_learnt_from_labelled_sentences_alone(data: Dataset) -> None:
    epoch = Gold(data, "student", replace(PLAN, exponent=1.0))(0)
    rows = np.concatenate([targets.numpy() for _, targets in epoch.batches()])
    places = np.repeat(~DEV & ~TEXT, LENGTHS)
    assert len(rows) == places.sum()
    expected = np.stack([gold_row(label) for label in ALL_LABELS[places]])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))


# Of a bundle with conventions: the sentences without labels are text of a language that has two.

TOLD: dict[str, Any] = {
    "groups": ["aa_x", "aa_z", "bb_y", "text-aa", "text-cc"],
    "conventions": ["aa_x", "aa_z", "bb_y"],
    "of_sentences": np.where(TEXT, 3 + (np.arange(len(LENGTHS)) % 7 == 1), GROUPS * 2).astype(np.int16),
}


def told(epoch: Epoch) -> np.ndarray:
    """Of all sentences of an epoch, in order, the convention."""
    found = np.full(len(epoch.plan.order), -9)
    for (start, end), (batch, _) in zip(epoch.plan.bounds, epoch.batches(), strict=True):
        assert batch.conventions is not None
        found[epoch.plan.order[start:end]] = batch.conventions.numpy()
    return found


@pytest.mark.parametrize("words", [0.0, 0.5])
def test_a_teacher_is_told_the_convention_that_the_student_is(words: float) -> None:
    data, teacher = make_data(**TOLD), TeacherByForm()
    schedule = replace(PLAN, exponent=1.0)
    strategy = Taught(teacher, data, schedule, Replaced(words * 2, words, 2))  # type: ignore[arg-type]
    usable = np.flatnonzero(~DEV)
    seen, drawn = [], []
    for number in (0, 1, 2):
        epoch = strategy(number)
        random = np.random.default_rng([schedule.seed, number // 2])
        order = usable[draw(TOLD["of_sentences"][usable], LENGTHS[usable], 1.0, random)]
        conventions, groups = told(epoch), TOLD["of_sentences"][order]
        drawn.append(conventions[groups == 3].tolist())
        seen.append(dict(zip(order.tolist(), conventions.tolist(), strict=True)))
        assert set(conventions[groups == 0]) == {0} and set(conventions[groups == 2]) == {2}
        assert set(conventions[groups == 3]) == {0, 1} and set(conventions[groups == 4]) == {-1}
        forms, targets = words_of(epoch)
        for form, row, convention in zip(forms, targets, np.repeat(conventions, LENGTHS[order]), strict=True):
            logits = np.roll(LOGITS.numpy()[3 + form], 1) * (convention + 2)
            soft = field_softmax(logits[None], np.asarray([0, 3, 5], dtype=np.int32))[0]
            for field in (slice(0, 3), slice(3, 5)):
                known = words == 0.0 and set(row[field].tolist()) == {0.0, 1.0}
                assert known or row[field] == pytest.approx(soft[field], abs=2e-3)
    # Within a round the same, as its labels are; then anew.
    assert seen[0] == seen[1] and drawn[0] != drawn[2]
    again = Taught(teacher, data, schedule, Replaced(words * 2, words, 2))  # type: ignore[arg-type]
    assert np.array_equal(told(again(2)), told(strategy(2)))


@pytest.mark.parametrize("kind", ["gold", "taught"])
def test_a_share_of_a_bundles_conventions_is_not_given(kind: str) -> None:
    schedule = replace(PLAN, exponent=1.0)

    def strategy(not_given: float) -> Any:
        data, teacher = make_data(**TOLD, not_given=not_given), TeacherByForm()
        if kind == "gold":
            return Gold(data, "student", schedule)
        return Taught(teacher, data, schedule, Replaced(0.5, 0.5, 4))  # type: ignore[arg-type]

    whole, some = strategy(0.0), strategy(0.3)
    shares, places = [], []
    for number in range(40):
        all_told, part = told(whole(number)), told(some(number))
        hidden = (part == -1) & (all_told >= 0)
        assert np.array_equal(part[~hidden], all_told[~hidden])
        shares.append(hidden.sum() / (all_told >= 0).sum())
        places.append(hidden.tobytes())
    assert np.mean(shares) == pytest.approx(0.3, abs=0.04)
    assert len(set(places)) == 40  # also within a round, whose labels are the same
    assert np.array_equal(told(strategy(0.3)(7)), told(some(7)))


def test_a_teacher_of_gold_labels_is_told_too() -> None:
    data = make_data(**TOLD)
    usable = np.flatnonzero(~DEV & ~TEXT)
    epoch = Gold(data, "teacher", replace(PLAN, exponent=1.0))(0)
    found: dict[int, int] = {}
    for (start, end), (batch, _) in zip(epoch.plan.bounds, epoch.batches(), strict=True):
        assert batch.conventions is not None
        found |= dict(zip(epoch.plan.order[start:end].tolist(), batch.conventions.tolist(), strict=True))
    assert [found[i] for i in range(len(usable))] == (GROUPS[usable] * 2).tolist()
