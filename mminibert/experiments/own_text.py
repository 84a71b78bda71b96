"""What a pipeline makes of sentences that are given with their tokens, words and bounds by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from .. import markdown
from ..data.text import UNSPACED
from ..files import read_text

__all__ = ["OwnText", "mistakes", "read_own_text", "table"]

GLUED, BLANK, WORDS, BREAK = "~", "_", "=", "¶"


@dataclass(frozen=True)
class OwnText:
    """Running text of a language. tokens: the place of each, start and end, with the forms of its words, none
    if it is no multiword token; sentences: their places."""

    lang: str
    text: str
    tokens: dict[tuple[int, int], tuple[str, ...]]
    sentences: frozenset[tuple[int, int]]


def read_own_text(path: Path) -> list[OwnText]:
    """The format is said in the comments of `docs/own_text/sentences.txt`. Raises ValueError for a sentence
    before the first language."""
    found: list[OwnText] = []
    rows: list[str] = []
    lang = ""
    for number, line in enumerate([*read_text(path).splitlines(), "[]"], start=1):
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            if rows:
                found.append(_text(lang, rows))
            lang, rows = line.strip("[]"), []
        elif lang:
            rows.append(line)
        else:
            raise ValueError(
                f"{path}, line {number}: got a sentence, expected a language such as [en] before it"
            )
    return found


def _text(lang: str, rows: Sequence[str]) -> OwnText:
    text = ""
    tokens: dict[tuple[int, int], tuple[str, ...]] = {}
    sentences = []
    for row in rows:
        parts = row.split()
        ends_line = parts[-1] == BREAK
        begin = len(text)
        for i, part in enumerate(parts[: len(parts) - ends_line]):
            if not part.startswith(GLUED) and i:
                text += " "
            form, words = part.removeprefix(GLUED), ""
            if "+" in form:
                form, _, words = form.partition(WORDS)
            start = len(text)
            text += form.replace(BLANK, " ")
            tokens[start, len(text)] = tuple(words.split("+")) if words else ()
        sentences.append((begin, len(text)))
        text += "\n" if ends_line else "" if lang in UNSPACED else " "
    return OwnText(lang, text, tokens, frozenset(sentences))


def mistakes(gold: OwnText, doc: Doc) -> Iterator[str]:
    """Each stretch between two bounds of tokens on which both agree, where they differ otherwise; then wrong
    words, then sentences."""
    found = {(t.idx, t.idx + len(t)): t._.ud_words for t in doc if not t.is_space}
    wrong = sorted(set(gold.tokens) ^ set(found))
    start = end = -1
    stretches: list[tuple[int, int]] = []
    for low, high in wrong:
        if low >= end:
            start, end = low, high
            stretches.append((start, end))
        end = max(end, high)
        stretches[-1] = (start, end)
    for low, high in stretches:
        sides = (
            " ".join(gold.text[a:b].replace(" ", BLANK) for a, b in sorted(tokens) if low <= a and b <= high)
            for tokens in (gold.tokens, found)
        )
        yield " → ".join(f"`{side}`" for side in sides)
    for place, words in gold.tokens.items():
        if place in found:
            got = tuple(word[0] for word in found[place] or ())
            if tuple(word.lower() for word in got) != tuple(word.lower() for word in words):
                form = gold.text[slice(*place)]
                yield f"words of `{form}`: `{'+'.join(words) or form}` → `{'+'.join(got) or form}`"
    sentences = {
        (tokens[0].idx, tokens[-1].idx + len(tokens[-1]))
        for span in doc.sents
        if (tokens := [token for token in span if not token.is_space])
    }
    for low, high in sorted(gold.sentences - sentences):
        yield f"sentence `{gold.text[low:high]}`"


def table(nlp: Language, texts: Sequence[OwnText]) -> str:
    """Markdown: of each language, told nothing, the languages found, how many sentences and tokens are right,
    and what is wrong."""
    rows = []
    for gold in texts:
        doc = nlp(gold.text)
        found = {(token.idx, token.idx + len(token)) for token in doc if not token.is_space}
        wrong = list(mistakes(gold, doc))
        lost = sum(line.startswith("sentence ") for line in wrong)
        rows.append(
            (
                gold.lang,
                ", ".join(dict.fromkeys(span._.language for span in doc.sents)),
                f"{len(gold.sentences) - lost} of {len(gold.sentences)}",
                f"{len(found & set(gold.tokens))} of {len(gold.tokens)}",
                "; ".join(wrong).replace("|", "\\|"),
            )
        )
    return markdown.table(("text", "found", "sentences", "tokens", "wrong"), rows, "llrrl") + "\n"
