"""What packages say of how text is segmented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spacy.language import Language

from ..data.text import UNPARTED
from ..runtime.pipeline import lemmatizer
from ..runtime.segmentation import LONGEST_SENTENCE
from .segmenter_part import SegmenterPart, segmenter_of

__all__ = ["SEGMENTED", "segmentation_limits", "segmentation_section", "segmenter_meta", "summary"]

SEGMENTED = "Text is split into tokens, sentences and the words of multiword tokens as treebanks split it."


def segmenter_meta(part: SegmenterPart | None) -> dict[str, Any]:
    """The entry `segmenter` of meta.json: the treebanks that it was learned from; nothing without one."""
    return {} if part is None else {"segmenter": {"treebanks": list(part.treebanks)}}


def summary(nlp: Language) -> str:
    """What the pipeline sets."""
    lemmas = lemmatizer(nlp) is not None
    tags = "`token.pos`, `token.morph` and `token.lemma`" if lemmas else "`token.pos` and `token.morph`"
    if segmenter_of(nlp) is None:
        return f"It sets {tags}, and sentence starts (by punctuation)."
    words = "`token._.ud_words` and `token._.ud_lemmas`" if lemmas else "`token._.ud_words`"
    return (
        f"It finds tokens, sentences and multiword tokens in text, and sets {tags}, of multiword tokens also "
        f"those of each word in {words}."
    )


def segmentation_section(nlp: Language) -> Iterator[str]:
    """The paragraphs of the card's section; none for a pipeline without a segmenter."""
    part = segmenter_of(nlp)
    if part is None:
        return
    languages, treebanks = part.model.languages, part.treebanks
    yield "## Segmentation"
    yield (
        "A small network, convolutions over characters and then over what stands between blanks, finds "
        "tokens, sentences and multiword tokens. It was learned from the running text of "
        f"{_joined(treebanks)}. The words of a multiword token are those that this text has for the form; "
        "other forms are split as like ones are. It is one of spaCy's tokens, with the tags of its head; "
        f"its words and their tags are in `token._.ud_words`. {_multiword(part)}"
    )
    if len(languages) > 1:
        yield (
            "The language is found in the text, sentence by sentence. `nlp.tokenizer.language` sets it, or "
            "the code of a treebank, whose way is followed in segmentation and tags. `span._.language` says "
            "which language was taken."
        )
    else:
        yield (
            f"All text is taken to be of the language `{languages[0]}`. `nlp.tokenizer.language` may be set "
            f"to a treebank, whose way is followed in segmentation and tags: {_joined(treebanks)}."
        )
    yield (
        "With `nlp.tokenizer.line_breaks = True` each line break ends a sentence. "
        "`nlp.tokenizer.add_special_case` adds tokens, `nlp.tokenizer.explain` shows how a text is split. "
        "Docs made of words keep them; their sentences end at punctuation unless sentence starts are set. "
        "How well text is split is under Results: F1 of tokens, words and sentences from raw text."
    )


def segmentation_limits(nlp: Language) -> Iterator[str]:
    """Lines of the card's list of limits."""
    part = segmenter_of(nlp)
    if part is None:
        yield "- Multiword tokens such as Spanish `del` are not split: such a token gets one tag."
        yield "- Sentences are found by punctuation only."
        return
    if len(part.model.languages) > 1:
        yield "- Text of a language that the segmenter has not learned is segmented as one that it has."
    if hard := sorted(UNPARTED & set(part.model.languages)):
        yield f"- Words that blanks do not part are found less well than others: {', '.join(hard)}."
    if part.expansions:
        yield "- A multiword token whose form the treebanks lack may be split into the wrong words."
    yield (
        f"- A sentence of more than {LONGEST_SENTENCE} stretches without a blank is cut where that is "
        "likeliest. None goes over an empty line, and no token over a line break."
    )


def _multiword(part: SegmenterPart) -> str:
    languages = sorted(part.expansions)
    if not languages:
        return "The treebanks have no such tokens."
    return f"Languages with such tokens: {', '.join(languages)}."


def _joined(codes: tuple[str, ...]) -> str:
    return ", ".join(codes[:-1]) + " and " + codes[-1] if len(codes) > 1 else "".join(codes)
