"""What pipelines' packages may be called."""

from __future__ import annotations

import re

from packaging.version import InvalidVersion, Version

__all__ = ["PACKAGE", "wrong_name", "wrong_version"]

PACKAGE = "mminibert"


def wrong_name(name: str, *, released: bool = False) -> str:
    """What is wrong with a name, which follows the language as in ``xx_<name>``; empty if nothing is.

    What the release calls its wheels, in languages that spaCy does not have ``xx_mminibert_<lang>``, nothing
    else may be called.
    """
    if not re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name):
        return f"got {name!r}, expected small letters and digits of ASCII, and single _ between"
    if not released and re.fullmatch(f"{PACKAGE}(_[a-z]{{2,3}})?", name):
        return f"got {name!r}, which is of the released wheels; set another"
    return ""


def wrong_version(version: str) -> str:
    """What is wrong with a version, empty if nothing is."""
    try:
        right = str(Version(version)) == version
    except InvalidVersion:
        right = False
    return "" if right else f"got {version!r}, expected one such as 1.0.0"
