"""Edit scripts: how a lemma is made of a form.

A script cuts a prefix and a suffix off the form and puts others in their place. It names the characters
that it cuts off, so that it says itself to which words it applies; a wildcard stands for any character of
the suffix, which is kept (vowels put between the consonants of Arabic, marks between the morphemes of
Korean). Scripts as classes: Chrupała 2006, *Simple data-driven context-sensitive lemmatization*, section
3; Straka 2018, *UDPipe 2.0 prototype*, section 3.4."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KEEP", "LOWER", "TITLE", "UPPER", "WILDCARD", "Script", "lowered", "shape"]

LOWER, KEEP, TITLE, UPPER = "lkuU"
"""The letters of the form in the lemma: in lower case; as they are; the first one in upper case; all."""
WILDCARD = "\uffff"
"""No character (Unicode, section 23.7), so that no text has it."""


class Script(NamedTuple):
    """case: one of the above. prefix, suffix: what is cut off, in lower case, the suffix with wildcards.
    start, end: what is put there, the end with a wildcard for each one of the suffix, in order."""

    case: str
    prefix: str
    start: str
    suffix: str
    end: str

    def apply(self, form: str) -> str:
        """The lemma of a form that has the prefix and the suffix, which is not checked."""
        text = form if self.case == KEEP else lowered(form)
        cut = len(text) - len(self.suffix)
        end = self.end
        if WILDCARD in end:
            kept = (char for char, own in zip(text[cut:], self.suffix, strict=True) if own == WILDCARD)
            end = "".join(next(kept) if char == WILDCARD else char for char in end)
        lemma = self.start + text[len(self.prefix) : cut] + end
        if self.case == TITLE:
            return lemma[:1].upper() + lemma[1:]
        return lemma.upper() if self.case == UPPER else lemma

    def matches(self, form: str) -> bool:
        """Whether the form has the prefix and the suffix, one after the other."""
        text = lowered(form)
        cut = len(text) - len(self.suffix)
        return (
            cut >= len(self.prefix)
            and text.startswith(self.prefix)
            and all(own in (WILDCARD, char) for char, own in zip(text[cut:], self.suffix, strict=True))
        )


def lowered(text: str) -> str:
    """The text in lower case, with as many characters as it has."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def shape(text: str) -> int:
    """0: no letter in upper case; 1: the first one alone; 2: more than one, and all that can be; 3:
    others."""
    low = lowered(text)
    if text == low:
        return 0
    if text[1:] == low[1:]:
        return 1
    return 2 if text == text.upper() else 3
