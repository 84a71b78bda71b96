"""What is known of forms, kept by spaCy's hashes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["FormCache"]

CACHED_FORMS = 50_000
T = TypeVar("T")


class FormCache(Generic[T]):
    """What a function says of a form, asked once a form; threads may share it."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self.make = make
        self._known: dict[int, T] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}}

    def of_doc(self, doc: Doc, keys: Sequence[int], start: int) -> list[T]:
        """Of the words ``doc[start : start + len(keys)]``, whose hashes of spaCy's are the keys."""
        known = self._known
        if len(known) > CACHED_FORMS:
            known.clear()
        found = []
        for i, key in enumerate(keys, start):
            value = known.get(key)
            if value is None:
                value = known[key] = self.make(doc[i].text)
            found.append(value)
        return found
