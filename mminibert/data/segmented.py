"""Sentences of treebanks as text, with the bounds of tokens and the words of multiword tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from .alignment import Placed, align
from .conllu import Sentence
from .text import UNSPACED

_TEXT = "# text ="


@dataclass(frozen=True, slots=True)
class Segmented:
    """A sentence as text. tokens: start and end (exclusive) of each in `text`, ascending, all of it but
    blanks. words: the forms of the words of multiword tokens, by the token's number from 0. gap: what stands
    between it and the next sentence, "" or " ". paragraph: whether a paragraph begins with it."""

    text: str
    tokens: tuple[tuple[int, int], ...]
    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    gap: str = " "
    paragraph: bool = False

    @property
    def forms(self) -> tuple[str, ...]:
        """The tokens' own text."""
        return tuple(self.text[start:end] for start, end in self.tokens)

    @property
    def word_forms(self) -> tuple[str, ...]:
        """The forms with the words of multiword tokens in the place of these."""
        return tuple(word for i, form in enumerate(self.forms) for word in self.words.get(i, (form,)))

    @property
    def blanks(self) -> tuple[bool, ...]:
        """Whether a blank stands after each token but the last."""
        pairs = pairwise(self.tokens)
        return tuple(end < start for (_, end), (start, _) in pairs)

    def with_blanks(self, blanks: Iterable[bool]) -> Segmented:
        """With a blank, or none, after each token but the last. ValueError if their number differs."""
        blanks = list(blanks)
        if len(blanks) != len(self.tokens) - 1:
            raise ValueError(f"got {len(blanks)} blanks for {len(self.tokens)} tokens, expected one less")
        text, tokens = _joined(self.forms, [*blanks, False])
        return replace(self, text=text, tokens=tokens)


def segmented(sentence: Sentence, lang: str, *, infer: bool) -> tuple[Segmented | None, str]:
    """The sentence as text, and how that is known: "spaces" (SpaceAfter) or "text" (the comment `# text`).

    Where both are there and have the same letters, SpaceAfter says where blanks are. infer: multiword tokens
    whose ranges are lost are found by `# text`, see `align`. "unsaid": neither is there, and the text has a
    blank between any two tokens. None and "unaligned": `# text` says something else than the tokens.
    """
    tokens = list(sentence.tokens())
    text, bounds = _joined([form for form, _, _ in tokens], [space for _, space, _ in tokens])
    words = {
        i: tuple(word.form for word in words) for i, (_, _, words) in enumerate(tokens) if len(words) > 1
    }
    gap = " " if tokens[-1][1] and lang not in UNSPACED else ""
    found = Segmented(text, bounds, words, gap, sentence.starts_paragraph)
    stated = _stated(sentence)
    glued = any(not space for _, space, _ in tokens)
    if stated is None:
        return found, "spaces" if glued else "unsaid"
    if stated == text or (glued and _letters(stated) == _letters(text)):
        return found, "spaces"
    pairs = [(form, words.get(i, ())) for i, (form, _, _) in enumerate(tokens)]
    placed = align(stated, pairs, infer=infer)
    if placed is None:
        return None, "unaligned"
    return replace(found, text=stated, **_placed(placed)), "text"


def merged(sentence: Segmented) -> Segmented:
    """Tokens with letters to both sides of the bound and no blank are one multiword token of their words."""
    tokens: list[tuple[int, int]] = []
    words: dict[int, tuple[str, ...]] = {}
    for i, (start, end) in enumerate(sentence.tokens):
        forms = sentence.words.get(i, ())
        if tokens and _in_letters(sentence.text, tokens[-1][1], start):
            last = len(tokens) - 1
            before = words.get(last, (sentence.text[slice(*tokens[-1])],))
            words[last] = (*before, *(forms or (sentence.text[start:end],)))
            tokens[-1] = (tokens[-1][0], end)
        else:
            if forms:
                words[len(tokens)] = forms
            tokens.append((start, end))
    return replace(sentence, tokens=tuple(tokens), words=words)


def splits_words(sentences: Iterable[Segmented]) -> bool:
    """Whether tokens glued letter to letter are parts of a multiword token: these are five times as many."""
    glued = multiword = 0
    for sentence in sentences:
        pairs = pairwise(sentence.tokens)
        glued += sum(_in_letters(sentence.text, end, start) for (_, end), (start, _) in pairs)
        multiword += len(sentence.words)
    return 5 * glued < multiword


def _joined(forms: Iterable[str], blanks: Iterable[bool]) -> tuple[str, tuple[tuple[int, int], ...]]:
    text, tokens = "", []
    for form, blank in zip(forms, blanks, strict=True):
        tokens.append((len(text), len(text) + len(form)))
        text += form + " " * blank
    return text.removesuffix(" "), tuple(tokens)


def _stated(sentence: Sentence) -> str | None:
    """The comment `# text`, with single blanks."""
    texts = (comment for comment in sentence.comments if comment.startswith(_TEXT))
    text = next(texts, None)
    return None if text is None else " ".join(text.removeprefix(_TEXT).split())


def _letters(text: str) -> str:
    return "".join(text.split())


def _placed(placed: list[Placed]) -> dict[str, Any]:
    return {
        "tokens": tuple((token.start, token.end) for token in placed),
        "words": {i: token.words for i, token in enumerate(placed) if token.words},
    }


def _in_letters(text: str, end: int, start: int) -> bool:
    """Whether a bound is between two letters."""
    return end == start and text[end - 1].isalpha() and text[start].isalpha()
