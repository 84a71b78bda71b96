"""Where the words of a multiword token end within its form."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

NO_LETTERS = 0.5
"""What it costs that a word has no letter of the form, as the Hebrew article after a preposition."""


@lru_cache(maxsize=1 << 18)
def ends_of_words(form: str, words: tuple[str, ...]) -> tuple[int, ...]:
    """Where in the form each word ends; a word without letters in it ends where the one before it does.

    The form is cut into as many parts as there are words so that the sum of the edit distances (Levenshtein
    1966) between parts and words, in lower case and without accents, is least; of equals the latest last
    cut. Words without letters in the form end where another one does, so there may be fewer places than
    words: `zum` of `zu` and `dem` gives (2, 3), Hebrew `בבית` of `ב`, `ה` and `בית` gives (1, 1, 4).
    """
    letters = plain(form)
    costs = [0.0] + [float("inf")] * len(letters)
    # cuts[k][e]: where word k begins if it ends at e
    cuts: list[list[int]] = []
    for word in words:
        best, cut = [float("inf")] * len(costs), [0] * len(costs)
        for start, so_far in enumerate(costs):
            if so_far == float("inf"):
                continue
            for length, distance in enumerate(prefix_distances(letters[start:], bare(word))):
                cost = so_far + distance + (0 if length else NO_LETTERS)
                if cost <= best[start + length]:
                    best[start + length], cut[start + length] = cost, start
        costs = best
        cuts.append(cut)
    found = [len(letters)]
    for cut in reversed(cuts[1:]):
        found.append(cut[found[-1]])
    return tuple(reversed(found))


def word_ends(form: str, words: tuple[str, ...]) -> tuple[int, ...]:
    """The places in `form`, in ascending order and without its own end, at which one of `words` ends."""
    return tuple(sorted(set(ends_of_words(form, words)) - {0, len(form)}))


def prefix_distances(text: str, word: str) -> list[int]:
    """The edit distance between each prefix of `text`, from the empty one on, and `word`."""
    column = list(range(len(word) + 1))
    distances = [column[-1]]
    for i, letter in enumerate(text, start=1):
        above, column = column, [i]
        for j, other in enumerate(word):
            column.append(min(above[j + 1] + 1, column[j] + 1, above[j] + (letter != other)))
        distances.append(column[-1])
    return distances


def distance(text: str, word: str) -> int:
    """The edit distance between two texts."""
    same = 0
    while same < min(len(text), len(word)) and text[same] == word[same]:
        same += 1
    return prefix_distances(text[same:], word[same:])[-1]


def plain(form: str) -> str:
    """In lower case and without accents, of the same length."""
    return "".join(map(_plain, form))


@lru_cache(maxsize=1 << 12)
def _plain(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    # `İ`, the only letter whose lower case is two characters, is `I` before its dot.
    return (parts[0] if len(parts) > 1 and unicodedata.combining(parts[1]) else letter).lower()


def bare(word: str) -> str:
    """`plain`, without the low lines by which Hebrew treebanks mark words that are not written as such."""
    return plain(word.strip("_") or word)
