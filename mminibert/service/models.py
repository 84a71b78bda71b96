"""What a request may be read as: languages, conventions, and UDPipe's names of treebanks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spacy.language import Language

from ..runtime.pipeline import tagger
from ..runtime.segmenter import Segmenter

__all__ = ["ANY", "Models"]

ANY = "auto"
"""The model that finds the language of each sentence."""
TREEBANK = "/UD_"
"""What comes before the name of a treebank in its address."""


@dataclass(frozen=True, slots=True)
class Models:
    """codes: `ANY`, languages, conventions. names: of a language or a treebank its code, such as ``finnish``
    and ``finnish-tdt``."""

    codes: tuple[str, ...]
    names: Mapping[str, str]

    @classmethod
    def of(cls, nlp: Language) -> Models:
        conventions = tagger(nlp).conventions
        codes: set[str] = set(nlp.tokenizer.languages) if isinstance(nlp.tokenizer, Segmenter) else set()
        if conventions is not None:
            codes = {*conventions.languages, *conventions.codes}
        names = {}
        for convention in nlp.meta.get("conventions", ()):
            _, found, treebank = convention["url"].partition(TREEBANK)
            if found and convention["code"] in codes:
                name = treebank.partition("/")[0].lower()
                names[name] = convention["code"]
                names[name.partition("-")[0]] = convention["language"]
        return cls((ANY, *sorted(codes)), names)

    def find(self, model: str) -> str | None:
        """The code of a model, None for `ANY`. Models of UDPipe's service are called
        ``<language>-<treebank>-ud-<version>``; as there, what is at the end may be left out.

        Raises ValueError if there is none.
        """
        if model in self.codes:
            return None if model == ANY else model
        name = model.lower().partition("-ud-")[0].removesuffix("-ud")
        if name in self.names:
            return self.names[name]
        raise ValueError(
            f"got the model {model!r}, expected one of GET /models, such as {ANY}, or a treebank's name, "
            "such as english-ewt"
        )
