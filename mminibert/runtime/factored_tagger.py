"""The head: one linear layer over an encoder."""

from __future__ import annotations

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
