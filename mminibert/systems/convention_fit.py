"""Conventions fitted on vectors of a frozen encoder: adapter, forms and heads, with gradients in NumPy.

Words of one convention are a batch; see `runtime.conventions` for the formula. Nothing goes back into the
encoder, so that its vectors are computed once, and a minute of one core is enough for a treebank.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..runtime.conventions import Adapter, Convention, Conventions, round_rows
from ..runtime.forms import FormTable, form_features
from ..runtime.labels import Inventory
from ..runtime.languages import language_of
from ..runtime.losses import one_hot, soft_cross_entropy
from ..runtime.types import Floats, Ints

__all__ = ["ConventionFit", "FitSettings", "Learned", "Words", "form_features_of", "form_ids"]

N_FEATURES = 5
"""Ids a word: the form and its endings, see `runtime.forms`."""

FORM_LARGEST = 3
"""Rows of forms are whole numbers from -3 to 3, so that a wheel packs them in less than 3 bits each: dev sets
of 14 treebanks lose 0.03 UPOS and 0.05 UFeats against 8 bits, and the multilingual wheel 3 MB."""


@dataclass(frozen=True)
class FitSettings:
    """How heads are fitted. visits: batches of an average convention. A step of the adapter sees
    ``batch_words`` words of ``conventions`` conventions, of which one with n words is drawn in proportion to
    ``n ** exponent``. width: of the adapter. features: rows of forms and endings a language. Rates are those
    of Adam (Kingma and Ba 2015), which fall linearly to 0."""

    visits: int = 500
    conventions: int = 8
    batch_words: int = 512
    exponent: float = 0.5
    width: int = 64
    features: int = 2048
    learn_rate: float = 0.001
    head_learn_rate: float = 0.003
    forms_learn_rate: float = 0.01
    warmup: float = 0.02
    upos_weight: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class Words:
    """Words of a convention. vectors: float16 or float32 ``(n, width)``. forms: int32 ``(n, N_FEATURES)``,
    rows of its language's table, -1 for none. values: int32 ``(n, n_fields)``, as `Inventory.encode` gives
    them."""

    inventory: Inventory
    vectors: npt.NDArray[np.floating]
    forms: Ints
    values: Ints


class Adam:
    """One array and its optimizer; `step` may be given some rows alone, whose averages then are all that
    changes."""

    def __init__(self, value: Floats) -> None:
        self.value = np.array(value, dtype=np.float32)
        self.first, self.second = np.zeros_like(self.value), np.zeros_like(self.value)
        self.steps = 0

    def step(
        self, gradient: Floats, rate: float, rows: npt.NDArray[np.integer] | slice = slice(None)
    ) -> None:
        self.steps += 1
        first = self.first[rows] = 0.9 * self.first[rows] + 0.1 * gradient
        second = self.second[rows] = 0.999 * self.second[rows] + 0.001 * gradient**2
        scale = rate * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        self.value[rows] -= np.float32(scale) * first / (np.sqrt(second) + np.float32(1e-8))


@dataclass
class Learned:
    """What is learned of one convention."""

    weights: Adam
    bias: Adam
    embedding: Adam


@dataclass
class ConventionFit:
    """The state of a fit. frozen: only heads and embeddings of conventions learn, not what they share."""

    settings: FitSettings
    down: Adam
    up: Adam
    forms: dict[str, Adam]
    heads: dict[str, Learned]
    frozen: bool = False
    _shared: list[tuple[Floats, Floats]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        settings: FitSettings,
        heads: Mapping[str, tuple[Floats, Floats]],
        features: Mapping[str, Sequence[str]],
    ) -> ConventionFit:
        """An adapter that changes nothing yet. heads: by convention the weights ``(n_outputs, width)`` and
        bias to begin with. features: by language those that get a row."""
        random, k = np.random.default_rng(settings.seed), settings.width
        width = next(iter(heads.values()))[0].shape[1]

        def normal(scale: float, *shape: int) -> Floats:
            return (scale * random.standard_normal(shape)).astype(np.float32)

        return cls(
            settings,
            Adam(normal(1 / math.sqrt(width), k, width)),
            Adam(np.zeros((width, k), dtype=np.float32)),
            {lang: Adam(np.zeros((len(found), k), np.float32)) for lang, found in sorted(features.items())},
            {code: Learned(Adam(w), Adam(b), Adam(normal(0.3, k))) for code, (w, b) in sorted(heads.items())},
        )

    @classmethod
    def one_more(
        cls, settings: FitSettings, conventions: Conventions, code: str, weights: Floats, bias: Floats
    ) -> ConventionFit:
        """A new convention beside those that there are, whose adapter and forms stay as they are. It begins
        with the mean embedding of its language's conventions, or of all. Raises ValueError without an
        adapter."""
        adapter = conventions.adapter
        if adapter is None:
            raise ValueError("the conventions have no adapter; take a packaged pipeline")
        table = conventions.forms(code)
        forms = {} if table is None else {language_of(code): Adam(table.rows * table.scales[:, None])}
        near = conventions.of_language(language_of(code)) or conventions.codes
        embedding = np.mean([conventions.head(each).embedding for each in near], axis=0)
        head = Learned(Adam(weights), Adam(bias), Adam(embedding))
        return cls(settings, Adam(adapter.down), Adam(adapter.up), forms, {code: head}, frozen=True)

    def logits(self, code: str, vectors: Floats, forms: Ints) -> Floats:
        """float32 ``(n, the convention's outputs)``."""
        return self._forward(code, vectors, forms)[-1]

    def _forward(self, code: str, vectors: Floats, forms: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        head = self.heads[code]
        inner = vectors @ self.down.value.T + self._forms(code, forms) + head.embedding.value
        active = gelu(inner)
        adapted = vectors + active @ self.up.value.T
        return inner, active, adapted, adapted @ head.weights.value.T + head.bias.value

    def _forms(self, code: str, ids: Ints) -> Floats:
        table = self.forms.get(language_of(code))
        if table is None or not len(table.value):
            return np.zeros((len(ids), len(self.down.value)), dtype=np.float32)
        found: Floats = (table.value[ids] * (ids >= 0)[..., None]).sum(axis=1)
        return found

    def learn(self, code: str, words: Words, chosen: npt.NDArray[np.integer], rate: float) -> float:
        """The loss of these words; what is the convention's own takes a step at once, what is shared keeps
        its gradient for `learn_shared`. rate: the factor on the learning rates."""
        settings, head = self.settings, self.heads[code]
        vectors, ids = words.vectors[chosen].astype(np.float32), words.forms[chosen]
        inner, active, adapted, logits = self._forward(code, vectors, ids)
        targets = one_hot(words.values[chosen], words.inventory.starts)
        weights = words.inventory.weights(settings.upos_weight)
        loss, d_logits = soft_cross_entropy(logits, targets, words.inventory.starts, weights=weights)
        d_adapted = d_logits @ head.weights.value
        d_inner = (d_adapted @ self.up.value) * gelu_slope(inner)
        head.weights.step(d_logits.T @ adapted, rate * settings.head_learn_rate)
        head.bias.step(d_logits.sum(axis=0), rate * settings.head_learn_rate)
        head.embedding.step(d_inner.sum(axis=0), rate * settings.learn_rate)
        if not self.frozen:
            self._shared.append((d_inner.T @ vectors, d_adapted.T @ active))
            table = self.forms.get(language_of(code))
            if table is not None:
                rows, gradient = _by_row(ids, d_inner.astype(np.float32))
                if len(rows):
                    table.step(gradient, rate * settings.forms_learn_rate, rows)
        return loss

    def learn_shared(self, rate: float) -> None:
        """A step of the adapter by all gradients since the last."""
        if self._shared:
            for parameter, gradients in zip(
                (self.down, self.up), zip(*self._shared, strict=True), strict=True
            ):
                parameter.step(np.sum(gradients, axis=0), rate * self.settings.learn_rate)
            self._shared.clear()

    def steps(self, n_conventions: int) -> int:
        """Of a run on so many conventions."""
        return math.ceil(self.settings.visits * n_conventions / min(self.settings.conventions, n_conventions))

    def run(
        self, words: Mapping[str, Words], on_step: Callable[[int, float], None] = lambda *_: None
    ) -> None:
        """All steps. on_step: told of each step's number, from 1, and mean loss."""
        settings = self.settings
        random = np.random.default_rng([settings.seed, 1])
        codes = list(words)
        shares = np.asarray([len(words[code].values) for code in codes], dtype=np.float64)
        shares **= settings.exponent
        shares /= shares.sum()
        at_once = min(settings.conventions, len(codes))
        steps = self.steps(len(codes))
        for step in range(steps):
            rate = min(1.0, (step + 1) / max(settings.warmup * steps, 1)) * (1 - step / steps)
            losses = []
            drawn = random.choice(len(codes), at_once, replace=False, p=shares)
            for code in (codes[i] for i in drawn):
                chosen = random.integers(0, len(words[code].values), settings.batch_words)
                losses.append(self.learn(code, words[code], chosen, rate))
            self.learn_shared(rate)
            on_step(step + 1, float(np.mean(losses)))

    def conventions(
        self,
        inventories: Mapping[str, Inventory],
        features: Mapping[str, Sequence[str]],
        defaults: Mapping[str, str],
    ) -> Conventions:
        """What was learned: heads in 8 bits, forms in fewer."""
        forms = {
            lang: FormTable(tuple(features[lang]), *round_rows(table.value, FORM_LARGEST))
            for lang, table in self.forms.items()
        }
        heads = tuple(self.head(code, inventories[code]) for code in sorted(self.heads))
        return Conventions(heads, Adapter(self.down.value, self.up.value, forms), defaults)

    def head(self, code: str, inventory: Inventory) -> Convention:
        """One convention, in 8 bits."""
        head = self.heads[code]
        return Convention.of(code, inventory, head.weights.value, head.bias.value, head.embedding.value)


def form_features_of(forms: Iterable[str], most: int) -> list[str]:
    """The most frequent features of words, at most so many; equally frequent ones in the order of the
    alphabet."""
    counts: Counter[str] = Counter()
    for form, n in Counter(forms).items():
        for feature in form_features(form):
            counts[feature] += n
    return [feature for feature, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]


def form_ids(forms: Sequence[str], features: Mapping[str, int]) -> Ints:
    """int32 ``(n_words, N_FEATURES)``: the rows of each word's features, -1 for one that has none."""
    known: dict[str, list[int]] = {}
    for form in forms:
        if form not in known:
            ids = [features.get(feature, -1) for feature in form_features(form)]
            known[form] = ids + [-1] * (N_FEATURES - len(ids))
    found = np.asarray([known[form] for form in forms], dtype=np.int32)
    return found.reshape(len(forms), N_FEATURES)


def gelu(x: Floats) -> Floats:
    """``x Φ(x)`` (Hendrycks and Gimpel 2016), float32."""
    return (x * _normal(x)).astype(np.float32)


def gelu_slope(x: Floats) -> Floats:
    """Its derivative, ``Φ(x) + x φ(x)``."""
    density = np.exp(-0.5 * x * x) * np.float32(1 / math.sqrt(2 * math.pi))
    return (_normal(x) + x * density).astype(np.float32)


def _normal(x: Floats) -> Floats:
    """Φ, by the error function of Abramowitz and Stegun 1964, formula 7.1.26: at most 1.5e-7 off."""
    z = np.abs(x) * np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    powers = t * (
        0.254829592
        + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * np.float32(1.061405429))))
    )
    erf = 1 - powers * np.exp(-z * z)
    found: Floats = 0.5 * (1 + np.sign(x) * erf)
    return found


def _by_row(ids: Ints, gradient: Floats) -> tuple[npt.NDArray[np.integer], Floats]:
    """The rows that occur, and for each the sum of the gradients of the words that have it."""
    words, places = np.nonzero(ids >= 0)
    rows = ids[words, places]
    order = np.argsort(rows, kind="stable")
    found, starts = np.unique(rows[order], return_index=True)
    if not len(found):
        return found, np.zeros((0, gradient.shape[1]), dtype=np.float32)
    return found, np.add.reduceat(gradient[words[order]], starts, axis=0)
