"""The parts of a pipeline, found in one place and typed."""

from __future__ import annotations

from spacy.language import Language

from .encoder import Encoder
from .lemmatizer import LEMMATIZER, ScriptLemmatizer
from .morphologizer import COMPONENT, FactoredMorphologizer

__all__ = ["lemmatizer", "pipeline_encoder", "tagger"]


def tagger(nlp: Language, name: str = COMPONENT) -> FactoredMorphologizer:
    """The component that sets UPOS and features, enabled or not.

    Raises ValueError if the pipeline has no such component or another one of this name.
    """
    remedy = "load a pipeline of this project, such as spacy.load('xx_mminibert')"
    if name not in nlp.component_names:
        has = ", ".join(nlp.component_names) or "nothing"
        raise ValueError(f"the pipeline has no component {name!r}, only {has}; {remedy}")
    pipe = nlp.get_pipe(name)
    if not isinstance(pipe, FactoredMorphologizer):
        raise ValueError(
            f"component {name!r} is a {type(pipe).__name__}, expected a FactoredMorphologizer; {remedy}"
        )
    return pipe


def pipeline_encoder(nlp: Language) -> Encoder:
    """The encoder that the tagger of a pipeline reads, its own or a shared one. Raises ValueError if there is
    none, or none of ours."""
    return tagger(nlp).encoder


def lemmatizer(nlp: Language) -> ScriptLemmatizer | None:
    """The component that sets lemmas, enabled or not; None if the pipeline has none of ours."""
    pipe = nlp.get_pipe(LEMMATIZER) if LEMMATIZER in nlp.component_names else None
    return pipe if isinstance(pipe, ScriptLemmatizer) else None
