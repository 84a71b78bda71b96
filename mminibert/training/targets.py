"""What is learnt of which sentences: strategies that yield epochs; needs PyTorch and NumPy alone.

A strategy gives the epoch of a number, always the same for the same seed, so that a training which goes on
regenerates what it was in the middle of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .batches import Batch, Plan, Sentences, by_length, untold
from .dataset import Dataset
from .forms import Forms, replace_words
from .model import Tagger
from .predict import label
from .sampling import Ahead, draw
from .schedule import Schedule


@dataclass(frozen=True)
class Epoch:
    """Sentences that training passes over, and of their words what they are to be.

    targets: of int64 ``(n_words,)`` the distributions, float32 ``(n_words, n_outputs)``, 0 where a field is
    unknown. alter: what is done to the batch of a number before the model sees it.
    """

    sentences: Sentences
    plan: Plan
    targets: Callable[[Tensor], Tensor]
    alter: Callable[[Batch, int], Batch] = lambda batch, _: batch

    def batches(
        self, start: int = 0, part: Callable[[Batch], Batch] = lambda batch: batch
    ) -> Iterator[tuple[Batch, Tensor]]:
        """The batches and targets in order, without the first ``start``; of each a part, if that is wanted."""
        for number, batch in enumerate(self.sentences.batches(self.plan, start), start):
            own = part(self.alter(batch, number))
            yield own, self.targets(own.words)


class Strategy(Protocol):
    """A strategy. temperature: of its distributions, and of the model's in the loss."""

    @property
    def temperature(self) -> float: ...

    def __call__(self, number: int) -> Epoch: ...


def _forgetting(share: float, seed: int, number: int) -> Callable[[Batch, int], Batch]:
    """What makes a model do without the convention: in each epoch of a number, in other sentences, it is not
    given."""
    return lambda batch, place: untold(batch, share, np.random.default_rng([seed, number, place, 1]))


class Gold:
    """The labelled sentences of a bundle, each epoch another draw."""

    temperature = 1.0

    def __init__(self, data: Dataset, role: str, schedule: Schedule) -> None:
        chosen = np.flatnonzero(data.labelled & ~data.bundle.dev)
        text = data.text(chosen)
        self._sentences, self._targets = data.sentences(text, role), data.gold_targets(text)
        groups, n_words = data.bundle.groups[chosen], data.bundle.lengths[chosen]
        self._plans = Ahead(_planner(self._sentences, groups, n_words, schedule))
        self._not_given, self._seed = data.not_given, schedule.seed

    def __call__(self, number: int) -> Epoch:
        alter = _forgetting(self._not_given, self._seed, number)
        return Epoch(self._sentences, self._plans(number), self._targets, alter)


class Stored:
    """Targets that were collected before, each epoch another draw of their sentences."""

    def __init__(
        self,
        sentences: Sentences,
        groups: np.ndarray,
        n_words: np.ndarray,
        dense: Callable[[np.ndarray, float], np.ndarray],
        schedule: Schedule,
        *,
        temperature: float = 1.0,
        masking: float = 0.0,
        mask_id: int = -1,
        not_given: float = 0.0,
    ) -> None:
        """groups, n_words: int64, the group and the number of words of each sentence. dense: of int64 words and
        a temperature the distributions, float32 ``(n_words, n_outputs)``. masking: this share of the words
        has ``mask_id`` for each of its pieces, so that the model learns from context. not_given: this share of
        the sentences is read without convention.
        """
        self.temperature = temperature
        self._sentences, self._dense, self._seed = sentences, dense, schedule.seed
        self._masking, self._mask_id, self._not_given = masking, mask_id, not_given
        self._plans = Ahead(_planner(sentences, groups, n_words, schedule))

    def __call__(self, number: int) -> Epoch:
        forget = _forgetting(self._not_given, self._seed, number)

        def alter(batch: Batch, place: int) -> Batch:
            batch = forget(batch, place)
            if not self._masking:
                return batch
            random = np.random.default_rng([self._seed, number, place])
            hidden = torch.from_numpy(random.random(len(batch.first)) < self._masking)
            return self._sentences.hide(batch, hidden.to(batch.first.device), self._mask_id)

        return Epoch(self._sentences, self._plans(number), self._targets, alter)

    def _targets(self, words: Tensor) -> Tensor:
        return torch.from_numpy(self._dense(words.cpu().numpy(), self.temperature)).to(words.device)


@dataclass(frozen=True)
class Replaced:
    """sentences, words: the share of the sentences that are altered, and in them of the words that give way
    to other forms. passes: epochs over the same draw."""

    sentences: float
    words: float
    passes: int


class Taught:
    """All sentences of a bundle, drawn, altered and labelled by a teacher anew after some epochs.

    In altered sentences all labels are the teacher's; elsewhere gold ones take their place where they are known.
    Text is labelled in a convention of its language, each time that it is labelled in another one.
    """

    def __init__(
        self,
        teacher: Tagger,
        data: Dataset,
        schedule: Schedule,
        replaced: Replaced,
        *,
        temperature: float = 1.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.temperature = temperature
        self._teacher, self._data, self._schedule, self._replaced = teacher, data, schedule, replaced
        self._say = say
        self._chosen = np.flatnonzero(~data.bundle.dev)
        whole = data.text(self._chosen)
        self._forms = Forms(whole.rows, whole.languages, data.kinds)
        groups, n_words = data.bundle.groups[self._chosen], data.bundle.lengths[self._chosen]
        self._draws = Ahead(lambda n: draw(groups, n_words, schedule.exponent, self._random(n)))
        self._pool = ThreadPoolExecutor(1)
        self._round = -1
        self._epochs: list[Callable[[], Epoch]] = []

    def __call__(self, number: int) -> Epoch:
        found, place = divmod(number, self._replaced.passes)
        if found != self._round:
            self._epochs.clear()  # their labels fill much of the device's memory
            self._epochs = self._label(found)
            self._round = found
        return self._epochs[place]()

    def _random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._schedule.seed, *numbers])

    def _label(self, number: int) -> list[Callable[[], Epoch]]:
        """The epochs of a round."""
        data, size = self._data, self._schedule.batch_pieces
        seed = int(self._random(number, 1).integers(2**63))
        generator = torch.Generator(data.device).manual_seed(seed)
        order = self._draws(number)
        text = replace_words(
            data.text(self._chosen[order], self._random(number, 3)),
            self._forms,
            self._replaced.sentences,
            self._replaced.words,
            generator,
        )
        read, everything = data.sentences(text, "student"), np.arange(len(order))
        plans = [
            self._pool.submit(by_length, everything, read.lengths, size, self._random(number, 2, i))
            for i in range(self._replaced.passes)
        ]
        soft = label(
            self._teacher, data.sentences(text, "teacher"), data.fields, len(text.rows), self.temperature
        )
        self._say(f"teacher's labels of {len(soft):,} words")
        targets = data.mixed_targets(text, soft)

        forget = _forgetting(data.not_given, self._schedule.seed, number)
        return [lambda plan=plan: Epoch(read, plan.result(), targets, forget) for plan in plans]  # type: ignore[misc]


def _planner(
    sentences: Sentences, groups: np.ndarray, n_words: np.ndarray, schedule: Schedule
) -> Callable[[int], Plan]:
    """The plan of each epoch: another draw of the sentences, in batches of like length."""

    def plan(number: int) -> Plan:
        random = np.random.default_rng([schedule.seed, number])
        order = draw(groups, n_words, schedule.exponent, random)
        return by_length(order, sentences.lengths, schedule.batch_pieces, random)

    return plan
