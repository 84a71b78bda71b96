"""Two ways to label: a softmax for UPOS and for each feature, or one over whole strings.

The first is this package's ``factored_morphologizer``, the second spaCy's own ``morphologizer``. Both get
the same encoder, data and number of steps.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Config

from ..data.conllu import read_conllu
from ..data.corpus import collect_labels, read_docs
from ..data.docs import feats_string
from ..evaluation.metrics import macro_average, universal_features
from ..files import atomic_path
from ..markdown import table
from ..project.profile import Profile, compose
from ..runtime.labels import Label
from ..runtime.wordpieces import WordPieces
from ..systems.spacy_train import spacy_train

SCHEMES = {"factored": "a softmax for UPOS and for each feature", "strings": "a softmax over whole strings"}
ROUNDS = 5
"""Measurements of speed, the two schemes in turn."""


def write_vocabulary(profile: Profile, path: Path) -> None:
    """The wordpieces of the profile's vocabulary that its treebanks have: `spacy train` updates every row of
    the embeddings at every step, also those of wordpieces that never occur."""
    pieces = WordPieces.from_file(profile.assets / "vocab.txt")
    vocab = spacy.blank("xx").vocab
    docs = (
        doc
        for ltcode in profile.treebanks
        for split in ("train", "dev", "test")
        for doc in read_docs(profile.corpus, ltcode, split, vocab, units=("words", "tokens"))
    )
    found = {piece for doc in docs for token in doc for piece in pieces.pieces(token.text)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(pieces.subset(found)[0].to_bytes())


def scheme_config(
    scheme: str, profile: Profile, treebanks: Sequence[str], *, vocabulary: Path, labels: Path
) -> Config:
    """The config of `minibert`, for `spacy train`, with the component of a scheme.

    Raises ValueError for a scheme that is not one of `SCHEMES`.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"got scheme {scheme!r}, expected one of {list(SCHEMES)}")
    config = compose("minibert", profile, list(treebanks))
    del config["distillation"]  # the settings of the student's own loop
    config["paths"].update(vocabulary=str(vocabulary), labels=str(labels))
    config["corpora"]["train"]["limit"] = None
    if scheme == "strings":
        encoder = config["components"]["morphologizer"]["model"]["tok2vec"]
        config["components"]["morphologizer"] = {
            "factory": "morphologizer",
            "model": {
                "@architectures": "spacy.Tagger.v2",
                "nO": None,
                "normalize": False,
                "tok2vec": encoder,
            },
        }
        config["initialize"]["components"] = {}  # it has labels of another kind, and collects them itself
    return config


def train_scheme(
    scheme: str, profile: Profile, treebanks: Sequence[str], output: Path, *, vocabulary: Path
) -> int:
    """The exit status of `spacy_train`; ``seconds`` in the folder has the processor time of its runs."""
    config = scheme_config(scheme, profile, treebanks, vocabulary=vocabulary, labels=output / "labels.json")
    trained, start = (output / "done").exists(), _children_seconds()
    try:
        return spacy_train(config, profile.corpus, treebanks, output)
    finally:
        if not trained:
            with atomic_path(output / "seconds") as temporary:
                temporary.write_text(f"{_seconds(output) + _children_seconds() - start:.1f}\n")


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _seconds(output: Path) -> float:
    path = output / "seconds"
    return float(path.read_text(encoding="utf-8")) if path.exists() else 0.0


Sentences = list[list[tuple[str, Label]]]
"""Words with their labels."""


def read_test(corpus: Path, ltcode: str) -> Sentences:
    return [
        [(word.form, (word.upos, word.feats)) for word in sentence.words]
        for sentence in read_conllu(corpus / ltcode / "test.conllu")
    ]


def score(nlp: Language, sentences: Sentences, seen: set[Label]) -> dict[str, float]:
    """Accuracies in percent of all words, and of the ``unseen`` ones, whose UPOS and FEATS no word of the
    training set has together; their number is ``unseen_words``."""
    docs = nlp.pipe([Doc(nlp.vocab, words=[word for word, _ in sentence]) for sentence in sentences])
    right: dict[str, list[bool]] = {"UPOS": [], "UFeats": [], "FEATS": [], "unseen": []}
    for sentence, doc in zip(sentences, docs, strict=True):
        for (_, (upos, feats)), token in zip(sentence, doc, strict=True):
            found = feats_string(token)
            same = set(feats.split("|")) == set(found.split("|"))
            right["UPOS"].append(token.pos_ == upos)
            right["UFeats"].append(universal_features(feats) == universal_features(found))
            right["FEATS"].append(same)
            if (upos, feats) not in seen:
                right["unseen"].append(same and token.pos_ == upos)
    scores = {name: 100 * sum(values) / max(len(values), 1) for name, values in right.items()}
    return {**scores, "unseen_words": len(right["unseen"])}


def training_labels(corpus: Path, treebanks: Sequence[str]) -> set[Label]:
    return set(collect_labels(corpus, treebanks).combinations)


def speeds(models: Mapping[str, Language], sentences: Sentences) -> dict[str, float]:
    """Words a second of each model on the same sentences, medians of `ROUNDS` rounds in which they take
    turns."""
    found: dict[str, list[float]] = {name: [] for name in models}
    words = sum(map(len, sentences))
    for _ in range(ROUNDS):
        for name, nlp in models.items():
            docs = [Doc(nlp.vocab, words=[word for word, _ in sentence]) for sentence in sentences]
            start = time.perf_counter()
            for _ in nlp.pipe(docs):
                pass
            found[name].append(words / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def compare(
    scope: str, folders: Mapping[str, Path], corpus: Path, treebanks: Sequence[str]
) -> dict[str, Any]:
    """The two models of a scope side by side: macro averages over its treebanks' test sets, sizes and speeds.

    folders: of the trainings, by scheme.
    """
    models = {scheme: spacy.load(folder / "model-best") for scheme, folder in folders.items()}
    seen = training_labels(corpus, treebanks)
    tests = {ltcode: read_test(corpus, ltcode) for ltcode in treebanks}
    speed = speeds(models, [sentence for sentences in tests.values() for sentence in sentences])
    schemes = {}
    for scheme, nlp in models.items():
        scores = {ltcode: score(nlp, sentences, seen) for ltcode, sentences in tests.items()}
        pipe: Any = nlp.get_pipe("morphologizer")
        averages = {
            name: macro_average(found[name] for found in scores.values())
            for name in ("UPOS", "UFeats", "FEATS")
        }
        unseen = sum(found["unseen_words"] for found in scores.values())
        hits = sum(found["unseen_words"] * found["unseen"] for found in scores.values())
        schemes[scheme] = {
            **averages,
            "unseen": hits / max(unseen, 1),
            "unseen_words": unseen,
            "outputs": pipe.model.get_ref("output_layer").get_dim("nO"),
            "head_bytes": sum(
                pipe.model.get_ref("output_layer").get_param(name).nbytes for name in ("W", "b")
            ),
            "words_per_second": speed[scheme],
            "seconds": _seconds(folders[scheme]),
            "treebanks": scores,
        }
    return {"scope": scope, "treebanks": list(treebanks), "labels": len(seen), "schemes": schemes}


def to_markdown(found: Sequence[Mapping[str, Any]], *, command: str) -> str:
    """A row a scope and scheme."""
    header = [
        *("model of", "scheme", "UPOS", "UFeats", "FEATS", "unseen", "outputs", "head, kB"),
        *("words/s", "training, CPU s"),
    ]
    lines = [
        "# Label schemes",
        "",
        *(f"- {name}: {text}" for name, text in SCHEMES.items()),
        "",
        "Test sets, gold words, percent; of several treebanks the macro average. *unseen*: UPOS and FEATS "
        "right, of the words whose UPOS and FEATS the training set never has together (their number in "
        "brackets).",
        "",
        f"Written by `{command}`.",
        "",
    ]
    rows = []
    for row in found:
        for scheme, facts in row["schemes"].items():
            cells = [
                row["scope"],
                scheme,
                *(f"{facts[name]:.2f}" for name in ("UPOS", "UFeats", "FEATS")),
                f"{facts['unseen']:.2f} ({facts['unseen_words']:,})",
                f"{facts['outputs']:,}",
                *(
                    f"{facts[name] / unit:,.0f}"
                    for name, unit in (("head_bytes", 1000), ("words_per_second", 1))
                ),
                f"{facts['seconds']:,.0f}",
            ]
            rows.append(cells)
    align = "ll" + "r" * (len(header) - 2)
    return "\n".join([*lines, table(header, rows, align)]) + "\n"
