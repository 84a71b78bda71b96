"""What a pipeline's segmenter has learned: of all languages, or the part of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import printable
from typing import Any

from spacy.language import Language
from spacy.vocab import Vocab

from ..data.text import UNSPACED
from ..runtime.expansions import Expansions
from ..runtime.segmenter import Segmenter
from ..runtime.segmenter_model import SegmenterModel
from .segmenter_parts import of_language

__all__ = ["SegmenterPart", "segmenter_of"]

TOKENIZER = "mminibert.Segmenter.v1"


@dataclass(frozen=True, eq=False)
class SegmenterPart:
    """The network, and what multiword tokens expand to by language."""

    model: SegmenterModel
    expansions: Mapping[str, Expansions]

    @classmethod
    def read(cls, path: Path) -> SegmenterPart:
        """What the step `segment` wrote. Raises ValueError with the path if it is damaged."""
        segmenter = Segmenter(Vocab()).from_disk(path)
        return cls(segmenter.model, segmenter.expansions)

    @property
    def treebanks(self) -> tuple[str, ...]:
        """Those that it was learned from."""
        return tuple(code for code in self.model.codes if code not in self.model.languages)

    def only(self, lang: str, pieces: Iterable[str]) -> SegmenterPart:
        """The part of a language that has these wordpieces: it segments text of their characters as the whole
        does that was told the language. Raises ValueError for a language that was not learned."""
        characters = set(printable).union(*pieces)
        pairs = lang in UNSPACED
        expansions = {code: found for code, found in self.expansions.items() if code == lang}
        return SegmenterPart(of_language(self.model, lang, characters, pairs=pairs), expansions)

    def config(self, nlp: Language) -> dict[str, Any]:
        """The tokenizer's section for a pipeline like this one."""
        old = nlp.tokenizer
        line_breaks = old.line_breaks if isinstance(old, Segmenter) else False
        return {"@tokenizers": TOKENIZER, "language": self._language(nlp), "line_breaks": line_breaks}

    def put(self, old: Language, new: Language) -> None:
        """Into the new pipeline's segmenter, which `config` gave its settings, with the special cases that
        the old one has in its segmenter, if it has one."""
        segmenter = new.tokenizer
        assert isinstance(segmenter, Segmenter)
        segmenter.learned(self.model, self.expansions)
        if isinstance(old.tokenizer, Segmenter):
            for string, tokens in old.tokenizer.special_cases.items():
                segmenter.add_special_case(string, tokens)

    def _language(self, nlp: Language) -> str | None:
        """What the pipeline's text is in, if this part has it, else its only language."""
        chosen = nlp.tokenizer.language if isinstance(nlp.tokenizer, Segmenter) else None
        if chosen in self.model.codes:
            return str(chosen)
        return self.model.languages[0] if len(self.model.languages) == 1 else None


def segmenter_of(nlp: Language) -> SegmenterPart | None:
    """What the tokenizer of a pipeline has learned; None if it is no segmenter.

    Raises ValueError if it is one that has learned nothing.
    """
    segmenter = nlp.tokenizer
    return SegmenterPart(segmenter.model, segmenter.expansions) if isinstance(segmenter, Segmenter) else None
