"""Unlabelled text as words: those of the profile's segmenter, as raw text has them when it is tagged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..data.sources import Line
from ..runtime.languages import language_of
from ..runtime.segmenter import Segmenter
from ..runtime.ud_words import Words

__all__ = ["TextWords"]

AT_ONCE = 2000
"""Lines that are cut together."""


class TextWords:
    """Cuts lines into syntactic words, those of multiword tokens apart, each in its own convention."""

    def __init__(self, path: Path) -> None:
        """path: what the step `segment` wrote; it is read when the first line comes."""
        self._path = path

    @cached_property
    def _segmenter(self) -> Segmenter:
        if not self._path.exists():
            raise FileNotFoundError(f"no segmenter {self._path}; run the step `segment` first")
        return Segmenter(Vocab()).from_disk(self._path)

    def __call__(self, lines: Iterable[Line]) -> Iterator[list[str]]:
        """The words of each line. What the segmenter has not learned is cut as its language is, or as the
        one that it is taken for. Raises FileNotFoundError if there is no segmenter."""
        lines = iter(lines)
        while part := list(islice(lines, AT_ONCE)):
            places = defaultdict(list)
            for i, (_, code) in enumerate(part):
                places[self._told(code)].append(i)
            words: dict[int, list[str]] = {}
            for told, rows in places.items():
                self._segmenter.language = told
                docs = self._segmenter.pipe(part[i][0] for i in rows)
                words.update(zip(rows, map(_words, docs), strict=True))
            yield from (words[i] for i in range(len(part)))

    def _told(self, code: str) -> str | None:
        learned = self._segmenter.languages
        return next((known for known in (code, language_of(code)) if known in learned), None)


def _words(doc: Doc) -> list[str]:
    found = Words.of(doc)
    return [token.text for token in (doc if found is None else found.doc) if not token.text.isspace()]
