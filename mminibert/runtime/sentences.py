"""Sentences of Docs that come without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import srsly
from spacy.language import Language
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc

from .checksums import check_file, write_checksum

__all__ = ["FALLBACK_SENTENCIZER", "FallbackSentencizer"]

FALLBACK_SENTENCIZER = "fallback_sentencizer"
"""The factory."""


class FallbackSentencizer(Sentencizer):
    """spaCy's rule, that sentences end at punctuation, for Docs made of words.

    A Doc whose sentence starts are set, as `Segmenter` sets them, is left as it is, at no cost a token.
    """

    def __call__(self, doc: Doc) -> Doc:
        return doc if doc.has_annotation("SENT_START") else super().__call__(doc)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """As spaCy's `from_bytes` reads it, but always the same: its own has a set in the order of hashes."""
        return bytes(srsly.msgpack_dumps(self._settings()))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """See `to_bytes`; with a checksum."""
        file = Path(path).with_suffix(".json")
        srsly.write_json(file, self._settings())
        write_checksum(file)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> FallbackSentencizer:
        """Raises ValueError with the path if the file is damaged."""
        check_file(Path(path).with_suffix(".json"))
        super().from_disk(path, exclude=exclude)
        return self

    def _settings(self) -> dict[str, Any]:
        return {"punct_chars": sorted(self.punct_chars), "overwrite": self.overwrite}


@Language.factory(
    FALLBACK_SENTENCIZER,
    assigns=["token.is_sent_start", "doc.sents"],
    default_config={"punct_chars": None, "scorer": {"@scorers": "spacy.senter_scorer.v1"}},
    default_score_weights={"sents_f": 1.0, "sents_p": 0.0, "sents_r": 0.0},
)
def make_fallback_sentencizer(
    nlp: Language, name: str, punct_chars: list[str] | None, scorer: Callable | None
) -> FallbackSentencizer:
    """The factory; punct_chars: that end a sentence, by default spaCy's."""
    return FallbackSentencizer(name, punct_chars=punct_chars, scorer=scorer)
