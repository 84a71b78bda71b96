"""A larger segmenter: a head over the hidden states of a frozen transformer.

Where no blanks part words, little gold text is soon known by heart. A transformer has read much more, and
tells of words that are not in it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..runtime.types import Ints
from ..runtime.units import SENTENCE, Gap
from .provenance import teacher_files
from .segmenter_data import UNKNOWN, Running, Units
from .teacher import has_fast_bf16

__all__ = ["Labeller", "SegmentingHead", "States", "Stretch", "TeacherSettings", "UnitStates", "stretches_of"]

N_ENDS = 3
"""What may end with a unit: nothing, a token, a sentence."""
PLACES = 6
"""Units before a unit in its wordpiece, or after it, that are told apart."""


@dataclass(frozen=True)
class TeacherSettings:
    """layers: of the transformer, from 1, whose hidden states are read. stretch: units that are read at once,
    unless a sentence is longer. sure: the least probability of a label that others learn from. longest:
    characters of a line of text."""

    layers: tuple[int, ...] = (5, 7)
    stretch: int = 96
    epochs: int = 5
    batch: int = 16
    learn_rate: float = 2e-3
    smoothing: float = 0.03
    width: int = 192
    dropout: float = 0.3
    sure: float = 0.8
    longest: int = 250
    seed: int = 0


class Stretch(NamedTuple):
    """Units in a row and the `Gap` after each, int ``(n_units,)``."""

    units: Sequence[str]
    gaps: Ints


class States(NamedTuple):
    """Of a stretch. hidden: float16 ``(n_units, width)``. places: int64 ``(n_units, 2)``, how many units are
    before a unit in its wordpiece, and after it."""

    hidden: npt.NDArray[np.float16]
    places: npt.NDArray[np.int64]


class UnitStates:
    """What a transformer says of units in their context: the hidden states of the wordpiece in which each
    begins."""

    def __init__(self, folder: str | Path, layers: Sequence[int]) -> None:
        """folder: as Hugging Face stores models, with a fast tokenizer."""
        from transformers import AutoModel, AutoTokenizer

        if Path(folder).is_dir():
            teacher_files(Path(folder))
        self.layers = tuple(layers)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self.model: Any = AutoModel.from_pretrained(str(folder), add_pooling_layer=False).eval()
        self.model.encoder.layer = self.model.encoder.layer[: max(layers)]
        self.mixed = has_fast_bf16()

    @property
    def width(self) -> int:
        return len(self.layers) * int(self.model.config.hidden_size)

    def __call__(self, stretches: Sequence[Stretch], *, at_once: int = 32) -> list[States]:
        """at_once: stretches of like length are read together."""
        order = sorted(range(len(stretches)), key=lambda i: len(stretches[i].units))
        found: dict[int, States] = {}
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            found |= zip(part, self._read([stretches[i] for i in part]), strict=True)
        return [found[i] for i in range(len(stretches))]

    def _read(self, stretches: Sequence[Stretch]) -> Iterator[States]:
        texts, begins = zip(*map(_text_of, stretches), strict=True)
        encoded = self.tokenizer(
            list(texts),
            return_offsets_mapping=True,
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=self.model.config.max_position_embeddings - 2,
        )
        offsets = encoded.pop("offset_mapping").numpy()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
            found = self.model(**encoded, output_hidden_states=True).hidden_states
        hidden = torch.cat([found[layer].float() for layer in self.layers], -1).numpy().astype(np.float16)
        for text, firsts, rows, bounds in zip(texts, begins, hidden, offsets, strict=True):
            pieces = _piece_of_characters(len(text), bounds)[firsts]
            yield States(rows[pieces], _places(pieces))


class SegmentingHead(nn.Module):
    """Scores of what ends with each unit, by hidden states, the unit, its neighbours and its gap; float32."""

    def __init__(self, settings: TeacherSettings, width: int, n_units: int, n_pairs: int = 1 << 15) -> None:
        super().__init__()
        self.units = nn.Embedding(n_units, 64)
        self.pairs = nn.Embedding(n_pairs, 32)
        self.gaps = nn.Embedding(len(Gap), 4)
        self.places = nn.Embedding(PLACES * PLACES, 12)
        self.norm = nn.LayerNorm(width)
        self.states = nn.Linear(width, 128)
        self.first = nn.Conv1d(64 + 2 * 32 + 4 + 12 + 128, settings.width, 3, padding=1)
        self.further = nn.ModuleList(
            nn.Conv1d(settings.width, settings.width, 3, padding=d, dilation=d) for d in (1, 2)
        )
        self.labels = nn.Linear(settings.width, N_ENDS)
        self.dropout = nn.Dropout(settings.dropout)
        nn.init.normal_(self.units.weight, std=0.1)
        nn.init.normal_(self.pairs.weight, std=0.05)

    def forward(self, hidden: Tensor, units: Tensor, pairs: Tensor, gaps: Tensor, places: Tensor) -> Tensor:
        """hidden float32 ``(batch, n, width)``, all else int64 ``(batch, n)``, pairs ``(batch, n, 2)``: with
        the unit before and with the next. Scores, ``(batch, n, 3)``."""
        of_pairs = self.pairs(pairs).flatten(2)
        if self.training:  # as a pair that was never seen
            of_pairs = of_pairs * (torch.rand(units.shape) >= 0.5)[..., None]
        of_states = self.dropout(torch.relu(self.states(self.dropout(self.norm(hidden)))))
        rows = [self.dropout(self.units(units)), of_pairs, self.gaps(gaps), self.places(places), of_states]
        found = torch.relu(self.first(torch.cat(rows, -1).mT))
        for layer in self.further:
            found = found + self.dropout(torch.relu(layer(found)))
        scores: Tensor = self.labels(self.dropout(found.mT))
        return scores


class Labeller:
    """A head over the states, which learns from stretches with labels and labels others."""

    def __init__(self, states: UnitStates, settings: TeacherSettings, gold: Sequence[Stretch]) -> None:
        self.states, self.settings = states, settings
        counts = Counter(unit for stretch in gold for unit in stretch.units)
        # 0 stands for what is filled up, 1 for rare units.
        self.ids = {unit: i for i, unit in enumerate((u for u, n in counts.items() if n > 1), start=2)}
        torch.manual_seed(settings.seed)
        self.head = SegmentingHead(settings, states.width, len(self.ids) + 2)

    def fit(self, gold: Sequence[Stretch], ends: Sequence[Ints], say: Callable[[str], None]) -> None:
        settings, random = self.settings, np.random.default_rng(self.settings.seed)
        read = self.states(gold)
        size, head = settings.batch, self.head.train()
        optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learn_rate, weight_decay=1e-3)
        n_steps = settings.epochs * -(-len(gold) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learn_rate, total_steps=n_steps + 1, pct_start=0.1
        )
        for epoch in range(1, settings.epochs + 1):
            order, losses = random.permutation(len(gold)), []
            for start in range(0, len(gold), size):
                chosen = order[start : start + size].tolist()
                scores = head(*self._batch([gold[i] for i in chosen], [read[i] for i in chosen]))
                labels = _padded([ends[i] for i in chosen], UNKNOWN)
                loss = functional.cross_entropy(
                    scores.flatten(0, 1),
                    labels.flatten(),
                    ignore_index=UNKNOWN,
                    label_smoothing=settings.smoothing,
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(head.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            say(f"  epoch {epoch} of {settings.epochs}, loss {np.mean(losses):.4f}")
        head.eval()

    def label(self, stretches: Sequence[Stretch]) -> Iterator[npt.NDArray[np.float32]]:
        """Probabilities, float32 ``(n_units, 3)`` of each."""
        for start in range(0, len(stretches), 1024):
            part = stretches[start : start + 1024]
            read = self.states(part)
            for low in range(0, len(part), 128):
                own = part[low : low + 128]
                with torch.no_grad():
                    found = self.head(*self._batch(own, read[low : low + 128])).softmax(-1).numpy()
                yield from (rows[: len(stretch.units)] for rows, stretch in zip(found, own, strict=True))

    def _batch(self, stretches: Sequence[Stretch], read: Sequence[States]) -> tuple[Tensor, ...]:
        hidden = np.zeros((len(read), max(len(one.hidden) for one in read), self.states.width), np.float32)
        for row, one in zip(hidden, read, strict=True):
            row[: len(one.hidden)] = one.hidden
        ids = [np.asarray([self.ids.get(unit, 1) for unit in stretch.units]) for stretch in stretches]
        pairs = [_pairs(stretch, self.head.pairs.num_embeddings) for stretch in stretches]
        both = torch.stack([_padded([rows[:, i] for rows in pairs], 0) for i in (0, 1)], -1)
        places = _padded([one.places @ (PLACES, 1) for one in read], 0)
        gaps = _padded([stretch.gaps for stretch in stretches], 0)
        return torch.from_numpy(hidden), _padded(ids, 0), both, gaps, places


def stretches_of(text: Running, units: Units, length: int) -> tuple[list[Stretch], list[Ints]]:
    """Running text in stretches of whole sentences, at most so many units unless one is longer, and what ends
    with each unit."""
    bounds, last = [0], 0
    for end in (np.flatnonzero(text.ends == SENTENCE) + 1).tolist():
        if end - bounds[-1] > length and last > bounds[-1]:
            bounds.append(last)
        last = end
    bounds.append(len(text))
    places = [slice(start, end) for start, end in pairwise(bounds) if start < end]
    found = [Stretch([units.texts[i] for i in text.units[at].tolist()], text.gaps[at]) for at in places]
    return found, [text.ends[at] for at in places]


def _text_of(stretch: Stretch) -> tuple[str, npt.NDArray[np.int64]]:
    """The text of units, and the place of each in it."""
    blanks = ["" if gap == Gap.NONE else " " for gap in stretch.gaps.tolist()]
    parts = [unit + blank for unit, blank in zip(stretch.units, blanks, strict=True)]
    ends = np.cumsum([len(part) for part in parts])
    return "".join(parts), ends - [len(part) for part in parts]


def _piece_of_characters(n: int, bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 ``(n,)``: the wordpiece of each character, of several the last; what no piece has, as what was
    cut off, is of the first. bounds ``(n_pieces, 2)``: starts and ends."""
    found = np.zeros(n, dtype=np.int64)
    for piece, (start, end) in enumerate(bounds.tolist()):
        found[start:end] = piece
    return found


def _places(pieces: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """See `States`, from the wordpiece of each unit."""
    starts = np.flatnonzero(np.diff(pieces, prepend=-1))
    sizes = np.diff(starts, append=len(pieces))
    before = np.arange(len(pieces)) - np.repeat(starts, sizes)
    found = np.stack([before, np.repeat(sizes, sizes) - 1 - before], axis=1)
    return np.minimum(found, PLACES - 1)


def _pairs(stretch: Stretch, n_rows: int) -> npt.NDArray[np.int64]:
    """int64 ``(n_units, 2)``: the rows of the pairs of each unit with that before it and with the next, from
    1; 0 where there is none."""
    neighbours = zip(stretch.units, islice(stretch.units, 1, None), stretch.gaps.tolist(), strict=False)
    rows = [
        1 + zlib.crc32(f"{one}\t{gap}\t{other}".encode()) % (n_rows - 1) for one, other, gap in neighbours
    ]
    return np.stack([np.asarray([0, *rows]), np.asarray([*rows, 0])], axis=1)


def _padded(arrays: Sequence[npt.NDArray[Any]], value: int) -> Tensor:
    """int64 ``(len(arrays), longest)``."""
    rows = np.full((len(arrays), max(map(len, arrays))), value, dtype=np.int64)
    for row, array in zip(rows, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(rows)
