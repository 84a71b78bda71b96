"""The tokenizer that is learned from treebanks: raw text to tokens, sentences and multiword tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import srsly
from spacy.attrs import SENT_START
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab

from .doc_languages import register_languages, set_languages
from .expansions import Expansions
from .segmentation import Piece, Reader
from .segmenter_model import SegmenterModel
from .ud_words import set_words

__all__ = ["Explained", "Segmenter", "make_segmenter"]


class Explained(NamedTuple):
    """A token, as `Segmenter.explain` gives it: the language that its text was read as, its form, the forms
    of its words if it is a multiword token, whether it begins a sentence."""

    language: str
    form: str
    words: tuple[str, ...]
    begins: bool


class Segmenter:
    """A spaCy tokenizer. `doc.text` is always the text.

    White space is as in spaCy: one blank after a token belongs to it, other white space is a token of its
    own, but for blanks within a token, as Vietnamese words and French numbers have them.
    """

    def __init__(self, vocab: Vocab, *, language: str | None = None, line_breaks: bool = False) -> None:
        """language: see the attribute; an unknown one is noticed when the segmenter is loaded. line_breaks:
        whether each line break ends a sentence; else context decides, and an empty line always does."""
        self.vocab = vocab
        self.line_breaks = line_breaks
        self._language = language
        self._model: SegmenterModel | None = None
        self._expansions: Mapping[str, Expansions] = {}
        self._defaults: dict[str, str] = {}
        self._reader: Reader | None = None
        self._special: dict[str, tuple[str, ...]] = {}
        self._special_pattern: re.Pattern[str] | None = None
        register_languages()

    def learned(
        self, model: SegmenterModel, expansions: Mapping[str, Expansions], defaults: Mapping[str, str]
    ) -> None:
        """Take what was trained. expansions: by language. defaults: by language the convention in which
        multiword tokens of text of that language are expanded. Raises ValueError if the chosen language is
        not among the model's codes."""
        self._model, self._expansions, self._reader = model, expansions, None
        self._defaults = dict(defaults)
        self.language = self._language

    @property
    def model(self) -> SegmenterModel:
        """Raises ValueError before it is loaded."""
        if self._model is None:
            raise ValueError(
                "the segmenter has not learned anything yet; load a packaged pipeline, or train one with "
                "scripts/segment.py"
            )
        return self._model

    @property
    def _read_by(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self.model)
        return self._reader

    @property
    def expansions(self) -> Mapping[str, Expansions]:
        """What multiword tokens consist of, by language."""
        return self._expansions

    @property
    def languages(self) -> tuple[str, ...]:
        """What `language` may be: languages, and the conventions of treebanks."""
        return self.model.codes

    @property
    def language(self) -> str | None:
        """The language, or the convention, of all text; None: the language is found in each text, sentence by
        sentence.

        To set it raises ValueError for one that it has not learned.
        """
        return self._language

    @language.setter
    def language(self, code: str | None) -> None:
        if code is not None and self._model is not None and code not in self._model.code_numbers:
            known = ", ".join(self._model.languages)
            raise ValueError(
                f"got language {code!r}, expected one of {known}, or a convention such as "
                f"{self._model.codes[-1]!r}; None finds the language in the text"
            )
        self._language = code

    def __call__(self, text: str) -> Doc:
        """Raises ValueError before anything is learned."""
        return self._doc(text, *self._segment(text))

    def pipe(self, texts: Iterable[str], batch_size: int = 1000) -> Iterator[Doc]:
        """batch_size: as spaCy calls its tokenizers; it changes nothing."""
        return map(self, texts)

    def explain(self, text: str) -> list[Explained]:
        """How a text is segmented, token by token; white space is left out."""
        pieces, stretches = self._segment(text)
        codes = _codes_at([piece.start for piece in pieces], stretches)
        begins = [True, *(piece.last for piece in pieces)]
        return [
            Explained(
                code,
                text[piece.start : piece.end],
                self._words(text[piece.start : piece.end], piece, code) or (),
                first,
            )
            for piece, code, first in zip(pieces, codes, begins, strict=False)
        ]

    def add_special_case(self, string: str, pieces: Sequence[str]) -> None:
        """Wherever this string stands between non-letters, it is these tokens. Raises ValueError if they do
        not make it up."""
        if not string or "".join(pieces) != string or not all(pieces):
            raise ValueError(f"got the tokens {list(pieces)} for {string!r}, expected ones that make it up")
        self._special[string] = tuple(pieces)
        self._compile_special()

    def _compile_special(self) -> None:
        longest = sorted(self._special, key=len, reverse=True)
        alternatives = "|".join(re.escape(string) for string in longest)
        self._special_pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if longest else None

    def _segment(self, text: str) -> tuple[list[Piece], list[tuple[int, str]]]:
        pieces, stretches = self._read_by.pieces(text, code=self._language, line_breaks=self.line_breaks)
        if self._special_pattern is not None:
            pieces = self._with_special_cases(text, pieces, self._special_pattern)
        return pieces, stretches

    def _with_special_cases(self, text: str, pieces: list[Piece], pattern: re.Pattern[str]) -> list[Piece]:
        found = list(pieces)
        for match in pattern.finditer(text):
            start, end = match.span()
            near = [piece for piece in found if piece.end > start and piece.start < end]
            if not near:
                continue
            made: list[Piece] = []
            if near[0].start < start:
                made.append(Piece(near[0].start, start, (), 0.0, False))
            at = start
            for part in self._special[match.group()]:
                made.append(Piece(at, at + len(part), (), 0.0, False))
                at += len(part)
            if near[-1].end > end:
                made.append(Piece(end, near[-1].end, (), 0.0, False))
            made[-1] = made[-1]._replace(last=near[-1].last)
            first = found.index(near[0])
            found[first : first + len(near)] = made
        return found

    def _words(self, form: str, piece: Piece, code: str) -> tuple[str, ...] | None:
        language = code.partition("_")[0]
        expansions = self._expansions.get(language)
        if expansions is None:
            return None
        convention = code if code != language else self._defaults.get(language)
        return expansions.expand(form, piece.splits, piece.multiword, convention)

    def _doc(self, text: str, pieces: Sequence[Piece], stretches: Sequence[tuple[int, str]]) -> Doc:
        words: list[str] = []
        spaces: list[bool] = []
        starts: list[int] = []
        places: list[int] = []
        at, begins = 0, True

        def white_space(end: int) -> None:
            """Between `at` and there."""
            gap = text[at:end]
            if words and gap and gap[0] == " ":
                spaces[-1] = True
                gap = gap[1:]
            if gap:
                words.append(gap)
                spaces.append(False)
                starts.append(1 if len(words) == 1 else -1)

        for piece in pieces:
            if piece.start > at:
                white_space(piece.start)
            places.append(len(words))
            words.append(text[piece.start : piece.end])
            spaces.append(False)
            starts.append(1 if begins or len(words) == 1 else -1)
            at, begins = piece.end, piece.last
        if at < len(text):
            white_space(len(text))
        if pieces and places[0] > 0:  # the first sentence begins with the white space before it
            starts[places[0]] = -1
        doc = Doc(self.vocab, words=words, spaces=spaces)
        if words:
            values: Any = np.asarray(starts, dtype=np.int64).astype(np.uint64)
            doc.from_array([SENT_START], values[:, None])
        self._expand(doc, text, pieces, places, stretches)
        return doc

    def _expand(
        self,
        doc: Doc,
        text: str,
        pieces: Sequence[Piece],
        places: Sequence[int],
        stretches: Sequence[tuple[int, str]],
    ) -> None:
        if not pieces:
            return
        codes = [code for _, code in stretches]
        bounds = [*_first_at([start for start, _ in stretches], pieces), len(pieces)]
        for code, (start, end) in zip(codes, pairwise(bounds), strict=True):
            if code.partition("_")[0] not in self._expansions:
                continue
            for i in range(start, end):
                piece = pieces[i]
                found = self._words(text[piece.start : piece.end], piece, code)
                if found is not None:
                    set_words(doc[places[i]], found)
        firsts = [places[i] if i < len(places) else len(doc) for i in bounds[:-1]]
        firsts[0] = 0
        given = self._language is not None
        set_languages(doc, list(zip(firsts, codes, strict=True)), given=given)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """exclude: as spaCy calls it; the vocab is never part of it."""
        settings = {
            "language": self._language,
            "line_breaks": self.line_breaks,
            "special_cases": {string: list(pieces) for string, pieces in self._special.items()},
        }
        message: dict[str, Any] = {"settings": json.dumps(settings, ensure_ascii=False)}
        if self._model is not None:
            message["model"] = self._model.to_bytes()
            message["defaults"] = self._defaults
            message["expansions"] = {
                lang: found.to_text() for lang, found in sorted(self._expansions.items())
            }
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Segmenter:
        """Raises ValueError for data that are damaged or of another version."""
        message = srsly.msgpack_loads(data)
        settings = json.loads(message["settings"])
        self._language, self.line_breaks = settings["language"], settings["line_breaks"]
        self._special = {string: tuple(pieces) for string, pieces in settings["special_cases"].items()}
        self._compile_special()
        if "model" in message:
            model = SegmenterModel.from_bytes(message["model"])
            texts: dict[str, str] = message["expansions"]
            expansions = {lang: Expansions.from_text(found) for lang, found in texts.items()}
            self.learned(model, expansions, message["defaults"])
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """One file."""
        Path(path).write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Segmenter:
        """Raises ValueError with the path for a file that is damaged or of another version."""
        try:
            return self.from_bytes(Path(path).read_bytes())
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    def __reduce__(self) -> tuple[Callable[..., Segmenter], tuple[Vocab, bytes]]:
        return _unpickled, (self.vocab, self.to_bytes())


def _unpickled(vocab: Vocab, data: bytes) -> Segmenter:
    return Segmenter(vocab).from_bytes(data)


def _first_at(starts: Sequence[int], pieces: Sequence[Piece]) -> list[int]:
    """Of each place in the text the first piece from there on."""
    return np.searchsorted([piece.start for piece in pieces], starts).tolist()


def _codes_at(places: Sequence[int], stretches: Sequence[tuple[int, str]]) -> list[str]:
    found = np.searchsorted([start for start, _ in stretches], places, side="right") - 1
    return [stretches[i][1] for i in found.tolist()]


def make_segmenter(language: str | None = None, line_breaks: bool = False) -> Callable[[Language], Segmenter]:
    """Registered as ``mminibert.Segmenter.v1``; the settings are those of `Segmenter`."""

    def create(nlp: Language) -> Segmenter:
        return Segmenter(nlp.vocab, language=language, line_breaks=line_breaks)

    return create
