"""The language of each sentence, by the formula in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.runtime.languages import PASSES, PRIOR, Languages, in_context
from mminibert.runtime.types import Floats
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

LETTERS = "abcdef"
PIECES = WordPieces([*SPECIAL_PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
WIDTH, N = 3, 3
VOCAB = Vocab()
SENTENCES = st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=5)


def make_languages(seed: int = 0) -> Languages:
    random = np.random.default_rng(seed)
    return Languages(
        ("de", "fi", "zh"),
        random.integers(0, 16, (N, len(PIECES))).astype(np.uint8),
        random.normal(size=(WIDTH, N)).astype(np.float32),
        random.normal(size=N).astype(np.float32),
        0.7,
    )


def make_doc(sentences: Sequence[Sequence[str]]) -> Doc:
    starts: list[bool | int | None] = [i == 0 for words in sentences for i in range(len(words))]
    return Doc(VOCAB, words=[word for words in sentences for word in words], sent_starts=starts)


def vectors_of(docs: Sequence[Doc], seed: int = 1) -> list[Floats]:
    """The same for the same word."""
    table = np.random.default_rng(seed).normal(size=(97, WIDTH)).astype(np.float32)
    return [
        np.asarray([table[sum(map(ord, token.text)) % 97] for token in doc], dtype=np.float32).reshape(
            -1, WIDTH
        )
        for doc in docs
    ]


def evidence_by_hand(languages: Languages, words: Sequence[str], rows: Floats) -> list[float]:
    ids = [piece for word in words for piece in PIECES.encode(word)]
    found = []
    for i in range(len(languages.codes)):
        mean = [sum(float(row[j]) for row in rows) / len(rows) for j in range(WIDTH)]
        value = float(languages.bias[i]) + sum(mean[j] * float(languages.weights[j, i]) for j in range(WIDTH))
        level = sum(int(languages.levels[i, piece]) for piece in ids)
        found.append(value + languages.scale * level / math.sqrt(len(ids)))
    return found


def context_by_hand(evidence: list[list[float]]) -> list[list[float]]:
    """Of one Doc."""
    n, result = len(evidence[0]), [list(row) for row in evidence]
    for _ in range(PASSES):
        probs = []
        for row in result:
            total = sum(math.exp(x - max(row)) for x in row)
            probs.append([math.exp(x - max(row)) / total for x in row])
        result = []
        for i, row in enumerate(evidence):
            others = probs[:i] + probs[i + 1 :]
            shares = [(sum(p[j] for p in others) + PRIOR / n) / (len(others) + PRIOR) for j in range(n)]
            result.append([x + math.log(share) for x, share in zip(row, shares, strict=True)])
    return result


@given(texts=st.lists(st.lists(SENTENCES, max_size=4), max_size=4), seed=st.integers(0, 50))
def test_languages_are_those_of_the_formula(texts: list[list[list[str]]], seed: int) -> None:
    languages, docs = make_languages(seed), [make_doc(text) for text in texts]
    vectors = vectors_of(docs)
    found = languages.find(vectors, docs, PIECES)
    assert len(found) == len(docs)
    for text, rows, got in zip(texts, vectors, found, strict=True):
        assert got.dtype == np.int32 and len(got) == len(text)
        if not text:
            continue
        bounds = np.cumsum([0, *map(len, text)])
        evidence = [
            evidence_by_hand(languages, words, rows[start:end])
            for words, (start, end) in zip(text, pairwise(bounds), strict=True)
        ]
        for row, index in zip(context_by_hand(evidence), got, strict=True):
            assert row[index] >= max(row) - 1e-3


@given(
    evidence=arrays(np.float32, (7, N), elements=st.floats(-20, 20, width=32)),
    counts=st.sampled_from([(7,), (1, 6), (0, 3, 0, 4), (2, 2, 3, 0), (1,) * 7]),
)
def test_context_is_that_of_the_formula(evidence: Floats, counts: tuple[int, ...]) -> None:
    got = in_context(evidence, counts)
    for start, end in pairwise(np.cumsum([0, *counts])):
        if start < end:
            expected = context_by_hand(evidence[start:end].tolist())
            assert got[start:end] == pytest.approx(np.asarray(expected), abs=1e-3)


def test_a_short_sentence_goes_with_its_doc_and_a_clear_one_does_not() -> None:
    de, fi, either = [12.0, 0.0, -5.0], [0.0, 12.0, -5.0], [1.0, 1.5, 1.2]

    def found(*rows: list[float]) -> list[int]:
        return in_context(np.asarray(rows, dtype=np.float32), [len(rows)]).argmax(axis=1).tolist()

    assert found(either) == [1]
    assert found(de, either, de) == [0, 0, 0]
    assert found(de, de, [0.0, 0.0, 2.5]) == [0, 0, 0]  # it does not bear itself out
    assert found(*[de, fi] * 3) == [0, 1] * 3  # three German and three Finnish ones in turn
    assert found(*[de] * 200, fi) == [0] * 200 + [1]


def test_the_pieces_of_all_words_count() -> None:
    # No vectors tell; "f" is of the second language alone, everything else of the first.
    levels = np.zeros((2, len(PIECES)), dtype=np.uint8)
    levels[0] = 1
    levels[1, [*PIECES.encode("f")]] = 9
    languages = Languages(
        ("de", "fi"), levels, np.zeros((WIDTH, 2), np.float32), np.zeros(2, np.float32), 1.0
    )
    docs = [make_doc([["a", "b"]]), make_doc([["a", "f"]])]
    assert [got.tolist() for got in languages.find(vectors_of(docs), docs, PIECES)] == [[0], [1]]
    assert np.array_equal(languages.part("fi"), levels[1] > 0)
    assert np.array_equal(languages.pieces, levels > 0)


def test_empty_blank_and_long_docs() -> None:
    languages = make_languages()
    docs = [make_doc([]), Doc(VOCAB, words=[" ", "\n"]), make_doc([["abc"] * 5000]), make_doc([])]
    found = languages.find(vectors_of(docs), docs, PIECES)
    assert [len(got) for got in found] == [0, 1, 1, 0]
    by_hand = evidence_by_hand(languages, ["abc"] * 5000, vectors_of(docs)[2])
    assert found[2][0] == int(np.argmax(by_hand))
    assert [got.tolist() for got in languages.find([], docs[:1], PIECES)] == [[]]
    assert languages.find([], [], PIECES) == []


def test_neighbours_do_not_matter() -> None:
    languages = make_languages()
    random = np.random.default_rng(0)
    docs = [
        make_doc(
            [["".join(random.choice([*LETTERS], 3)) for _ in range(n)] for n in random.integers(1, 6, size=4)]
        )
        for _ in range(40)
    ]
    vectors = vectors_of(docs)
    together = languages.find(vectors, docs, PIECES)
    for doc, rows, got in zip(docs, vectors, together, strict=True):
        assert np.array_equal(languages.find([rows], [doc], PIECES)[0], got)
    assert len({index for got in together for index in got.tolist()}) > 1


@given(data=st.data(), n_pieces=st.integers(1, 20))
def test_bytes_round_trip(data: st.DataObject, n_pieces: int) -> None:
    languages = Languages(
        ("fi", "sv"),
        data.draw(arrays(np.uint8, (2, n_pieces))),
        data.draw(arrays(np.float32, (WIDTH, 2), elements=st.floats(-9, 9, width=32))),
        data.draw(arrays(np.float32, 2, elements=st.floats(-9, 9, width=32))),
        data.draw(st.floats(-9, 9)),
    )
    again: Any = Languages.from_bytes(languages.to_bytes())
    assert (again.codes, again.scale) == (languages.codes, languages.scale)
    for name in ("levels", "weights", "bias"):
        assert np.array_equal(getattr(again, name), getattr(languages, name))
        assert getattr(again, name).dtype == getattr(languages, name).dtype


def test_damage_and_other_pipelines_are_refused() -> None:
    languages = make_languages()
    data = languages.to_bytes()
    for place in range(0, len(data), 101):
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        try:
            again = Languages.from_bytes(bytes(damaged))
        except ValueError as error:
            assert "the languages are damaged" in str(error)
        else:  # a byte that says nothing, such as the date
            assert np.array_equal(again.levels, languages.levels)
    with pytest.raises(ValueError, match="the languages are damaged"):
        Languages.from_bytes(data[: len(data) // 2])
    languages.check(len(PIECES))
    with pytest.raises(ValueError, match=r"of 16 wordpieces, but the pipeline has 17; run the step"):
        languages.check(17)
    with pytest.raises(ValueError, match=r"got language 'sv', expected one of de, fi, zh"):
        languages.part("sv")
