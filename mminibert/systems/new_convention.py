"""A treebank of one's own as one more convention of a packaged pipeline; needs no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..data.conllu import read_conllu
from ..data.docs import tokens_doc, words_doc
from ..evaluation.metrics import universal_features
from ..files import replace_folder, sha256, write_json
from ..packaging.assemble import assemble, parts_of
from ..runtime.conventions import Conventions
from ..runtime.labels import Label, doc_labels
from ..runtime.languages import language_of
from ..runtime.pipeline import tagger
from .convention_fit import ConventionFit, FitSettings
from .conventions import Sentence, inventory_of, start_head, words_of

__all__ = ["Accuracy", "Outcome", "add_convention"]

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


@dataclass(frozen=True)
class Outcome:
    """nlp: the pipeline with one more convention, in which it tags. before, after: on dev, in the convention
    that was the language's default, and in the new one."""

    nlp: Language
    code: str
    before: Accuracy
    after: Accuracy


def add_convention(
    trained: Language,
    train: Path,
    output: Path,
    *,
    code: str | None = None,
    dev: Path | None = None,
    on_step: Callable[[int, int, float], None] = lambda *_: None,
) -> Outcome:
    """The pipeline that `trained` becomes with a treebank's way to annotate beside those that it has.

    Its encoder and all other conventions stay as they are, to the bit. code: of the new convention, such as
    ``fi_mine``; by default ``<lang>_own`` for the language that most of the sentences are of. dev: CoNLL-U to
    choose the best state by; by default a tenth of `train`. The result tags in the new convention until
    another one is set.

    ``output/model`` is the result, ``output/run.json`` what it was made of. Raises ConlluError for a bad
    file, and ValueError if there are fewer than two sentences, or `trained` has no conventions; then nothing
    is written.
    """
    pipe = tagger(trained)
    conventions = pipe.conventions
    if conventions is None:
        raise ValueError("the pipeline has no conventions; train all of it instead, with --encoder")
    learned, held_out = _sentences(trained, train, dev)
    code = code or f"{_language(trained, conventions, learned)}_own"
    if not language_of(code) or "_" not in code:
        raise ValueError(f"got convention {code!r}, expected a language and a name, such as fi_mine")
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
    best: tuple[float, Conventions, Accuracy] | None = None

    def score(step: int, loss: float) -> None:
        nonlocal best
        on_step(step, steps, loss)
        if step % max(steps // ROUNDS, 1) == 0 or step == steps:
            made = conventions.with_head(fit.head(code, inventory))
            found = _accuracy(trained, made, code, held_out)
            if best is None or found.upos + found.ufeats > best[0]:
                best = found.upos + found.ufeats, made, found

    before_code = conventions.defaults.get(language_of(code))
    before = _accuracy(trained, conventions, before_code, held_out)
    fit.run({code: words}, score)
    assert best is not None
    nlp = _with_conventions(trained, best[1], code, train)
    record = {
        "convention": code,
        "settings": asdict(settings),
        "train": {"name": train.name, "sha256": sha256(train)},
        "dev": None if dev is None else {"name": dev.name, "sha256": sha256(dev)},
        "pipeline": {"name": trained.meta["name"], "version": trained.meta["version"]},
        "dev_before": asdict(before),
        "dev_after": asdict(best[2]),
    }
    output.mkdir(parents=True, exist_ok=True)
    replace_folder(output / "model", nlp.to_disk)
    write_json(output / "run.json", record)
    return Outcome(nlp, code, before, best[2])


def _sentences(nlp: Language, train: Path, dev: Path | None) -> tuple[list[Sentence], list[Sentence]]:
    """To learn from, words and surface tokens, and words alone to score by."""
    found = list(read_conllu(train))
    if dev is not None:
        held_out = list(read_conllu(dev))
    else:
        if len(found) < 2:
            raise ValueError(
                f"{train}: got {len(found)} sentences, expected two or more: a tenth is held out to choose "
                "the best state by; give another file for that with --dev"
            )
        order = np.random.default_rng(0).permutation(len(found))
        tenth = set(order[: max(len(found) // 10, 1)].tolist())
        held_out = [sentence for i, sentence in enumerate(found) if i in tenth]
        found = [sentence for i, sentence in enumerate(found) if i not in tenth]
    if not found or not held_out:
        empty = train if not found else dev
        raise ValueError(f"{empty}: no sentence, expected CoNLL-U with one or more")
    learned = [_labelled(words_doc(sentence, nlp.vocab)) for sentence in found]
    for sentence in found:
        if any(len(parts) > 1 for _, _, parts in sentence.tokens()):
            learned.append(_labelled(tokens_doc(sentence, nlp.vocab)))
    return learned, [_labelled(words_doc(sentence, nlp.vocab)) for sentence in held_out]


def _labelled(doc: Doc) -> Sentence:
    return [token.text for token in doc], doc_labels(doc)


def _language(nlp: Language, conventions: Conventions, sentences: Sequence[Sentence]) -> str:
    """The language that most words are of, as the pipeline finds it."""
    if len(conventions.languages) == 1:
        return conventions.languages[0]
    docs = [Doc(nlp.vocab, words=words) for words, _ in sentences[:500]]
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


def _with_conventions(trained: Language, conventions: Conventions, code: str, train: Path) -> Language:
    nlp = assemble(trained, replace(parts_of(trained), conventions=conventions), convention=code)
    source = {"name": f"Convention {code}: {train.name}"}
    nlp.meta["sources"] = [*(nlp.meta.get("sources") or []), source]
    lang = language_of(code)
    entry = {"code": code, "language": lang, "default": conventions.defaults[lang] == code}
    listed = [row for row in nlp.meta.get("conventions") or [] if row["code"] != code]
    nlp.meta["conventions"] = [*listed, entry]
    return nlp
