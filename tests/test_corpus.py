"""Readers and batchers, counted by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from students import JOINED, LEXICON, MASKED, hide_features, make_corpus, write_treebank

from mminibert.data.conllu import read_conllu
from mminibert.data.convert import convert
from mminibert.data.corpus import (
    TreebankCorpus,
    batch_by_length,
    collect_labels,
    conventions_of,
    group_by_length,
    read_docs,
)

NLP = spacy.blank("xx")
SIZES = {"en_a": 160, "en_b": 40, "de_a": 10}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), SIZES)


def plain(corpus: Path, ltcode: str, split: str = "train") -> list[tuple[str, ...]]:
    """The words of a treebank's sentences, of the CoNLL-U file itself."""
    path = corpus.parent / "ud" / ltcode / f"{ltcode}-ud-{split}.conllu"
    return [tuple(word.form for word in sentence.words) for sentence in read_conllu(path)]


def texts(examples: Any) -> list[tuple[str, ...]]:
    return [tuple(token.text for token in example.reference) for example in examples]


def test_without_sampling_every_sentence_comes_once_in_order(corpus: Path) -> None:
    reader = TreebankCorpus(corpus, ["en_b", "de_a"], "train")
    expected = plain(corpus, "en_b") + plain(corpus, "de_a")
    assert texts(reader(NLP)) == expected
    assert texts(reader(NLP)) == expected


def test_examples_have_labels_in_the_reference_only(corpus: Path) -> None:
    for example in TreebankCorpus(corpus, ["de_a"], "train")(NLP):
        assert example.predicted.text == example.reference.text
        for predicted, gold in zip(example.predicted, example.reference, strict=True):
            upos, feats = LEXICON[gold.text]
            assert gold.pos_ == upos
            assert gold.has_morph() == (gold.text != MASKED)
            assert str(gold.morph) == ("" if feats == "_" or gold.text == MASKED else feats)
            assert predicted.pos == 0
            assert not predicted.has_morph()


def test_limit_and_length(corpus: Path) -> None:
    reader = TreebankCorpus(corpus, ["en_b", "de_a"], "train", limit=3)
    assert texts(reader(NLP)) == plain(corpus, "en_b")[:3] + plain(corpus, "de_a")[:3]
    reader = TreebankCorpus(corpus, ["en_b"], "train", max_length=5, limit=4)
    short = [words for words in plain(corpus, "en_b") if len(words) <= 5]
    assert 4 < len(short) < SIZES["en_b"]
    assert texts(reader(NLP)) == short[:4]


def test_units(corpus: Path) -> None:
    words = plain(corpus, "en_a")
    found = texts(TreebankCorpus(corpus, ["en_a"], "train", units=("words", "tokens"))(NLP))
    assert found[: len(words)] == words
    tokens = found[len(words) :]
    assert all(JOINED in sentence for sentence in tokens)
    assert texts(TreebankCorpus(corpus, ["en_a"], "train", units=("tokens",))(NLP)) == tokens
    assert len(tokens) > 3
    # `cabs` also starts with `cab`; only the whole word is joined.
    expected = []
    for sentence in words:
        parts: list[str] = []
        for word in sentence:
            if word == "cab" and parts and parts[-1] == "a":
                parts[-1] = JOINED
            else:
                parts.append(word)
        if JOINED in parts:
            expected.append(tuple(parts))
    assert tokens == expected


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_sampling_is_in_proportion_to_a_power_of_size(corpus: Path, exponent: float) -> None:
    words = 3000
    reader = TreebankCorpus(corpus, list(SIZES), "train", epoch_words=words, exponent=exponent, seed=3)
    examples = texts(reader(NLP))
    longest = 12
    counted: Counter[str] = Counter()
    # Sentences of several treebanks may be equal, so the reader's own Docs tell them apart.
    owner = {id(doc): ltcode for ltcode, pool in reader._pools.items() for doc in pool}
    for example in reader(NLP):
        counted[owner[id(example.reference)]] += len(example.reference)
    sizes = {ltcode: sum(map(len, plain(corpus, ltcode))) for ltcode in SIZES}
    total = sum(size**exponent for size in sizes.values())
    for ltcode, size in sizes.items():
        share = words * size**exponent / total
        assert share <= counted[ltcode] < share + longest
    assert words <= sum(map(len, examples)) < words + len(SIZES) * longest


def test_successive_epochs_go_on_through_a_treebank(corpus: Path) -> None:
    reader = TreebankCorpus(corpus, ["en_a", "de_a"], "train", epoch_words=300, seed=1)
    counted: Counter[int] = Counter()
    seen_once = False
    for _ in range(12):
        counted.update(id(example.reference) for example in reader(NLP))
        for pool in reader._pools.values():
            times = [counted[id(doc)] for doc in pool]
            assert max(times) - min(times) <= 1
        times = [counted[id(doc)] for doc in reader._pools["en_a"]]
        seen_once |= min(times) == 1
    assert seen_once
    assert len(counted) == SIZES["en_a"] + SIZES["de_a"]


def test_order_depends_on_the_seed_alone(corpus: Path) -> None:
    def epochs(seed: int) -> list[list[tuple[str, ...]]]:
        reader = TreebankCorpus(corpus, list(SIZES), "train", epoch_words=400, seed=seed)
        return [texts(reader(NLP)) for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]


def test_errors(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no treebank 'xx_no'.*run the step `convert`"):
        list(TreebankCorpus(corpus, ["xx_no"], "train")(NLP))
    with pytest.raises(ValueError, match=r"no test sentence in .* for \['en_a'\]"):
        list(TreebankCorpus(corpus, ["en_a"], "test")(NLP))
    with pytest.raises(ValueError, match=r"got unit 'lines', expected one of \['tokens', 'words'\]"):
        list(TreebankCorpus(corpus, ["en_a"], "train", units=("lines",))(NLP))
    (tmp_path / "en_a").mkdir()
    with pytest.raises(ValueError, match="no training sentence with UPOS in"):
        collect_labels(tmp_path, ["en_a"])


def test_labels_are_of_each_upos_even_if_features_are_known_of_punctuation_alone(tmp_path: Path) -> None:
    for code in ("en_a", "en_b"):
        write_treebank(tmp_path / "ud", code, train=40)
    hide_features(tmp_path / "ud/en_b", but="PUNCT")
    convert(tmp_path / "ud", tmp_path / "corpus")
    upos = {(upos, "_") for upos, _ in LEXICON.values()}
    assert set(collect_labels(tmp_path / "corpus", ["en_b"]).combinations) == upos
    found = conventions_of(tmp_path / "corpus", ["en_a", "en_b"])
    assert set(found["en_b"].combinations) == upos
    assert set(found["en_a"].combinations) == {label for word, label in LEXICON.items() if word != MASKED}


def test_treebanks_without_the_split_are_passed_over(corpus: Path) -> None:
    assert read_docs(corpus, "en_a", "test", Vocab(), units=("words", "tokens")) == []


def test_collect_labels_equals_a_plain_count(corpus: Path) -> None:
    expected = set()
    for ltcode in SIZES:
        for doc in read_docs(corpus, ltcode, "train", NLP.vocab, units=("words", "tokens")):
            for token in doc:
                if token.has_morph() and token.pos_:
                    expected.add((token.pos_, str(token.morph) or "_"))
    inventory = collect_labels(corpus, SIZES)
    assert set(inventory.combinations) == expected
    words = {label for word, label in LEXICON.items() if word != MASKED}
    assert words <= expected
    assert dict(inventory.fields)["UPOS"] == tuple(sorted({upos for upos, _ in expected}))
    # Its FEATS are unknown everywhere, so its value is not there.
    assert dict(inventory.fields)["Degree"] == ("", "Pos")


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 120))
def test_group_by_length(lengths: list[int], size: int) -> None:
    groups = group_by_length(lengths, size=size)
    flat = [i for group in groups for i in group]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths)
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= size
    for group, following in pairwise(groups):
        # As full as can be: the next sentence did not fit.
        assert (len(group) + 1) * lengths[following[0]] > size


def pieces(example: Example) -> int:
    """About as many as `batch_by_length` reckons with."""
    return 2 + sum(1 + len(token.text) // 5 for token in example.predicted)


@given(
    st.lists(st.lists(st.text("ab", min_size=1, max_size=11), min_size=1, max_size=12), max_size=40),
    st.integers(4, 60),
    st.integers(1, 4),
)
def test_batch_by_length(sentences: list[list[str]], size: int, buffer: int) -> None:
    examples = [Example(Doc(NLP.vocab, words=words), Doc(NLP.vocab, words=words)) for words in sentences]
    batches = list(batch_by_length(size, buffer, seed=1)(examples))
    assert Counter(id(example) for batch in batches for example in batch) == Counter(map(id, examples))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(pieces, batch)) <= size
    again = list(batch_by_length(size, buffer, seed=1)(examples))
    assert [list(map(id, batch)) for batch in again] == [list(map(id, batch)) for batch in batches]


def test_batch_by_length_reads_no_further_than_its_buffer() -> None:
    read = 0

    def stream() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 1
            doc = Doc(NLP.vocab, words=["a"] * 8)
            yield Example(doc, doc.copy())

    next(iter(batch_by_length(50, 2)(stream())))
    assert read == 10  # of 10 pieces each
