"""What a word's pieces are: asked of any vocabulary, and of one that is stored with its encoder.

Pieces never cross words, so those of a word depend on the word alone: they are looked up once per distinct
word and cached.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import ORTH

from .normal_form import normal_form, spelling

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Pieces", "StoredPieces"]

MAX_PIECES_PER_WORD = 12
CACHED_WORDS = 200_000
# Hugging Face's limit of wordpieces: a whitespace- and punctuation-delimited part with more is one [UNK].
MAX_CHARS_PER_PART = 100
MAX_CACHED_CHARS = 1000
"""Longer words are looked up anew each time."""


class Pieces(ABC):
    """The pieces of words, looked up once for each distinct word; at most `cache_size` words are kept."""

    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    """What stands for a masked word: the vocabulary's mask, or its unknown piece if it has none."""
    blank_id: int
    """SentencePiece may give a word's blank a piece of its own; -1 where there is none."""

    def __init__(self, *, max_pieces_per_word: int, cache_size: int) -> None:
        if max_pieces_per_word < 1:
            raise ValueError(f"max_pieces_per_word is {max_pieces_per_word}; it must be at least 1")
        self.max_pieces_per_word = max_pieces_per_word
        self.cache_size = cache_size
        self._of_words: dict[str, tuple[int, ...]] = {}
        # By spaCy's hash of the text, as a Doc gives all of them at once.
        self._of_hashes: dict[int, tuple[int, ...]] = {}

    @abstractmethod
    def encode(self, word: str) -> tuple[int, ...]:
        """Ids of the pieces of a word: at least 1, at most max_pieces_per_word, without [CLS] and [SEP]."""

    def pieces(self, word: str) -> tuple[int, ...]:
        """`encode`, from the cache if it is there."""
        found = self._of_words.get(word)
        if found is None:
            found = self.encode(word)
            self._keep(self._of_words, word, found, word)
        return found

    def of_doc(self, doc: Doc) -> list[tuple[int, ...]]:
        """The pieces of each token, none of white space."""
        hashes = doc.to_array(ORTH).tolist()
        found = [self._of_hashes.get(key) for key in hashes]
        for i, pieces in enumerate(found):
            if pieces is None:
                word = doc[i].text
                found[i] = pieces = () if word.isspace() else self.encode(word)
                self._keep(self._of_hashes, hashes[i], pieces, word)
        return cast("list[tuple[int, ...]]", found)

    def _keep(self, cache: dict[Any, tuple[int, ...]], key: Any, found: tuple[int, ...], word: str) -> None:
        if len(word) > MAX_CACHED_CHARS:
            return
        if len(cache) >= self.cache_size:
            cache.clear()
        cache[key] = found


class StoredPieces(Pieces):
    """A vocabulary that is kept beside the embeddings of its pieces, and can be cut to some of them.

    Text that spells a special piece is ordinary text. A word is read in its `spelling`, and in its normal
    form if it is unknown so. A word is cut to its first `max_pieces_per_word` pieces; to bound the cost, only
    its first 101 * max_pieces_per_word characters are read. A word that has no pieces (blank or control
    characters only) is the unknown piece.
    """

    kind: ClassVar[str]
    """Its name where it is stored."""
    vocab: tuple[str, ...]
    """The pieces in the order of their ids."""
    unk_id: int

    def __len__(self) -> int:
        return len(self.vocab)

    @property
    @abstractmethod
    def characters(self) -> tuple[str, ...]:
        """The pieces without the marks of where words begin or go on."""

    @abstractmethod
    def to_bytes(self) -> bytes: ...

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes, *, max_pieces_per_word: int = MAX_PIECES_PER_WORD) -> StoredPieces:
        """Read what `to_bytes` wrote. Raises ValueError if it is no such vocabulary."""

    @abstractmethod
    def _encode(self, word: str) -> list[int]: ...

    @abstractmethod
    def _with(self, ids: npt.NDArray[np.int64]) -> StoredPieces:
        """The vocabulary of these ids alone, in this order."""

    def encode(self, word: str) -> tuple[int, ...]:
        word = word[: (MAX_CHARS_PER_PART + 1) * self.max_pieces_per_word]
        found = self._encode(spelling(word))
        if self.unk_id in found and not word.isascii():
            found = self._known(found, word)
        return tuple(found[: self.max_pieces_per_word]) or (self.unk_id,)

    def _known(self, found: list[int], word: str) -> list[int]:
        """The pieces of its normal form, or of that without marks, if these are known; else what was
        found."""
        plain = normal_form(word)
        for form in (plain, "".join(char for char in plain if not unicodedata.combining(char))):
            pieces = self._encode(form)
            if pieces and self.unk_id not in pieces:
                return pieces
        return found

    def subset(self, keep_ids: Iterable[int]) -> tuple[StoredPieces, npt.NDArray[np.int64]]:
        """Cut the vocabulary to `keep_ids` and the special pieces, in the old order.

        Returns the smaller vocabulary and the old id of each of its ids (int64), by which to cut embedding
        rows. Words whose pieces are all kept keep them; others fall to shorter pieces or to the unknown one.
        Raises ValueError for an id outside of the vocabulary.
        """
        specials = (self.pad_id, self.unk_id, self.cls_id, self.sep_id)
        old_ids = np.unique(np.asarray([*keep_ids, *specials], dtype=np.int64))
        if old_ids[0] < 0 or old_ids[-1] >= len(self):
            wrong = old_ids[0] if old_ids[0] < 0 else old_ids[-1]
            raise ValueError(f"Piece id {wrong} to keep is outside of the vocabulary of {len(self)} pieces")
        return self._with(old_ids), old_ids
