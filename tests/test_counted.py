"""What is counted in training sentences, beside what a head learns of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.vocab import Vocab
from students import LEXICON, make_corpus, tagger
from test_conventions import folder as folder  # a packaged pipeline with the conventions aa_x, aa_y, bb_z

from mminibert.data.corpus import read_docs
from mminibert.runtime.conventions import Convention, Conventions
from mminibert.runtime.doc_labels import doc_labels
from mminibert.runtime.labels import Inventory, Label
from mminibert.runtime.transitions import scores_of
from mminibert.systems.counted import fit_counted

OWN = Inventory.from_labels(LEXICON.values())


def labels(corpus: Path, *splits: str, units: tuple[str, ...] = ("words",)) -> list[list[Label]]:
    return [
        doc_labels(doc) for split in splits for doc in read_docs(corpus, "en_a", split, Vocab(), units=units)
    ]


@pytest.mark.parametrize("dev", [False, True])
def test_transitions_are_of_syntactic_words(folder: Path, tmp_path: Path, dev: bool) -> None:
    """A treebank's surface tokens, some of which are multiword tokens, are never tagged."""
    corpus = make_corpus(tmp_path, {"en_a": 60, "en_b": 20})
    nlp = spacy.load(folder / "xx")
    pipe = tagger(nlp)
    none = np.zeros(0, np.float32)
    n, width = OWN.n_outputs, pipe.output_layer.get_dim("nI")
    weights, bias = np.zeros((n, width), np.float32), np.zeros(n, np.float32)
    heads = [Convention.of(code, OWN, weights, bias, none) for code in ("en_a", "en_b")]
    pipe.conventions = Conventions(tuple(heads), None, {"en": "en_a"})
    said: list[str] = []
    found = fit_counted(nlp, corpus, ["en_a"], ["en_a"] if dev else [], said.append)
    splits = ("train", "dev") if dev else ("train",)
    expected = labels(corpus, *splits)
    own = found.head("en_a").transitions
    assert own is not None and np.array_equal(own, scores_of(expected, OWN)) and own.any()
    assert not np.array_equal(own, scores_of(labels(corpus, *splits, units=("words", "tokens")), OWN))
    assert not np.array_equal(own, scores_of(labels(corpus, "train", *(() if dev else ("dev",))), OWN))
    assert found.head("en_b").transitions is None
    assert said[0].startswith(f"en_a: {len(expected)} sentences, lexicon of ")
