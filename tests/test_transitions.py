"""What labels of neighbouring words say of each other: counted by hand, and added to the logits of one word
after the other."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from test_conventions import FORMS, LABELS, WIDTH, floats, make_conventions

from mminibert.runtime import by_convention
from mminibert.runtime.convention_store import conventions_from_bytes, conventions_to_bytes
from mminibert.runtime.conventions import Conventions
from mminibert.runtime.labels import Inventory, Label, parse_feats
from mminibert.runtime.transitions import (
    FEATURE_SHRINKAGE,
    FEATURE_STRENGTH,
    STEP,
    UPOS_SHRINKAGE,
    UPOS_STRENGTH,
    scores_of,
    tables_of,
)

OWN = Inventory.from_labels(
    [
        ("ADJ", "Case=Acc"),
        ("ADJ", "Case=Nom"),
        ("NOUN", "Case=Acc|Number=Plur"),
        ("NOUN", "Case=Nom|Number=Sing"),
        ("PUNCT", "_"),
        ("VERB", "Tense=Past"),
    ]
)
OTHERS: list[Label] = [("NOUN", ""), ("", ""), ("X", "_"), ("ADJ", "Case=Gen"), ("NOUN", "Case=Acc")]
"""Unknown labels, and those that the convention lacks."""
sentences = st.lists(st.lists(st.sampled_from([*OWN.combinations, *OTHERS]), max_size=8), max_size=12)


def by_hand(given: list[list[Label]], state: Label | None, value: tuple[str, str], step: int) -> float:
    """What a label, None for a sentence's edge, says of a value of the next word (1) or of the last (-1)."""
    name, wanted = value
    pairs: Counter[tuple[object, str]] = Counter()

    def told(label: Label | None) -> object:
        if name == "UPOS":
            return "edge" if label is None else label[0]
        return label and (label[0], dict(parse_feats(label[1])).get(name, ""))

    def of(label: Label) -> str:
        return label[0] if name == "UPOS" else dict(parse_feats(label[1])).get(name, "")

    known = {value for field, value in OWN.outputs if field == name}
    for sentence in given:
        for i, label in enumerate(sentence):
            own, at = of(label), i - step
            beside = sentence[at] if 0 <= at < len(sentence) else None
            if beside is None and name != "UPOS":
                continue
            # Of a label that the convention lacks nothing but its UPOS is known.
            if beside is not None and (
                beside[0] not in dict(OWN.combinations) if name == "UPOS" else beside not in OWN.combinations
            ):
                continue
            if own in known and own:
                pairs[told(beside), own] += 1
    state_told, n = told(state), sum(pairs.values())
    rows = sum(count for (one, _), count in pairs.items() if one == state_told)
    columns = sum(count for (_, other), count in pairs.items() if other == wanted)
    s = UPOS_SHRINKAGE if name == "UPOS" else FEATURE_SHRINKAGE
    return math.log((pairs[state_told, wanted] + s) / (rows * columns / max(n, 1) + s))


@given(sentences)
def test_scores_are_those_of_a_count_by_hand(given: list[list[Label]]) -> None:
    tables = tables_of(scores_of(given, OWN), OWN)
    assert tables.edge == len(OWN.combinations) == len(tables.last) - 1
    for table, step in ((tables.next, 1), (tables.last, -1)):
        for row, state in enumerate([*OWN.combinations, None]):
            for place, (name, value) in enumerate(OWN.outputs):
                # Number and Tense have one value beside none, or no pair that would tell.
                is_told = name == "UPOS" or (value and name in ("Case", "Number") and state is not None)
                strength = UPOS_STRENGTH if name == "UPOS" else FEATURE_STRENGTH
                expected = strength * by_hand(given, state, (name, value), step) if is_told else 0.0
                assert (
                    abs(table[row, place] * tables.scales[place] - expected) <= strength * STEP / 2 + 1e-6
                ), (state, name, value)


def test_agreement_by_hand() -> None:
    """An accusative adjective nine times before an accusative noun, a nominative one before a nominative."""
    adj_acc, adj_nom, noun_acc, noun_nom, punct, verb = OWN.combinations
    given = [[adj_acc, noun_acc]] * 9 + [[adj_nom, noun_nom]] * 9 + [[verb, punct]] * 2
    tables = tables_of(scores_of(given, OWN), OWN)
    acc, nom = OWN.outputs["Case", "Acc"], OWN.outputs["Case", "Nom"]
    # Of 18 pairs 9 are expected to be half of the times: log (9 + 3) / (4.5 + 3), and log 3 / 7.5.
    like, unlike = FEATURE_STRENGTH * math.log(12 / 7.5), FEATURE_STRENGTH * math.log(3 / 7.5)
    expected = [like, unlike]
    off = FEATURE_STRENGTH * STEP / 2
    np.testing.assert_allclose((tables.next * tables.scales)[0, [acc, nom]], expected, atol=off)
    np.testing.assert_allclose((tables.last * tables.scales)[3, [nom, acc]], expected, atol=off)
    assert not tables.next[5, [acc, nom]].any()  # no word with a case follows a verb
    assert not tables.next[:, OWN.outputs["Case", ""]].any()
    # Six of ten sentences would be enough to expect: 18 of 20 begin with an adjective.
    edge = tables.next[tables.edge]
    assert edge[OWN.outputs["UPOS", "ADJ"]] > 0 > edge[OWN.outputs["UPOS", "NOUN"]]


def test_one_sentence_after_the_other_is_what_all_give() -> None:
    assert scores_of([], OWN).dtype == np.int8 and not scores_of([], OWN).any()
    assert np.array_equal(
        scores_of(iter([[OWN.combinations[0]], []]), OWN), scores_of([[OWN.combinations[0]]], OWN)
    )


@pytest.mark.parametrize("change", [-1, 1, 40])
def test_scores_of_another_inventory_are_refused(change: int) -> None:
    scores = scores_of([], OWN)
    wrong = np.zeros(len(scores) + change, dtype=np.int8)
    with pytest.raises(ValueError, match=f"got {len(wrong)} scores of transitions for 6 labels"):
        tables_of(wrong, OWN)


def chained(*, but: str = "") -> Conventions:
    """With random transitions, but for one convention."""
    conventions, random = make_conventions(), np.random.default_rng(7)
    for head in conventions.heads:
        if head.code != but:
            n = len(scores_of([], head.inventory))
            scores = random.integers(-127, 128, n).astype(np.int8)
            conventions = conventions.with_head(replace(head, transitions=scores))
    return conventions


def one_by_one(
    conventions: Conventions, code: str, doc: Doc, vectors: np.ndarray, bounds: list[int]
) -> list[int]:
    """A sentence by itself, a word after the other."""
    head, found = conventions.head(code), []
    tables = head.tables
    for start, end in pairwise(bounds):
        table, rows = conventions.forms(code), []
        for token in doc[start:end]:
            rows.append(np.zeros(3, np.float32) if table is None else table.vector(token.text))
        (logits,) = conventions.logits(code, [vectors[start:end]], np.asarray(rows, np.float32))
        (logits,) = by_convention._possible(
            iter([logits]),
            conventions,
            code,
            by_convention._Words([doc], [doc.to_array("ORTH")], [(0, start, end)]),
        )
        first = head.inventory.best_combinations([logits.copy()])
        if tables is not None:
            for i in range(end - start):
                before = first[i - 1] if i else tables.edge
                after = first[i + 1] if i + 1 < end - start else tables.edge
                told = tables.next[before].astype(np.float32) + tables.last[after].astype(np.float32)
                logits[i] += told * tables.scales
        found += conventions.read(code, [logits]).tolist()
    return found


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@given(seed=st.integers(0, 1000), lengths=st.lists(st.lists(st.integers(1, 5), max_size=4), max_size=4))
def test_labels_are_those_of_sentences_one_by_one(at_once: int, seed: int, lengths: list[list[int]]) -> None:
    """Whatever other sentences are there, and however many words are tagged at once."""
    conventions, random, vocab = chained(but="fi_b"), np.random.default_rng(seed), Vocab()
    codes = list(LABELS)
    docs, vectors, sentences, expected = [], [], [], []
    for number, own in enumerate(lengths):
        bounds = [0, *np.cumsum(own).tolist()]
        words = random.choice([*FORMS, "other"], bounds[-1]).tolist()
        doc = Doc(vocab, words=words, sent_starts=[i in bounds for i in range(len(words))])
        docs.append(doc)
        vectors.append(4 * floats(random, len(words), WIDTH))
        code = codes[number % len(codes)]
        # A convention that is given is that of the whole Doc, one that is found that of each sentence.
        sentences.append(
            [(start, code) for start in (bounds[:-1] if number % 2 else bounds[:1])] if own else []
        )
        expected += one_by_one(conventions, code, doc, vectors[-1], bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_convention, "WORDS_AT_ONCE", at_once)
        patch.setattr(by_convention, "ROWS_AT_ONCE", 2)
        found = by_convention.tag(conventions, docs, vectors, sentences, confidences=True)
    assert found.labels.tolist() == expected
    assert found.confidences is not None and len(found.confidences) == len(expected)


def test_confidences_know_of_the_neighbours() -> None:
    conventions, plain = chained(), make_conventions()
    doc = Doc(Vocab(), words=list(FORMS))
    vectors = floats(np.random.default_rng(3), len(doc), WIDTH)
    told, untold = (
        by_convention.tag(found, [doc], [vectors], [[(0, "fi_a")]], confidences=True)
        for found in (conventions, plain)
    )
    assert told.confidences is not None and untold.confidences is not None
    assert not np.allclose(told.confidences, untold.confidences, atol=1e-3)
    assert ((told.confidences > 0) & (told.confidences <= 1)).all()


def test_their_bytes() -> None:
    conventions = chained(but="fi_b")
    again = conventions_from_bytes(data := conventions_to_bytes(conventions))
    assert conventions_to_bytes(again) == data
    for head, other in zip(conventions.heads, again.heads, strict=True):
        assert (head.transitions is None) == (other.transitions is None) == (head.code == "fi_b")
        if head.transitions is not None and other.transitions is not None:
            assert np.array_equal(head.transitions, other.transitions)
            assert np.array_equal(head.tables.next, other.tables.next)  # type: ignore[union-attr]
