"""One language's part of a multilingual pipeline: its wordpieces, its labels, its tokenizer.

The multilingual pipeline has the parts of all languages: a language's pipeline can be made from it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from spacy.language import Language
from spacy.util import get_lang_class

from ..runtime.conventions import Conventions
from ..runtime.labels import Inventory
from ..runtime.languages import language_of
from ..runtime.onnx import PackedStudent
from ..runtime.pipeline import tagger
from .assemble import Parts, assemble, parts_of
from .page import performance
from .records import ENCODERS, SYSTEM
from .segmenter_card import SEGMENTED, segmenter_meta
from .segmenter_part import SegmenterPart

__all__ = ["cut", "description", "subset", "tokenizer_note", "without_rare_pieces"]

RARE, RARE_OF_TEACHER = 2, 3
"""The highest level of a wordpiece (`runtime.languages`) that the multilingual pipeline of a student, or of a
teacher, does without, unless it is a single character. Without level 3 a teacher tags 100 dev sentences of
each of 12 treebanks as well as with it, without level 4 it has 0.2 UPOS less."""
RULES = {"@tokenizers": "spacy.Tokenizer.v1"}
CARD = "How it was trained, and its limits: MODEL_CARD.md."
LIGHT_TOKENIZERS = frozenset({"spacy.Tokenizer.v1", "spacy.zh.ChineseTokenizer"})
"""Tokenizers that need no package but spaCy; the Chinese one as long as it segments by characters."""


def subset(nlp: Language, lang: str) -> Language:
    """The pipeline of one language, from a loaded multilingual package and nothing else.

    Raises ValueError if the pipeline has no parts of languages, or not this language's.
    """
    languages = tagger(nlp).languages
    if languages is None:
        raise ValueError(
            "the pipeline has no parts of languages, expected those of a multilingual package; load one with "
            "spacy.load('xx_mminibert')"
        )
    return cut(nlp, lang, languages.part(lang))


def cut(nlp: Language, lang: str, kept: npt.NDArray[np.bool_]) -> Language:
    """A new pipeline with the language's part of the segmenter, or spaCy's tokenizer for it where there is
    none, all its conventions, and the pieces ``kept``, bool ``(n_pieces,)``, only, and with no more positions
    than its windows have; see `assemble` for the rest.

    Where all pieces of a text are kept, its words are tagged as `nlp` tags them in the same convention. Of
    the head for all the outputs are kept that the language's conventions have. Raises ValueError if the
    pieces are not of this pipeline.
    """
    whole = parts_of(nlp)
    student = whole.student
    if len(kept) != len(student.pieces):
        raise ValueError(
            f"the part of {lang!r} has {len(kept)} pieces, the pipeline has {len(student.pieces)}; make the "
            "package anew"
        )
    cls, tokenizer = _language(lang)
    conventions = whole.conventions
    if conventions is not None:
        conventions = conventions.only(conventions.of_language(lang))
    own = _inventory(whole.inventory, conventions)
    outputs = [whole.inventory.outputs[value] for value in own.outputs]
    part, _ = with_pieces(student, kept)
    segmenter = whole.segmenter
    if segmenter is not None:
        known = lang in segmenter.model.languages
        segmenter = segmenter.only(lang, part.pieces.characters) if known else None
    parts = Parts(
        replace(part, positions=student.positions[: tagger(nlp).encoder.max_pieces]),
        own,
        whole.weights[outputs].copy(),
        whole.bias[outputs].copy(),
        conventions=conventions,
        segmenter=segmenter,
        lemmas=None
        if whole.lemmas is None
        else whole.lemmas.only(conventions.codes if conventions else ("",)),
    )
    return assemble(nlp, parts, cls=cls, tokenizer=tokenizer, meta=_meta(nlp, str(cls.lang), lang, segmenter))


def without_rare_pieces(nlp: Language, rare: int) -> Language:
    """A new pipeline without the wordpieces that none of its languages has, and without longer ones that each
    has too seldom, at the level ``rare`` at most, whose words are made of shorter ones then.

    Raises ValueError for a pipeline whose languages have no parts.
    """
    parts = parts_of(nlp)
    if parts.languages is None:
        raise ValueError("the pipeline has no parts of languages; run the step `quantize`")
    often = parts.languages.levels.max(axis=0)
    single = [len(piece) == 1 for piece in parts.student.pieces.characters]
    student, old_ids = with_pieces(parts.student, (often > rare) | ((often > 0) & single))
    languages = replace(parts.languages, levels=parts.languages.levels[:, old_ids])
    return assemble(nlp, replace(parts, student=student, languages=languages))


def with_pieces(
    student: PackedStudent, kept: npt.NDArray[np.bool_]
) -> tuple[PackedStudent, npt.NDArray[np.int64]]:
    """The student with these wordpieces, bool ``(n_pieces,)``, and the special ones, and the old id of
    each."""
    pieces, old_ids = student.pieces.subset(np.flatnonzero(kept).tolist())
    rows, scales = student.word_rows[old_ids], student.word_scales[old_ids]
    return replace(student, pieces=pieces, word_rows=rows, word_scales=scales), old_ids


def _inventory(inventory: Inventory, conventions: Conventions | None) -> Inventory:
    """The labels that conventions have, too; all if there are none."""
    shown = set(conventions.labels) if conventions is not None else set()
    return Inventory.from_labels(
        [label for label in inventory.combinations if label in shown] or inventory.combinations
    )


def tokenizer_note(lang: str) -> str:
    """What a user must know of the tokenizer of a language's package; empty if nothing."""
    cls, tokenizer = _language(lang)
    if cls.lang == "zh":
        return (
            "The tokenizer makes each character a token (spaCy's segmenter `char`, which needs no other "
            "package), whereas the tags were learnt on words: set another segmenter, or give Docs of words."
        )
    if cls.lang == "xx" and lang != "xx":
        return (
            f"spaCy does not have the language `{lang}`: the tokenizer is that of `xx`, for many languages."
        )
    if cls.default_config["nlp"]["tokenizer"] != tokenizer:
        return (
            f"spaCy's own tokenizer for `{lang}` needs another package: this one splits at blanks and by "
            "rules for punctuation only. Give Docs of words if you have a segmenter."
        )
    return ""


def _language(lang: str) -> tuple[type[Language], dict[str, Any]]:
    """spaCy's language, `xx` where it has none, and its tokenizer if spaCy alone can run it, else rules.

    It does not ask which packages are installed here, but which ones spaCy itself brings.
    """
    try:
        cls = get_lang_class(lang)
    except ImportError:
        cls = get_lang_class("xx")
    own = cls.default_config["nlp"]["tokenizer"]
    return cls, dict(own) if own["@tokenizers"] in LIGHT_TOKENIZERS else dict(RULES)


def description(languages: Sequence[str], encoder: str) -> str:
    """What a package is for. encoder: what reads the text."""
    scope = f"the language `{languages[0]}`" if len(languages) == 1 else f"{len(languages)} languages"
    return f"Part-of-speech and morphology tagger for {scope}: {encoder}."


def _meta(nlp: Language, code: str, lang: str, segmenter: SegmenterPart | None) -> dict[str, Any]:
    """The old meta, with what is the language's own of it. Scores are the multilingual pipeline's."""
    scores = nlp.meta.get("performance", {}).get("treebanks", {})
    note = tokenizer_note(lang) if segmenter is None else SEGMENTED
    return {
        **{key: value for key, value in nlp.meta.items() if key != "segmenter"},
        **segmenter_meta(segmenter),
        "lang": code,
        "name": nlp.meta["name"] if code == lang else f"{nlp.meta['name']}_{lang}",
        "description": description([lang], nlp.meta.get("encoder") or ENCODERS[SYSTEM]),
        "languages": [lang],
        "performance": performance({k: row for k, row in scores.items() if language_of(k) == lang}),
        "conventions": [row for row in nlp.meta.get("conventions", []) if row["language"] == lang],
        "notes": " ".join(filter(None, [note, CARD])),
    }
