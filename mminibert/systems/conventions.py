"""The conventions of a profile's treebanks, fitted on the vectors of a packaged pipeline's encoder.

Text that a teacher labelled in them is learned from besides the sentences of their treebanks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..data.corpus import inventory_of, silver_treebanks
from ..packaging.assemble import head_of
from ..runtime.conventions import Conventions
from ..runtime.labels import Inventory, Label
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from ..runtime.types import Floats
from .convention_fit import Adam, ConventionFit, FitSettings, Learned, Words, form_features_of, form_ids
from .convention_sentences import Sentence, chosen, labels_of, read
from .convention_text import LabelledText, TaughtText

__all__ = [
    "Fitted",
    "completed",
    "encode",
    "fit_again",
    "fit_conventions",
    "start_head",
    "words_of",
]

LEAST = 1000
"""Words of a treebank that a head is fitted to; a smaller one has that for all, without what it does not
show."""
OFF = -100.0
"""In a convention's embedding: the adapter then adds nothing."""
ENCODED_AT_ONCE = 400


@dataclass(frozen=True)
class Fitted:
    """dev: the codes of those that learned from their treebank's dev set, too. text_words: words of labelled
    text that they learned from."""

    conventions: Conventions
    dev: list[str]
    text_words: int


def fit_conventions(
    nlp: Language,
    corpus: Path,
    treebanks: Sequence[str],
    defaults: Callable[[Mapping[str, int]], Mapping[str, str]],
    *,
    known: Collection[str],
    text: LabelledText | None = None,
    settings: FitSettings | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
) -> Fitted:
    """A convention for each of the treebanks that has training sentences.

    nlp: a packaged pipeline, whose encoder and head for all are read. Dev sentences are learned from where
    the labels of the training sentences are silver. known: treebanks all of whose training sentences the
    encoder has learned from: these are read altered alone. text: what a teacher labelled in the
    conventions. All learn from it but those that are `completed`, where it has guesses of guesses: with them
    dev sets of three had 2.0 UPOS less. defaults: of the training words by treebank the default convention of
    each language. say: told what is done. on_step: told of each step, their number, and the
    loss. Raises ValueError if no treebank has a training sentence.
    """
    settings = settings or FitSettings()
    silver = silver_treebanks(corpus)
    features: dict[str, list[str]] = {}
    inventories: dict[str, Inventory] = {}
    words: dict[str, Words] = {}
    sizes: dict[str, int] = {}
    from_dev: list[str] = []
    text_words: dict[str, int] = {}
    for lang in dict.fromkeys(map(language_of, treebanks)):  # one at a time: text takes much memory
        codes = [code for code in treebanks if language_of(code) == lang]
        splits = {code: read(corpus, code, code in silver) for code in codes}
        splits = {code: found for code, found in splits.items() if found[0]}
        forms = (form for train, _ in splits.values() for sentence, _ in train for form in sentence)
        features[lang] = form_features_of(forms, settings.features)
        places = {feature: i for i, feature in enumerate(features[lang])}
        shown = set[Label]().union(*(labels_of(*both) for both in splits.values()))
        sentences: dict[str, list[Sentence]] = {}
        whole: dict[str, Inventory] = {}
        for code, (train, dev) in splits.items():
            from_dev += [code] if dev else []
            sizes[code] = sum(len(sentence) for sentence, _ in train)
            train, more = completed(nlp, train, shown)
            inventories[code] = inventory_of(labels_of(train, dev) | more)
            if not more:
                whole[code] = inventories[code]
            sentences[code] = chosen(code, train, dev, code in known, settings.seed)
        taught = {} if text is None else text.of(lang, whole)
        text_words |= {code: len(found.values) for code, found in taught.items()}
        for code in sentences:
            words[code] = words_of(nlp, sentences[code], inventories[code], places, taught.get(code))
            n, combinations = len(words[code].values), len(inventories[code].combinations)
            say(f"{code}: {n:,} words, {combinations:,} combinations")
    if not words:
        raise ValueError(f"{corpus}: no treebank of {', '.join(treebanks)} has a training sentence")
    features = {lang: found for lang, found in features.items() if found}
    heads = {code: start_head(nlp, inventories[code], code) for code in words}
    fitted = [code for code in words if sizes[code] >= LEAST] or list(words)
    fit = ConventionFit.begin(settings, {code: heads[code] for code in fitted}, features)
    steps = fit.steps(len(fitted))
    fit.run({code: words[code] for code in fitted}, lambda step, loss: on_step(step, steps, loss))
    for code in words.keys() - fitted:
        weights, bias = (Adam(array) for array in heads[code])
        fit.heads[code] = Learned(weights, bias, Adam(np.full(settings.width, OFF, dtype=np.float32)))
    learned = sum(text_words.get(code, 0) for code in fitted)
    return Fitted(fit.conventions(inventories, features, defaults(sizes)), from_dev, learned)


def fit_again(
    nlp: Language,
    corpus: Path,
    codes: Collection[str],
    *,
    known: Collection[str],
    text: LabelledText | None = None,
    settings: FitSettings | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Conventions:
    """The conventions of a packaged pipeline, these of which are fitted anew, on the adapter and forms that
    there are; all others stay as they are, to the bit.

    known, text, settings, say: as for `fit_conventions`. Raises ValueError for a convention that the pipeline
    does not have, or without an adapter.
    """
    pipe, settings = tagger(nlp), settings or FitSettings()
    conventions = pipe.conventions
    have = () if conventions is None else conventions.codes
    if conventions is None or (wrong := sorted(set(codes) - set(have))):
        raise ValueError(
            f"got the conventions {', '.join(wrong or codes)}, expected some of {', '.join(have)}"
        )
    silver = silver_treebanks(corpus)
    made = conventions
    for code in codes:
        train, dev = read(corpus, code, code in silver)
        others = [each for each in conventions.of_language(language_of(code)) if each != code]
        shown = {label for each in others for label in conventions.head(each).labels}
        train, more = completed(nlp, train, shown)
        inventory = inventory_of(labels_of(train, dev) | more)
        table = conventions.forms(code)
        places = {} if table is None else {feature: i for i, feature in enumerate(table.features)}
        sentences = chosen(code, train, dev, code in known, settings.seed)
        taught = {} if text is None or more else text.of(language_of(code), {code: inventory})
        words = words_of(nlp, sentences, inventory, places, taught.get(code))
        say(f"{code}: {len(words.values):,} words, {len(inventory.combinations):,} combinations")
        fit = ConventionFit.one_more(settings, conventions, code, *start_head(nlp, inventory))
        fit.run({code: words})
        made = made.with_head(fit.head(code, inventory))
    return made


def completed(
    nlp: Language, sentences: Sequence[Sentence], shown: Collection[Label]
) -> tuple[list[Sentence], set[Label]]:
    """Training sentences with guesses, and the labels that these may have.

    A treebank of which no word is known to be PRON, as it does not tell PRON from DET, would never be tagged
    so. Words of unknown UPOS get that which the head for all finds most probable, if the treebank never shows
    it, but another one of its language does, other than X; features stay unknown. shown: the labels of the
    language's treebanks.
    """
    own = {upos for upos, _ in labels_of(sentences)}
    lacking = {upos for upos, _ in shown} - own - {"", "X"}
    if "" not in own or not lacking:
        return list(sentences), set()
    inventory, (weights, bias) = tagger(nlp).inventory, head_of(nlp)
    values = inventory.fields[0][1]
    n = len(values)
    found: list[Sentence] = []
    for words, labels in sentences:
        if any(not upos for upos, _ in labels):
            best = (encode(nlp, [words]).astype(np.float32) @ weights[:n].T + bias[:n]).argmax(axis=1)
            guesses = [values[i] for i in best.tolist()]
            labels = [
                (guess, "") if not label[0] and guess in lacking else label
                for label, guess in zip(labels, guesses, strict=True)
            ]
        found.append((words, labels))
    guessed = {upos for upos, _ in labels_of(found)} - own
    return found, {label for label in shown if label[0] in guessed and label[1]}


def words_of(
    nlp: Language,
    sentences: Sequence[Sentence],
    inventory: Inventory,
    features: Mapping[str, int],
    taught: TaughtText | None = None,
) -> Words:
    """Sentences as a fit reads them, and then those of a text. features: the rows of the language's forms and
    endings."""
    words = [words for words, _ in sentences]
    values = inventory.encode([label for _, found in sentences for label in found])
    if taught is not None:
        words += taught.sentences
        values = np.concatenate([values, taught.values])
    forms = [form for sentence in words for form in sentence]
    return Words(inventory, encode(nlp, words), form_ids(forms, features), values)


def encode(nlp: Language, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """float16 ``(n_words, width)``: what the pipeline's encoder says of the words of sentences."""
    pipe, found = tagger(nlp), []
    for start in range(0, len(sentences), ENCODED_AT_ONCE):
        docs = [Doc(nlp.vocab, words=list(words)) for words in sentences[start : start + ENCODED_AT_ONCE]]
        found += [np.asarray(rows, dtype=np.float16) for rows in pipe.vectors(docs)]
    return (
        np.concatenate(found) if found else np.zeros((0, pipe.output_layer.get_dim("nI")), dtype=np.float16)
    )


def start_head(nlp: Language, inventory: Inventory, code: str | None = None) -> tuple[Floats, Floats]:
    """Weights ``(n_outputs, width)`` and bias to begin with: for each output that of the pipeline's head for
    all; zero weights, and a bias as of something rare, for what it does not have. code: of a convention whose
    own head comes first."""
    pipe = tagger(nlp)
    base = (pipe.inventory, *head_of(nlp))
    sources: list[tuple[Inventory, Floats, Floats]] = [base]
    if pipe.conventions is not None and code in pipe.conventions.codes:
        head = pipe.conventions.head(code)
        sources.insert(0, (head.inventory, head.weights, head.bias))
    places = [found.outputs for found, _, _ in sources]
    weights = np.zeros((inventory.n_outputs, base[1].shape[1]), dtype=np.float32)
    bias = np.full(inventory.n_outputs, RARE, dtype=np.float32)
    bias[inventory.starts[1:-1]] = 0.0
    for i, output in enumerate(inventory.outputs):
        for (_, w, b), place in zip(sources, places, strict=True):
            if output in place:
                weights[i], bias[i] = w[place[output]], b[place[output]]
                break
    return weights, bias


RARE = -5.0
"""The bias of an output that the pipeline did not have: it is absent from most words."""
