"""The head: one linear layer over an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model, chain, with_array
from thinc.types import Floats2d

from .linear import FastLinear
from .types import Tok2Vec

LINEAR_HEAD = "linear_head"
"""The attribute of models whose logits are, in prediction, ``output_layer(tok2vec(docs))``."""


def FactoredTagger(tok2vec: Tok2Vec, nO: int | None = None) -> Model[list[Doc], list[Floats2d]]:  # noqa: N803
    """Logits for each token, for each Doc ``(n_tokens, nO)``: one linear layer over an encoder, all fields in
    one matrix; ``nO`` is set from the labels.

    Registered as ``mminibert.FactoredTagger.v1``.
    """
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    output: Model = FastLinear(nO=nO, nI=width)
    model: Model[list[Doc], list[Floats2d]] = chain(tok2vec, with_array(output))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    model.attrs[LINEAR_HEAD] = True
    return model


@contextmanager
def resized(model: Model, heads: Sequence[Model], n_outputs: int) -> Iterator[None]:
    """Output layers of another size within a model, without weights; if what is done with them fails, all is
    as it was."""
    around = [node for node in model.walk() if any(layer in heads for layer in node.walk())]
    sizes = [(node, node.maybe_get_dim("nO")) for node in around if node.has_dim("nO") is not False]
    weights = [(layer, name, layer.maybe_get_param(name)) for layer in heads for name in ("W", "b")]
    try:
        _reset(sizes, weights, anew=True)
        for layer in heads:
            layer.set_dim("nO", n_outputs)
        yield
    except BaseException:
        _reset(sizes, weights, anew=False)
        raise


def _reset(
    sizes: list[tuple[Model, int | None]], weights: list[tuple[Model, str, Any]], *, anew: bool
) -> None:
    """Take sizes and weights away, or put them back; thinc keeps the size of a layer that has weights."""
    for layer, name, _ in weights:
        layer.set_param(name, None)
    for layer, size in sizes:
        layer.set_dim("nO", None if anew else size, force=True)  # type: ignore[arg-type]
    for layer, name, value in () if anew else weights:
        layer.set_param(name, value)
