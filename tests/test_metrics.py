"""Metrics against the official CoNLL evaluation, and against counts made by hand."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from udtools import udeval

from mminibert.evaluation.metrics import UNIVERSAL_FEATURES, Counts, count, macro_average, universal_features


@dataclass(frozen=True)
class Word:
    form: str
    upos: str = "_"
    feats: str = "_"
    upos_masked: bool = False
    feats_masked: bool = False


@dataclass(frozen=True)
class Sentence:
    words: tuple[Word, ...]
    ranges: tuple[tuple[int, int], ...] = ()  # 1-based, inclusive

    def to_conllu(self) -> str:
        starts = dict(self.ranges)
        lines = []
        for i, word in enumerate(self.words, start=1):
            if i in starts:
                surface = "".join(w.form for w in self.words[i - 1 : starts[i]])
                lines.append(f"{i}-{starts[i]}\t{surface}" + "\t_" * 8)
            head, deprel = (0, "root") if i == 1 else (1, "dep")
            lines.append(f"{i}\t{word.form}\t_\t{word.upos}\t_\t{word.feats}\t{head}\t{deprel}\t_\t_")
        return "\n".join(lines) + "\n\n"


def official(gold: list[Sentence], predicted: list[Sentence]) -> dict[str, Any]:
    sides = ["".join(s.to_conllu() for s in side) for side in (gold, predicted)]
    return dict(udeval.evaluate(*(udeval.load_conllu(io.StringIO(text), "test", {}) for text in sides)))


UPOS = st.sampled_from(["NOUN", "VERB", "ADJ", "PROPN", "PUNCT", "_"])
FEATS = st.lists(
    st.sampled_from(
        [
            *("Case=Acc", "Case=Nom", "Case=Acc,Dat", "Gender=Fem", "Gender[psor]=Masc", "Number=Sing"),
            *("Number[psor]=Sing", "Typo=Yes", "Polite=Form", "Clusivity=In", "Abbr=Yes", "NumForm=Digit"),
        ]
    ),
    max_size=4,
).map(lambda parts: "|".join(parts) or "_")
FORMS = st.sampled_from(["a", "der", "Haus", "in", "Ω", "ς", "你", "can't", "#", "-"])


@st.composite
def treebank_and_prediction(draw: st.DrawFn) -> tuple[list[Sentence], list[Sentence]]:
    gold, predicted = [], []
    for _ in range(draw(st.integers(1, 4))):
        words = tuple(draw(st.lists(st.builds(Word, FORMS, UPOS, FEATS), min_size=1, max_size=8)))
        ranges = tuple((i, i + 1) for i in range(1, len(words), 2) if draw(st.booleans()))
        corrupted = tuple(
            replace(w, upos=draw(st.just(w.upos) | UPOS), feats=draw(st.just(w.feats) | FEATS)) for w in words
        )
        gold.append(Sentence(words, ranges))
        predicted.append(Sentence(corrupted, ranges))
    return gold, predicted


@given(treebank_and_prediction())
def test_equals_official_scorer_to_the_last_digit(pair: tuple[list[Sentence], list[Sentence]]) -> None:
    gold, predicted = pair
    ours, theirs = count(gold, predicted), official(gold, predicted)
    assert ours.accuracies()["UPOS"] == theirs["UPOS"].f1
    assert ours.accuracies()["UFeats"] == theirs["UFeats"].f1
    assert (ours.words, ours.upos, ours.ufeats) == (
        theirs["Words"].gold_total,
        theirs["UPOS"].correct,
        theirs["UFeats"].correct,
    )
    # All features can only be harder than the universal ones.
    assert ours.feats <= ours.ufeats


def test_universal_features_are_the_official_ones() -> None:
    assert UNIVERSAL_FEATURES == udeval.UNIVERSAL_FEATURES


def test_counts_by_hand() -> None:
    gold = [
        Sentence((Word("a", "DET", "Case=Nom|Typo=Yes"), Word("b", "NOUN", "Case=Nom"), Word("c", "VERB"))),
        Sentence((Word("d", "X", "Gender[psor]=Fem"),)),
    ]
    predicted = [
        Sentence(
            (Word("a", "DET", "Case=Nom"), Word("b", "VERB", "Case=Nom"), Word("c", "VERB", "Mood=Ind"))
        ),
        Sentence((Word("d", "X", "_"),)),
    ]
    counts = count(gold, predicted)
    assert counts == Counts(2, words=4, upos=3, ufeats=3, feats=1, known_upos=4, known_feats=4)
    assert counts.accuracies() == {"UPOS": 0.75, "UFeats": 0.75, "FEATS": 0.25}
    assert counts + counts == Counts(4, words=8, upos=6, ufeats=6, feats=2, known_upos=8, known_feats=8)


def test_words_whose_label_is_unknown_do_not_count() -> None:
    gold = [
        Sentence(
            (
                Word("a", "_", "Case=Nom", upos_masked=True),
                Word("b", "NOUN", "_", feats_masked=True),
                Word("c", "VERB", "Mood=Ind"),
                Word("d", "X", "Case=Acc", upos_masked=True, feats_masked=True),
            )
        )
    ]
    wrong = tuple(Word(word.form, "ADV", "Case=Gen") for word in gold[0].words)
    assert count(gold, [Sentence(wrong)]) == Counts(1, words=4, known_upos=2, known_feats=2)
    found = count(gold, [Sentence((*wrong[:1], Word("b", "NOUN", "Case=Gen"), *wrong[2:]))])
    assert found.accuracies() == {"UPOS": 0.5, "UFeats": 0.0, "FEATS": 0.0}
    found = count(gold, [Sentence((Word("a", "ADV", "Case=Nom"), *wrong[1:]))])
    assert found.accuracies() == {"UPOS": 0.0, "UFeats": 0.5, "FEATS": 0.5}


def test_order_of_features_does_not_count() -> None:
    gold, predicted = Word("a", "X", "Case=Nom|Typo=Yes"), Word("a", "X", "Typo=Yes|Case=Nom")
    assert count([Sentence((gold,))], [Sentence((predicted,))]).feats == 1
    assert universal_features("Typo=Yes|Number=Sing|Case=Nom|Case[x]=Y") == ["Case=Nom", "Number=Sing"]


def test_no_words_score_zero() -> None:
    assert count([], []).accuracies() == {"UPOS": 0.0, "UFeats": 0.0, "FEATS": 0.0}


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        ([], "sentence 1: the prediction has only 0 sentences"),
        ([Sentence((Word("a"), Word("b")))] * 2, "sentence 2: the gold has only 1 sentences"),
        ([Sentence((Word("a"),))], "sentence 1, word 2: the prediction has the end, gold has 'b'"),
        ([Sentence((Word("a"), Word("x")))], "sentence 1, word 2: the prediction has 'x', gold has 'b'"),
    ],
)
def test_different_words_are_refused(predicted: list[Sentence], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count([Sentence((Word("a"), Word("b")))], predicted)


def test_macro_average_weighs_treebanks_alike() -> None:
    assert macro_average([0.5, 1.0, 0.0]) == 0.5
    assert macro_average(iter([0.1] * 10)) == pytest.approx(0.1, abs=1e-15)
    with pytest.raises(ValueError, match="at least one score"):
        macro_average([])
