"""Strings whose tokens are known: those that a user says, and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .addresses import addresses
from .units import TOKEN, UNSPACED, UnitsOfText

__all__ = ["SpecialCases"]


class SpecialCases:
    """Strings and their tokens, wherever no letter or digit is next to one of the string's own; scripts
    without blanks have them anywhere. Of several at a place the longest counts."""

    def __init__(self, tokens: Mapping[str, Sequence[str]] | None = None) -> None:
        """Errors are those of `add`."""
        self._tokens: dict[str, tuple[str, ...]] = {}
        self._compiled: re.Pattern[str] | None = None
        for string, parts in (tokens or {}).items():
            self.add(string, parts)

    @property
    def tokens(self) -> Mapping[str, tuple[str, ...]]:
        """Those of each string."""
        return self._tokens

    def add(self, string: str, parts: Sequence[str]) -> None:
        """Raises ValueError if the parts do not make up the string, or have white space at an end."""
        whole = all(part and part == part.strip() and len(part.splitlines()) == 1 for part in parts)
        if not parts or "".join(parts) != string or not whole:
            raise ValueError(
                f"got the tokens {list(parts)} for {string!r}, expected ones that make it up one after the "
                "other, without white space at an end and without line breaks"
            )
        self._tokens[string] = tuple(parts)
        self._compiled = None

    @property
    def _pattern(self) -> re.Pattern[str]:
        """Compiled when it is needed, as strings are often added by the thousand."""
        compiled = self._compiled
        if compiled is None:
            longest = sorted(self._tokens, key=len, reverse=True)
            compiled = self._compiled = re.compile("|".join(map(_on_its_own, longest)))
        return compiled

    def applied(
        self,
        text: str,
        units: UnitsOfText,
        places: npt.NDArray[np.int64],
        kinds: npt.NDArray[np.int64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where tokens end and what ends there, each ``(n,)``, so that within a string its tokens alone end,
        and what is before it too. An address is a token, unless there is one of the strings in it."""
        found = self._found(text)
        if not found:
            return places, kinds
        starts = np.asarray([start for start, _ in found], dtype=np.int64)
        ends = starts + [sum(map(len, parts)) for _, parts in found]
        last = np.searchsorted(starts, places) - 1  # the string that begins before the place
        stays = (last < 0) | (places >= ends[last])
        before = np.searchsorted(units.starts, starts) - 1  # the unit that begins before the string
        own = np.minimum(starts, units.ends[before])[before >= 0].tolist()
        for at, parts in found:
            for part in parts:
                at += len(part)
                own.append(at)
        joined = np.concatenate([places[stays], own])
        unique, first = np.unique(joined, return_index=True)
        return unique, np.concatenate([kinds[stays], np.full(len(own), TOKEN)])[first]

    def _found(self, text: str) -> list[tuple[int, Sequence[str]]]:
        """Where strings and addresses begin, in their order, and their tokens."""
        found: list[tuple[int, Sequence[str]]] = []
        of_user = self._pattern.finditer(text) if self._tokens else ()
        spans = [match.span() for match in of_user]
        found += [(start, self._tokens[text[start:end]]) for start, end in spans]
        for start, end in addresses(text):
            if not any(low < end and start < high for low, high in spans):
                found.append((start, (text[start:end],)))
        return sorted(found)


def _on_its_own(string: str) -> str:
    letter = rf"[^\W{UNSPACED}]"  # or digit
    before = f"(?<!{letter})" if re.match(letter, string[0]) else ""
    after = f"(?!{letter})" if re.match(letter, string[-1]) else ""
    return before + re.escape(string) + after
