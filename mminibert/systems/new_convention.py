"""A treebank of one's own as one more convention of a packaged pipeline; needs no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..data.conllu import Sentence as ConlluSentence
from ..data.conllu import read_conllu
from ..data.corpus import inventory_of
from ..data.docs import tokens_doc, words_doc
from ..evaluation.conventions import LanguageTokenizer, Told
from ..evaluation.metrics import universal_features
from ..evaluation.own_scores import Scores, own_scores
from ..files import replace_folder, sha256, write_json
from ..packaging.assemble import assemble, parts_of
from ..packaging.segmenter_part import SegmenterPart
from ..runtime.conventions import Conventions
from ..runtime.doc_labels import doc_labels
from ..runtime.labels import Label
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from ..runtime.segmenter import Segmenter
from .convention_fit import ConventionFit, FitSettings
from .convention_sentences import Sentence
from .conventions import start_head, words_of
from .counted import with_counted
from .lemmas import with_lemmas_of
from .new_segmentation import with_segmentation
from .own_pipeline import named, write_pipeline
from .own_treebank import OwnTreebank, read_own, with_blanks

__all__ = ["OnScore", "Outcome", "add_convention"]

PASSES = 10
"""Over the training words, at least `LEAST_VISITS` batches."""
LEAST_VISITS, MOST_VISITS = 200, 4000
ROUNDS = 10
"""Times at which the head is scored on dev; the best is kept."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of words in 0..1 with the right UPOS and universal features; of those whose label is known."""

    upos: float
    ufeats: float


OnScore = Callable[[int, float, Accuracy], None]
"""Told of a step, its loss, and the accuracies on dev then."""


@dataclass(frozen=True)
class Outcome:
    """nlp: the pipeline with one more convention, in which it tags and segments. scores: ``dev before``,
    ``dev after`` and, with a test file, ``test before`` and ``test after``; before: in the convention that
    was the language's default. notes: what else its user should know."""

    nlp: Language
    code: str
    scores: Mapping[str, Scores]
    notes: tuple[str, ...]


def add_convention(
    trained: Language,
    train: Path,
    output: Path,
    *,
    code: str | None = None,
    lang: str | None = None,
    dev: Path | None = None,
    test: Path | None = None,
    name: str | None = None,
    version: str | None = None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_score: OnScore = lambda *_: None,
) -> Outcome:
    """The pipeline that `trained` becomes with a treebank's way to annotate, and to segment text, beside
    those
    that it has.

    Its networks and all other conventions stay as they are, to the bit. code: of the new convention, such as
    ``fi_mine``; by default ``<lang>_own``, of the language `lang`, else that which most of the words are of.
    dev: CoNLL-U to choose the best state by; by default a tenth of `train`. test: CoNLL-U that is scored, and
    nothing else. Without FEATS in `train` features are those of the language's default convention. name,
    version: see `named`. The result tags and segments in the new convention until another one is set.

    ``output/model`` is the result, ``output/run.json`` what it was made of and the scores. Raises ConlluError
    for a bad file, and ValueError if there are fewer than two sentences, `trained` has no conventions, or a
    name is wrong; then nothing is written."""
    pipe = tagger(trained)
    conventions = pipe.conventions
    if conventions is None:
        raise ValueError("the pipeline has no conventions; train all of it instead, with --encoder")
    own, tested = read_own(train, dev), [] if test is None else list(read_conllu(test))
    code = code or f"{lang or _language(trained, conventions, own.learned)}_own"
    if not language_of(code) or "_" not in code:
        raise ValueError(f"got convention {code!r}, expected a language and a name, such as fi_mine")
    default = conventions.defaults.get(language_of(code))
    meta = named(trained, code, f"Convention {code}: {train.name}", name, version)
    learned = _learned(trained, own, default)
    held_out = [_labelled(words_doc(sentence, trained.vocab)) for sentence in own.held_out]
    inventory = inventory_of(label for _, labels in learned for label in labels)
    table = conventions.forms(code)
    places = {} if table is None else {feature: i for i, feature in enumerate(table.features)}
    words = words_of(trained, learned, inventory, places)
    visits = math.ceil(PASSES * len(words.values) / FitSettings.batch_words)
    settings = FitSettings(
        visits=min(max(visits, LEAST_VISITS), MOST_VISITS), conventions=1, upos_weight=pipe.upos_weight
    )
    fit = ConventionFit.one_more(settings, conventions, code, *start_head(trained, inventory, code))
    steps = fit.steps(1)
    best: tuple[float, Conventions] | None = None

    def score(step: int, loss: float) -> None:
        nonlocal best
        on_step(step, steps, loss)
        if step % max(steps // ROUNDS, 1) == 0 or step == steps:
            made = conventions.with_head(fit.head(code, inventory))
            found = _accuracy(trained, made, code, held_out)
            on_score(step, loss, found)
            if best is None or found.upos + found.ufeats > best[0]:
                best = found.upos + found.ufeats, made

    fit.run({code: words}, score)
    assert best is not None
    made = best[1]
    in_words, in_tokens = learned[: len(own.learned)], learned[len(own.learned) :]
    made = made.with_head(with_counted(trained, made, made.head(code), in_words, in_tokens))
    parts = replace(parts_of(trained), conventions=made)
    segmenter, notes = _segmenter(parts.segmenter, code, own, train)
    lemmas = parts.lemmas
    if lemmas is not None:
        lemmas = with_lemmas_of(
            lemmas, code, default, [words_doc(found, trained.vocab) for found in own.learned]
        )
        if lemmas is None:
            notes = (*notes, f"{train}: no word has a LEMMA; the new convention has none")
            lemmas = parts.lemmas
    parts = replace(parts, segmenter=segmenter, lemmas=lemmas)
    nlp = assemble(trained, parts, convention=code, meta=meta)
    if isinstance(nlp.tokenizer, Segmenter) and code in nlp.tokenizer.model.codes:
        nlp.tokenizer.language = code
    _list(nlp, made, code)
    if code in conventions.codes:
        notes = (*notes, f"it takes the place of the convention {code} that the pipeline had")
    if not own.knows_feats:
        notes = (f"{train}: no word has FEATS; features are those of {default}", *notes)
    lang, scores = language_of(code), {}
    for split, sentences in (("dev", own.held_out), ("test", tested)):
        if sentences:
            scores[f"{split} before"] = own_scores(trained, sentences, _told(trained, default, lang))
            scores[f"{split} after"] = own_scores(nlp, sentences, _told(nlp, code, lang))
    record = {
        "convention": code,
        "settings": asdict(settings),
        "train": {"name": train.name, "sha256": sha256(train)},
        "dev": None if dev is None else {"name": dev.name, "sha256": sha256(dev)},
        "test": None if test is None else {"name": test.name, "sha256": sha256(test)},
        "pipeline": {"name": trained.meta["name"], "version": trained.meta["version"]},
        "scores": scores,
        "notes": notes,
    }
    output.mkdir(parents=True, exist_ok=True)
    replace_folder(output / "model", lambda path: write_pipeline(nlp, trained, path))
    write_json(output / "run.json", record)
    return Outcome(nlp, code, scores, notes)


def _learned(nlp: Language, own: OwnTreebank, default: str | None) -> list[Sentence]:
    """To learn from: words, and surface tokens where they differ; if features are unknown, with those that
    the
    language's default convention has, where it also has the right UPOS."""
    docs = [words_doc(sentence, nlp.vocab) for sentence in own.learned]
    for sentence in own.learned:
        if any(len(parts) > 1 for _, _, parts in sentence.tokens()):
            docs.append(tokens_doc(sentence, nlp.vocab))
    found = [_labelled(doc) for doc in docs]
    if own.knows_feats or default is None:
        return found
    pipe = tagger(nlp)
    with pipe.tagging_in(default):
        predictions = pipe.predict([Doc(nlp.vocab, words=words) for words, _ in found])
        told = [[pipe.combinations[i] for i in prediction.combinations] for prediction in predictions]
    pairs = [list(zip(labels, one, strict=True)) for (_, labels), one in zip(found, told, strict=True)]
    common = {gold[0] for of_one in pairs for gold, predicted in of_one if gold[0] == predicted[0]}

    def label(gold: Label, predicted: Label) -> Label:
        if gold[0] == predicted[0]:
            return predicted
        return gold[0], "" if gold[0] in common else "_"

    return [
        (words, [label(*pair) for pair in of_one]) for (words, _), of_one in zip(found, pairs, strict=True)
    ]


def _segmenter(
    part: SegmenterPart | None, code: str, own: OwnTreebank, train: Path
) -> tuple[SegmenterPart | None, tuple[str, ...]]:
    """With the convention, if that can be learned, and what to say if not."""
    if part is None:
        return None, ()
    sentences = with_blanks(own.learned, language_of(code))
    if not sentences:
        return part, (
            f"{train}: neither SpaceAfter=No nor # text says where blanks are; text is segmented as before",
        )
    found = with_segmentation(part, code, sentences)
    if found is None:
        lang = language_of(code)
        return part, (f"the tokenizer does not know the language {lang}; text is segmented as before",)
    return found, ()


def _told(nlp: Language, convention: str | None, lang: str) -> Told:
    """The tokenizer is told the convention if it knows it, else the language, else nothing."""
    known = nlp.tokenizer.languages if isinstance(nlp.tokenizer, LanguageTokenizer) else ()
    return Told(convention, next((code for code in (convention, lang) if code in known), None))


def _labelled(doc: Doc) -> Sentence:
    return [token.text for token in doc], doc_labels(doc)


def _language(nlp: Language, conventions: Conventions, sentences: Sequence[ConlluSentence]) -> str:
    """The language that most words are of, as the pipeline finds it."""
    if len(conventions.languages) == 1:
        return conventions.languages[0]
    forms = ([word.form for word in sentence.words] for sentence in sentences[:500])
    docs = [Doc(nlp.vocab, words=words) for words in forms]
    pipe = tagger(nlp)
    with pipe.tagging_in(None):
        predictions = pipe.predict(docs)
    words: Counter[str] = Counter()
    for doc, prediction in zip(docs, predictions, strict=True):  # a sentence each
        for _, code in prediction.conventions:
            words[language_of(code)] += len(doc)
    return words.most_common(1)[0][0]


def _accuracy(
    nlp: Language, conventions: Conventions, code: str | None, sentences: Sequence[Sentence]
) -> Accuracy:
    """By these conventions, in this one; None: in that of the language which is found in each sentence."""
    pipe = tagger(nlp)
    docs = [Doc(nlp.vocab, words=words) for words, _ in sentences]
    with pipe.tagging_in(code, conventions):
        predictions = pipe.predict(docs)
    predicted = (conventions.labels[i] for prediction in predictions for i in prediction.combinations)
    gold = (label for _, labels in sentences for label in labels)
    return _count(zip(gold, predicted, strict=True))


def _count(pairs: Iterable[tuple[Label, Label]]) -> Accuracy:
    right = {"upos": 0, "ufeats": 0}
    known = {"upos": 0, "ufeats": 0}
    for (upos, feats), (found_upos, found_feats) in pairs:
        if upos:
            known["upos"] += 1
            right["upos"] += upos == found_upos
        if feats:
            known["ufeats"] += 1
            right["ufeats"] += universal_features(feats) == universal_features(found_feats)
    return Accuracy(*(right[name] / max(known[name], 1) for name in right))


def _list(nlp: Language, conventions: Conventions, code: str) -> None:
    """The convention among those of meta.json."""
    lang = language_of(code)
    entry = {"code": code, "language": lang, "default": conventions.defaults[lang] == code}
    listed = [row for row in nlp.meta.get("conventions") or [] if row["code"] != code]
    nlp.meta["conventions"] = [*listed, entry]
