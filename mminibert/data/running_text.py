"""The sentences of treebanks as text, wherever it is known how they are written: what a tokenizer learns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from ..files import read_json
from .conllu import read_conllu
from .rejoin import Found, Rejoiner, rejoin
from .segmented import Segmented, merged, segmented, splits_words
from .treebanks import OWN_PARTS, Treebank, find_treebanks

SPLITS = ("train", "dev")
LEAST_GOLD = 500
"""Sentences that tell where blanks are, for a treebank to say it of itself or others."""


@dataclass(frozen=True)
class Counts:
    """Sentences of a split. Kept: by SpaceAfter (`spaces`), by `# text` (`text`), with blanks put back
    (`rejoined`). Left out: neither is there (`unsaid`), `# text` says something else than the tokens
    (`unaligned`), the text is tokens with blanks between (`tokenized`), words stand where there should be
    multiword tokens (`unjoined`), it is not sure where blanks are (`unsure`). multiword: multiword tokens in
    those kept."""

    spaces: int = 0
    text: int = 0
    rejoined: int = 0
    unsaid: int = 0
    unaligned: int = 0
    tokenized: int = 0
    unjoined: int = 0
    unsure: int = 0
    multiword: int = 0

    @property
    def kept(self) -> int:
        return self.spaces + self.text + self.rejoined

    @property
    def left_out(self) -> int:
        return self.unsaid + self.unaligned + self.tokenized + self.unjoined + self.unsure

    @property
    def without_blanks(self) -> int:
        """Those whose blanks the file does not say."""
        return self.rejoined + self.unsaid + self.tokenized + self.unjoined + self.unsure


@dataclass(frozen=True)
class RunningText:
    """A treebank's sentences in the order of its files; `counts` by split. dev_learned: so many dev
    sentences, from the first, are learned from. blanks_right: the share that is right in sure gold sentences
    held out, by which blanks of train are put back; None if all are known."""

    ltcode: str
    lang: str
    train: tuple[Segmented, ...]
    dev: tuple[Segmented, ...]
    dev_learned: int
    counts: Mapping[str, Counts]
    blanks_right: float | None = None

    @property
    def learned(self) -> tuple[Segmented, ...]:
        """The sentences to learn from: of train, and of dev where it serves."""
        return self.train + self.dev[: self.dev_learned]

    @property
    def held_out(self) -> tuple[Segmented, ...]:
        """Those of dev that are not learned from."""
        return self.dev[self.dev_learned :]

    @property
    def record(self) -> dict[str, Any]:
        """What is to be said of it, as JSON has it: `counts`, `dev_learned` and `blanks_right`."""
        counts = {split: asdict(of_split) for split, of_split in self.counts.items()}
        return {"counts": counts, "dev_learned": self.dev_learned, "blanks_right": self.blanks_right}


def read_running_text(folder: str | Path, names: Sequence[str] | None = None) -> Iterator[RunningText]:
    """The treebanks that have a train or dev file, or those of `names`, by language; no test file is read.

    Sentences in error are passed over. Of a treebank whose train file has parts that are not its own, by its
    ``sources.json``, four fifths of dev are learned from, of others none. Blanks are put back in train alone,
    by the treebank's own sentences. If these are few, or it is newer than the release and may be all tokens,
    those of its language are taken whose blanks are the surest (`Rejoiner.right`). Errors are those of
    `find_treebanks` and `read_conllu`.
    """
    treebanks = [bank for bank in find_treebanks(folder, names) if not bank.paths.keys().isdisjoint(SPLITS)]
    treebanks.sort(key=lambda treebank: treebank.lang)
    for _, group in groupby(treebanks, key=lambda treebank: treebank.lang):
        files = [_Files(treebank) for treebank in group]
        judges = [of_one for of_one in files if of_one.is_released and len(of_one.gold) >= LEAST_GOLD]
        everyone = Rejoiner([sentence for of_one in files for sentence in of_one.gold])
        for of_one in files:
            if of_one in judges:
                yield of_one.running_text(of_one.rejoiner)
            else:
                rejoiners = [judge.rejoiner for judge in judges]
                yield of_one.running_text(max(rejoiners, key=lambda one: one.right, default=everyone))


class _Files:
    """A treebank's files as they are. gold: the sentences that tell where blanks are, those with tokens that
    have none between."""

    def __init__(self, treebank: Treebank) -> None:
        self.treebank = treebank
        paths = {split: treebank.paths[split] for split in SPLITS if split in treebank.paths}
        sentences = {split: list(read_conllu(path, skip_bad=True)) for split, path in paths.items()}
        infer = any(sentence.ranges for of_split in sentences.values() for sentence in of_split)
        self._found: dict[str, Found] = {}
        self._unaligned: dict[str, int] = {}
        for split, of_split in sentences.items():
            found = [segmented(sentence, treebank.lang, infer=infer) for sentence in of_split]
            self._found[split] = [(sentence, how) for sentence, how in found if sentence is not None]
            self._unaligned[split] = len(found) - len(self._found[split])
        sources = _sources(treebank)
        self.is_released = "newer" not in sources
        self._learns_dev = not sources.issubset(OWN_PARTS)
        said = [sentence for sentence, how in self._found.get("dev", []) if how != "unsaid"]
        learned = said[: self._n_learned(len(said))]
        if splits_words(learned):
            self._found["train"] = [(merged(sentence), how) for sentence, how in self._found.get("train", [])]
        train = [sentence for sentence, how in self._found.get("train", []) if how != "unsaid"]
        self.gold = [sentence for sentence in (*train, *learned) if not all(sentence.blanks)]

    @cached_property
    def rejoiner(self) -> Rejoiner:
        return Rejoiner(self.gold)

    def running_text(self, rejoiner: Rejoiner) -> RunningText:
        """rejoiner: puts blanks back."""
        # Dev files of the release are as their test files are. Newer treebanks may be tokens alone.
        usual = rejoiner.share_spread(self._found.get("dev", [])) if self.is_released else 0.0
        kept: dict[str, list[Segmented]] = {}
        counts: dict[str, Counts] = {}
        for split, found in self._found.items():
            kept[split], of_split = rejoin(found, rejoiner, usual=usual, put_back=split == "train")
            multiword = sum(len(sentence.words) for sentence in kept[split])
            counts[split] = Counts(**of_split, unaligned=self._unaligned[split], multiword=multiword)
        train, dev = (tuple(kept.get(split, ())) for split in SPLITS)
        return RunningText(
            self.treebank.ltcode,
            self.treebank.lang,
            train,
            dev,
            self._n_learned(len(dev)),
            counts,
            rejoiner.right if counts.get("train", Counts()).without_blanks else None,
        )

    def _n_learned(self, n_dev: int) -> int:
        """All but the last fifth of dev."""
        return n_dev * 4 // 5 if self._learns_dev else 0


def _sources(treebank: Treebank) -> set[str]:
    """Where the parts of its train file are from; none if that is not recorded."""
    path = next(iter(treebank.paths.values())).with_name("sources.json")
    parts = read_json(path, "run `assets` again").get("train", []) if path.exists() else []
    return {part["source"] for part in parts if part["sentences"]}
