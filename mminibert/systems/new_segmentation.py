"""How a treebank of one's own segments text, as one more convention of a trained segmenter; needs no torch.

Its network stays as it is. What is learned is what each convention has of its own: the labels of units and of
their characters, by softmax regression on the network's last states around its own, or those of the
convention that is most alike; how readily a sentence ends; and what its multiword tokens consist of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..data.segmented import Segmented
from ..packaging.segmenter_part import SegmenterPart
from ..packaging.segmenter_parts import with_code
from ..runtime.languages import language_of
from ..runtime.segmenter_model import SegmenterModel
from ..runtime.types import Floats, Ints
from .convention_fit import Adam
from .expansion_fit import with_convention
from .segmenter_bias import SENTENCE_LABEL, Reading, best_bias, read_running
from .segmenter_data import UNKNOWN, Running, Units, running
from .segmenter_states import character_states, unit_states

__all__ = ["Target", "loss_and_gradient", "with_segmentation"]

STEPS, RATE = 150, 0.02
UNIT_DECAY, CHARACTER_DECAY = 0.03, 0.002
"""How strongly weights are held where they start. Few units tell how a sentence ends, many how a word
does."""
MOST_UNITS, LEAST_OTHERS = 200_000, 500
"""That are learned from, the first ones; different ones in which nothing ends, of which some are enough."""
ENDS, MULTIWORD, STOPS = slice(0, 3), slice(3, 5), slice(5, 7)
"""Labels of units, see `segmenter_model.UNIT_LABELS`."""
CHARACTERS = slice(0, 4)


@dataclass(frozen=True, eq=False)
class Target:
    """Of some labels the right one of each row, int ``(n_rows,)``, or `UNKNOWN`. weights: of the rows,
    float32
    ``(n_rows,)``."""

    labels: slice
    right: Ints
    weights: Floats


def with_segmentation(part: SegmenterPart, code: str, sentences: Sequence[Segmented]) -> SegmenterPart | None:
    """The segmenter with one more convention, or one of its own learned anew, from these sentences in their
    order; all other text is segmented as before, to the bit. None if it lacks the convention's language."""
    lang = language_of(code)
    if lang not in part.model.languages:
        return None
    model = part.model.of(lang)
    units = Units()
    text = running(sentences, units)
    alike = [code] if code in model.codes else [known for known in model.codes if language_of(known) == lang]
    readings = {known: read_running(model, text, units, known) for known in alike}
    like = min(alike, key=lambda known: (_loss(model, text, readings[known]), known))
    unit_head, label_code = _unit_head(model, text, readings[like])
    heads = {"character_head": _character_head(model, text, units, like), "unit_head": unit_head}
    told = with_code(part.model, code, like, **heads, label_code=label_code)
    label_code[SENTENCE_LABEL] += best_bias(told.of(code), text, units, code)
    tokens = [
        (form, sentence.words.get(i)) for sentence in sentences for i, form in enumerate(sentence.forms)
    ]
    expansions = with_convention(part.expansions.get(lang), code, tokens)
    return replace(
        part,
        model=with_code(part.model, code, like, **heads, label_code=label_code),
        expansions={**part.expansions, **({lang: expansions} if expansions is not None else {})},
    )


def loss_and_gradient(
    states: Floats, head: Floats, offset: Floats, targets: Sequence[Target]
) -> tuple[float, Floats]:
    """Cross-entropies of a linear layer's labels, each target's the weighted mean over its known rows,

    summed, and the gradient by the layer's rows. states float32 ``(n_rows, width)``, head ``(n_labels,
    width)``, offset ``(n_labels,)``."""
    scores = states @ head.T + offset
    gradient, loss = np.zeros_like(scores), 0.0
    for target in targets:
        known = np.flatnonzero(target.right != UNKNOWN)
        total = float(target.weights[known].sum())
        if total == 0:
            continue
        found = scores[known, target.labels]
        found = found - found.max(axis=1, keepdims=True)
        found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
        places, right = np.arange(len(known)), target.right[known]
        weights = target.weights[known] / total
        loss -= float(weights @ found[places, right])
        slope = np.exp(found)
        slope[places, right] -= 1
        gradient[known, target.labels] = slope * weights[:, None]
    return loss, (gradient.T @ states).astype(np.float32)


def _fit(states: Floats, start: Floats, offset: Floats, targets: Sequence[Target], decay: float) -> Floats:
    """The layer with the least loss around `start`, ``(n_labels, width)``."""
    head = Adam(start)
    for step in range(STEPS):
        _, gradient = loss_and_gradient(states, head.value, offset, targets)
        head.step(gradient + np.float32(decay) * (head.value - start), RATE * (1 - step / STEPS))
    return head.value


def _unit_head(model: SegmenterModel, text: Running, reading: Reading) -> tuple[Floats, Floats]:
    """Weights and bias of the labels of units."""
    at = slice(0, MOST_UNITS)
    number = model.code_numbers[reading.code]
    states = unit_states(model, reading.vectors[at], text.gaps[at], reading.pairs[at], reading.code)
    states = np.concatenate([states, np.ones((len(states), 1), dtype=np.float32)], axis=1)
    start = np.concatenate(
        [model.unit_heads[model.head_rows(model.unit_heads, number)], model.label_codes[number][:, None]],
        axis=1,
    )
    once = np.ones(len(states), dtype=np.float32)
    targets = [
        Target(labels, right[at], once)
        for labels, right in ((ENDS, text.ends), (MULTIWORD, text.multiword), (STOPS, text.stops))
    ]
    found = _fit(states, start, np.zeros(len(start), dtype=np.float32), targets, UNIT_DECAY)
    return found[:, :-1], found[:, -1].copy()


def _character_head(model: SegmenterModel, text: Running, units: Units, code: str) -> Floats:
    """Weights of the labels of characters, but for the last ones: what a unit always ends with is said of it.

    Units in which something ends, or did by the convention that is alike, are all read; of the others some,
    that count for all.
    """
    counted = Counter(zip(text.units[:MOST_UNITS].tolist(), text.inside, strict=False))
    found = [(units.texts[i], inside, n) for (i, inside), n in counted.items()]
    before = model.read_units([unit for unit, _, _ in found], code).labels
    telling = [any(labels[:-1] + inside) for labels, (_, inside, _) in zip(before, found, strict=True)]
    others = [one for one, tells in zip(found, telling, strict=True) if not tells]
    chosen = [one for one, tells in zip(found, telling, strict=True) if tells]
    some = [
        others[i] for i in np.random.default_rng(0).permutation(len(others))[: max(len(chosen), LEAST_OTHERS)]
    ]
    share = sum(n for *_, n in others) / max(sum(n for *_, n in some), 1)
    rows = [*((*one, 1.0) for one in chosen), *((*one, share) for one in some)]
    start = model.character_heads[model.head_rows(model.character_heads, model.code_numbers[code])]
    states, offset = character_states(model, [unit for unit, *_ in rows], code)
    right = [label for _, inside, *_ in rows for label in (*inside, UNKNOWN)]
    weights = [n * weight for unit, _, n, weight in rows for _ in unit]
    target = Target(CHARACTERS, np.asarray(right, dtype=np.int32), np.asarray(weights, dtype=np.float32))
    return _fit(states, start, offset, [target], CHARACTER_DECAY)


def _loss(model: SegmenterModel, text: Running, reading: Reading) -> float:
    """Of the ends of units, as a convention has them."""
    found = model.label_units(reading.vectors, text.gaps, reading.pairs, reading.code)
    scores: npt.NDArray[np.float32] = found.logits[ENDS]
    scores = scores - scores.max(axis=0)
    right = scores[text.ends, np.arange(len(text))]
    return float((np.log(np.exp(scores).sum(axis=0)) - right).mean())
