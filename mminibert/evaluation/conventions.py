"""What a pipeline with conventions knows of a treebank that it is scored on, and the same text tagged in each
of several conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from spacy.language import Language
from spacy.tokens import Doc

from ..runtime.languages import language_of
from ..runtime.morphologizer import COMPONENT, FactoredMorphologizer

__all__ = ["DEV_IN_TRAINING", "MODES", "Tagged", "conventional", "dev_in_training", "modes_of", "tag_in_each"]

DEV_IN_TRAINING = "dev_in_training"
"""The entry of meta.json with the codes of the conventions that learned from their treebank's dev set."""

MODES = {
    "given": "the treebank's own convention",
    "default": "the default convention of its language",
    "found": "nothing known: the language is found in the text",
}
"""What is known of a text, from the most to nothing."""


def conventional(nlp: Language) -> FactoredMorphologizer | None:
    """The tagger of a pipeline with conventions; None for a pipeline without."""
    pipe = nlp.get_pipe(COMPONENT) if COMPONENT in nlp.pipe_names else None
    return pipe if isinstance(pipe, FactoredMorphologizer) and pipe.conventions is not None else None


def modes_of(nlp: Language, ltcode: str) -> dict[str, str | None]:
    """Of `MODES` those that a treebank can be tagged in, and the convention of each, None for `found`.

    Empty for a pipeline without conventions. A treebank without a convention of its own is not `given`; one
    whose language has none (code-mixed text among them) is `found` alone. A pipeline that cannot find
    languages, as in training, has nothing for `found`.
    """
    pipe = conventional(nlp)
    if pipe is None or pipe.conventions is None:
        return {}
    given = {"given": ltcode} if ltcode in pipe.conventions.codes else {}
    default = pipe.conventions.defaults.get(language_of(ltcode))
    finds = pipe.languages is not None or len(pipe.conventions.languages) == 1
    return {**given, **({"default": default} if default else {}), **({"found": None} if finds else {})}


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


@dataclass(frozen=True)
class Tagged:
    """A text as CoNLL-U, by the convention that it was tagged in (None: found in the text, or a pipeline
    without), and the seconds for the first of them."""

    conllu: Mapping[str | None, str]
    seconds: float


def tag_in_each(
    nlp: Language,
    inputs: Iterable[str] | Iterable[Doc],
    conventions: Sequence[str | None],
    write: Callable[[Iterable[Doc]], str],
    *,
    batch_size: int,
) -> Tagged:
    """Tag texts or Docs in each of the conventions; `write` makes CoNLL-U of the Docs.

    All but the tagger, and what comes after it, runs once: the Docs keep the encoder's vectors. The pipeline
    tags afterwards as it did before. A pipeline without conventions tags once, and no Doc is kept.
    """
    start = perf_counter()
    pipe = conventional(nlp)
    if pipe is None:
        text = write(nlp.pipe(inputs, batch_size=batch_size))
        return Tagged({None: text}, perf_counter() - start)
    conllu: dict[str | None, str] = {}
    seconds = 0.0
    anew = nlp.pipe_names[nlp.pipe_names.index(COMPONENT) :]
    for convention in conventions:
        with pipe.tagging_in(convention):
            if not conllu:
                docs = list(nlp.pipe(inputs, batch_size=batch_size))
            else:
                with nlp.select_pipes(enable=anew):
                    docs = list(nlp.pipe(docs, batch_size=batch_size))
        conllu[convention] = write(docs)
        seconds = seconds or perf_counter() - start
    return Tagged(conllu, seconds)
