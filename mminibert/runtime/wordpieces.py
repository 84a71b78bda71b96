"""Words to wordpieces.

Wordpieces never cross words, so the pieces of a word depend on the word alone: they are looked up once per
distinct word and cached. A token is represented by its first piece.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from spacy.attrs import ORTH
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from .normal_form import composed, normal_form

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["Pieces", "WordPieces"]

_NORMALIZER = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)
_PARTS = BertPreTokenizer()
CONTINUED = "##"
"""Before a piece that does not begin its word."""
PAD, UNK, CLS, SEP = SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Hugging Face's limit: a whitespace- and punctuation-delimited part with more characters is one [UNK].
MAX_CHARS_PER_PART = 100
FIRST_IDEOGRAPH = "\u3400"
"""From here on a character may be a part of its own."""
MAX_CACHED_CHARS = 1000
"""Longer words are looked up anew each time."""


class Pieces(ABC):
    """The pieces of words, looked up once for each distinct word; at most `cache_size` words are kept."""

    cls_id: int
    sep_id: int
    pad_id: int
    mask_id: int
    """What stands for a masked word: [MASK], or [UNK] in a vocabulary without it."""
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


class WordPieces(Pieces):
    """Cased BERT wordpieces of single words, equal to Hugging Face's `BertTokenizer(do_lower_case=False)`.

    Unlike there, text that spells a special token ("[CLS]") is ordinary text, and a word that is decomposed,
    or unknown as it is, is read in its normal form. A word is cut to its first `max_pieces_per_word` pieces;
    to bound the cost, only its first 101 * max_pieces_per_word characters are read. A part of more than 100
    characters is [UNK], and so is a word that has no pieces (blank or control characters only).

    vocab: the pieces in the order of their ids. Raises ValueError if it has duplicates or line breaks or
    lacks one of [PAD], [UNK], [CLS], [SEP].
    """

    blank_id = -1

    def __init__(
        self, vocab: Sequence[str], *, max_pieces_per_word: int = 12, cache_size: int = 200_000
    ) -> None:
        super().__init__(max_pieces_per_word=max_pieces_per_word, cache_size=cache_size)
        self.vocab = tuple(vocab)
        ids = {piece: i for i, piece in enumerate(self.vocab)}
        _check_vocab(self.vocab, ids)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (ids[piece] for piece in SPECIAL_PIECES)
        self.mask_id = ids.get("[MASK]", self.unk_id)
        self._max_chars = (MAX_CHARS_PER_PART + 1) * max_pieces_per_word
        self._ids = ids

    def __len__(self) -> int:
        return len(self.vocab)

    def encode(self, word: str) -> tuple[int, ...]:
        word = word[: self._max_chars]
        found = self._encode(composed(word))
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

    def _encode(self, word: str) -> list[int]:
        if word.isalnum() and max(word) < FIRST_IDEOGRAPH:  # one part, as it is
            return self._encode_part(word)
        parts = _PARTS.pre_tokenize_str(_NORMALIZER.normalize_str(word))
        return [piece for part, _ in parts for piece in self._encode_part(part)]

    def _encode_part(self, part: str) -> list[int]:
        """From the left, always the longest piece there is; one [UNK] where there is none (Wu et al. 2016,
        *Google's Neural Machine Translation System*, section 4.1).

        The class of `tokenizers` does the same, but takes a tenth of a second to read the vocabulary.
        """
        if len(part) > MAX_CHARS_PER_PART:
            return [self.unk_id]
        found, start, prefix = [], 0, ""
        while start < len(part):
            for end in range(len(part), start, -1):
                if (piece := self._ids.get(prefix + part[start:end])) is not None:
                    break
            else:
                return [self.unk_id]
            found.append(piece)
            start, prefix = end, CONTINUED
        return found

    def subset(self, keep_ids: Iterable[int]) -> tuple[WordPieces, npt.NDArray[np.int64]]:
        """Cut the vocabulary to `keep_ids` and the special pieces, in the old order.

        Returns the smaller WordPieces and the old id of each of its ids (int64), by which to cut embedding
        rows. Words whose pieces are all kept keep them; others fall to shorter pieces or to [UNK].
        Raises ValueError for an id outside of the vocabulary.
        """
        specials = (self.pad_id, self.unk_id, self.cls_id, self.sep_id)
        old_ids = np.unique(np.asarray([*keep_ids, *specials], dtype=np.int64))
        if old_ids[0] < 0 or old_ids[-1] >= len(self):
            wrong = old_ids[0] if old_ids[0] < 0 else old_ids[-1]
            raise ValueError(f"Piece id {wrong} to keep is outside of the vocabulary of {len(self)} pieces")
        smaller = WordPieces(
            [self.vocab[i] for i in old_ids],
            max_pieces_per_word=self.max_pieces_per_word,
            cache_size=self.cache_size,
        )
        return smaller, old_ids

    def to_bytes(self) -> bytes:
        """The vocabulary as UTF-8 text, one piece a line, in the order of the ids (BERT's `vocab.txt`)."""
        return "".join(f"{piece}\n" for piece in self.vocab).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes, *, max_pieces_per_word: int = 12) -> WordPieces:
        """Read what `to_bytes` wrote, or the bytes of a BERT `vocab.txt`."""
        # Not splitlines(): pieces may be or hold U+2028 and the like.
        lines = data.decode("utf8").replace("\r\n", "\n").split("\n")
        if lines[-1] == "":
            lines.pop()
        return cls(lines, max_pieces_per_word=max_pieces_per_word)

    @classmethod
    def from_file(cls, path: str | Path, *, max_pieces_per_word: int = 12) -> WordPieces:
        """Read a BERT `vocab.txt`. Raises ValueError with the path if it is not a usable vocabulary."""
        try:
            return cls.from_bytes(Path(path).read_bytes(), max_pieces_per_word=max_pieces_per_word)
        except ValueError as error:
            raise ValueError(f"{path}: not a usable wordpiece vocabulary: {error}") from error


def _check_vocab(vocab: Sequence[str], ids: dict[str, int]) -> None:
    remedy = "Give a cased BERT vocabulary (vocab.txt), one piece a line"
    missing = [piece for piece in SPECIAL_PIECES if piece not in ids]
    if missing:
        raise ValueError(f"The vocabulary of {len(vocab)} pieces lacks {', '.join(missing)}. {remedy}")
    if len(ids) < len(vocab):
        twice = [repr(piece) for piece, count in Counter(vocab).items() if count > 1]
        raise ValueError(f"The vocabulary has {len(twice)} pieces twice: {', '.join(twice[:5])}. {remedy}")
    lines = "\n".join([*vocab, ""])
    if lines.count("\n") > len(vocab) or "\r\n" in lines:  # seldom, and dear to look up
        broken = [i for i, piece in enumerate(vocab) if "\n" in piece or piece.endswith("\r")]
        raise ValueError(f"Piece {broken[0]} of the vocabulary has a line break. {remedy}")
