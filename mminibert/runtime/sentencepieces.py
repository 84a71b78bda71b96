"""Words to the pieces of a unigram vocabulary, such as XLM-R's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from .pieces import CACHED_WORDS, MAX_PIECES_PER_WORD, StoredPieces

__all__ = ["SentencePieces"]

BLANK = "\u2581"
"""Before a piece that begins its word."""
SPECIAL_PIECES = ("<s>", "</s>", "<pad>", "<unk>")
MASK = "<mask>"
HIDDEN = " "
"""Before a special piece as it is stored: all blanks of a text become `BLANK`, so that no text spells it."""
KEPT = ("version", "normalizer", "pre_tokenizer", "model")
"""Of a ``tokenizer.json``, what says which pieces a word has."""


class SentencePieces(StoredPieces):
    """A unigram model of pieces (Kudo 2018, *Subword Regularization*, section 3.2), by the class of
    `tokenizers`, equal to Hugging Face's tokenizer but for what `StoredPieces` says.

    settings: a ``tokenizer.json`` as Hugging Face's fast tokenizers write it. Raises ValueError if it is of
    another model, or lacks one of <s>, </s>, <pad> and <unk>.
    """

    kind = "unigram"

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        max_pieces_per_word: int = MAX_PIECES_PER_WORD,
        cache_size: int = CACHED_WORDS,
    ) -> None:
        super().__init__(max_pieces_per_word=max_pieces_per_word, cache_size=cache_size)
        model = settings.get("model", {})
        if model.get("type") != "Unigram" or model.get("byte_fallback"):
            raise ValueError(
                f"got a vocabulary of the kind {model.get('type')!r}, expected 'Unigram' without "
                "byte_fallback; give the tokenizer.json of an XLM-R or multilingual E5"
            )
        special = {*SPECIAL_PIECES, MASK}
        rows = [[HIDDEN + name if name in special else name, score] for name, score in model["vocab"]]
        self.vocab = tuple(name.removeprefix(HIDDEN) for name, _ in rows)
        ids = {piece: i for i, piece in enumerate(self.vocab)}
        if missing := [piece for piece in SPECIAL_PIECES if piece not in ids]:
            raise ValueError(f"The vocabulary of {len(ids)} pieces lacks {', '.join(missing)}")
        self.cls_id, self.sep_id, self.pad_id, self.unk_id = (ids[piece] for piece in SPECIAL_PIECES)
        self.mask_id, self.blank_id = ids.get(MASK, self.unk_id), ids.get(BLANK, -1)
        self._settings: dict[str, Any] = {key: settings.get(key) for key in KEPT}
        self._settings["model"] = {**model, "unk_id": self.unk_id, "vocab": rows}
        self._tokenizer = Tokenizer.from_str(json.dumps(self._settings))

    @property
    def characters(self) -> tuple[str, ...]:
        return tuple(piece.removeprefix(BLANK) or piece for piece in self.vocab)

    def _encode(self, word: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return [] if ids == [self.blank_id] else ids

    def _with(self, ids: npt.NDArray[np.int64]) -> SentencePieces:
        model = self._settings["model"]
        rows = [model["vocab"][i] for i in ids]
        return SentencePieces(
            {**self._settings, "model": {**model, "vocab": rows}},
            max_pieces_per_word=self.max_pieces_per_word,
            cache_size=self.cache_size,
        )

    def to_bytes(self) -> bytes:
        """As a ``tokenizer.json``, which `tokenizers` reads; equal for equal vocabularies."""
        return json.dumps(self._settings, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, max_pieces_per_word: int = MAX_PIECES_PER_WORD) -> SentencePieces:
        try:
            settings = json.loads(data)
        except ValueError as error:
            raise ValueError(f"The vocabulary is no tokenizer.json: {error}") from error
        return cls(settings, max_pieces_per_word=max_pieces_per_word)
