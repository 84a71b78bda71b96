"""Unlabelled text, and words by rules."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import spacy
from spacy.tokenizer import Tokenizer

MIN_CHARACTERS = 10
"""Shorter sentences are dropped (Tsai et al. 2019, appendix)."""
UNSPACED = frozenset({"zh", "ja", "th"})
"""Languages written without blanks between words."""
UNPARTED = UNSPACED | {"vi"}
"""Languages whose words blanks do not part: none are written, or some within words."""


def tokenizer_for(lang: str) -> Tokenizer:
    """The language's own rule-based tokenizer where spaCy has one without further packages, else `xx`."""
    try:
        tokenizer = spacy.blank(lang).tokenizer
    except (ImportError, ValueError):
        return spacy.blank("xx").tokenizer
    return tokenizer if isinstance(tokenizer, Tokenizer) else spacy.blank("xx").tokenizer


def segment(text: str, lexicon: Collection[str], longest: int) -> list[str]:
    """Words of a text without blanks: from the left, always the longest word that the lexicon has."""
    words, at = [], 0
    while at < len(text):
        end = next(
            (at + n for n in range(min(longest, len(text) - at), 1, -1) if text[at : at + n] in lexicon),
            at + 1,
        )
        words.append(text[at:end])
        at = end
    return words


def read_lines(path: Path) -> Iterator[str]:
    """The sentences of a text file, one a line, with single blanks; short ones are dropped. Raises
    ValueError, with file and line, for text that is not UTF-8."""
    for line in _lines(path):
        line = " ".join(line.split())
        if len(line) >= MIN_CHARACTERS:
            yield line


def read_forms(path: Path) -> set[str]:
    """What stands between blanks in a text file. Raises ValueError as `read_lines` does."""
    return {form for line in _lines(path) for form in line.split()}


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}, line {number}: got byte 0x{raw[error.start]:02x}, expected UTF-8; convert the "
                    "text, for example with iconv"
                ) from None


def script_of(text: str) -> str:
    """The script of most letters by their Unicode names, such as `Latin` or `Cjk`; empty without letters."""
    letters = Counter(char for char in text if char.isalpha())
    scripts: Counter[str] = Counter()
    for char, n in letters.items():
        scripts[unicodedata.name(char, "unknown").split(" ")[0].split("-")[0].capitalize()] += n
    return scripts.most_common(1)[0][0] if scripts else ""
