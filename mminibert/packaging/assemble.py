"""A packaged pipeline from its parts, and all that the pipeline it is made of had besides."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from spacy.language import Language
from thinc.api import Config

from ..models.transformer import TRANSFORMER
from ..runtime.conventions import Conventions
from ..runtime.encoder import ENCODER, SharedEncoder
from ..runtime.labels import Inventory
from ..runtime.languages import Languages
from ..runtime.lemmas import Lemmas
from ..runtime.lemmatizer import LEMMATIZER
from ..runtime.morphologizer import COMPONENT
from ..runtime.onnx import PackedStudent, shim_of
from ..runtime.pipeline import lemmatizer, tagger
from ..runtime.sentences import FALLBACK_SENTENCIZER
from ..runtime.types import Floats
from .segmenter_part import SegmenterPart, segmenter_of

__all__ = ["Parts", "assemble", "parts_of"]

SENTENCIZER = "sentencizer"
SETS_SENTENCES = frozenset({"parser", "senter", SENTENCIZER, FALLBACK_SENTENCIZER})
"""Factories of components that split text into sentences."""
LEMMA_FACTORY = "script_lemmatizer"
OWN = frozenset({ENCODER, COMPONENT})


@dataclass(frozen=True)
class Parts:
    """What is trained of a packaged pipeline. weights: float32 ``(n_outputs, width)``, bias: float32
    ``(n_outputs,)``, of the head for all. languages: None for a pipeline of one. conventions: None for a
    pipeline that has that head alone. segmenter: None for a pipeline that keeps its tokenizer. lemmas: None
    for one that has none of ours."""

    student: PackedStudent
    inventory: Inventory
    weights: Floats
    bias: Floats
    languages: Languages | None = None
    conventions: Conventions | None = None
    segmenter: SegmenterPart | None = None
    lemmas: Lemmas | None = None


def head_of(nlp: Language) -> tuple[Floats, Floats]:
    """The head's weights and bias, see `Parts`."""
    layer = tagger(nlp).output_layer
    weights, bias = (layer.ops.to_numpy(layer.get_param(name)) for name in ("W", "b"))
    return np.asarray(weights), np.asarray(bias)


def parts_of(nlp: Language) -> Parts:
    """Of a packaged pipeline, whether its encoder is shared or the tagger's own.

    Raises ValueError if its encoder is not the packaged one, or its segmenter has learned nothing.
    """
    pipe = tagger(nlp)
    student = getattr(pipe.encoder, "student", None)
    if not isinstance(student, PackedStudent):
        raise ValueError("the encoder is in PyTorch, expected one in 8 bits; run the step `quantize` first")
    found = lemmatizer(nlp)
    return Parts(
        student,
        pipe.inventory,
        *head_of(nlp),
        pipe.languages,
        pipe.conventions,
        segmenter_of(nlp),
        None if found is None else found.lemmas,
    )


def assemble(
    nlp: Language,
    parts: Parts,
    *,
    encoder: Mapping[str, Any] | None = None,
    convention: str | None = None,
    cls: type[Language] | None = None,
    tokenizer: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Language:
    """A pipeline whose encoder is a component of its own, `tok2vec`, to which the tagger listens.

    All else is that of `nlp`: settings of the tagger and the tokenizer, other components with their weights,
    meta. As the student reads a sentence each, a `FallbackSentencizer` comes first if nothing else splits
    Docs into sentences. It takes the place of spaCy's sentencizer, unless that overwrites sentence starts.
    Lemmas are given by a component after the tagger, unless the pipeline has another one of its name.

    encoder: settings of `MiniBertOnnx`, by default those of `nlp`. convention: the one to tag in, by default
    that of `nlp` if the parts have it. cls, tokenizer, meta: of another language,
    with the tokenizer of this config if the parts have no segmenter, and another meta.json.
    """
    old = nlp.config.interpolate()
    components = deepcopy(dict(old["components"]))
    pipe = tagger(nlp)
    components[COMPONENT] |= {
        "upos_weight": pipe.upos_weight,
        "confidences": pipe.confidences,
        "convention": convention or _kept_convention(pipe.convention, parts.conventions),
    }
    model = components[COMPONENT]["model"]
    names = list(nlp.component_names)
    if model["tok2vec"]["@architectures"].startswith("spacy-transformers."):
        names.remove(TRANSFORMER)  # the student is in its place
    if encoder is None:
        own = components.get(ENCODER, {}).get("model", model["tok2vec"])
        encoder = {name: value for name, value in own.items() if name != "@architectures"}
    model["tok2vec"] = {
        "@architectures": "spacy.Tok2VecListener.v1",
        "width": parts.student.width,
        "upstream": ENCODER,
    }
    components[ENCODER] = {
        "factory": "shared_encoder",
        "model": {"@architectures": "mminibert.MiniBertOnnx.v1", **encoder},
    }
    if ENCODER not in names:
        names.insert(names.index(COMPONENT), ENCODER)
    for block in components.values():
        if block.get("factory") == SENTENCIZER and not block.pop("overwrite"):
            block["factory"] = FALLBACK_SENTENCIZER
    if not any(block.get("factory") in SETS_SENTENCES for block in components.values()):
        components[SENTENCIZER] = {"factory": FALLBACK_SENTENCIZER}
        names.insert(0, SENTENCIZER)
    if parts.lemmas is not None and LEMMATIZER not in names:
        components[LEMMATIZER] = {"factory": LEMMA_FACTORY}
        names.insert(names.index(COMPONENT) + 1, LEMMATIZER)
    settings = {**old["nlp"], "pipeline": names}
    if cls is not None:
        settings["lang"] = str(cls.lang)
    if parts.segmenter is not None:
        settings["tokenizer"] = parts.segmenter.config(nlp)
    elif tokenizer is not None:
        settings["tokenizer"] = dict(tokenizer)
    config = Config({"nlp": settings, "components": {name: components[name] for name in names}})
    new = (cls or type(nlp)).from_config(config, meta=dict(nlp.meta if meta is None else meta))
    _fill(new, parts)
    if parts.segmenter is not None:
        parts.segmenter.put(nlp, new)
    elif tokenizer is None:
        _copy_tokenizer(nlp, new)
    _copy_others(nlp, new)  # some run the pipeline on their patterns
    own = lemmatizer(new)
    if own is not None and parts.lemmas is not None:
        own.lemmas = parts.lemmas
    return new


def _kept_convention(code: str | None, conventions: Conventions | None) -> str | None:
    return code if conventions is not None and code in conventions.codes else None


def _copy_tokenizer(old: Language, new: Language) -> None:
    source, target = cast("tuple[Any, Any]", (old.tokenizer, new.tokenizer))
    if hasattr(source, "to_bytes"):
        target.from_bytes(source.to_bytes(exclude=["vocab"]))


def _copy_others(old: Language, new: Language) -> None:
    # Strings are what the old pipeline has read; vectors hold them too.
    left_out = ["strings"] if old.vocab.vectors_length else ["strings", "vectors"]
    new.vocab.from_bytes(old.vocab.to_bytes(exclude=left_out))
    for name in new.component_names:
        if name in OWN or name not in old.component_names:
            continue
        source: Any = old.get_pipe(name)
        target: Any = new.get_pipe(name)
        if hasattr(source, "to_bytes"):
            target.from_bytes(source.to_bytes())


def _fill(nlp: Language, parts: Parts) -> None:
    shared = nlp.get_pipe(ENCODER)
    assert isinstance(shared, SharedEncoder)
    shim_of(shared.model).set_student(parts.student)
    shared.model.set_dim("nO", parts.student.width)
    pipe = tagger(nlp)
    pipe.inventory = parts.inventory
    layer: Any = pipe.output_layer
    layer.set_dim("nI", parts.student.width)
    layer.set_dim("nO", parts.inventory.n_outputs)
    layer.set_param("W", parts.weights)
    layer.set_param("b", parts.bias)
    if parts.conventions is not None:
        pipe.conventions = parts.conventions
    if parts.languages is not None:
        pipe.languages = parts.languages
