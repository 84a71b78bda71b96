"""Networks of the segmenter cut to a language, put beside each other, and told of one more convention."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..runtime.alphabet import CATEGORIES, Alphabet
from ..runtime.conventions import round_rows
from ..runtime.languages import language_of
from ..runtime.segmenter_model import SegmenterModel, Table
from ..runtime.types import Floats

__all__ = ["of_language", "with_apart", "with_code"]


def of_language(
    model: SegmenterModel, language: str, characters: Collection[str], *, pairs: bool
) -> SegmenterModel:
    """The part of one language: its codes, and rows for these characters; others are read by their category.

    pairs: whether it needs the table of pairs. Raises ValueError for an unknown language.
    """
    if language not in model.languages:
        raise ValueError(f"got language {language!r}, expected one of {', '.join(model.languages)}")
    network = replace(model.of(language), apart=None)
    own = [i for i, code in enumerate(network.codes) if language_of(code) == language]
    return replace(
        _with_characters(network, characters),
        languages=(language,),
        codes=tuple(network.codes[i] for i in own),
        pairs=network.pairs if pairs else _no_pairs(network),
        character_codes=network.character_codes.only(own),
        unit_codes=network.unit_codes.only(own),
        label_codes=network.label_codes[own],
        character_heads=network.character_heads.only(network.head_rows(network.character_heads, *own)),
        unit_heads=network.unit_heads.only(network.head_rows(network.unit_heads, *own)),
        graphs=_told_graphs(network),
    )


def with_apart(model: SegmenterModel, network: SegmenterModel, characters: Collection[str]) -> SegmenterModel:
    """The model beside a network of its own for some of its languages. Of these it has to know the language
    alone, for which it needs no pairs, and rows for these characters only."""
    apart = replace(network, graphs=_told_graphs(network))
    return replace(_with_characters(model, characters), pairs=_no_pairs(model), apart=apart)


def with_code(
    model: SegmenterModel,
    code: str,
    like: str,
    *,
    character_head: Floats,
    unit_head: Floats,
    label_code: Floats,
) -> SegmenterModel:
    """The model with one more convention, or another one in the place of that of this code, in the network
    that reads the code `like`; all others segment as before, to the bit.

    character_head: float32 ``(4, width)``, unit_head: ``(7, unit_width)``, label_code: ``(7,)``; all else is
    what `like` has. Raises KeyError for an unknown `like`.
    """
    network = model.of(like)
    made = _with_copy(network, code, like)
    made = replace(
        made,
        character_heads=_with_last(made.character_heads, character_head),
        unit_heads=_with_last(made.unit_heads, unit_head),
        label_codes=np.concatenate([made.label_codes[:-1], label_code[None]]),
    )
    return made if network is model else replace(_with_copy(model, code, like), apart=made)


def _with_copy(model: SegmenterModel, code: str, like: str) -> SegmenterModel:
    """With a code, the last one, that is as another one."""
    kept = [i for i, known in enumerate(model.codes) if known != code]
    rows = [*kept, model.code_numbers[like]]
    return replace(
        model,
        codes=(*(model.codes[i] for i in kept), code),
        character_codes=model.character_codes.only(rows),
        unit_codes=model.unit_codes.only(rows),
        label_codes=model.label_codes[rows],
        character_heads=model.character_heads.only(model.head_rows(model.character_heads, *rows)),
        unit_heads=model.unit_heads.only(model.head_rows(model.unit_heads, *rows)),
    )


def _with_last(table: Table, new: Floats) -> Table:
    """With these rows in the place of the last ones."""
    rows, scales = round_rows(new)
    kept = len(table.rows) - len(rows)
    return Table(np.concatenate([table.rows[:kept], rows]), np.concatenate([table.scales[:kept], scales]))


def _with_characters(model: SegmenterModel, characters: Collection[str]) -> SegmenterModel:
    """With rows for those of these characters that it has; others are read by their category."""
    kept = [i for i, char in enumerate(model.alphabet.known) if char in characters]
    first = 1 + len(CATEGORIES)
    return replace(
        model,
        alphabet=Alphabet("".join(model.alphabet.known[i] for i in kept)),
        characters=model.characters.only([*range(first), *(first + i for i in kept)]),
    )


def _no_pairs(model: SegmenterModel) -> Table:
    return Table.zeros(2, model.pairs.rows.shape[1])  # none, and any


def _told_graphs(model: SegmenterModel) -> dict[str, bytes]:
    """Those of a network that never has to find the language."""
    return {name: graph for name, graph in model.graphs.items() if name != "spelling"}
