"""Tagged Docs as HTML: a fragment for notebooks, and a page that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader
from spacy.tokens import Doc

from ..annotation.sentences import sentences_of
from ..data.docs_conllu import doc_to_conllu
from ..runtime.languages import language_of

__all__ = ["Html", "fragment", "page"]

UNSURE = 0.8
"""Probability of a UPOS below which a word is marked."""


class Html(str):
    """HTML, which notebooks show as such."""

    def _repr_html_(self) -> str:
        return str(self)


def fragment(docs: Sequence[Doc]) -> Html:
    """The sentences with their words, UPOS in colours, and all else at a word that is pointed at or has the
    focus; CoNLL-U besides."""
    return Html(
        _template("fragment.html.jinja").render(
            sentences=[sentence for doc in docs for sentence in sentences_of(doc)],
            conllu="".join(doc_to_conllu(doc) for doc in docs),
            unsure=UNSURE,
            css=_text("words.css"),
        )
    )


def page(
    *, title: str, models: Sequence[str] = (), model: str = "", text: str = "", shown: str | None = None
) -> str:
    """shown: a `fragment`. models: what text may be read as, the first one finds it; without any the page
    has no form, which a service answers. model, text: what stands in the form."""
    by_language: dict[str, list[str]] = defaultdict(list)
    for code in models[1:]:
        by_language[language_of(code)].append(code)
    css, script = _text("page.css"), _text("page.js")
    return _template("page.html.jinja").render(
        title=title,
        automatic=models[0] if models else None,
        languages=by_language,
        model=model,
        text=text,
        shown=shown,
        css=css,
        script=script,
        policy="; ".join(
            (
                "default-src 'none'",
                f"style-src {_hash(css)} {_hash(_text('words.css'))}",
                f"script-src {_hash(script)}",
                "form-action 'self'",
                "base-uri 'none'",
            )
        ),
    )


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _template(name: str) -> Any:
    loader = PackageLoader("mminibert", "display")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        name
    )


def _hash(source: str) -> str:
    """By which a browser knows a style or script of ours; nothing else runs, whatever a text has in it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode('utf-8')).digest()).decode('ascii')}'"
