"""Which treebanks a folder holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..files import listed
from ..runtime.languages import language_of

SPLITS = ("train", "dev", "test")
MIXED = {"qfn": ("fy", "nl"), "qhe": ("hi", "en"), "qtd": ("tr", "de")}
"""The languages of code-mixed text, by its code."""
Terms = Literal["any", "commercial", "permissive"]
_NOT_COMMERCIAL = r"\bNC\b|no licence|none stated|unstated|unclear|research"
_COPYLEFT = r"\bSA\b|\bND\b|GPL|GFDL|MPL|EUPL|licences? of each package|Wikipedia"
BARRED: Mapping[Terms, str | None] = {
    "any": None,
    "commercial": _NOT_COMMERCIAL,
    "permissive": f"{_NOT_COMMERCIAL}|{_COPYLEFT}",
}
"""What a licence that does not meet the terms says."""
OWN_PARTS = ("train", "newer", "dev")
"""Parts of a train file from the treebank's own files, as ``sources.json`` names them."""


@dataclass(frozen=True, order=True)
class Treebank:
    """A treebank by its UD code, such as `af_afribooms`, and its language, `af`.

    `paths` maps `train`, `dev` and `test` to the CoNLL-U files there are, in this order.
    """

    ltcode: str
    lang: str
    paths: Mapping[str, Path] = field(default_factory=dict, compare=False)


def find_treebanks(folder: str | Path, names: Sequence[str] | None = None) -> list[Treebank]:
    """The treebanks in `folder`, sorted by code: `<folder>/<ltcode>/<ltcode>-ud-{train,dev,test}.conllu`.

    Folders without such a file are passed over. With `names` (codes) only those are given, in that order,
    without repetition. Raises FileNotFoundError if the folder is absent or holds no treebank, ValueError
    for a name that it does not hold.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder, expected one with treebanks <ltcode>/<ltcode>-ud-*.conllu"
        )
    found = {}
    for child in listed(folder, "*"):
        files = ((split, child / f"{child.name}-ud-{split}.conllu") for split in SPLITS)
        paths = {split: path for split, path in files if path.is_file()}
        if paths:
            found[child.name] = Treebank(child.name, language_of(child.name), paths)
    if not found:
        raise FileNotFoundError(
            f"{folder}: no treebank, expected files <ltcode>/<ltcode>-ud-{{train,dev,test}}.conllu"
        )
    if names is None:
        return list(found.values())
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{folder}: no treebank {', '.join(missing)}; there are {', '.join(found)}. Correct the name, "
            "or add its files."
        )
    return [found[name] for name in dict.fromkeys(names)]


def meets(licence: str, terms: Terms) -> bool:
    """Whether a stated licence, or all of several, meet the terms: "commercial", they allow commercial use;
    "permissive", they also leave open under which terms what is made of it is passed on."""
    barred = BARRED[terms]
    return barred is None or (bool(licence) and re.search(barred, licence) is None)


def mixed_of(ltcode: str, treebanks: Sequence[str]) -> list[str]:
    """The code-mixed treebanks among `treebanks` that a model of the treebank `ltcode` is scored on: those of
    whose languages it is the first treebank, in the order of `MIXED`."""

    def first(mixed: str) -> str | None:
        languages = MIXED[language_of(mixed)]
        return next((code for lang in languages for code in treebanks if language_of(code) == lang), None)

    return [code for code in treebanks if language_of(code) in MIXED and first(code) == ltcode]
