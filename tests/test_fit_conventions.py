"""Conventions fitted to a corpus: what each learns from, by counts over the corpus, and what it becomes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from students import (
    LEXICON,
    MASKED,
    hide_features,
    inventory,
    make_corpus,
    make_student,
    random_sentences,
    write_treebank,
    write_vocabulary,
)

from mminibert.data.convert import convert
from mminibert.data.corpus import SUFFIXES, read_docs
from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.packaging.quantize import quantize, score_conventions
from mminibert.runtime.doc_labels import doc_labels
from mminibert.runtime.labels import Inventory
from mminibert.runtime.losses import one_hot
from mminibert.runtime.pipeline import tagger
from mminibert.systems import conventions as module
from mminibert.systems.convention_fit import FitSettings
from mminibert.systems.convention_sentences import Sentence
from mminibert.systems.convention_text import LabelledText
from mminibert.systems.conventions import Fitted, completed, encode, fit_again, fit_conventions

TREEBANKS = ["en_a", "en_b", "de_a", "fi_none"]
SETTINGS = FitSettings(visits=150, width=8, batch_words=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, `fi_none` of which has no training sentences, and a packaged pipeline that knows nothing."""
    folder = tmp_path_factory.mktemp("fit")
    corpus = make_corpus(folder, {"en_a": 80, "en_b": 20, "de_a": 40})
    (corpus / "fi_none").mkdir()
    entries = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    entries["treebanks"]["fi_none"] = {"lang": "fi", "labels": "gold", "splits": {}}
    (corpus / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    nlp = quantize(make_student(write_vocabulary(folder / "vocab.txt"), inventory()), [])
    layer: Any = tagger(nlp).output_layer
    random = np.random.default_rng(0)
    layer.set_param("W", random.normal(size=layer.get_param("W").shape).astype(np.float32))
    nlp.to_disk(folder / "xx")
    return folder


@pytest.fixture
def nlp(folder: Path) -> Language:
    return spacy.load(folder / "xx")


def defaults(sizes: Mapping[str, int]) -> dict[str, str]:
    """By language the one with the most words."""
    return {code.split("_")[0]: code for code in sorted(sizes, key=lambda code: sizes[code])}


def fit(nlp: Language, corpus: Path, **settings: Any) -> tuple[Fitted, dict[str, int]]:
    """And how many words each convention learned from."""
    said: list[str] = []
    given = {"known": (), "settings": SETTINGS, **settings}
    found = fit_conventions(nlp, corpus, TREEBANKS, defaults, say=said.append, **given)
    rows = (line.split() for line in said)
    return found, {row[0].rstrip(":"): int(row[1].replace(",", "")) for row in rows}


def words_in(corpus: Path, code: str, split: str) -> int:
    """In both units, syntactic words and surface tokens."""
    return sum(map(len, read_docs(corpus, code, split, Vocab(), units=tuple(SUFFIXES))))


def test_each_shows_what_its_treebank_does_and_learns_it(folder: Path, nlp: Language) -> None:
    fitted, _ = fit(nlp, folder / "corpus")
    conventions, pipe = fitted.conventions, tagger(nlp)
    assert conventions.codes == ("de_a", "en_a", "en_b")
    assert conventions.defaults == {"de": "de_a", "en": "en_a"}
    assert fitted.dev == []
    known = {label for word, label in LEXICON.items() if word != MASKED}
    for code in conventions.codes:
        assert set(conventions.inventory(code).combinations) == known
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(40, seed=5)]
    gold = [LEXICON[token.text][0] for doc in docs for token in doc]
    accuracy: dict[str | None, float] = {}
    for given in (None, *conventions.codes):
        pipe.conventions = None if given is None else conventions
        pipe.convention = given
        found = [token.pos_ for doc in nlp.pipe(doc.copy() for doc in docs) for token in doc]
        accuracy[given] = float(np.mean([a == b for a, b in zip(gold, found, strict=True)]))
        pipe.convention = None
    before = accuracy.pop(None)
    assert min(accuracy.values()) > before + 0.3


def test_each_is_scored_on_its_own_dev_set(folder: Path, nlp: Language) -> None:
    fitted, _ = fit(nlp, folder / "corpus")
    pipe = tagger(nlp)
    pipe.conventions = fitted.conventions
    found = score_conventions(nlp, folder / "corpus", ["en_a", "en_b", "fi_none"])
    assert list(found) == ["en_a", "en_b"] and pipe.convention is None
    for code, scores in found.items():
        docs = read_docs(folder / "corpus", code, "dev", nlp.vocab, units=("words",))
        pipe.convention = code
        tagged = [token for doc in nlp.pipe(doc.copy() for doc in docs) for token in doc]
        pipe.convention = None
        gold = [token for doc in docs for token in doc]
        known = [(a, b) for a, b in zip(gold, tagged, strict=True) if a.text != MASKED]
        assert scores["words"] == len(gold) > scores["words_with_feats"] == len(known)
        assert scores["UPOS"] == pytest.approx(
            np.mean([a.pos == b.pos for a, b in zip(gold, tagged, strict=True)])
        )
        assert scores["UFeats"] == pytest.approx(np.mean([str(a.morph) == str(b.morph) for a, b in known]))
        assert 0.3 < scores["UPOS"] < 1


def test_a_treebank_that_tells_features_of_punctuation_alone_has_all_its_upos(
    nlp: Language, tmp_path: Path
) -> None:
    write_treebank(tmp_path / "ud", "en_a", seed=0, train=80, dev=10)
    hide_features(tmp_path / "ud/en_a", but="PUNCT")
    convert(tmp_path / "ud", tmp_path / "corpus")
    fitted = fit_conventions(nlp, tmp_path / "corpus", ["en_a"], defaults, known=(), settings=SETTINGS)
    pipe = tagger(nlp)
    pipe.conventions, pipe.convention = fitted.conventions, "en_a"
    gold = {word: upos for word, (upos, _) in LEXICON.items()}
    assert set(fitted.conventions.inventory("en_a").combinations) == {(upos, "_") for upos in gold.values()}
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(40, seed=5)]
    found = [(token.pos_, gold[token.text]) for doc in nlp.pipe(docs) for token in doc]
    assert np.mean([one == other for one, other in found]) > 0.7


def test_a_upos_that_a_treebank_does_not_tell_is_tagged_nevertheless(tmp_path: Path) -> None:
    """Of en_a the UPOS of adjectives is unknown; the head for all tells it, but of what it takes for X."""
    labels = Inventory.from_labels([*LEXICON.values(), ("X", "_")])
    nlp = quantize(make_student(write_vocabulary(tmp_path / "vocab.txt"), labels), [])
    for code in ("en_a", "en_b"):
        write_treebank(tmp_path / "ud", code, seed=1, train=60, dev=10)
    for path in (tmp_path / "ud/en_a").iterdir():
        text = re.sub(
            r"\tADJ\t(.*)\t[^\t\n]+\n", r"\tADJ\t\1\tUpos=Unknown|Feats=Unknown\n", path.read_text("utf-8")
        )
        path.write_text(text, encoding="utf-8")
    convert(tmp_path / "ud", tmp_path / "corpus")
    corpus, pipe = tmp_path / "corpus", tagger(nlp)
    sentences = random_sentences(80, seed=3)
    rows = encode(nlp, sentences).astype(np.float32)
    values = pipe.inventory.fields[0][1]
    told_of_all = {word: "X" if word == "bad" else upos for word, (upos, _) in LEXICON.items()}
    gold = np.asarray(
        [[told_of_all[word] == upos for upos in values] for words in sentences for word in words]
    )
    found = np.linalg.lstsq(np.c_[rows, np.ones(len(rows))], 10 * gold.astype(np.float32), rcond=None)[0].T
    layer: Any = pipe.output_layer
    for name, value in (("W", found[:, :-1]), ("b", found[:, -1])):
        parameter = layer.get_param(name).copy()
        parameter[: len(values)] = value
        layer.set_param(name, parameter)
    train = [doc_sentence(doc) for doc in read_docs(corpus, "en_a", "train", nlp.vocab, units=("words",))]
    adjectives = [LEXICON[word][0] == "ADJ" for words, _ in train for word in words]
    assert [not upos for _, labels in train for upos, _ in labels] == adjectives
    shown = {*LEXICON.values(), ("X", "_")}
    told, more = completed(nlp, train, shown)
    assert more == {label for label in shown if label[0] == "ADJ"}
    after = [label for _, labels in told for label in labels]
    before = [label for _, labels in train for label in labels]
    for label, old, is_adjective in zip(after, before, adjectives, strict=True):
        assert label in ((("ADJ", ""), ("", "")) if is_adjective else (old,))
    forms = [word for words, _ in train for word in words]
    for form, most, least in (("worse", 1.0, 0.7), ("bad", 0.3, 0.0)):
        share = np.mean([label[0] == "ADJ" for label, word in zip(after, forms, strict=True) if word == form])
        assert least <= share <= most
    assert completed(nlp, train, [("NOUN", "_"), ("X", "_")]) == (train, set())
    conventions = fit_conventions(
        nlp, corpus, ["en_a", "en_b"], defaults, known=(), settings=SETTINGS
    ).conventions
    assert "ADJ" in {upos for upos, _ in conventions.inventory("en_a").combinations}
    # What a teacher says in such a convention is not learned.
    taught = labels.encode([("X", "_")] * sum(map(len, sentences)))
    targets = sparsify(one_hot(taught, labels.starts), labels.starts)
    write_shard(tmp_path / "en-00000.npz", Shard(sentences, targets, ["en_a"] * len(sentences)))
    from_text = LabelledText((tmp_path / "en-00000.npz",), labels)
    told_text = fit_conventions(
        nlp, corpus, ["en_a", "en_b"], defaults, known=(), text=from_text, settings=SETTINGS
    )
    assert told_text.text_words == 0
    for code in ("en_a", "en_b"):
        assert np.array_equal(told_text.conventions.head(code).rows, conventions.head(code).rows)
    pipe.conventions, pipe.convention = conventions, "en_a"
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(40, seed=5)]
    tagged = [(token.pos_, LEXICON[token.text][0]) for doc in nlp.pipe(docs) for token in doc]
    assert np.mean([one == "ADJ" for one, gold in tagged if gold == "ADJ"]) > 0.4
    # Fitted again it is much the same, and the others are the same to the bit.
    pipe.convention = None
    again = fit_again(nlp, corpus, ["en_a"], known=(), settings=SETTINGS)
    assert again.inventory("en_a").combinations == conventions.inventory("en_a").combinations
    assert again.adapter is conventions.adapter and again.head("en_b") is conventions.head("en_b")
    assert not np.array_equal(again.head("en_a").rows, conventions.head("en_a").rows)
    with pytest.raises(ValueError, match="got the conventions en_z, expected some of en_a, en_b"):
        fit_again(nlp, corpus, ["en_a", "en_z"], known=(), settings=SETTINGS)


def doc_sentence(doc: Doc) -> Sentence:
    return [token.text for token in doc], doc_labels(doc)


def test_what_it_learns_from(folder: Path, nlp: Language, tmp_path: Path) -> None:
    """All sentences altered, and as they are too where the encoder does not know them; of a treebank with
    silver labels dev as well."""
    corpus, quick = folder / "corpus", FitSettings(visits=1, width=8)
    train = {code: words_in(corpus, code, "train") for code in ("en_a", "en_b", "de_a")}
    _, plain = fit(nlp, corpus, settings=quick)
    assert plain == {code: 2 * n for code, n in train.items()}
    _, known = fit(nlp, corpus, settings=quick, known=("en_a",))
    assert known == {**plain, "en_a": train["en_a"]}
    silver = tmp_path / "corpus"
    silver.mkdir()
    for path in corpus.iterdir():
        (silver / path.name).symlink_to(path)
    entries = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))
    entries["treebanks"]["de_a"]["labels"] = "silver"
    (silver / "manifest.json").unlink()
    (silver / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    fitted, found = fit(nlp, silver, settings=quick)
    assert found == {**plain, "de_a": 2 * train["de_a"] + words_in(corpus, "de_a", "dev")}
    assert fitted.dev == ["de_a"]
    # A combination that dev alone has is one of the convention.
    (silver / "de_a").unlink()
    shutil.copytree(corpus / "de_a", silver / "de_a")
    docs = list(DocBin().from_disk(silver / "de_a/dev.spacy").get_docs(nlp.vocab))
    docs[0][0].pos_ = "INTJ"
    DocBin(docs=docs).to_disk(silver / "de_a/dev.spacy")

    def upos() -> set[str]:
        conventions = fit(nlp, silver, settings=quick)[0].conventions
        return {upos for upos, _ in conventions.head("de_a").inventory.combinations}

    assert "INTJ" in upos()
    entries["treebanks"]["de_a"]["labels"] = "gold"
    (silver / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
    assert "INTJ" not in upos()


def test_text_that_a_teacher_labelled(folder: Path, nlp: Language, tmp_path: Path) -> None:
    """A teacher that takes nouns for verbs in one convention teaches that convention alone."""
    corpus, whole = folder / "corpus", inventory()
    sentences = random_sentences(300, seed=7)
    labels = {word: ("VERB", "Tense=Pres") if word.startswith("cab") else LEXICON[word] for word in LEXICON}
    told = whole.encode([labels[word] for words in sentences for word in words])
    shard = tmp_path / "en-00000.npz"
    targets = sparsify(one_hot(told, whole.starts), whole.starts)
    write_shard(shard, Shard(sentences, targets, ["en_b"] * len(sentences)))
    text = LabelledText((shard,), whole)
    _, plain = fit(nlp, corpus)
    fitted, found = fit(nlp, corpus, text=text)
    assert found == {**plain, "en_b": plain["en_b"] + len(told)}
    assert fitted.text_words == len(told)
    pipe = tagger(nlp)
    pipe.conventions = fitted.conventions

    def verbs() -> dict[str, float]:
        """Of nouns, the share that each convention tags as verbs."""
        docs = [Doc(nlp.vocab, words=words) for words in random_sentences(40, seed=5)]
        shares = {}
        for code in ("en_a", "en_b"):
            with pipe.tagging_in(code):
                tokens = [token for doc in nlp.pipe(doc.copy() for doc in docs) for token in doc]
            nouns = [token.pos_ == "VERB" for token in tokens if token.text.startswith("cab")]
            shares[code] = float(np.mean(nouns))
        return shares

    first = verbs()
    assert first["en_b"] > 0.8 and first["en_a"] < 0.3
    again = fit_again(nlp, corpus, ["en_a", "en_b"], known=(), settings=SETTINGS)
    pipe.conventions = fit_again(nlp, corpus, ["en_a", "en_b"], known=(), text=text, settings=SETTINGS)
    second = verbs()
    assert second["en_b"] > 0.8 and second["en_a"] < 0.3
    assert np.array_equal(again.head("en_a").rows, pipe.conventions.head("en_a").rows)
    pipe.conventions = again
    assert verbs()["en_b"] < 0.5


def test_a_tiny_treebank_keeps_the_head_for_all(
    folder: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And learns from no text."""
    corpus, pipe = folder / "corpus", tagger(nlp)
    sizes = {code: words_in(corpus, code, "train") for code in ("en_a", "en_b", "de_a")}
    assert sizes["en_b"] < min(sizes["en_a"], sizes["de_a"])
    monkeypatch.setattr(module, "LEAST", sizes["en_b"] + 1)
    whole, sentences = inventory(), random_sentences(5, seed=7)
    verbs = np.repeat(whole.encode([("VERB", "Tense=Pres")]), sum(map(len, sentences)), axis=0)
    targets = sparsify(one_hot(verbs, whole.starts), whole.starts)
    write_shard(tmp_path / "en-00000.npz", Shard(sentences, targets, ["en_b"] * len(sentences)))
    fitted, _ = fit(nlp, corpus, text=LabelledText((tmp_path / "en-00000.npz",), whole))
    assert fitted.text_words == 0
    conventions = fitted.conventions
    docs = [Doc(nlp.vocab, words=words) for words in random_sentences(5, seed=6)]
    rows: list[Any] = pipe.vectors(docs)
    vectors = np.concatenate(rows)
    forms = np.ones((len(vectors), SETTINGS.width), dtype=np.float32)  # which must not matter
    head, names = pipe.logits(docs), outputs(pipe.inventory)
    for code, same in (("en_b", True), ("en_a", False), ("de_a", False)):
        (logits,) = conventions.logits(code, [vectors], forms)
        columns = [names.index(name) for name in outputs(conventions.inventory(code))]
        assert np.allclose(logits, head[:, columns], atol=0.1) == same  # in 8 bits


def outputs(labels: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, values in labels.fields for value in values]


def test_always_the_same(folder: Path, nlp: Language) -> None:
    one, other = (fit(nlp, folder / "corpus")[0].conventions for _ in range(2))
    for code in one.codes:
        assert np.array_equal(one.head(code).rows, other.head(code).rows)


def test_no_training_sentence(folder: Path, nlp: Language) -> None:
    with pytest.raises(ValueError, match="no treebank of fi_none has a training sentence"):
        fit_conventions(nlp, folder / "corpus", ["fi_none"], defaults, known=())
