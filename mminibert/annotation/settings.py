"""How documents are annotated."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .outputs import Format


@dataclass(frozen=True)
class Settings:
    """model: an installed package or the folder of a pipeline. language, convention: of all text; None finds
    them. only_languages: sentences in others are left out; with keep_others they stay, without annotation;
    empty for all. confidences: the probability of each UPOS as well. flat:
    CoNLL-U has a flat tree for each sentence, as the official validator wants one."""

    model: str
    format: Format
    language: str | None = None
    convention: str | None = None
    only_languages: tuple[str, ...] = ()
    keep_others: bool = False
    confidences: bool = False
    flat: bool = False

    def to_json(self) -> str:
        """One line, always the same for the same settings."""
        return json.dumps(asdict(self), ensure_ascii=False)
