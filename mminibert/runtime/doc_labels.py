"""The labels that a Doc's words have."""

from __future__ import annotations

import numpy as np
from spacy.attrs import MORPH, ORTH, POS
from spacy.symbols import NAMES
from spacy.tokens import Doc
from spacy.training import Example

from .labels import Label

__all__ = ["doc_labels", "gold_labels"]


def doc_labels(doc: Doc) -> list[Label]:
    """The label of each token: ``(upos, feats)``, FEATS ``_`` for none; "" for either where unknown."""
    # Arrays instead of tokens: to make a Token for each word costs a tenth of the teacher's training.
    strings = doc.vocab.strings
    return [
        (NAMES[pos], strings[morph] if morph else "") for pos, morph in doc.to_array([POS, MORPH]).tolist()
    ]


def gold_labels(example: Example) -> list[Label]:
    """The label of each predicted token: ``(upos, feats)``, FEATS ``_`` for none, "" where unknown."""
    predicted, reference = example.predicted, example.reference
    if np.array_equal(predicted.to_array(ORTH), reference.to_array(ORTH)):
        return doc_labels(reference)
    upos = example.get_aligned("POS", as_string=True)
    feats = example.get_aligned("MORPH", as_string=True)
    return [(u or "", f or "") for u, f in zip(upos, feats, strict=True)]
