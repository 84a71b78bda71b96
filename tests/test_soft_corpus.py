"""Which sentences the student sees when, and what a batch of them holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from students import (
    SCHEDULE,
    inventory,
    same_targets,
    write_soft_shards,
    write_vocabulary,
)

from mminibert.data.targets import densify, read_shard
from mminibert.runtime.wordpieces import WordPieces
from mminibert.systems.soft_corpus import SoftCorpus, plan_epoch

LABELS = inventory()
STARTS = LABELS.starts
SOFT = replace(SCHEDULE, temperature=3.0, batch_pieces=300)


@pytest.fixture
def pieces(tmp_path: Path) -> WordPieces:
    return WordPieces.from_file(write_vocabulary(tmp_path / "vocab.txt"))


def test_a_batch_has_the_pieces_and_targets_of_its_sentences(tmp_path: Path, pieces: WordPieces) -> None:
    paths = write_soft_shards(tmp_path, en=20, de=12)
    corpus = SoftCorpus(paths[::-1], pieces, max_pieces=12)  # the order of the paths does not matter
    sentences: list[tuple[list[str], np.ndarray]] = []
    for path in sorted(paths):
        shard = read_shard(path)
        dense = densify(shard.targets, STARTS, 3.0)
        bounds = np.cumsum([0, *map(len, shard.sentences)])
        sentences += [
            (list(words), dense[a:b]) for words, (a, b) in zip(shard.sentences, pairwise(bounds), strict=True)
        ]
    assert corpus.n_words == sum(len(words) for words, _ in sentences)
    cut = 0
    for batch in ([3], [0, 1, 2], [31, 5, 17, 5], list(range(32))):
        piece_ids, mask, first, targets = corpus.batch(batch)
        rows, positions = [], []
        longest = piece_ids.shape[1]
        for place, i in enumerate(batch):
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
            assert piece_ids[place].tolist() == ids + [pieces.pad_id] * (longest - len(ids))
            assert mask[place].tolist() == [True] * len(ids) + [False] * (longest - len(ids))
        assert first.tolist() == positions
        np.testing.assert_allclose(densify(targets, STARTS, 3.0), np.stack(rows), atol=1e-6)
        assert longest <= 12
    assert cut > 10  # so that words and targets could have come apart


def test_masked_words_are_mask_pieces_and_nothing_else_changes(tmp_path: Path, pieces: WordPieces) -> None:
    corpus = SoftCorpus(write_soft_shards(tmp_path, en=40), pieces, max_pieces=64)
    batch = [2, 30, 5, 11, 20, 38]
    plain, mask, first, targets = corpus.batch(batch)
    hidden, same_mask, same_first, same = corpus.batch(batch, masking=0.4, seed=[3, 7])
    assert torch.equal(mask, same_mask)
    assert torch.equal(first, same_first)
    assert same_targets(targets, same)
    n_masked = 0
    for row, sentence in enumerate(batch):
        place = 1
        for length in np.diff([*corpus.first[sentence], len(corpus.piece_ids[sentence]) - 1]):
            before, after = plain[row, place : place + length], hidden[row, place : place + length]
            assert torch.equal(before, after) or set(after.tolist()) == {pieces.mask_id}
            n_masked += not torch.equal(before, after)
            place += length
        assert torch.equal(plain[row, place:], hidden[row, place:])
        assert plain[row, 0] == hidden[row, 0]
    assert 0.2 * len(first) < n_masked < 0.6 * len(first)
    assert torch.equal(hidden, corpus.batch(batch, masking=0.4, seed=[3, 7])[0])
    assert not torch.equal(hidden, corpus.batch(batch, masking=0.4, seed=[3, 8])[0])


def test_no_shards_is_an_error(pieces: WordPieces) -> None:
    with pytest.raises(FileNotFoundError, match="run the step `collect` first"):
        SoftCorpus([], pieces, max_pieces=12)


def test_a_plan_depends_on_seed_and_epoch_alone(tmp_path: Path, pieces: WordPieces) -> None:
    paths = write_soft_shards(tmp_path, en=60, de=20)
    corpus, again = (SoftCorpus(paths, pieces, max_pieces=40) for _ in range(2))
    plans = [plan_epoch(corpus, SOFT, epoch) for epoch in range(3)]
    assert plans == [plan_epoch(again, SOFT, epoch) for epoch in range(3)]
    assert plans[0] != plans[1] != plans[2]
    assert plan_epoch(corpus, replace(SOFT, seed=2), 0) != plans[0]


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_plan_samples_languages_by_a_power_of_their_size(
    tmp_path: Path, pieces: WordPieces, exponent: float
) -> None:
    sentences = {"de": 20, "en": 400, "fr": 90}
    corpus = SoftCorpus(write_soft_shards(tmp_path, **sentences), pieces, max_pieces=40)
    words = np.diff(corpus.word_starts)
    langs = np.asarray(corpus.groups)
    sizes = {lang: int(words[langs == lang].sum()) for lang in sentences}
    total = sum(size**exponent for size in sizes.values())
    chosen = np.asarray(
        [i for batch in plan_epoch(corpus, replace(SOFT, exponent=exponent), 0) for i in batch]
    )
    for lang, size in sizes.items():
        times = sum(sizes.values()) * size**exponent / total / size
        drawn = np.bincount(chosen[langs[chosen] == lang], minlength=len(langs))[langs == lang]
        # Whole rounds through a language, then a part of one.
        assert drawn.sum() == round(sentences[lang] * times)
        assert int(times + 1e-9) <= drawn.min() <= drawn.max() <= int(np.ceil(times - 1e-9))
    if exponent == 1.0:
        assert sorted(chosen) == list(range(len(langs)))


@pytest.mark.parametrize("batch_pieces", [20, 100, 1000])
def test_batches_are_bounded(tmp_path: Path, pieces: WordPieces, batch_pieces: int) -> None:
    corpus = SoftCorpus(write_soft_shards(tmp_path, en=200, de=40), pieces, max_pieces=40)
    plan = plan_epoch(corpus, replace(SOFT, batch_pieces=batch_pieces), 0)
    padded = [len(batch) * max(len(corpus.piece_ids[i]) for i in batch) for batch in plan]
    assert all(size <= batch_pieces or len(batch) == 1 for size, batch in zip(padded, plan, strict=True))
    if batch_pieces >= 100:
        used = sum(len(corpus.piece_ids[i]) for batch in plan for i in batch)
        assert used / sum(padded) > 0.75  # little of it is padding


def test_the_rate_rises_and_falls() -> None:
    schedule = replace(SCHEDULE, warmup=0.1)
    rates = [schedule.rate(step, 100) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert rates[10:] == pytest.approx([(100 - step) / 90 for step in range(10, 101)])
    assert replace(schedule, warmup=0.0).rate(0, 3) == 1.0
