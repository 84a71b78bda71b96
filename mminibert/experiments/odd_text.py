"""What is lost where text is not written as treebanks are: decomposed, in one case, with ligatures, in full
width."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spacy.language import Language

from .. import markdown
from ..data.conllu import Sentence, read_conllu
from ..evaluation.conventions import Told, modes_of
from ..evaluation.metrics import count
from ..evaluation.tagging import gold_words
from ..runtime.languages import language_of

__all__ = ["ALTERATIONS", "altered", "scores", "table"]

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
}


_OF_LANGUAGE: Mapping[tuple[str, str], Callable[[str], str]] = {
    ("tr", "capitals"): lambda form: form.replace("i", "İ").upper(),
    ("tr", "title case"): lambda form: "İ" + form[1:] if form[:1] == "i" else form.title(),
}
"""Alterations that a language has its own way of: capital i keeps its dot in Turkish."""


def altered(sentences: Sequence[Sentence], alter: Callable[[str], str]) -> list[Sentence]:
    """With other forms of their words; what else is said of them stays."""
    return [
        replace(sentence, words=tuple(replace(word, form=alter(word.form)) for word in sentence.words))
        for sentence in sentences
    ]


def scores(nlp: Language, path: Path, *, most: int) -> Iterator[tuple[str, dict[str, float]]]:
    """UPOS and UFeats, in 0..1, on the gold words of a treebank's file, at most so many sentences, written in
    each way, in the treebank's convention; ways that change no word are left out."""
    sentences = list(read_conllu(path))[:most]
    told = next(iter(modes_of(nlp, path.parent.name).values()), Told())
    code = path.parent.name
    for name, plain in ALTERATIONS.items():
        written = altered(sentences, _OF_LANGUAGE.get((language_of(code), name), plain))
        if written == sentences and name != "as it is":
            continue
        tagged = gold_words(nlp, written, (told,))
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "found.conllu"
            found.write_text(tagged.conllu[told], encoding="utf-8")
            yield name, count(written, read_conllu(found)).accuracies()


def table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: a row a treebank, UPOS and UFeats in percent for each way of writing."""
    rows = [
        (
            code,
            *(
                f"{100 * of_code[name]['UPOS']:.1f} {100 * of_code[name]['UFeats']:.1f}"
                if name in of_code
                else ""
                for name in ALTERATIONS
            ),
        )
        for code, of_code in found.items()
    ]
    return markdown.table(("treebank", *ALTERATIONS), rows, "l" + "r" * len(ALTERATIONS)) + "\n"
