"""A tiny vocabulary, a toy grammar, and students that are trained on nothing or on that grammar."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; tiny models lose time on threads

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import settings
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from students import Write, tabs
from thinc.api import fix_random_seed

from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

# The first example of a test pays for imports and caches.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

LETTERS = "abcdefghijklmnopqrstuvwxyzé中ж"
PIECES = [*SPECIAL_PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS), *"!.,-", "dog", "##s", "the"]
PIECES = list(dict.fromkeys(PIECES))

LEXICON = {
    "the": ("DET", "Definite=Def"),
    "dog": ("NOUN", "Number=Sing"),
    "dogs": ("NOUN", "Number=Plur"),
    "sees": ("VERB", "Number=Sing|Tense=Pres"),
    "saw": ("VERB", "Tense=Past"),
    "жéé": ("PROPN", "Case=Acc|Number=Sing"),
    "中": ("ADP", "_"),
    ".": ("PUNCT", "_"),
}

SIZES: dict[str, Any] = {
    "hidden_width": 16,
    "intermediate_width": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_positions": 64,
    "dropout": 0.0,
    "max_pieces": 48,
    "overlap": 24,
}


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `vocab.txt` of letters, punctuation and two words."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_bytes(WordPieces(PIECES).to_bytes())
    return path


@pytest.fixture(scope="session")
def toy_examples() -> Callable[..., list[Example]]:
    """Makes annotated sentences of the toy grammar for a pipeline: `toy_examples(nlp, n=20)`."""

    def make(nlp: Language, *, n: int = 20, seed: int = 0) -> list[Example]:
        chooser = random.Random(seed)
        examples = []
        for _ in range(n):
            words = [*chooser.choices(list(LEXICON)[:-1], k=chooser.randint(1, 7)), "."]
            upos, feats = zip(*(LEXICON[word] for word in words), strict=True)
            reference = Doc(nlp.vocab, words=words, pos=list(upos), morphs=list(feats))
            examples.append(Example(Doc(nlp.vocab, words=words), reference))
        return examples

    return make


@pytest.fixture(scope="session")
def make_student(vocabulary: Path, toy_examples: Callable[..., list[Example]]) -> Callable[..., Language]:
    """Makes a blank pipeline with an initialised student, named `morphologizer`.

    Keywords are settings of `mminibert.MiniBert.v1`; `component` has those of the factory, and `labels` is
    an inventory as JSON in place of the toy grammar's.
    """

    def make(
        *, component: dict[str, Any] | None = None, labels: dict[str, Any] | None = None, **sizes: Any
    ) -> Language:
        fix_random_seed(0)
        tok2vec = {"@architectures": "mminibert.MiniBert.v1", "vocabulary": str(vocabulary), **SIZES, **sizes}
        model = {"@architectures": "mminibert.FactoredTagger.v1", "tok2vec": tok2vec}
        nlp = spacy.blank("xx")
        pipe: Any = nlp.add_pipe(
            "factored_morphologizer", name="morphologizer", config={"model": model, **(component or {})}
        )
        pipe.initialize(lambda: toy_examples(nlp), nlp=nlp, labels=labels)
        return nlp

    return make


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_text(text: str, *, name: str = "x.conllu") -> Path:
        path = tmp_path / name
        path.write_bytes(tabs(text).encode("utf-8"))
        return path

    return write_text
