"""The default convention of each language, and why it is that one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..project.profile import read_toml
from ..runtime.languages import language_of

__all__ = ["Default", "default_conventions", "read_chosen"]

FILE = "conventions.toml"
"""Of the folder `configs`, the choices that are not by size."""
ONLY, LARGEST = "the only one", "the most training words"


class Default(NamedTuple):
    """The code of a convention, such as `fi_tdt`, and the reason why it is its language's default."""

    code: str
    reason: str


def default_conventions(candidates: Mapping[str, int], chosen: Mapping[str, Default]) -> dict[str, Default]:
    """The default convention of each language of the candidates: language to code and reason.

    candidates: the training words of each convention by its code. chosen: by language, see `read_chosen`; a
    choice that is no candidate does not count. Where nothing is chosen, the convention with the most words is
    taken, of several the first by code.
    """
    by_language: dict[str, list[str]] = {}
    for code in sorted(candidates, key=lambda code: (-candidates[code], code)):
        by_language.setdefault(language_of(code), []).append(code)
    found = {}
    for lang, codes in sorted(by_language.items()):
        choice = chosen.get(lang)
        if len(codes) == 1:
            found[lang] = Default(codes[0], ONLY)
        elif choice is not None and choice.code in codes:
            found[lang] = choice
        else:
            found[lang] = Default(codes[0], LARGEST)
    return found


def read_chosen(configs: Path) -> dict[str, Default]:
    """The choices of `<configs>/conventions.toml` by language.

    Raises FileNotFoundError without it, ValueError for a section that is not a language with a code of its
    own and a reason.
    """
    path = configs / FILE
    chosen = {}
    for lang, section in read_toml(path).items():
        if not isinstance(section, dict) or section.keys() != {"code", "reason"}:
            raise ValueError(f"{path}: [{lang}] has to have a code and a reason and nothing else")
        if language_of(section["code"]) != lang:
            raise ValueError(f"{path}: [{lang}] got the code {section['code']!r}, expected one of {lang!r}")
        chosen[lang] = Default(**section)
    return chosen
