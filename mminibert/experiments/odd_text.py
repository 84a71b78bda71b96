"""What is lost where text is not written as treebanks are: decomposed, in one case, with ligatures, in full
width, with typographic apostrophes, with vowel signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spacy.language import Language

from .. import markdown
from ..data.conllu import Sentence, read_conllu
from ..evaluation.conventions import Told, modes_of
from ..evaluation.own_scores import own_scores
from ..runtime.languages import language_of

__all__ = ["ALTERATIONS", "METRICS", "altered", "scores", "table"]

METRICS = ("UPOS", "UFeats", "Tokens")

_BEFORE_SIGN = re.compile("([\u0621-\u063a\u0641-\u064a])")
_BEFORE_POINT = re.compile("([\u05d0-\u05ea])")
_LIGATURES = {"ffi": "\ufb03", "ffl": "\ufb04", "ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02"}
_FULL_WIDTH = {code: code + 0xFEE0 for code in map(ord, map(chr, range(0x21, 0x7F))) if chr(code).isalnum()}


def _with_ligatures(form: str) -> str:
    for plain, ligature in _LIGATURES.items():
        form = form.replace(plain, ligature)
    return form


ALTERATIONS: Mapping[str, Callable[[str], str]] = {
    "as it is": str,
    "NFD": lambda form: unicodedata.normalize("NFD", form),
    "ligatures": _with_ligatures,
    "full width": lambda form: form.translate(_FULL_WIDTH),
    "capitals": str.upper,
    "lower case": str.lower,
    "title case": str.title,
    "’ for '": lambda form: form.replace("'", "’"),
    "vowel signs": lambda form: _BEFORE_POINT.sub("\\1\u05b8", _BEFORE_SIGN.sub("\\1\u064e", form)),
}
"""Vowel signs: one and the same after each Arabic or Hebrew letter."""


_OF_LANGUAGE: Mapping[tuple[str, str], Callable[[str], str]] = {
    ("tr", "capitals"): lambda form: form.replace("i", "İ").upper(),
    ("tr", "title case"): lambda form: "İ" + form[1:] if form[:1] == "i" else form.title(),
}
"""Alterations that a language has its own way of: capital i keeps its dot in Turkish."""


def altered(sentences: Sequence[Sentence], alter: Callable[[str], str]) -> list[Sentence]:
    """With other forms of their words and multiword tokens; what else is said of them stays."""
    return [
        replace(
            sentence,
            words=tuple(replace(word, form=alter(word.form)) for word in sentence.words),
            ranges=tuple(replace(token, form=alter(token.form)) for token in sentence.ranges),
        )
        for sentence in sentences
    ]


def scores(nlp: Language, path: Path, *, most: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Of a treebank's file, at most so many sentences, written in each way, in the treebank's convention, in
    0..1: UPOS and UFeats on gold words, F1 of Tokens from raw text. Ways that change no word are left out."""
    sentences = list(read_conllu(path))[:most]
    told = next(iter(modes_of(nlp, path.parent.name).values()), Told())
    code = path.parent.name
    for name, plain in ALTERATIONS.items():
        written = altered(sentences, _OF_LANGUAGE.get((language_of(code), name), plain))
        if written == sentences and name != "as it is":
            continue
        found = own_scores(nlp, written, told)
        yield name, {**found["gold_words"], "Tokens": found["raw_text"]["Tokens"]}


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: a row a treebank, UPOS, UFeats (if it has any) and Tokens in percent for each way of
    writing."""
    rows = [
        (
            code,
            *(
                " ".join(
                    f"{100 * of_code[name][metric]:.1f}" for metric in METRICS if metric in of_code[name]
                )
                if name in of_code
                else ""
                for name in ALTERATIONS
            ),
        )
        for code, of_code in found.items()
    ]
    return markdown.table(("treebank", *ALTERATIONS), rows, "l" + "r" * len(ALTERATIONS)) + "\n"
