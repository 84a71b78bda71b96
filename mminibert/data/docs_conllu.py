"""Docs as CoNLL-U, with all of their text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from spacy.tokens import Doc, Token

from ..runtime.ud_words import UdWords, multiword_tokens, word_lemmas
from .conllu import UPOS_TAGS, row
from .docs import canonical_feats, feats_string

__all__ = ["doc_to_conllu"]

_NO_FORM = re.compile(r"\s{2,}|[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]")
"""White space that no FORM may have: several in a row, tabs, line breaks."""
_BLANK_LINE = re.compile(r"\n\s*\n")
_ESCAPES = {" ": r"\s", "\t": r"\t", "\r": r"\r", "\n": r"\n", "|": r"\p", "\\": r"\\"}


def doc_to_conllu(doc: Doc, *, doc_id: str | None = None, flat: bool = False) -> str:
    r"""The Doc as CoNLL-U, a block for each of its sentences (one if sentence starts are unset); empty if
    there is nothing but white space.

    Tokens that have `ud_words` become a range line and their words. White space is kept in MISC, as UDPipe
    writes it: `SpaceAfter=No`; `SpacesAfter=` for all that is not one blank, among it tokens of white space;
    `SpacesBefore=` of the first token; `SpacesInToken=` with the text of a token whose FORM cannot have its
    white space, of which that of a multiword token has none. `\s`, `\t`, `\r`, `\n`, `\p` and `\\` are a
    blank, a tab, line breaks, `|` and a backslash there, `\u00a0` and the like other white space. `# newpar`
    follows a blank line. HEAD and DEPREL are written where the Doc has them and every token of the sentence
    is one word.

    doc_id: stands in `# newdoc id`, and with the number of the sentence in `# sent_id`, such as `x-1`. The
    first sentence begins a paragraph, and the last token does not say whether a blank follows. flat: a
    sentence without a tree gets a flat one, whose root is the first word. With both, the official validator
    accepts a tagged Doc at level 2 if its text is in Unicode's normal form C.

    Raises ValueError if doc_id is empty or has white space or a slash.
    """
    if doc_id is not None and not re.fullmatch(r"[^\s/]+", doc_id):
        raise ValueError(f"got doc_id {doc_id!r}, expected a name without white space and slashes")
    tokens = _written(doc, last_after="" if doc_id is None else " ")
    ends = [span.end for span in doc.sents] if doc.has_annotation("SENT_START") else []
    parsed = doc.has_annotation("DEP", require_complete=True)
    blocks: list[str] = []
    paragraph = doc_id is not None
    for number, (_, group) in enumerate(groupby(tokens, lambda token: bisect_right(ends, token.token.i)), 1):
        sentence = list(group)
        lines = [f"# newdoc id = {doc_id}"] * (doc_id is not None and number == 1)
        lines += ["# newpar"] * paragraph
        lines += [f"# sent_id = {doc_id}-{number}"] * (doc_id is not None)
        text = "".join(token.form + " " * bool(token.after) for token in sentence)
        lines.append(f"# text = {text.removesuffix(' ')}")
        lines += _rows(sentence, parsed=parsed, flat=flat)
        blocks.append("\n".join(lines) + "\n\n")
        paragraph = bool(_BLANK_LINE.search(sentence[-1].after))
    return "".join(blocks)


@dataclass(frozen=True, slots=True)
class _Written:
    """A token that is not white space. words: those of a multiword token, empty for others. before, after:
    the white space around it, that before it only if it is the first."""

    token: Token
    form: str
    words: UdWords
    before: str
    after: str

    @property
    def misc(self) -> str:
        found = []
        if self.before:
            found.append(f"SpacesBefore={_escaped(self.before)}")
        if not self.after:
            found.append("SpaceAfter=No")
        elif self.after != " ":
            found.append(f"SpacesAfter={_escaped(self.after)}")
        if self.form != self.token.text:
            found.append(f"SpacesInToken={_escaped(self.token.text)}")
        return "|".join(found) or "_"


def _written(doc: Doc, *, last_after: str) -> list[_Written]:
    """last_after: what stands after the last token if there is nothing."""
    text, words = doc.text, multiword_tokens(doc)
    shown = [token for token in doc if not token.text.isspace()]
    starts = [token.idx for token in shown] + [len(text)]
    found = []
    for i, token in enumerate(shown):
        own = words.get(token.i, ())
        form = re.sub(r"\s", "", token.text) if own else _form(token.text)
        after = text[token.idx + len(token) : starts[i + 1]] or (last_after if i + 1 == len(shown) else "")
        found.append(_Written(token, form, own, text[: starts[0]] if i == 0 else "", after))
    return found


def _rows(sentence: Sequence[_Written], *, parsed: bool, flat: bool) -> list[str]:
    rows: list[str] = []
    first = sentence[0].token.i
    parsed = parsed and _is_tree(sentence)
    next_id = 1
    for written in sentence:
        token, misc = written.token, written.misc
        xpos = _form(token.tag_)
        if written.words:
            rows.append(row(f"{next_id}-{next_id + len(written.words) - 1}", written.form, misc=misc))
            xpos = misc = "_"
        words = written.words or ((written.form, token.pos_, feats_string(token)),)
        for (form, upos, feats), lemma in zip(words, word_lemmas(token), strict=True):
            if parsed and token.head.i == token.i:
                tree = ("0", "root")
            elif parsed:
                tree = (str(token.head.i - first + 1), token.dep_)
            elif flat:
                tree = ("0", "root") if next_id == 1 else ("1", "dep")
            else:
                tree = ("_", "_")
            upos = upos if upos in UPOS_TAGS else "_"
            lemma = unicodedata.normalize("NFC", lemma)  # some treebanks have others, and so their tables
            cells = (_form(form), _form(lemma), upos, xpos, canonical_feats(feats), *tree, "_", misc)
            rows.append("\t".join((str(next_id), *cells)))
            next_id += 1
    return rows


def _is_tree(sentence: Sequence[_Written]) -> bool:
    """Whether the heads of the tokens are among them, with nothing between and no multiword token."""
    start, end = sentence[0].token.i, sentence[-1].token.i + 1
    return end - start == len(sentence) and all(
        start <= written.token.head.i < end and not written.words for written in sentence
    )


def _form(text: str) -> str:
    """The text as a cell, `_` if it is empty or white space."""
    return _NO_FORM.sub(" ", text).strip() or "_"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char) or (f"\\u{ord(char):04x}" if char.isspace() else char) for char in text)
