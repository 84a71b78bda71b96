"""What is annotated, and what cannot be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from ..data.conllu import Sentence

__all__ = ["Document", "Reject"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or a sentence of CoNLL-U whose tokens are kept. id: where it is from, `FILE` or `FILE:LINE`,
    unless the input has a name for it."""

    id: str
    content: str | Sentence

    @property
    def source(self) -> str:
        """All that its annotation depends on, but for the pipeline."""
        return self.content if isinstance(self.content, str) else self.content.to_conllu()

    @property
    def conllu_id(self) -> str:
        """The id without the characters that CoNLL-U forbids there, as `%20` and the like."""
        return re.sub(r"[\s/%]", lambda found: quote(found[0], safe=""), self.id)


@dataclass(frozen=True, slots=True)
class Reject:
    """What of a file cannot be annotated. line: from 1, of Parquet the row; None for all of the file. reason:
    what was got, and what was expected. start: how it begins."""

    file: str
    line: int | None
    reason: str
    start: str = ""

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.reason}"
