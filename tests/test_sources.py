"""What is labelled: sentences of the training sets, then text, each of a language at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
import spacy
from students import make_corpus, random_sentences, write_texts

from mminibert.data.corpus import read_docs
from mminibert.data.sources import MAX_WORDS, Line, Sentence, sources


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), {"en_a": 60, "de_a": 20, "en_b": 30})


def at_blanks(lines: Iterable[Line]) -> Iterator[list[str]]:
    """In the place of a segmenter."""
    return (line.split() for line, _ in lines)


def test_sources_are_training_sets_then_text(corpus: Path, tmp_path: Path) -> None:
    text = write_texts(
        tmp_path, en="too short\nThis is long enough.\nThis is long enough.\nAnd so is this one!\n"
    )
    treebanks = ["en_a", "de_a", "en_b"]
    found = dict(sources(corpus, text, treebanks, at_blanks, train_words=10**6, text_words=5, replaced=0.0))
    assert list(found) == ["en", "de"]
    vocab = spacy.blank("xx").vocab
    for lang, codes in {"en": ["en_a", "en_b"], "de": ["de_a"]}.items():
        known = {
            tuple(token.text for token in doc)
            for code in codes
            for doc in read_docs(corpus, code, "train", vocab, units=("words", "tokens"))
        }
        assert {code for _, code in found[lang]} == {""}
        sentences = [tuple(words) for words, _ in found[lang]]
        assert set(sentences[: len(known)]) == known  # each once
        raw = [["This", "is", "long", "enough."], ["And", "so", "is", "this", "one!"]]
        assert [list(words) for words in sentences[len(known) :]] == (raw if lang == "en" else [])


def test_sources_are_limited(corpus: Path, tmp_path: Path) -> None:
    lines = [" ".join(["word", *words]) for words in random_sentences(200, seed=9)]
    text = write_texts(tmp_path, en="\n".join(lines), de="\n".join(lines))
    read = sources(corpus, text, ["en_a", "de_a"], at_blanks, train_words=200, text_words=50, replaced=0.0)
    found = {lang: [words for words, _ in sentences] for lang, sentences in read}
    train = [s for s in found["en"] if s[0] != "word"]
    raw = [s for s in found["en"] if s[0] == "word"]
    assert 200 <= sum(map(len, train)) < 213
    assert 250 <= sum(map(len, train + raw)) < 250 + 13
    # German has fewer words than that to train on, so it gets more text.
    train = [s for s in found["de"] if s[0] != "word"]
    assert sum(map(len, train)) < 200
    assert 250 <= sum(map(len, found["de"])) < 250 + 13
    longs = write_texts(tmp_path / "long", de="x " * (MAX_WORDS + 1) + "\n" + "y " * MAX_WORDS)
    ((_, sentences),) = sources(corpus, longs, ["de_a"], at_blanks, train_words=0, text_words=5, replaced=0.0)
    assert sentences == [(["y"] * MAX_WORDS, "")]


def test_each_convention_of_a_language_has_so_much_text(corpus: Path, tmp_path: Path) -> None:
    texts = {lang: random_sentences(400, seed=i) for i, lang in enumerate(("en", "de"))}
    text = write_texts(tmp_path, **{lang: _as_text(found) for lang, found in texts.items()})
    told: list[Line] = []

    def cut(lines: Iterable[Line]) -> Iterator[list[str]]:
        for line in lines:
            told.append(line)
            yield line[0].split()

    def read(seed: int = 0, train_words: int = 0) -> dict[str, list[Sentence]]:
        told.clear()
        return dict(
            sources(
                corpus,
                text,
                ["en_a", "de_a", "en_b"],
                cut,
                train_words=train_words,
                text_words=300,
                replaced=0.0,
                conventions=("en_a", "en_b"),
                seed=seed,
            )
        )

    found = read()
    # A line is cut as what it will be labelled in, as its language where that has no conventions.
    assert {code for _, code in told} == {"en_a", "en_b", "de"}
    assert [(line.split(), code) for line, code in told if code != "de"][: len(found["en"])] == found["en"]
    words = Counter[str]()
    for sentences in found.values():
        for sentence, code in sentences:
            words[code] += len(sentence)
    assert words.keys() == {"en_a", "en_b", ""} and min(words.values()) > 200
    assert 600 <= words["en_a"] + words["en_b"] < 613 and 300 <= words[""] < 313
    assert read() == found and read(seed=1)["en"] != found["en"]
    # More text changes nothing of what was there.
    more = tmp_path / "more"
    write_texts(more, **{lang: "a line before them\n" + _as_text(found) for lang, found in texts.items()})
    text = more
    assert read()["en"][1:] == found["en"][: len(read()["en"]) - 1]
    train = read(train_words=100)["en"]
    assert {code for _, code in train[:10]} == {"en_a", "en_b"}


def _as_text(sentences: Iterable[Sequence[str]]) -> str:
    return "".join(" ".join([*words, "and", "more"]) + "\n" for words in sentences)


def test_words_are_replaced_by_forms_of_the_languages_texts(corpus: Path, tmp_path: Path) -> None:
    text = write_texts(tmp_path, de="Sie lachten und weinten beide\nsangen, lasen 1234 trafen kamen\n")
    found = [
        [
            [words for words, _ in sentences]
            for _, sentences in sources(
                corpus, text, ["de_a"], at_blanks, train_words=10**6, text_words=10, replaced=replaced
            )
        ]
        for replaced in (0.0, 0.5, 0.5)
    ]
    assert found[1] == found[2] != found[0]
    (plain,), (changed,) = found[:2]
    assert [len(words) for words in plain] == [len(words) for words in changed]
    known = {word for words in plain for word in words} | {"sangen,"}
    pairs = [pair for words in zip(plain, changed, strict=True) for pair in zip(*words, strict=True)]
    assert {new for _, new in pairs} <= known
    assert "1234" in changed[-1]
    assert {new for old, new in pairs if old == "lachten"} <= {"lachten", "weinten"}
    share = sum(old != new for old, new in pairs) / len(pairs)
    assert 0.0 < share < 0.5  # some words have no other form that ends alike


def test_short_text_is_dropped(corpus: Path, tmp_path: Path) -> None:
    text = write_texts(tmp_path, de="123456789\n1234567890\nab cd ef\nab cd efgh\n\n")
    ((_, sentences),) = sources(
        corpus, text, ["de_a"], at_blanks, train_words=0, text_words=100, replaced=0.0
    )
    assert sentences == [(["1234567890"], ""), (["ab", "cd", "efgh"], "")]


def test_no_text_needs_no_segmenter(corpus: Path, tmp_path: Path) -> None:
    def cut(lines: Iterable[Line]) -> Iterator[list[str]]:
        raise AssertionError(f"it was asked for {list(lines)}")

    text = write_texts(tmp_path, de="ab cd efgh\n")
    ((_, sentences),) = sources(corpus, text, ["de_a"], cut, train_words=20, text_words=0, replaced=0.0)
    assert sentences
