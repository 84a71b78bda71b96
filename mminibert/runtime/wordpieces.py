"""Words to BERT's wordpieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from .pieces import CACHED_WORDS, MAX_CHARS_PER_PART, MAX_PIECES_PER_WORD, StoredPieces

__all__ = ["WordPieces"]

_NORMALIZER = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)
_PARTS = BertPreTokenizer()
CONTINUED = "##"
"""Before a piece that does not begin its word."""
PAD, UNK, CLS, SEP = SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
FIRST_IDEOGRAPH = "\u3400"
"""From here on a character may be a part of its own."""


class WordPieces(StoredPieces):
    """Cased BERT wordpieces of single words, equal to Hugging Face's `BertTokenizer(do_lower_case=False)` but
    for what `StoredPieces` says. A part of more than 100 characters is [UNK].

    vocab: the pieces in the order of their ids. Raises ValueError if it has duplicates or line breaks or
    lacks one of [PAD], [UNK], [CLS], [SEP].
    """

    kind = "wordpiece"
    blank_id = -1

    def __init__(
        self,
        vocab: Sequence[str],
        *,
        max_pieces_per_word: int = MAX_PIECES_PER_WORD,
        cache_size: int = CACHED_WORDS,
    ) -> None:
        super().__init__(max_pieces_per_word=max_pieces_per_word, cache_size=cache_size)
        self.vocab = tuple(vocab)
        ids = {piece: i for i, piece in enumerate(self.vocab)}
        _check_vocab(self.vocab, ids)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (ids[piece] for piece in SPECIAL_PIECES)
        self.mask_id = ids.get("[MASK]", self.unk_id)
        self._ids = ids

    @property
    def characters(self) -> tuple[str, ...]:
        return tuple(piece.removeprefix(CONTINUED) or piece for piece in self.vocab)

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

    def _with(self, ids: npt.NDArray[np.int64]) -> WordPieces:
        return WordPieces(
            [self.vocab[i] for i in ids],
            max_pieces_per_word=self.max_pieces_per_word,
            cache_size=self.cache_size,
        )

    def to_bytes(self) -> bytes:
        """The vocabulary as UTF-8 text, one piece a line, in the order of the ids (BERT's `vocab.txt`)."""
        return "".join(f"{piece}\n" for piece in self.vocab).encode("utf8")

    @classmethod
    def from_bytes(cls, data: bytes, *, max_pieces_per_word: int = MAX_PIECES_PER_WORD) -> WordPieces:
        """Read what `to_bytes` wrote, or the bytes of a BERT `vocab.txt`."""
        # Not splitlines(): pieces may be or hold U+2028 and the like.
        lines = data.decode("utf8").replace("\r\n", "\n").split("\n")
        if lines[-1] == "":
            lines.pop()
        return cls(lines, max_pieces_per_word=max_pieces_per_word)

    @classmethod
    def from_file(cls, path: str | Path) -> WordPieces:
        """Read a BERT `vocab.txt`. Raises ValueError with the path if it is not a usable vocabulary."""
        try:
            return cls.from_bytes(Path(path).read_bytes())
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
