"""How far a training is, and how fast it learns there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mminibert.training.schedule import Schedule

SCHEDULE = Schedule(
    words=1000,
    exponent=0.5,
    batch_pieces=100,
    learn_rate=0.1,
    embedding_learn_rate=0.2,
    warmup=0.1,
    weight_decay=0.0,
    evaluations=4,
    seed=0,
)


@pytest.mark.parametrize(("warmup", "rising"), [(0.1, 10), (0.25, 25), (0.0, 0)])
def test_batches_of_equal_size_have_the_rate_of_a_count_of_steps(warmup: float, rising: int) -> None:
    schedule, total = replace(SCHEDULE, warmup=warmup), 100
    rates = [schedule.rate(step / total, (step + 1) / total) for step in range(total)]
    assert rates[:rising] == pytest.approx([(step + 1) / rising for step in range(rising)])
    assert rates[rising:] == pytest.approx([(total - s) / (total - rising) for s in range(rising, total)])
    assert max(rates) == pytest.approx(1.0)


def test_the_larger_share_of_words_and_seconds_counts() -> None:
    limited = replace(SCHEDULE, seconds=50.0)
    assert SCHEDULE.share(250, 1e6) == 0.25
    assert limited.share(250, 5.0) == 0.25
    assert limited.share(250, 25.0) == 0.5
    assert limited.share(250, 60.0) == limited.share(1100, 0.0) == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": 0}, "words is 0, expected more than 0"),
        ({"seconds": -1.0}, r"seconds is -1\.0"),
        ({"evaluations": 0}, "evaluations is 0"),
        ({"batch_pieces": 0}, "batch_pieces is 0"),
        ({"warmup": 1.0}, r"warmup is 1\.0, expected a share from 0 to below 1"),
    ],
)
def test_a_schedule_with_which_nothing_is_learnt_is_an_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SCHEDULE, **change)
