"""The inventory against plain dictionaries and brute force over all combinations."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.runtime.labels import Inventory, Label, parse_feats
from mminibert.runtime.types import Floats, Ints

VALUES = {"Case": ["Acc", "Nom,Voc", "Nom"], "Gender[psor]": ["Fem", "Masc"], "Number": ["Plur", "Sing"]}


@st.composite
def feats(draw: st.DrawFn) -> str:
    chosen = {name: draw(st.sampled_from(["", *values])) for name, values in VALUES.items()}
    return "|".join(f"{name}={value}" for name, value in chosen.items() if value) or "_"


labels = st.tuples(st.sampled_from(["ADJ", "NOUN", "VERB", "X"]), feats())
label_lists = st.lists(labels, min_size=1, max_size=30)


def decode(inventory: Inventory, row: Ints) -> Label:
    """The label that a row of indices stands for."""
    named = [(name, values[i]) for (name, values), i in zip(inventory.fields, row.tolist(), strict=True)]
    pairs = [f"{name}={value}" for name, value in named[1:] if value]
    return named[0][1], "|".join(pairs) or "_"


def field_log_probs(inventory: Inventory, row: np.ndarray) -> list[dict[str, float]]:
    """For each field the log-probability of each value, in float64."""
    found = []
    for (_, values), (a, b) in zip(inventory.fields, pairwise(inventory.starts.tolist()), strict=True):
        shifted = row[a:b].astype(np.float64) - row[a:b].max()
        found.append(dict(zip(values, (shifted - np.log(np.exp(shifted).sum())).tolist(), strict=True)))
    return found


def score(inventory: Inventory, log_probs: list[dict[str, float]], label: Label) -> float:
    """The log-probability of a whole combination."""
    upos, feats = label
    given = dict(parse_feats(feats))
    names = [name for name, _ in inventory.fields]
    return log_probs[0][upos] + sum(
        values[given.get(name, "")] for name, values in zip(names[1:], log_probs[1:], strict=True)
    )


def random_logits(inventory: Inventory, n: int, *, seed: int, scale: float = 3.0) -> Floats:
    generator = np.random.default_rng(seed)
    return generator.normal(scale=scale, size=(n, inventory.n_outputs)).astype(np.float32)


def test_inventory_by_hand() -> None:
    inventory = Inventory.from_labels(
        [("NOUN", "Case=Nom|Number=Sing"), ("ADP", "_"), ("NOUN", "Number=Plur"), ("X", ""), ("", "Foo=Yes")]
    )
    assert inventory.fields == (
        ("UPOS", ("ADP", "NOUN")),
        ("Case", ("", "Nom")),
        ("Number", ("", "Plur", "Sing")),
    )
    assert inventory.combinations == (("ADP", "_"), ("NOUN", "Case=Nom|Number=Sing"), ("NOUN", "Number=Plur"))
    assert inventory.starts.tolist() == [0, 2, 4, 7]
    assert inventory.starts.dtype == np.int32
    assert inventory.n_outputs == 7
    assert inventory.weights(4.0).tolist() == [4.0, 1.0, 1.0]


@given(label_lists)
def test_the_order_of_labels_does_not_matter(given: list[Label]) -> None:
    shuffled = random.Random(0).sample(given, len(given))
    assert Inventory.from_labels(shuffled) == Inventory.from_labels(given)
    assert Inventory.from_labels(given + given) == Inventory.from_labels(given)


@given(label_lists)
def test_encoded_labels_decode_to_themselves(given: list[Label]) -> None:
    inventory = Inventory.from_labels(given)
    rows = inventory.encode(given)
    assert rows.dtype == np.int32
    assert [decode(inventory, row) for row in rows] == given
    assert set(inventory.combinations) == set(given)


def test_unknown_labels_are_masked() -> None:
    inventory = Inventory.from_labels([("NOUN", "Case=Nom"), ("VERB", "Number=Sing")])
    rows = inventory.encode(
        [("", "Case=Nom"), ("NOUN", ""), ("", ""), ("INTJ", "_"), ("NOUN", "Case=Gen|Mood=Ind|Number=Sing")]
    )
    assert rows.tolist() == [[-1, 1, 0], [0, -1, -1], [-1, -1, -1], [-1, 0, 0], [0, -1, 1]]
    assert inventory.encode([]).shape == (0, 3)


@given(given=label_lists, seed=st.integers(0, 2**32), scale=st.sampled_from([0.5, 3.0, 30.0]))
def test_best_combinations_equal_brute_force(given: list[Label], seed: int, scale: float) -> None:
    inventory = Inventory.from_labels(given)
    logits = random_logits(inventory, 15, seed=seed, scale=scale)
    found = inventory.best_combinations([logits])
    assert found.dtype == np.int32
    for row, index in zip(logits, found, strict=True):
        log_probs = field_log_probs(inventory, row)
        scores = [score(inventory, log_probs, label) for label in inventory.combinations]
        # Scores rather than indices, lest rounding to float32 decide a near tie.
        assert scores[index] == pytest.approx(max(scores), rel=1e-5, abs=1e-4)
        likeliest = [max(values, key=lambda value: values[value]) for values in log_probs]
        pairs = zip(inventory.fields[1:], likeliest[1:], strict=True)
        together = "|".join(f"{name}={value}" for (name, _), value in pairs if value) or "_"
        if (likeliest[0], together) in inventory.combinations:
            assert inventory.combinations[index] == (likeliest[0], together)


@given(label_lists)
def test_a_combination_that_was_seen_is_predicted_as_it_is(given: list[Label]) -> None:
    inventory = Inventory.from_labels(given)
    rows = inventory.encode(given)
    logits = random_logits(inventory, len(given), seed=0, scale=0.1)
    for i, row in enumerate(rows):
        logits[i, inventory.starts[:-1] + row] += 1.0
    assert [inventory.combinations[i] for i in inventory.best_combinations([logits])] == given


def test_no_words() -> None:
    inventory = Inventory.from_labels([("NOUN", "Case=Nom")])
    assert inventory.best_combinations([np.zeros((0, inventory.n_outputs), dtype=np.float32)]).shape == (0,)


@given(label_lists)
def test_log_prior_equals_counts(given: list[Label]) -> None:
    inventory = Inventory.from_labels(given)
    prior = inventory.log_prior(given)
    assert prior.dtype == np.float32
    for (name, values), (a, b) in zip(inventory.fields, pairwise(inventory.starts), strict=True):
        counts = Counter(
            upos if name == "UPOS" else dict(parse_feats(feats)).get(name, "") for upos, feats in given
        )
        expected = [(counts[value] + 1) / (len(given) + len(values)) for value in values]
        assert np.exp(prior[a:b]) == pytest.approx(expected, rel=1e-5)


@given(label_lists)
def test_json_round_trip(given: list[Label]) -> None:
    inventory = Inventory.from_labels(given)
    assert Inventory.from_json(json.loads(json.dumps(inventory.to_json()))) == inventory


@pytest.mark.parametrize("feats", ["Case", "Case=", "=Nom", "Case=Nom|", "Case=Nom||Number=Sing"])
def test_feats_of_another_form_are_refused(feats: str) -> None:
    with pytest.raises(ValueError, match="expected Name=Value"):
        parse_feats(feats)


def test_parse_feats() -> None:
    assert parse_feats("_") == parse_feats("") == ()
    assert parse_feats("Case=Nom,Acc|Abbr=Yes") == (("Case", "Nom,Acc"), ("Abbr", "Yes"))


def test_a_combination_with_a_value_that_no_field_lists() -> None:
    inventory = Inventory((("UPOS", ("NOUN",)), ("Case", ("", "Nom"))), (("NOUN", "Case=Gen"),))
    with pytest.raises(ValueError, match=r"Case=Gen.*no field lists"):
        inventory.best_combinations([np.zeros((1, 3), dtype=np.float32)])
