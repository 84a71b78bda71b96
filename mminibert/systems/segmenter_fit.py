"""The segmenter learns from running text, on the CPU."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.segmenter import APART, FlatUnits, SegmenterNet, SegmenterSizes
from ..models.segmenter_export import export_segmenter
from ..runtime.alphabet import CATEGORIES, Alphabet
from ..runtime.languages import language_of
from ..runtime.segmenter_model import SegmenterModel
from ..runtime.types import Ints
from ..runtime.units import pair_rows
from ..training.checkpoint import read_state, write_state
from .segmenter_data import UNKNOWN, Running, Units
from .segmenter_sampling import Sampler, Source, Stretch
from .segmenter_writings import writings
from .teacher import has_fast_bf16

__all__ = ["FitSettings", "SegmenterFit"]

OFTEN = 3
"""Units in the text that a character must be in to have a row of its own."""
JOINED = 0.03
"""The share of units that tokens go beyond, above which a language writes no blanks between words, or some
within."""
SAME_LENGTH = 512
"""Units in a row are filled up to a multiple of so many characters."""
WEIGHTS = {"ends": 1.0, "multiword": 0.3, "stops": 0.1, "inside": 2.0, "languages": 0.3}
"""Of the losses."""


@dataclass(frozen=True)
class FitSettings:
    """units: to be seen, some of them several times. seconds: at most. sequence: units in a row, sequences:
    at once. exponent: a treebank is seen in proportion to its size to that power."""

    units: int = 50_000_000
    seconds: float = float("inf")
    sequence: int = 128
    sequences: int = 8
    learn_rate: float = 4e-3
    pair_learn_rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 0.01
    exponent: float = 0.5
    unit_width: int = 96
    dropout: float = 0.05
    pair_dropout: float = 0.5
    seed: int = 0


@dataclass
class SegmenterFit:
    """texts: a treebank's training text by its code. labelled: text that a larger network segmented as a
    treebank of that code, seen as often as the treebank's own."""

    texts: Mapping[str, Running]
    units: Units
    settings: FitSettings = field(default_factory=FitSettings)
    labelled: Mapping[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        torch.manual_seed(settings.seed)
        self.random = np.random.default_rng(settings.seed)
        written = {
            code: [
                found
                for texts in (self.texts, self.labelled)
                if code in texts
                for found in writings(code, texts[code], self.units)
            ]
            for code in sorted(self.texts)
        }
        self.alphabet = Alphabet(_often(self.units, written.values()))
        self.languages = tuple(sorted({language_of(code) for code in self.texts}))
        self.codes = (*self.languages, *sorted(self.texts))
        encoded, self.hashes, self.unspaced = self.units.encoded(self.alphabet)
        sizes = SegmenterSizes(
            len(self.alphabet),
            1 + len(CATEGORIES),
            len(self.languages),
            len(self.codes),
            unit_width=settings.unit_width,
        )
        self.net = SegmenterNet(sizes, dropout=settings.dropout, pair_dropout=settings.pair_dropout)
        self.lengths = np.asarray([len(numbers) for numbers in encoded], dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths
        self.numbers = np.concatenate(encoded)
        sources = [self._source(code, *one) for code, of_code in written.items() for one in of_code]
        self.sampler = Sampler(sources, self.random, length=settings.sequence, exponent=settings.exponent)
        dense = [value for name, value in self.net.named_parameters() if name != "pairs.weight"]
        self.dense = dense
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, lr=settings.learn_rate, weight_decay=settings.weight_decay, fused=True),
            torch.optim.SparseAdam([self.net.pairs.weight], lr=settings.pair_learn_rate),
        ]
        self.rates = [settings.learn_rate, settings.pair_learn_rate]
        self.mixed = has_fast_bf16()
        self.steps = self.seen = 0
        self.spent = 0.0

    def _source(self, code: str, text: Running, share: float) -> Source:
        lang = language_of(code)
        hashes, unspaced = self.hashes[text.units], self.unspaced[text.units]
        pairs = pair_rows(hashes, unspaced, text.gaps, self.net.sizes.pairs)
        numbers = {name: i for i, name in enumerate(self.codes)}
        return Source(text, pairs, numbers[code], numbers[lang], self.languages.index(lang), share)

    @property
    def warmup(self) -> int:
        """Steps in which the rate rises, a tenth of a short training."""
        steps = self.settings.units // (self.settings.sequence * self.settings.sequences)
        return max(1, min(self.settings.warmup, steps // 10))

    @property
    def done(self) -> float:
        """Which share of the training is over."""
        return max(self.seen / self.settings.units, self.spent / self.settings.seconds)

    def fit(
        self, report: Callable[[str], None], checkpoint: Path | None = None, *, every: float = 60.0
    ) -> None:
        """Train to the end; what a checkpoint has is taken up, and one is written every so many seconds."""
        if checkpoint is not None and checkpoint.exists():
            self.load(checkpoint)
            report(f"goes on after {self.seen:,} units")
        losses: list[dict[str, float]] = []
        saved = shown = time.perf_counter()
        self.net.train()
        while self.done < 1:
            start = time.perf_counter()
            losses.append(self.step())
            now = time.perf_counter()
            self.spent += now - start
            if now - shown > 10 or self.done >= 1:
                shown = now
                report(self._line(losses))
                losses.clear()
            if checkpoint is not None and (now - saved > every or self.done >= 1):
                saved = now
                self.save(checkpoint)
        self.net.eval()

    def _line(self, losses: Sequence[Mapping[str, float]]) -> str:
        means = " ".join(f"{name} {np.mean([loss[name] for loss in losses]):.4f}" for name in WEIGHTS)
        left = self.spent / self.done * (1 - self.done)
        return (
            f"{self.done:4.0%} {self.seen:,} units, {self.seen / self.spent:,.0f} a second, "
            f"{left / 60:.1f} min left, loss: {means}"
        )

    def step(self) -> dict[str, float]:
        """One batch: forwards, backwards, an update. The losses by name."""
        share = max(0.02, 1 - self.done) * min(1.0, (self.steps + 1) / self.warmup)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.mixed):
            losses = self.losses(self.sample())
        total = torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
        total.backward()
        nn.utils.clip_grad_norm_(self.dense, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.steps += 1
        return {name: loss.item() for name, loss in losses.items()}

    def sample(self) -> list[Stretch]:
        """Stretches of text for a batch."""
        stretches = list(self.sampler(self.settings.sequences))
        self.seen += sum(len(stretch.gaps) for stretch in stretches)
        return stretches

    def losses(self, batch: Sequence[Stretch]) -> dict[str, Tensor]:
        """Mean cross-entropies by name, each a scalar."""
        length = max(len(gaps) for *_, gaps in batch)
        ids = np.concatenate([source.running.units[where] for source, where, *_ in batch])
        codes = np.concatenate([np.full(len(gaps), code, dtype=np.int64) for *_, code, gaps in batch])
        different, first, which = np.unique(
            codes * len(self.units.texts) + ids, return_index=True, return_inverse=True
        )
        inside = [labels for source, where, *_ in batch for labels in source.running.inside[where]]
        vectors, of_inside = self._of_characters(
            different % len(self.units.texts), different // len(self.units.texts), [inside[i] for i in first]
        )

        def padded(arrays: Sequence[npt.NDArray[Any]], value: int) -> Tensor:
            rows = np.full((len(arrays), length), value, dtype=np.int64)
            for row, array in zip(rows, arrays, strict=True):
                row[: len(array)] = array
            return torch.from_numpy(rows)

        # Padding, which only treebanks of less than a stretch have, reads the vector of some unit.
        places = np.split(which, np.cumsum([len(gaps) for *_, gaps in batch])[:-1])
        labels = self.net.of_units(
            vectors[padded(places, 0)],
            padded([gaps for *_, gaps in batch], 0),
            padded([source.pairs[where] for source, where, *_ in batch], 0),
            torch.tensor([code for *_, code, _ in batch]),
        )
        runnings = [(source.running, where) for source, where, *_ in batch]
        ends = padded([text.ends[where] for text, where in runnings], UNKNOWN)
        stops = padded([text.stops[where] for text, where in runnings], UNKNOWN)
        multiword = padded([text.multiword[where] for text, where in runnings], UNKNOWN)
        return {
            "ends": _cross_entropy(labels[..., :3], ends),
            "multiword": _cross_entropy(labels[..., 3:5], multiword),
            "stops": _cross_entropy(labels[..., 5:7], stops),
            "inside": of_inside,
            "languages": self._of_languages(batch),
        }

    def _flat(self, ids: npt.NDArray[np.int64]) -> FlatUnits:
        lengths = self.lengths[ids]
        filled = lengths + APART
        starts = np.cumsum(filled) - filled
        # Of few different lengths, as products in half precision are prepared anew for each.
        numbers = np.zeros(-(int(filled.sum()) // -SAME_LENGTH) * SAME_LENGTH, dtype=np.int64)
        numbers[_ranges(starts, lengths)] = self.numbers[_ranges(self.starts[ids], lengths)]
        categories = self.alphabet.categories[numbers].astype(np.int64)
        return FlatUnits(torch.from_numpy(numbers), torch.from_numpy(categories), torch.from_numpy(lengths))

    def _of_characters(
        self, ids: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], inside: Sequence[bytes]
    ) -> tuple[Tensor, Tensor]:
        """The vectors of units, and the loss of what ends inside of them."""
        logits, vectors = self.net.of_characters(self._flat(ids), torch.from_numpy(codes))
        filler = bytes([UNKNOWN & 0xFF]) * (1 + APART)
        labels = np.frombuffer(b"".join(of_unit + filler for of_unit in inside), dtype=np.int8)
        gold = np.full(len(logits), UNKNOWN, dtype=np.int64)
        gold[: len(labels)] = labels
        return vectors, _cross_entropy(logits, torch.from_numpy(gold))

    def _of_languages(self, batch: Sequence[Stretch]) -> Tensor:
        """Of one to 30 units of each stretch, which language they are of together."""
        ids: list[Ints] = []
        for source, where, *_ in batch:
            stretch = source.running.units[where]
            n = int(self.random.integers(1, 31))
            start = int(self.random.integers(0, max(1, len(stretch) - n)))
            ids.append(stretch[start : start + n])
        together = np.concatenate(ids)
        different, which = np.unique(together, return_inverse=True)
        of_different = self.net.of_spelling(self._flat(different.astype(np.int64)))
        of_units = of_different[torch.from_numpy(which)]
        owner = torch.from_numpy(np.repeat(np.arange(len(ids)), [len(part) for part in ids]))
        sums = torch.zeros(len(ids), of_units.shape[1]).index_add(0, owner, of_units)
        return functional.cross_entropy(sums, torch.tensor([source.language for source, *_ in batch]))

    def model(self) -> SegmenterModel:
        """What was learned, in 8 bits."""
        return export_segmenter(
            self.net,
            self.alphabet,
            languages=self.languages,
            codes=self.codes,
        )

    def save(self, path: Path) -> None:
        state = {
            "net": self.net.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "numbers": (self.steps, self.seen, self.spent),
            "random": self.random.bit_generator.state,
            "torch": torch.get_rng_state(),
            "alphabet": self.alphabet.known,
            "codes": self.codes,
        }
        write_state(path, state)

    def load(self, path: Path) -> None:
        """Raises ValueError for a checkpoint that is damaged or of other text."""
        state = read_state(path)
        if (state["alphabet"], tuple(state["codes"])) != (self.alphabet.known, self.codes):
            raise ValueError(f"{path} is of other treebanks; remove it to begin anew")
        self.net.load_state_dict(state["net"])
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.steps, self.seen, self.spent = state["numbers"]
        self.random.bit_generator.state = state["random"]
        torch.set_rng_state(state["torch"])


def _often(units: Units, written: Iterable[Sequence[tuple[Running, float]]]) -> str:
    """The characters of treebanks that are in `OFTEN` units or more, in the way of writing that has the most
    of each."""
    counts: Counter[str] = Counter()
    for of_code in written:
        counts.update(reduce(or_, (units.characters(text.units) for text, _ in of_code)))
    return "".join(sorted(char for char, n in counts.items() if n >= OFTEN))


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers from each start on, so many of each."""
    firsts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(starts - firsts, lengths)


def _cross_entropy(logits: Tensor, gold: Tensor) -> Tensor:
    """Of a batch that may have no gold label at all."""
    if not bool((gold >= 0).any()):
        return torch.zeros(())
    return functional.cross_entropy(logits.float().flatten(0, -2), gold.flatten(), ignore_index=UNKNOWN)
