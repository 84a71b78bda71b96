"""Readers and batchers for ``[corpora]`` and ``[training]``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from spacy.attrs import MORPH, ORTH, POS
from spacy.language import Language
from spacy.strings import get_string_id
from spacy.symbols import NAMES
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab

from ..files import read_json, reading
from ..runtime.labels import Inventory, Label
from .docs import UD_WORDS

SUFFIXES = {"words": ".spacy", "tokens": ".tokens.spacy"}
"""The two units of a corpus: syntactic words, and surface tokens with multiword tokens joined."""


def read_docs(corpus: Path, ltcode: str, split: str, vocab: Vocab, *, units: Sequence[str]) -> list[Doc]:
    """The Docs of one split, sentences of the unit ``tokens`` only where they differ from words.

    Returns an empty list if the treebank has no such split. Raises FileNotFoundError if the treebank
    was not converted, ValueError for a unit that does not exist.
    """
    return list(iter_docs(corpus, [ltcode], split, vocab, units=units))


def iter_docs(
    corpus: Path, ltcodes: Iterable[str], split: str, vocab: Vocab, *, units: Sequence[str]
) -> Iterator[Doc]:
    """The same of several treebanks, one Doc at a time."""
    for ltcode in ltcodes:
        if not (corpus / ltcode).is_dir():
            raise FileNotFoundError(f"no treebank {ltcode!r} in {corpus}; run the step `convert` first")
        for unit in units:
            if unit not in SUFFIXES:
                raise ValueError(f"got unit {unit!r}, expected one of {sorted(SUFFIXES)}")
            path = corpus / ltcode / f"{split}{SUFFIXES[unit]}"
            if path.exists():
                with reading(path, "run the step `convert` again"):
                    found = list(DocBin().from_disk(path).get_docs(vocab))
                yield from (doc for doc in found if unit == "words" or _has_multiword_tokens(doc))


def silver_treebanks(corpus: Path) -> frozenset[str]:
    """Those whose training set is put together from other sources, so that dev alone has labels of the
    release. Raises FileNotFoundError or ValueError if the manifest cannot be read."""
    treebanks = read_json(corpus / "manifest.json", "run the step `convert` again", "treebanks")["treebanks"]
    return frozenset(code for code, entry in treebanks.items() if entry["labels"] == "silver")


def forms_of(corpus: Path, ltcode: str, split: str) -> frozenset[str]:
    """The forms of a split's words in lower case, each once; empty if the treebank has no such split."""
    path = corpus / ltcode / f"{split}{SUFFIXES['words']}"
    if not path.exists():
        return frozenset()
    with reading(path, "run the step `convert` again"):
        found = DocBin().from_disk(path)
    column = found.attrs.index(ORTH)
    used = {int(orth) for tokens in found.tokens for orth in tokens[:, column].tolist()}
    return frozenset(text.lower() for text in found.strings if get_string_id(text) in used)


def _has_multiword_tokens(doc: Doc) -> bool:
    # Extensions are kept as user data, which a sentence without multiword tokens does not have.
    return any(key[0] == "._." and key[1] == UD_WORDS for key in doc.user_data)


def collect_labels(corpus: Path, treebanks: Iterable[str]) -> Inventory:
    """The labels of all training sentences, in both units. Raises ValueError if there are none."""
    inventory = inventory_of(_labels(corpus, treebanks))
    if not inventory.combinations:
        raise ValueError(f"no training sentence with UPOS in {corpus}; check its manifest.json")
    return inventory


def conventions_of(corpus: Path, treebanks: Iterable[str]) -> dict[str, Inventory]:
    """The labels of each treebank that has some in its training sentences, by its code: its *convention*."""
    found = {ltcode: inventory_of(_labels(corpus, [ltcode])) for ltcode in treebanks}
    return {ltcode: inventory for ltcode, inventory in found.items() if inventory.combinations}


def inventory_of(labels: Iterable[Label]) -> Inventory:
    """Of labels that are fully known, and of each UPOS that no such label has, without features: else a
    treebank that tells features of punctuation alone would have nothing but that."""
    seen = set(labels)
    known = {label for label in seen if label[0] and label[1]}
    lacking = {upos for upos, _ in seen if upos} - {upos for upos, _ in known}
    return Inventory.from_labels(known | {(upos, "_") for upos in lacking})


def _labels(corpus: Path, treebanks: Iterable[str]) -> set[Label]:
    """As `doc_labels` gives them."""
    vocab = Vocab()
    keys: set[tuple[int, int]] = set()
    for doc in iter_docs(corpus, treebanks, "train", vocab, units=tuple(SUFFIXES)):
        keys.update(map(tuple, np.unique(doc.to_array([POS, MORPH]), axis=0).tolist()))
    return {(NAMES[pos], vocab.strings[morph] if morph else "") for pos, morph in keys}


class TreebankCorpus:
    """Sentences of several treebanks; small ones are seen more often.

    Registered as ``mminibert.TreebankCorpus.v1``. With ``epoch_words`` each call yields about that many
    words, a treebank of n words in proportion to ``n ** exponent``, in random order; successive calls go
    on through a treebank where the last one stopped. Without, each call yields every sentence once, at
    most ``limit`` a treebank, in the order of the files.
    """

    def __init__(
        self,
        path: Path,
        treebanks: Sequence[str],
        split: str,
        *,
        units: Sequence[str] = ("words",),
        epoch_words: int | None = None,
        exponent: float = 0.5,
        max_length: int = 256,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        """max_length: longer sentences (in tokens) are left out. limit: in sentences."""
        self.path, self.treebanks, self.split, self.units = Path(path), list(treebanks), split, units
        self.epoch_words, self.exponent = epoch_words, exponent
        self.max_length, self.limit = max_length, limit
        self.random = random.Random(seed)
        self._pools: dict[str, list[Doc]] = {}
        self._queues: dict[str, list[Doc]] = {}

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Raises ValueError if there is no sentence at all."""
        docs = [doc for pool in self.pools(nlp).values() for doc in pool]
        if self.epoch_words:
            docs = self._sample(self.epoch_words)
        for doc in docs:
            words, spaces = [t.text for t in doc], [bool(t.whitespace_) for t in doc]
            yield Example(Doc(nlp.vocab, words=words, spaces=spaces), doc)

    def pools(self, nlp: Language) -> dict[str, list[Doc]]:
        """The sentences of each treebank that has some. Raises ValueError if there are none at all."""
        if not self._pools:
            self._pools = {ltcode: pool for ltcode in self.treebanks if (pool := self._read(ltcode, nlp))}
            if not self._pools:
                raise ValueError(f"no {self.split} sentence in {self.path} for {self.treebanks}")
        return self._pools

    def _read(self, ltcode: str, nlp: Language) -> list[Doc]:
        docs = iter_docs(self.path, [ltcode], self.split, nlp.vocab, units=self.units)
        return list(islice((doc for doc in docs if 0 < len(doc) <= self.max_length), self.limit))

    def _sample(self, epoch_words: int) -> list[Doc]:
        weights = {ltcode: sum(map(len, pool)) ** self.exponent for ltcode, pool in self._pools.items()}
        total = sum(weights.values())
        sample: list[Doc] = []
        for ltcode, weight in weights.items():
            words = epoch_words * weight / total
            while words > 0:
                if not self._queues.get(ltcode):
                    self._queues[ltcode] = self.random.sample(self._pools[ltcode], len(self._pools[ltcode]))
                doc = self._queues[ltcode].pop()
                sample.append(doc)
                words -= len(doc)
        self.random.shuffle(sample)
        return sample


def batch_by_length(
    size: int, buffer: int = 64, seed: int = 0
) -> Callable[[Iterable[Example]], Iterator[list[Example]]]:
    """A batcher: sentences of like length together, in batches of about ``size`` padded wordpieces.

    Registered as ``mminibert.batch_by_length.v1``. It sorts about ``buffer`` batches at a time and yields
    them in random order. A sentence longer than ``size`` is a batch of its own.
    """
    shuffler = random.Random(seed)

    def batches(examples: Iterable[Example]) -> Iterator[list[Example]]:
        pending: list[tuple[int, Example]] = []
        pieces = 0
        for example in examples:
            # Encoders differ in their wordpieces; one for each four letters is near enough to sort by.
            length = 2 + sum(1 + len(token) // 5 for token in example.predicted)
            pending.append((length, example))
            pieces += length
            if pieces >= size * buffer:
                yield from shuffled(pending)
                pending, pieces = [], 0
        yield from shuffled(pending)

    def shuffled(pending: list[tuple[int, Example]]) -> list[list[Example]]:
        groups = group_by_length([length for length, _ in pending], size=size)
        shuffler.shuffle(groups)
        return [[pending[i][1] for i in group] for group in groups]

    return batches


def group_by_length(lengths: Sequence[int], *, size: int) -> list[list[int]]:
    """Indices in order of length, cut into groups that fit ``size`` when padded to their longest."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        # In ascending order the newest member is the longest.
        if groups and lengths[i] * (len(groups[-1]) + 1) <= size:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
