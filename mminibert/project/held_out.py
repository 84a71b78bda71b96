"""Sentences of dev and test sets, which no training text may have."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable

LEAST_WORDS = 4
"""Shorter sentences of dev and test, such as ``Yes .``, occur everywhere, so training text may have them."""
_NO_LETTER = re.compile(r"[\W_]+")


def key(text: str) -> str:
    """The letters and digits of a text in compatibility form (NFKC), case folded: what is compared."""
    return _NO_LETTER.sub("", unicodedata.normalize("NFKC", text).casefold())


def sentence_keys(sentence: str) -> tuple[str, str]:
    """The keys of a sentence of CoNLL-U by its words, and by its surface tokens (`del` for `de el`)."""
    words, tokens, end = forms(sentence)
    by_words = key("".join(words))
    return by_words, key("".join(tokens)) if end else by_words


def forms(sentence: str) -> tuple[list[str], list[str], int]:
    """The words of a sentence of CoNLL-U, its surface tokens, and the ID of the last word of a range, 0 if
    there is no range."""
    words, tokens, end = [], [], 0
    for line in sentence.split("\n"):
        id, tab, rest = line.partition("\t")
        if not tab:
            continue
        form = rest.partition("\t")[0]
        if id.isdecimal():
            words.append(form)
            if int(id) > end:
                tokens.append(form)
        elif id[:1] != "#" and "-" in id:
            end = int(id.partition("-")[2])
            tokens.append(form)
    return words, tokens, end


class HeldOut:
    """The sentences of dev and test sets by their keys, each with the names of the sets that have it."""

    def __init__(self) -> None:
        self._sets: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, name: str, sentences: Iterable[str]) -> None:
        """Sentences of CoNLL-U, but those with fewer than `LEAST_WORDS` words that have a letter or digit."""
        for sentence in sentences:
            words = [word for word in forms(sentence)[0] if key(word)]
            if len(words) >= LEAST_WORDS:
                for found in sentence_keys(sentence):
                    self._sets[found].add(name)

    def has(self, keys: Iterable[str], but: Collection[str] = ()) -> bool:
        """Whether a set, but those named, has a sentence with one of the keys."""
        return any(not self._sets[key].issubset(but) for key in keys if key in self._sets)
