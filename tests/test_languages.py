"""Which languages a sentence may be of, by hand and by brute force; a tagger that keeps to them."""

from __future__ import annotations

import math
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.language import Language
from spacy.tokens import Doc
from students import inventory, make_student, random_sentences, tagger, write_vocabulary

from mminibert.packaging.quantize import quantize
from mminibert.runtime.labels import UNFAVOURED, parse_feats
from mminibert.runtime.languages import COMBINATION_WEIGHT, FOREIGN_SHARE, RIVAL, LanguagePart, Languages

N_PIECES, N_COMBINATIONS, N_LANGUAGES = 12, 6, 3


def likelihoods(languages: Languages, pieces: list[int], combinations: list[int]) -> list[float]:
    """By the formula, of one sentence, in each language."""

    def of(items: list[int], own: np.ndarray) -> float:
        foreign = FOREIGN_SHARE / len(own)
        at_home = foreign + (1 - FOREIGN_SHARE) / max(own.sum(), 1)
        return sum(math.log(at_home if own[i] else foreign) for i in items)

    parts = map(languages.part, languages.codes)
    return [
        of(pieces, part.pieces) + COMBINATION_WEIGHT * of(combinations, part.combinations) for part in parts
    ]


@given(
    pieces=arrays(np.bool_, (N_LANGUAGES, N_PIECES)),
    combinations=arrays(np.bool_, (N_LANGUAGES, N_COMBINATIONS)),
    sentences=st.lists(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, N_PIECES - 1), min_size=1, max_size=3),
                st.integers(0, N_COMBINATIONS - 1),
            ),
            min_size=1,
            max_size=5,
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_likely_languages(pieces: Any, combinations: Any, sentences: list[Any]) -> None:
    languages = Languages(("a", "b", "c"), pieces, combinations)
    ids = [[piece for pieces, _ in sentence for piece in pieces] for sentence in sentences]
    labels = [[label for _, label in sentence] for sentence in sentences]
    piece_starts, word_starts = (
        np.cumsum([0, *map(len, rows)], dtype=np.int32)[:-1] for rows in (ids, labels)
    )
    flat = np.asarray(list(chain.from_iterable(labels)), dtype=np.int32)
    found = languages.likely(
        np.asarray(list(chain.from_iterable(ids)), dtype=np.int32), piece_starts, flat, word_starts
    )
    for row, sentence_ids, sentence_labels in zip(found, ids, labels, strict=True):
        expected = likelihoods(languages, sentence_ids, sentence_labels)
        for likely, value in zip(row, expected, strict=True):
            distance = value - max(expected) - math.log(RIVAL)
            assert abs(distance) < 1e-3 or likely == (distance > 0)
    spread = np.repeat(found, [len(row) for row in labels], axis=0)
    assert languages.have(spread, flat).tolist() == [
        any(combinations[i, label] for i in np.flatnonzero(row))
        for row, label in zip(spread, flat, strict=True)
    ]
    for row, allowed in zip(spread, languages.combinations_of(spread), strict=True):
        assert np.array_equal(allowed, combinations[np.flatnonzero(row)].any(axis=0))


def test_by_hand() -> None:
    # "b" has both pieces, "a" one of two of its own: the sentence is of "b" alone.
    languages = Languages.of_parts(
        {
            "a": LanguagePart(np.asarray([True, False, True]), np.asarray([True, False])),
            "b": LanguagePart(np.asarray([True, True, False]), np.asarray([True, True])),
        }
    )
    starts = np.zeros(1, dtype=np.int32)
    for pieces, expected in (([0, 1], [False, True]), ([0, 2], [True, False]), ([0], [True, True])):
        combinations = np.zeros(1, dtype=np.int32)
        got = languages.likely(np.asarray(pieces, dtype=np.int32), starts, combinations, starts)
        assert got.tolist() == [expected]


@given(data=st.data(), n_pieces=st.integers(1, 20), n_combinations=st.integers(1, 20))
def test_bytes_round_trip(data: st.DataObject, n_pieces: int, n_combinations: int) -> None:
    pieces = data.draw(arrays(np.bool_, (2, n_pieces)))
    combinations = data.draw(arrays(np.bool_, (2, n_combinations)))
    languages = Languages(("fi", "sv"), pieces, combinations)
    again = Languages.from_bytes(languages.to_bytes())
    assert again.codes == languages.codes
    assert np.array_equal(again.pieces, pieces) and np.array_equal(again.combinations, combinations)


def test_no_language() -> None:
    with pytest.raises(ValueError, match="no language; give at least one"):
        Languages.of_parts({})


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Language:
    """A tagger without torch that knows no languages; its predictions vary."""
    vocabulary = write_vocabulary(tmp_path_factory.mktemp("student") / "vocab.txt")
    nlp = make_student(vocabulary, inventory())
    head = tagger(nlp).model.get_ref("output_layer")
    weights = np.random.default_rng(0).normal(size=head.get_param("W").shape)
    head.set_param("W", weights.astype(np.float32))
    return quantize(nlp, [])


@pytest.fixture(scope="module")
def bound(free: Language) -> Language:
    """The same with three languages, each with half of everything."""
    nlp = spacy.util.load_model_from_config(free.config)
    nlp.from_bytes(free.to_bytes())
    random = np.random.default_rng(1)
    n_pieces = len(tagger(nlp).encoder.pieces)
    n = len(tagger(nlp).inventory.combinations)
    parts = {code: LanguagePart(random.random(n_pieces) < 0.5, random.random(n) < 0.5) for code in "abc"}
    tagger(nlp).languages = Languages.of_parts(parts)
    return nlp


def docs_of(nlp: Language, seed: int = 3) -> list[Doc]:
    """Docs of two sentences, one of them of one word, and an empty one."""
    docs = []
    for words in random_sentences(150, seed=seed):
        starts: list[bool | int | None] = [i < 2 for i in range(len(words))]
        docs.append(Doc(nlp.vocab, words=words, sent_starts=starts))
    return [*docs, Doc(nlp.vocab)]


def logits_of(pipe: Any, docs: list[Doc]) -> list[np.ndarray]:
    return np.split(pipe.logits(docs), np.cumsum([len(doc) for doc in docs])[:-1])


def test_labels_are_those_of_brute_force(free: Language, bound: Language) -> None:
    pipe = tagger(bound)
    found, before = (
        [p.combinations.tolist() for p in tagger(nlp).predict(docs_of(nlp))] for nlp in (bound, free)
    )
    assert found != before
    combinations, starts = pipe.inventory.combinations, pipe.inventory.starts.tolist()
    pieces = pipe.encoder.pieces
    changed = 0
    for doc, got, first, logits in zip(
        docs_of(bound), found, before, logits_of(pipe, docs_of(bound)), strict=True
    ):
        bounds = [0, *range(1, len(doc))[:1], len(doc)] if len(doc) else [0]
        for start, end in pairwise(bounds):
            ids = [piece for token in doc[start:end] for piece in pieces.pieces(token.text)]
            values = likelihoods(pipe.languages, ids, first[start:end])
            likely = [i for i, value in enumerate(values) if value >= max(values) + math.log(RIVAL)]
            favoured = pipe.languages.combinations[likely].any(axis=0)
            for i in range(start, end):
                assert combinations[got[i]][0] == combinations[first[i]][0]
                if favoured[first[i]]:
                    assert got[i] == first[i]
                    continue
                scores = {}
                for j, (upos, feats) in enumerate(combinations):
                    if upos != combinations[first[i]][0]:
                        continue
                    given_values = dict(parse_feats(feats))
                    score = 0.0 if favoured[j] else math.log(UNFAVOURED)
                    for (name, options), a in zip(pipe.inventory.fields[1:], starts[1:], strict=False):
                        row = logits[i, a : a + len(options)].astype(np.float64)
                        score += row[options.index(given_values.get(name, ""))] - np.log(np.exp(row).sum())
                    scores[j] = score
                assert scores[got[i]] == pytest.approx(max(scores.values()), abs=1e-4)
                changed += got[i] != first[i]
    assert changed > 10


def test_words_are_looked_at_some_at_a_time(bound: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [p.combinations.tolist() for p in tagger(bound).predict(docs_of(bound))]
    monkeypatch.setattr("mminibert.runtime.morphologizer.ROWS_AT_ONCE", 7)
    assert [p.combinations.tolist() for p in tagger(bound).predict(docs_of(bound))] == expected


def test_damaged_parts_are_seen_when_they_are_loaded(bound: Language, tmp_path: Path) -> None:
    data = bytearray(tagger(bound).languages.to_bytes())
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ValueError, match=r"parts of the languages are damaged"):
        Languages.from_bytes(bytes(data))
    bound.to_disk(tmp_path)
    stored = (tmp_path / "morphologizer" / "model").read_bytes()
    good = tagger(bound).languages.to_bytes()
    assert good in stored
    (tmp_path / "morphologizer" / "model").write_bytes(stored.replace(good, bytes(data)))
    with pytest.raises(ValueError, match=r"morphologizer: the parts of the languages are damaged"):
        spacy.load(tmp_path)


def test_neighbours_do_not_matter(bound: Language) -> None:
    docs = docs_of(bound)
    together = tagger(bound).predict(docs)
    for doc, prediction in zip(docs, together, strict=True):
        (alone,) = tagger(bound).predict([doc])
        assert np.array_equal(alone.combinations, prediction.combinations)


def test_languages_are_stored(bound: Language, tmp_path: Path) -> None:
    bound.to_disk(tmp_path / "nlp")
    again = spacy.util.load_model_from_config(bound.config)
    expected = [p.combinations.tolist() for p in tagger(bound).predict(docs_of(bound))]
    for nlp in (spacy.load(tmp_path / "nlp"), again.from_bytes(bound.to_bytes())):
        assert tagger(nlp).languages.codes == ("a", "b", "c")
        assert [p.combinations.tolist() for p in tagger(nlp).predict(docs_of(nlp))] == expected


def test_parts_of_another_pipeline_are_refused(free: Language, bound: Language) -> None:
    part = LanguagePart(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match=r"of 3 wordpieces, but the pipeline has \d+;"):
        tagger(bound).languages = Languages.of_parts({"a": part})
    assert tagger(free).languages is None
