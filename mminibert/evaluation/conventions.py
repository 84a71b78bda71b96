"""What a pipeline with conventions is told of a treebank that it is scored on, and the same text tagged with
each of several things told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, runtime_checkable

from spacy.language import Language
from spacy.tokens import Doc

from ..runtime.languages import language_of
from ..runtime.morphologizer import COMPONENT, FactoredMorphologizer

__all__ = [
    "DEV_IN_TRAINING",
    "MODES",
    "Tagged",
    "Told",
    "conventional",
    "dev_in_training",
    "modes_of",
    "tag_in_each",
    "tokenizing_in",
]

DEV_IN_TRAINING = "dev_in_training"
"""The entry of meta.json with the codes of the conventions that learned from their treebank's dev set."""

MODES = {
    "given": "the treebank's own convention",
    "default": "the default convention of its language",
    "found": "nothing known: the language is found in the text",
}
"""What is known of a text, from the most to nothing."""


@runtime_checkable
class LanguageTokenizer(Protocol):
    """A tokenizer that may be told what it reads: a language, or the code of a treebank, whose way of cutting
    words it then takes. None: it finds the language. One that is not among `languages` raises ValueError."""

    language: str | None

    @property
    def languages(self) -> Collection[str]: ...


@dataclass(frozen=True)
class Told:
    """What a pipeline is told of a text: its tagger a convention, its tokenizer a language or the code of a
    treebank. None: nothing, or the tokenizer cannot be told."""

    convention: str | None = None
    tokenizer: str | None = None


def conventional(nlp: Language) -> FactoredMorphologizer | None:
    """The tagger of a pipeline with conventions; None for a pipeline without."""
    pipe = nlp.get_pipe(COMPONENT) if COMPONENT in nlp.pipe_names else None
    return pipe if isinstance(pipe, FactoredMorphologizer) and pipe.conventions is not None else None


def modes_of(nlp: Language, ltcode: str) -> dict[str, Told]:
    """Of `MODES` those that a treebank can be tagged in, and what the pipeline is told in each.

    Empty for a pipeline without conventions. A treebank without a convention of its own is not `given`; one
    whose language has none (code-mixed text among them) is `found` alone. A pipeline that cannot find
    languages, as in training, has nothing for `found`. A tokenizer that does not know the treebank is told
    its language instead.
    """
    pipe = conventional(nlp)
    if pipe is None or pipe.conventions is None:
        return {}
    language = language_of(ltcode)
    known = nlp.tokenizer.languages if isinstance(nlp.tokenizer, LanguageTokenizer) else ()
    told = language if language in known else None
    modes = {}
    if ltcode in pipe.conventions.codes:
        modes["given"] = Told(ltcode, ltcode if ltcode in known else told)
    if default := pipe.conventions.defaults.get(language):
        modes["default"] = Told(default, told)
    if pipe.languages is not None or len(pipe.conventions.languages) == 1:
        modes["found"] = Told()
    return modes


def dev_in_training(nlp: Language, ltcode: str, parts: Mapping[str, int]) -> bool | None:
    """Whether sentences of a treebank's dev set were trained on; None if that is not recorded.

    parts: words of its train file by where they come from. A pipeline's conventions may have learned from
    dev besides, which its meta.json says.
    """
    if parts.get("dev"):
        return True
    if conventional(nlp) is None:
        return False
    learned = nlp.meta.get(DEV_IN_TRAINING)
    return None if learned is None else ltcode in learned


@contextmanager
def tokenizing_in(nlp: Language, language: str | None) -> Iterator[None]:
    """For a while with a tokenizer that is told this language, None for that which it finds. One that cannot
    be told, such as spaCy's own, stays as it is. Raises ValueError for a language that it does not know."""
    tokenizer = nlp.tokenizer
    if not isinstance(tokenizer, LanguageTokenizer):
        yield
        return
    before = tokenizer.language
    tokenizer.language = language
    try:
        yield
    finally:
        tokenizer.language = before


@dataclass(frozen=True)
class Tagged:
    """A text as CoNLL-U, by what the pipeline was told of it, and the seconds for the first of them."""

    conllu: Mapping[Told, str]
    seconds: float


def tag_in_each(
    nlp: Language,
    inputs: Sequence[str] | Iterable[Doc],
    tolds: Sequence[Told],
    write: Callable[[Iterable[Doc]], str],
    *,
    batch_size: int,
) -> Tagged:
    """Tag texts or Docs with each of what may be told; `write` makes CoNLL-U of the Docs.

    As long as the tokenizer is told the same, all but the tagger, and what comes after it, runs once: the
    Docs keep the encoder's vectors. The pipeline works afterwards as it did before. A pipeline without
    conventions tags once, told nothing, and no Doc is kept.
    """
    start = perf_counter()
    pipe = conventional(nlp)
    if pipe is None:
        text = write(nlp.pipe(inputs, batch_size=batch_size))
        return Tagged({Told(): text}, perf_counter() - start)
    conllu: dict[Told, str] = {}
    seconds = 0.0
    anew = nlp.pipe_names[nlp.pipe_names.index(COMPONENT) :]
    last: Told | None = None
    for told in tolds:
        with tokenizing_in(nlp, told.tokenizer), pipe.tagging_in(told.convention):
            if last is None or told.tokenizer != last.tokenizer:
                docs = list(nlp.pipe(inputs, batch_size=batch_size))
            else:
                with nlp.select_pipes(enable=anew):
                    docs = list(nlp.pipe(docs, batch_size=batch_size))
        conllu[told], last = write(docs), told
        seconds = seconds or perf_counter() - start
    return Tagged(conllu, seconds)
