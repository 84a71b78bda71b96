"""The tokenizer that is learned from treebanks: raw text to tokens, sentences and multiword tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import srsly
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from srsly.msgpack import UnpackException

from .checksums import check_file, write_checksum
from .doc_batches import doc_batches
from .doc_languages import register_languages, set_languages
from .expansions import Expansions
from .joined_texts import JoinedTexts, join
from .languages import language_of
from .normal_form import normal_text
from .read_together import reads_together
from .segmentation import Segmentation
from .segmented_docs import docs_of
from .segmenter_learned import Learned
from .segmenter_model import SegmenterModel
from .segmenter_settings import SegmenterSettings
from .special_cases import SpecialCases
from .ud_words import set_words

__all__ = ["Explained", "Segmenter", "make_segmenter"]

CHARACTERS_AT_ONCE = 200_000
"""Of texts that are read together, or one text."""


class Explained(NamedTuple):
    """A token, as `Segmenter.explain` gives it: the language that its text was read as, its form, the forms
    of its words if it is a multiword token, whether it begins a sentence."""

    language: str
    form: str
    words: tuple[str, ...]
    begins: bool


class Segmenter:
    """A spaCy tokenizer. `doc.text` is always the text, which is read in its normal form.

    White space is as in spaCy: one blank after a token belongs to it, other white space is a token of its
    own, but for blanks within a token, as Vietnamese words and French numbers have them.
    """

    def __init__(self, vocab: Vocab, *, language: str | None = None, line_breaks: bool = False) -> None:
        """language: see the attribute; an unknown one is noticed when the segmenter is loaded. line_breaks:
        whether each line break ends a sentence; else context decides, and an empty line always does."""
        self.vocab = vocab
        self.line_breaks = line_breaks
        self._language = language
        self._config: SegmenterSettings | None = None
        self._special = SpecialCases()
        self._learned: Learned | None = None
        register_languages()

    def learned(self, model: SegmenterModel, expansions: Mapping[str, Expansions]) -> None:
        """Take what was trained. Raises ValueError if the chosen language is not among its codes."""
        _check_language(self._language, model)
        self._learned = Learned(model, expansions)

    @property
    def model(self) -> SegmenterModel:
        """Raises ValueError before it is loaded."""
        return self._trained.model

    @property
    def expansions(self) -> Mapping[str, Expansions]:
        """What multiword tokens consist of, by language. Raises ValueError before it is loaded."""
        return self._trained.expansions

    @property
    def _trained(self) -> Learned:
        if self._learned is None:
            raise ValueError(
                "the segmenter has not learned anything yet; load a packaged pipeline, or train one with "
                "scripts/segment.py"
            )
        return self._learned

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
        if self._learned is not None:
            _check_language(code, self._learned.model)
        self._language = code

    def __call__(self, text: str) -> Doc:
        """Raises ValueError before anything is learned."""
        return self._docs([text])[0]

    def pipe(self, texts: Iterable[str], batch_size: int = 1000) -> Iterator[Doc]:
        """The same of many, of which it reads at most so many, or `CHARACTERS_AT_ONCE`, together: that takes
        a third of the time for short ones. `nlp.pipe` calls it, see `read_together`."""
        for batch in doc_batches(texts, batch_size, CHARACTERS_AT_ONCE):
            yield from self._docs(batch)

    def _docs(self, texts: Sequence[str]) -> list[Doc]:
        normals = [normal_text(text) for text in texts]
        given = read = join(texts)
        if any(normals):
            read = join([text if own is None else own.text for text, own in zip(texts, normals, strict=True)])
        found = self._read(read)
        tokens = found if read is given else found.at(given.places(normals))
        docs, which, places = docs_of(self.vocab, given, tokens)
        for i, words in self._words(read.text, found):
            set_words(docs[which[i]][int(places[i])], words)
        stretches: list[list[tuple[int, str]]] = [[] for _ in docs]
        for first, _, code in found.stretch_bounds():
            own = stretches[which[first]]
            own.append((int(places[first]) if own else 0, code))
        for doc, own in zip(docs, stretches, strict=True):
            if own:
                set_languages(doc, own, given=self._language is not None)
        return docs

    def explain(self, text: str) -> list[Explained]:
        """How a text is segmented, token by token; white space is left out."""
        normal = normal_text(text)
        read = join([text if normal is None else normal.text])
        tokens = self._read(read)
        words = dict(self._words(read.text, tokens))
        places = tokens if normal is None else tokens.at(normal.places)
        starts, ends, begins = places.starts.tolist(), places.ends.tolist(), tokens.begins.tolist()
        return [
            Explained(code, text[starts[i] : ends[i]], words.get(i, ()), begins[i])
            for first, end, code in tokens.stretch_bounds()
            for i in range(first, end)
        ]

    def add_special_case(self, string: str, tokens: Sequence[str]) -> None:
        """From now on this string is these tokens, wherever no letter or digit is next to its own letters;
        scripts without blanks have it anywhere. Of several strings at a place the longest counts. Sentences
        do not end within it.

        Raises ValueError if the tokens do not make up the string one after the other, or begin or end with
        white space.
        """
        self._special.add(string, tokens)

    @property
    def special_cases(self) -> Mapping[str, Sequence[str]]:
        """What was added, and its tokens."""
        return self._special.tokens

    def score(self, examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
        """Tokens and sentences, by spaCy's scorer: `token_acc`, `token_f`, `sents_f`, with precision and
        recall. settings: as `Language.evaluate` calls it."""
        examples = list(examples)
        scores = Scorer.score_tokenization(examples)
        scores |= Scorer.score_spans(examples, "sents", has_annotation=_has_sentences)
        scores.pop("sents_per_type", None)
        return scores

    def _read(self, texts: JoinedTexts) -> Segmentation:
        return self._trained.reader.read(
            texts, code=self._language, line_breaks=self.line_breaks, special=self._special
        )

    def _words(self, text: str, tokens: Segmentation) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The words of multiword tokens, by the token's number."""
        for first, end, code in tokens.stretch_bounds():
            expander = self._trained.expander(code)
            if expander is None:
                continue
            own = slice(first, end)
            places = zip(tokens.starts[own].tolist(), tokens.ends[own].tolist(), strict=True)
            rows = enumerate(zip(places, tokens.multiword[own].tolist(), strict=True), start=first)
            for i, ((start, stop), likely) in rows:
                form = text[start:stop]
                if likely < 0:
                    words = expander.unlikely(form)
                else:
                    words = expander.likely(form, tokens.splits.get(i, ()), likely)
                if words is not None:
                    yield i, words

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """exclude: as spaCy calls it; the vocab is never part of it."""
        settings = {
            "language": self._language,
            "line_breaks": self.line_breaks,
            "special_cases": dict(self._special.tokens),
            "config": self._config,
        }
        message: dict[str, Any] = {"settings": json.dumps(settings, ensure_ascii=False)}
        if self._learned is not None:
            message["model"] = self.model.to_bytes()
            message["expansions"] = {lang: found.to_text() for lang, found in sorted(self.expansions.items())}
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> Segmenter:
        """Become what `to_bytes` was called of; settings that the pipeline's config has changed since, as
        that which is passed to `spacy.load`, stay. Raises ValueError for data that are damaged or of another
        version, or a language that is not among what was learned, and changes nothing then."""
        try:
            message = srsly.msgpack_loads(data)
            settings = json.loads(message["settings"])
            stored = SegmenterSettings(settings["language"], settings["line_breaks"])
            config = None if settings.get("config") is None else SegmenterSettings(*settings["config"])
            special, learned = SpecialCases(settings["special_cases"]), None
            if "model" in message:
                model, texts = SegmenterModel.from_bytes(message["model"]), message["expansions"]
                learned = Learned(model, {lang: Expansions.from_text(found) for lang, found in texts.items()})
                _check_language(stored.language, model)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnpackException) as error:
            raise ValueError(
                f"the segmenter cannot be read ({type(error).__name__}: {error}); it is damaged, or of "
                "another version: install the pipeline's package and mminibert again"
            ) from error
        chosen = stored if self._config is None else self._config.over(stored, config)
        if learned is not None:
            _check_language(chosen.language, learned.model)
        self._language, self.line_breaks = chosen
        self._config = self._config or config
        self._special, self._learned = special, learned
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """One file, and its checksum beside it."""
        Path(path).write_bytes(self.to_bytes())
        write_checksum(Path(path))

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Segmenter:
        """The same as `from_bytes`, with the path in the error, and also for a wrong checksum."""
        check_file(Path(path))
        try:
            return self.from_bytes(Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def __reduce__(self) -> tuple[Callable[..., Segmenter], tuple[Vocab, bytes]]:
        return _unpickled, (self.vocab, self.to_bytes())


def _check_language(code: str | None, model: SegmenterModel) -> None:
    if code is not None and not (isinstance(code, str) and code in model.code_numbers):
        lang = language_of(code) if isinstance(code, str) else ""
        own = [each for each in model.codes if language_of(each) == lang] or list(model.languages)
        raise ValueError(
            f"got language {code!r}, expected one of {', '.join(own)}; None finds the language in the text, "
            "`nlp.tokenizer.languages` has all"
        )


def _has_sentences(doc: Doc) -> bool:
    return bool(doc.has_annotation("SENT_START"))


def _unpickled(vocab: Vocab, data: bytes) -> Segmenter:
    return Segmenter(vocab).from_bytes(data)


def make_segmenter(language: str | None = None, line_breaks: bool = False) -> Callable[[Language], Segmenter]:
    """Registered as ``mminibert.Segmenter.v1``; the settings are those of `Segmenter`. `nlp.pipe` of the
    pipeline that it is made for reads texts together."""

    def create(nlp: Language) -> Segmenter:
        reads_together(nlp, Segmenter)
        made = Segmenter(nlp.vocab, language=language, line_breaks=line_breaks)
        made._config = SegmenterSettings(language, line_breaks)
        return made

    return create
