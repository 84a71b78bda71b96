"""The heads of conventions, between training, where all have every output, and a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..runtime.conventions import Convention, Conventions
from ..runtime.labels import Inventory
from ..runtime.types import Floats, Ints


def shared_outputs(own: Inventory, whole: Inventory) -> tuple[Ints, Ints]:
    """The outputs that stand for a value that both inventories have: int64 ``(n,)`` of each, in the order of
    the first."""
    both = [(i, whole.outputs[value]) for value, i in own.outputs.items() if value in whole.outputs]
    ours, theirs = np.asarray(both, dtype=np.int64).reshape(-1, 2).T
    return ours, theirs


def make_conventions(
    own: Mapping[str, Inventory], whole: Inventory, weights: Floats, bias: Floats
) -> Conventions:
    """Of each convention the rows that it has labels for.

    own: by code the labels of each. weights: float32 ``(n_conventions, n_outputs, width)``, of all outputs of
    ``whole``; bias: ``(n_conventions, n_outputs)``. A language's default is its first convention, until a
    package says better.
    """
    heads = []
    for (code, inventory), w, b in zip(own.items(), weights, bias, strict=True):
        _, rows = shared_outputs(inventory, whole)
        heads.append(Convention.of(code, inventory, w[rows], b[rows], np.zeros(0, dtype=np.float32)))
    heads.sort(key=lambda head: head.code)
    return Conventions(tuple(heads), None, {head.language: head.code for head in reversed(heads)})


def read_deltas(
    conventions: Conventions, code: str, whole: Inventory, weights: Floats, bias: Floats
) -> tuple[Floats, Floats]:
    """What a convention's head adds to the shared one: float32 ``(n_outputs, width)`` and ``(n_outputs,)``,
    zero where it has no such output. weights, bias: of the shared head."""
    head = conventions.head(code)
    ours, theirs = shared_outputs(head.inventory, whole)
    w, b = np.zeros_like(weights), np.zeros_like(bias)
    w[theirs] = head.weights[ours] - weights[theirs]
    b[theirs] = head.bias[ours] - bias[theirs]
    return w, b


def convention_logits(
    conventions: Conventions, code: str, whole: Inventory, vectors: Floats, words: Sequence[str]
) -> Floats:
    """float32 ``(n_words, n_outputs)``, of all outputs of ``whole``, as `spread` gives them. vectors: float32
    ``(n_words, width)``."""
    table, forms = conventions.forms(code), None
    if conventions.adapter is not None:
        forms = np.zeros((len(words), len(conventions.adapter.down)), dtype=np.float32)
        if table is not None:
            known = {word: table.vector(word) for word in set(words)}
            forms = np.stack([known[word] for word in words])
    (found,) = conventions.logits(code, [vectors], forms)
    return spread(found, conventions.inventory(code), whole)


def spread(logits: Floats, own: Inventory, whole: Inventory) -> Floats:
    """Logits of the outputs of ``own`` as those of ``whole``: values that it does not have are impossible,
    and features that it does not have absent. Raises ValueError if they have no UPOS in common."""
    ours, theirs = shared_outputs(own, whole)
    if not (theirs < whole.starts[1]).any():
        raise ValueError(
            f"the pipeline's labels have the UPOS {', '.join(own.fields[0][1])}, expected some of "
            f"{', '.join(whole.fields[0][1])}, those of the corpus; take another pipeline to label by"
        )
    found = np.full((len(logits), whole.n_outputs), -np.inf, dtype=np.float32)
    found[:, whole.starts[1:-1]] = 0.0
    found[:, theirs] = logits[:, ours]
    return found
