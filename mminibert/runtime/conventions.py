"""Conventions: the ways in which treebanks annotate, each a head of its own over the shared encoder.

Of a word's vector h from the encoder and its form, the logits of convention c are

    g = h + U gelu(V h + x + e_c)        y = W_c g + b_c

x is the form's vector in its language (`forms.FormTable`), e_c the convention's. V and U, the adapter
(Houlsby et al. 2019, *Parameter-Efficient Transfer Learning for NLP*, section 2.1, without biases, which e_c
and b_c hold), are shared. W_c has rows for what the treebank shows and nothing else: a value that it never
has cannot be predicted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .forms import FormTable
from .labels import Inventory, Label
from .languages import language_of
from .lexicon import Evidence, Lexicon
from .linear import linear
from .session import Session, threads
from .transitions import Tables, tables_of
from .types import Floats, Ints

__all__ = ["Adapter", "Convention", "Conventions"]

GRAPH = Path(__file__).with_name("convention.onnx")
"""Logits of vectors h and x with the weights as inputs, written by `small_graphs.convention_graph`."""
STRONG_EVIDENCE = 100.0
"""A combination that the convention never shows, but another one of its language, is predicted if it is so
much more probable than the best one that it shows."""
ROWS_AT_ONCE = 512
"""Words whose logits are computed and read at once, so that these never leave the processor's cache."""


@dataclass(frozen=True, eq=False)
class Convention:
    """The head of one convention.

    labels: the combinations of UPOS and features that it shows, sorted. rows: int8 ``(n_outputs, width)``,
    times scales, float32 ``(n_outputs,)``, are W_c, whose outputs are those of
    ``Inventory.from_labels(labels)``; bias: float32 ``(n_outputs,)``; embedding: float32 ``(k,)``, e_c.
    lexicon: of the treebank's forms, None where there is none. transitions: int8, of its labels that stand
    side by side, as `transitions.scores_of` gives them; None where they are not known.
    """

    code: str
    labels: tuple[Label, ...]
    rows: npt.NDArray[np.int8]
    scales: Floats
    bias: Floats
    embedding: Floats
    lexicon: Lexicon | None = None
    transitions: npt.NDArray[np.int8] | None = None

    @classmethod
    def of(
        cls, code: str, inventory: Inventory, weights: Floats, bias: Floats, embedding: Floats
    ) -> Convention:
        """weights: float32 ``(n_outputs, width)``, which become 8 bits a row."""
        rows, scales = round_rows(weights)
        return cls(
            code, inventory.combinations, rows, scales, bias.astype(np.float32), embedding.astype(np.float32)
        )

    @cached_property
    def inventory(self) -> Inventory:
        """Made when it is first asked for: a text needs few of all conventions. Raises ValueError if it does
        not go with the weights."""
        inventory = Inventory.from_labels(self.labels)
        sizes = {inventory.n_outputs, len(self.rows), len(self.scales), len(self.bias)}
        if len(sizes) > 1 or inventory.combinations != self.labels:
            raise ValueError(
                f"convention {self.code!r} has {inventory.n_outputs} outputs by its labels, but "
                f"{len(self.rows)} rows of weights; the files are not of one pipeline, install it anew"
            )
        return inventory

    @property
    def language(self) -> str:
        return language_of(self.code)

    @cached_property
    def tables(self) -> Tables | None:
        """What labels say of those beside them. Raises ValueError if they do not go with the inventory."""
        return None if self.transitions is None else tables_of(self.transitions, self.inventory)

    @cached_property
    def weights(self) -> Floats:
        """W_c, float32 ``(n_outputs, width)``."""
        return self.rows.astype(np.float32) * self.scales[:, None]


@dataclass(frozen=True, eq=False)
class Adapter:
    """What conventions share. down: V, float32 ``(k, width)``; up: U, float32 ``(width, k)``; forms: by
    language the vectors x, of width k."""

    down: Floats
    up: Floats
    forms: Mapping[str, FormTable]


@dataclass(frozen=True, eq=False)
class Conventions:
    """All conventions of a pipeline. heads: sorted by code, at least one. defaults: of each language the code
    of the convention that is taken if none is given.

    adapter: None where a convention is its head alone, y = W_c h + b_c, as training leaves them.

    Raises ValueError if a language has no default, or one that is not among its conventions.
    """

    heads: tuple[Convention, ...]
    adapter: Adapter | None
    defaults: Mapping[str, str]

    def __post_init__(self) -> None:
        for lang in self.languages:
            if self.defaults.get(lang) not in self.of_language(lang):
                raise ValueError(
                    f"the default of {lang!r} is {self.defaults.get(lang)!r}, expected one of "
                    f"{', '.join(self.of_language(lang))}"
                )

    @cached_property
    def codes(self) -> tuple[str, ...]:
        return tuple(head.code for head in self.heads)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Those that have a convention, sorted."""
        return tuple(sorted({head.language for head in self.heads}))

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The combinations of UPOS and features of all conventions, each once."""
        return tuple(dict.fromkeys(label for head in self.heads for label in head.labels))

    def of_language(self, lang: str) -> tuple[str, ...]:
        return tuple(head.code for head in self.heads if head.language == lang)

    def head(self, code: str) -> Convention:
        """Raises ValueError for an unknown convention."""
        if code not in self._heads:
            raise ValueError(self.unknown(code))
        return self._heads[code]

    def inventory(self, code: str) -> Inventory:
        """A convention's own labels. Raises ValueError for an unknown convention."""
        return self.head(code).inventory

    def resolve(self, name: str) -> str:
        """The code of a convention, or of the default one of a language. Raises ValueError if it is
        neither."""
        code = self.defaults.get(name, name)
        if code not in self._heads:
            raise ValueError(self.unknown(name))
        return code

    def nearest(self, name: str) -> str | None:
        """This convention or the default one of its language, which may be the name; None if neither is
        there."""
        return name if name in self._heads else self.defaults.get(language_of(name))

    def unknown(self, name: str) -> str:
        """What is wrong with a name that is no convention, and what is right."""
        lang = language_of(name)
        if found := self.of_language(lang):
            return (
                f"got convention {name!r}, expected one of {', '.join(found)}, or {lang!r} for "
                f"{self.defaults[lang]}"
            )
        return (
            f"got convention {name!r}, expected that of a treebank, such as {self.codes[0]}, of one of the "
            f"languages {', '.join(self.languages)}; `mminibert conventions` lists them"
        )

    def only(self, codes: Collection[str], defaults: Mapping[str, str] | None = None) -> Conventions:
        """Some of the conventions, with the forms of their languages alone."""
        heads = tuple(head for head in self.heads if head.code in codes)
        langs = {head.language for head in heads}
        adapter = self.adapter
        if adapter is not None:
            forms = {lang: table for lang, table in adapter.forms.items() if lang in langs}
            adapter = replace(adapter, forms=forms)
        kept = {lang: code for lang, code in (defaults or self.defaults).items() if lang in langs}
        return Conventions(heads, adapter, kept)

    def with_head(self, head: Convention) -> Conventions:
        """One more convention, in the place of one of this code if there is one. It is the default of its
        language if that has none."""
        kept = [old for old in self.heads if old.code != head.code]
        heads = tuple(sorted([*kept, head], key=lambda each: each.code))
        return Conventions(heads, self.adapter, {head.language: head.code, **self.defaults})

    def forms(self, code: str) -> FormTable | None:
        """The vectors of forms of a convention's language."""
        return None if self.adapter is None else self.adapter.forms.get(language_of(code))

    def logits(self, code: str, vectors: Iterable[Floats], forms: Floats | None = None) -> Iterator[Floats]:
        """Of words, float32 ``(n, the convention's outputs)``, an array for each of the vectors.

        vectors: h, float32 ``(n, width)`` arrays, at best of `ROWS_AT_ONCE`. forms: x, float32 ``(n_words,
        k)`` of all words, where there is an adapter.
        """
        head, adapter, at = self.head(code), self.adapter, 0
        output: dict[str, np.ndarray] = {"W": head.weights, "b": head.bias}
        if adapter is None or forms is None:
            for part in vectors:
                yield linear(part, **output)
            return
        shared = {"V": adapter.down, "U": adapter.up, **output}
        added = forms + head.embedding
        for part in vectors:
            yield _session().run({"h": part, "x": added[at : at + len(part)], **shared})[0]
            at += len(part)

    def read(self, code: str, logits: Iterable[Floats], sets: Ints | None = None) -> Ints:
        """int32 ``(n_words,)``: the index into `labels` of the predicted combination of each row of logits.
        sets: int32 ``(n_words,)``, of the convention's lexicon; None without."""
        head, to_label = self.head(code), self.places(code)
        inventory, lexicon, evidence = head.inventory, head.lexicon, list[Evidence]()
        if lexicon is not None and sets is not None:
            logits = lexicon.weigh(logits, sets, inventory, evidence)
        found, unseen = inventory.find(logits)
        labels, odds = to_label[found], np.zeros(len(found), dtype=np.float32)
        if len(unseen):
            best = inventory.closest(unseen)
            chosen, shown = to_label[best], self._places_by_language[head.language]
            against = inventory.odds(unseen, best)
            for i in np.flatnonzero(against > np.log(STRONG_EVIDENCE)):
                place = shown.get(inventory.values(unseen[i]))
                if place is not None:
                    chosen[i], against[i] = place, 0.0
            labels[found < 0], odds[found < 0] = chosen, against
        for part in evidence:
            better = part.gains > -odds[part.rows]
            labels[part.rows[better]] = to_label[part.combinations[better]]
        return labels

    @cached_property
    def _heads(self) -> dict[str, Convention]:
        return {head.code: head for head in self.heads}

    @cached_property
    def _places(self) -> dict[Label, int]:
        return {label: i for i, label in enumerate(self.labels)}

    @cached_property
    def _places_by_language(self) -> dict[str, dict[Label, int]]:
        """By language the index into `labels` of what its conventions show: what those of other languages
        show must not matter, so that a language's pipeline tags as the whole one does."""
        found: dict[str, dict[Label, int]] = {lang: {} for lang in self.languages}
        for head in self.heads:
            found[head.language].update((label, self._places[label]) for label in head.labels)
        return found

    @cached_property
    def _to_labels(self) -> dict[str, Ints]:
        """By code the index into `labels` of each combination, of conventions that were asked for."""
        return {}

    def places(self, code: str) -> Ints:
        """int32 ``(n_combinations,)``: the index into `labels` of each combination of a convention."""
        if code not in self._to_labels:
            places = [self._places[label] for label in self.head(code).labels]
            self._to_labels[code] = np.asarray(places, dtype=np.int32)
        return self._to_labels[code]


def round_rows(weights: Floats, largest: int = 127) -> tuple[npt.NDArray[np.int8], Floats]:
    """``weights ≈ rows * scales[:, None]``, off by half a scale at most: int8 ``(n, width)`` in [-largest,
    largest], float32 ``(n,)``. The largest absolute value of a row becomes ``largest``.

    Raises ValueError if a value is not finite.
    """
    if not np.isfinite(weights).all():
        raise ValueError("The weights have values that are not finite; the training has diverged")
    scales = np.maximum(np.abs(weights).max(axis=1, initial=0.0), 1e-12) / largest
    return np.rint(weights / scales[:, None]).astype(np.int8), scales.astype(np.float32)


@lru_cache(maxsize=1)
def _session() -> Session:
    return Session(GRAPH.read_bytes(), threads=threads(1))
