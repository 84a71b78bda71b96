"""A trained student as a pipeline that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..data.corpus import read_docs
from ..evaluation.metrics import macro_average, universal_features
from ..models.encoders import export_from
from ..models.quantized import LARGEST, from_student
from ..models.torch_encoder import StudentShim
from ..models.transformer import TRANSFORMER
from ..runtime.doc_labels import doc_labels
from ..runtime.labels import Label
from ..runtime.lemmas import Lemmas
from ..runtime.onnx import shim_of
from ..runtime.pipeline import lemmatizer, tagger
from .assemble import Parts, assemble, head_of, parts_of
from .segmenter_part import SegmenterPart

DOCS_AT_ONCE = 256
CALIBRATION_SENTENCES = 60
"""Of each training set; the first ones."""
LARGEST_OF_TEACHER = 10
"""Rows of a teacher's word embeddings are whole numbers from -10 to 10, as those of the one at hand come from
blocks of 4 bits. The wheel is 5 MB smaller than with 15; 100 dev sentences of each of 12 treebanks have the
same UPOS, and 0.1 points less UFeats."""


def calibration_docs(corpus: Path, treebanks: Sequence[str], vocab: Vocab) -> list[Doc]:
    """Sentences of all training sets. Raises ValueError if there are none."""
    docs = [
        doc
        for ltcode in treebanks
        for doc in read_docs(corpus, ltcode, "train", vocab, units=("words",))[:CALIBRATION_SENTENCES]
    ]
    if not docs:
        raise ValueError(f"{corpus}: no treebank of {', '.join(treebanks)} has a training set")
    return docs


def compare_treebanks(
    student: Language, light: Language, corpus: Path, treebanks: Sequence[str]
) -> dict[str, Any]:
    """`compare` on the dev set of each treebank that has one, and the means over treebanks."""
    found = {}
    for ltcode in treebanks:
        if docs := read_docs(corpus, ltcode, "dev", student.vocab, units=("words",)):
            with ExitStack() as stack:
                for pipe in (tagger(student), tagger(light)):
                    if pipe.conventions is not None and ltcode in pipe.conventions.codes:
                        stack.enter_context(pipe.tagging_in(ltcode))
                found[ltcode] = compare(student, light, docs)
    names = ("same", "same_upos", "upos", "ufeats")
    mean = {name: macro_average(row[name] for row in found.values()) for name in names} if found else {}
    return {"split": "dev", "mean": mean, "treebanks": found}


def compare(student: Language, light: Language, docs: Sequence[Doc]) -> dict[str, float]:
    """What quantization changes, on gold sentences: shares of words in 0..1.

    ``same``: with the same prediction; ``same_upos``: with the same UPOS; ``upos``, ``ufeats`` (universal
    features, as the CoNLL 2018 evaluation counts them): right predictions of the light pipeline less those of
    the student.
    """
    words = same = same_upos = upos = ufeats = 0
    for start in range(0, len(docs), DOCS_AT_ONCE):
        part = docs[start : start + DOCS_AT_ONCE]
        gold = [label for doc in part for label in doc_labels(doc)]
        for (pos, feats), before, after in zip(
            gold, predicted(student, part), predicted(light, part), strict=True
        ):
            words += 1
            same += before == after
            same_upos += before[0] == after[0]
            upos += (after[0] == pos) - (before[0] == pos)
            if feats and before[1] != after[1]:
                wanted = universal_features(feats)
                ufeats += (universal_features(after[1]) == wanted) - (universal_features(before[1]) == wanted)
    counts = {"same": same, "same_upos": same_upos, "upos": upos, "ufeats": ufeats}
    return {"words": words, **{name: count / max(words, 1) for name, count in counts.items()}}


def predicted(nlp: Language, docs: Sequence[Doc]) -> list[Label]:
    """The label of each word of some Docs."""
    pipe = tagger(nlp)
    rows = np.concatenate([prediction.combinations for prediction in pipe.predict(docs)])
    return [pipe.combinations[row] for row in rows]


def score_conventions(nlp: Language, corpus: Path, codes: Sequence[str]) -> dict[str, dict[str, float]]:
    """By convention how much of its treebank's dev set it tags right, on gold words: ``UPOS`` and ``UFeats``,
    shares of the ``words`` and of the ``words_with_feats``, whose FEATS are known; 0.0 where there are none.
    Treebanks without a dev set are left out."""
    found = {}
    for code in codes:
        docs = read_docs(corpus, code, "dev", nlp.vocab, units=("words",))
        labels = [label for doc in docs for label in doc_labels(doc)]
        if not any(upos for upos, _ in labels):
            continue
        with tagger(nlp).tagging_in(code):
            parts = (docs[start : start + DOCS_AT_ONCE] for start in range(0, len(docs), DOCS_AT_ONCE))
            tagged = [label for part in parts for label in predicted(nlp, part)]
        gold = [(a, b) for a, b in zip(labels, tagged, strict=True) if a[0]]
        right = sum(a[0] == b[0] for a, b in gold)
        known = sum(bool(feats) for (_, feats), _ in gold)
        right_feats = sum(
            bool(a[1]) and universal_features(a[1]) == universal_features(b[1]) for a, b in gold
        )
        scores = {"UPOS": right / len(gold), "UFeats": right_feats / max(known, 1)}
        found[code] = {"words": len(gold), "words_with_feats": known, **scores}
    return found


def quantize(nlp: Language, calibration: Sequence[Doc]) -> Language:
    """A new pipeline that tags as `nlp` does, a student or a teacher, without torch: see `assemble`.

    Embeddings become rows of 4 to 5 bits with a scale each; the dense layers multiply 8-bit numbers, whose
    ranges are fixed by the sentences ``calibration``, such as the pipeline will see, without which they stay
    in float32.
    Raises ValueError if the encoder is neither one of `models.architectures` nor a transformer as BERT.
    """
    pipe = tagger(nlp)
    is_teacher = TRANSFORMER in nlp.component_names
    if not is_teacher and not isinstance(pipe.encoder, StudentShim):
        raise ValueError(
            "the encoder is in 8 bits already, expected one in PyTorch, mminibert.MiniBert.v1; give the "
            "student of training, such as training/.../model-best"
        )
    trained = export_from(nlp)
    windows: dict[str, Any] = {name: trained.sizes[name] for name in ("max_pieces", "overlap")}
    packed = from_student(
        trained.weights,
        trained.pieces,
        num_attention_heads=trained.sizes["num_attention_heads"],
        word_layers=trained.sizes["word_layers"],
        largest=LARGEST_OF_TEACHER if is_teacher else LARGEST,
        calibration=calibration,
        **windows,
    )
    weights, bias = head_of(nlp)
    parts = Parts(
        shim_of(packed).student,
        pipe.inventory,
        weights.copy(),
        bias.copy(),
        pipe.languages,
        pipe.conventions,
        lemmas=own.lemmas if (own := lemmatizer(nlp)) is not None else None,
    )
    return assemble(nlp, parts, encoder=windows)


def with_segmenter(nlp: Language, segmenter: SegmenterPart) -> Language:
    """A packaged pipeline with this segmenter in the place of its tokenizer. Raises ValueError if its encoder
    is not the packaged one."""
    return assemble(nlp, replace(parts_of(nlp), segmenter=segmenter))


def with_lemmas(nlp: Language, lemmas: Lemmas) -> Language:
    """A packaged pipeline with these lemmas. Raises ValueError if its encoder is not the packaged one, or the
    lemmas
    are of conventions that it has not."""
    parts = parts_of(nlp)
    known = ("",) if parts.conventions is None else parts.conventions.codes
    if foreign := sorted(set(lemmas.codes) - set(known)):
        raise ValueError(
            f"got lemmas of the conventions {', '.join(foreign)}, expected those of the pipeline; run the "
            "step `lemmatize` again"
        )
    return assemble(nlp, replace(parts, lemmas=lemmas))
