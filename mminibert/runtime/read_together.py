"""`nlp.pipe` of a pipeline whose tokenizer reads texts together in less time than one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, cast

from spacy.language import Language

__all__ = ["reads_together"]


class _ReadsTogether(Language):
    """spaCy's `nlp.pipe` calls the tokenizer for one text after the other. Here `tokenizer.pipe` is given
    them, unless other processes read; all else is spaCy's."""

    base: type[Language]
    read_together_by: type
    """The tokenizer's class: another one, though it be derived from it, may do more for a text than its
    ``pipe`` does."""

    def pipe(
        self,
        texts: Iterable[Any],
        *,
        as_tuples: bool = False,
        batch_size: int | None = None,
        n_process: int = 1,
        **settings: Any,
    ) -> Iterator[Any]:
        """As `Language.pipe`. Up to ``batch_size`` texts, or as many as the tokenizer takes, are read before
        the first Doc comes, as spaCy's components do it with Docs."""
        if n_process == 1 and self._reads_together():
            size = batch_size or self.batch_size
            pairs = texts if as_tuples else ((text, None) for text in texts)
            read = self._read(pairs, size)
            texts = read if as_tuples else (doc for doc, _ in read)
        pipe: Any = super().pipe
        found: Iterator[Any] = pipe(
            texts, as_tuples=as_tuples, batch_size=batch_size, n_process=n_process, **settings
        )
        return found

    def _reads_together(self) -> bool:
        own = "make_doc" in self.__dict__ or type(self).make_doc is not Language.make_doc
        return type(self.tokenizer) is self.read_together_by and not own

    def _read(self, pairs: Iterable[Any], size: int) -> Iterator[Any]:
        """Texts with their contexts as Docs with these. Docs stay as they are, and what spaCy refuses, so
        that it does."""
        contexts: deque[Any] = deque()
        tokenizer: Any = self.tokenizer

        def texts_of(run: Iterable[tuple[str, Any]]) -> Iterator[str]:
            for text, context in run:
                contexts.append(context)
                yield text

        def is_text(pair: Any) -> bool:
            return isinstance(pair[0], str) and len(pair[0]) <= self.max_length

        for readable, run in groupby(pairs, is_text):
            if readable:
                for doc in tokenizer.pipe(texts_of(run), batch_size=size):
                    yield doc, contexts.popleft()
            else:
                yield from run

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class is not one that a module has: it is made again.
        return _restored, (self.base,), self.__dict__


def reads_together(nlp: Language, tokenizer: type) -> None:
    """Let `nlp.pipe` give texts to `tokenizer.pipe` as long as the tokenizer is of this class, and
    `nlp.make_doc` is spaCy's."""
    if not isinstance(nlp, _ReadsTogether):
        nlp.__class__ = _class_of(type(nlp))
    cast("_ReadsTogether", nlp).read_together_by = tokenizer


_CLASSES: dict[Any, type[Language]] = {}


def _class_of(base: type[Language]) -> type[Language]:
    """Of a class of spaCy's, of a language, one that reads so."""
    if base not in _CLASSES:
        names = {"base": base, "__module__": base.__module__}
        _CLASSES[base] = type(base.__name__, (_ReadsTogether, base), names)
    return _CLASSES[base]


def _restored(base: type[Language]) -> Language:
    cls = _class_of(base)
    return cls.__new__(cls)
