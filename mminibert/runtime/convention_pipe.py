"""What the tagger has and knows of conventions and languages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from spacy.tokens import Doc

from .by_convention import Sentences, of_languages
from .convention_store import conventions_from_bytes, conventions_to_bytes
from .conventions import Conventions
from .factored_pipe import FactoredPipe
from .labels import Label
from .languages import Languages
from .types import Floats

__all__ = ["ConventionPipe"]

LANGUAGES, CONVENTIONS = "languages", "conventions"
"""The attributes of the model with the bytes of `Languages` and `Conventions`."""


class ConventionPipe(FactoredPipe):
    """A component that may have conventions, each a head of its own, and what finds the language of a
    sentence."""

    _languages: Languages | None
    _conventions: Conventions | None
    _convention: str | None

    @property
    def languages(self) -> Languages | None:
        """What finds the language of a sentence, stored with the model; None without.

        To set it raises ValueError if it is of another pipeline.
        """
        return self._languages

    @languages.setter
    def languages(self, languages: Languages | None) -> None:
        if languages is None:
            self.model.attrs.pop(LANGUAGES, None)
            self._languages = None
            return
        languages.check(len(self.encoder.pieces))
        if self._conventions is not None:
            _check_languages(languages, self._conventions)
        self.model.attrs[LANGUAGES] = languages.to_bytes()
        self._languages = languages

    @property
    def conventions(self) -> Conventions | None:
        """The heads of the conventions, stored with the model; None for a pipeline that has one head for all.

        To set it raises ValueError if they are of vectors of another width, or the chosen one is not among
        them.
        """
        return self._conventions

    @conventions.setter
    def conventions(self, conventions: Conventions | None) -> None:
        if conventions is None:
            self.model.attrs.pop(CONVENTIONS, None)
            self._conventions = None
            self._labels_changed()
            return
        self._check_width(conventions)
        if self._languages is not None:
            _check_languages(self._languages, conventions)
        if self._convention is not None:
            conventions.resolve(self._convention)
        self.model.attrs[CONVENTIONS] = conventions_to_bytes(conventions)
        self._conventions = conventions
        self._labels_changed()

    @property
    def convention(self) -> str | None:
        """The code of the convention that all text is tagged in; None: that of the language that the
        tokenizer was told, or else of each sentence's own.

        It may be set to a language, which stands for its default convention. Raises ValueError for another
        name.
        """
        if self._convention is None or self._conventions is None:
            return self._convention
        return self._conventions.resolve(self._convention)

    @convention.setter
    def convention(self, name: str | None) -> None:
        if name is not None:
            if self._conventions is None:
                raise ValueError(
                    f"got convention {name!r}, but the pipeline has no conventions; take one that has, "
                    "such as spacy.load('xx_mminibert')"
                )
            if not isinstance(name, str):
                raise ValueError(
                    f"got convention {name!r}, expected a name, such as {self._conventions.codes[0]!r}"
                )
            self._conventions.resolve(name)
        self._convention = name

    @property
    def combinations(self) -> Sequence[Label]:
        """What a `Prediction` has indices into."""
        if self._conventions is not None:
            return self._conventions.labels
        return self.inventory.combinations

    def _check_width(self, conventions: Conventions) -> None:
        width = self.output_layer.get_dim("nI")
        for head in conventions.heads:
            if head.rows.shape[1] != width:
                raise ValueError(
                    f"convention {head.code!r} is for vectors of width {head.rows.shape[1]}, the encoder's "
                    f"have {width}; take both from one pipeline"
                )

    @contextmanager
    def tagging_in(self, convention: str | None, conventions: Conventions | None = None) -> Iterator[None]:
        """For a while in this convention, None for that of each sentence's language, and by these heads if
        they are given, which are not stored. Raises ValueError for an unknown convention."""
        before = self._conventions, self._convention
        try:
            if conventions is not None:
                self._conventions = conventions
            self._labels_changed()
            self.convention = convention
            yield
        finally:
            self._conventions, self._convention = before
            self._labels_changed()

    def _labels_changed(self) -> None:
        """Forget what was derived from `combinations`."""

    def _forget(self) -> None:
        super()._forget()
        self._languages = self._conventions = None
        for name in (LANGUAGES, CONVENTIONS):  # of other labels
            self.model.attrs.pop(name, None)

    def _read_conventions(self) -> None:
        """What was stored with the model. Raises ValueError if it is damaged or does not go together."""
        if data := self.model.attrs.get(LANGUAGES):
            self._languages = Languages.from_bytes(data)
        if data := self.model.attrs.get(CONVENTIONS):
            self._conventions = conventions_from_bytes(data)
            self._check_width(self._conventions)
            if self._convention is not None:
                self._conventions.resolve(self._convention)
            if self._languages is not None:
                _check_languages(self._languages, self._conventions)

    def _sentences(
        self, docs: Sequence[Doc], vectors: Sequence[Floats], given: Sequence[str | None]
    ) -> list[Sentences] | None:
        """Which stretches of the Docs are tagged in which convention; None: all of them by the one head for
        all. given: the language or convention that the user said each Doc's text is in."""
        conventions = self._conventions
        if conventions is None:
            return None
        codes = [self._code(conventions, name) for name in given]
        unknown = [i for i, code in enumerate(codes) if code is None and len(docs[i])]
        found: Iterator[Sentences] = iter(())
        if unknown:
            if self._languages is None:  # in training nothing finds them
                raise ValueError(
                    f"component {self.name!r} has conventions and nothing that finds the language of a text: "
                    f"set its `convention`, such as {conventions.codes[0]!r}, or take a packaged pipeline"
                )
            rest, of_rest = [docs[i] for i in unknown], [vectors[i] for i in unknown]
            found = iter(of_languages(conventions, self._languages, rest, of_rest, self.encoder.pieces))
        return [
            [] if not len(doc) else next(found) if code is None else [(0, code)]
            for doc, code in zip(docs, codes, strict=True)
        ]

    def _code(self, conventions: Conventions, given: str | None) -> str | None:
        """The convention of a whole Doc; None if its language is to be found in it."""
        if self._convention is not None:
            return conventions.resolve(self._convention)
        code = None if given is None else conventions.nearest(given)
        if code is None and len(conventions.languages) == 1:
            return conventions.resolve(conventions.languages[0])
        return code


def _check_languages(languages: Languages, conventions: Conventions) -> None:
    if lacking := sorted(set(languages.codes) - set(conventions.languages)):
        raise ValueError(
            f"the languages {', '.join(lacking)} have no convention, but may be found in a text; give "
            "one of each, or cut out one language with `mminibert subset`"
        )
