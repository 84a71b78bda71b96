"""The tables of lemmas against plain Python and PyTorch, and what a fit learns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from mminibert.runtime.lemma_candidates import MOST
from mminibert.runtime.lemma_endings import SEEN
from mminibert.runtime.lemma_scripts import WILDCARD, Script, lowered, shape
from mminibert.runtime.lemma_table import LemmaTable, Read, known_places
from mminibert.runtime.lemma_words import BEYOND, char_hashes
from mminibert.runtime.lemmas import Lemmas
from mminibert.systems.lemma_fit import LemmaFit, WordCounts, _Lemmas, _regression, _types, fit_table
from mminibert.systems.lemmas import with_lemmas_of

W = WILDCARD
SCRIPTS = (
    Script("l", "", "", "", ""),
    Script("k", "", "", "", ""),
    Script("l", "", "", "s", ""),
    Script("u", "", "", "ies", "y"),
    Script("l", "un", "", "", ""),
    Script("l", "un", "ge", "a", "bb"),
    Script("U", "", "x", "", ""),
    Script("l", "", "", f"{W}{W}", f"a{W}i{W}"),
    Script("k", "a", "", f"b{W}", f"{W}"),
    Script("l", "", "", f"{W}a{W}", f"{W}+{W}"),
    Script("l", "", "", "", "never"),
)
UPOS = ("NOUN", "VERB")
FORM = st.text("abunsie+ABUİ中", max_size=9) | st.text(max_size=20)


def a_table(seed: int = 0, **parts: Any) -> LemmaTable:
    """Of these scripts, with random weights; a noun may have all of them but the last, a verb some."""
    random = np.random.default_rng(seed)
    levels = np.zeros((len(UPOS), len(SCRIPTS)), dtype=np.uint8)
    levels[0, :-1] = random.permutation(len(SCRIPTS) - 1) + 1
    levels[1, :4] = 7
    table = LemmaTable(
        ("xx_a", "xx_b"),
        SCRIPTS,
        UPOS,
        levels,
        np.ones((2, len(SCRIPTS)), dtype=bool),
        random.integers(-7, 8, 1 << 10).astype(np.int8),
        1.0,
        np.arange(0, 1 << 12, 3, dtype=np.int64),
        12,
        np.zeros(0, dtype=np.uint32),
        np.zeros(0, dtype=np.int64),
    )
    return replace(table, **parts)


TABLE = a_table()


@example([("\0" + "0", "NOUN")])  # the hash of NUL is 0
@given(st.lists(st.tuples(FORM, st.sampled_from(["NOUN", "VERB", "ADP"])), min_size=1, max_size=5))
def test_candidates_are_those_that_apply_and_are_seen_as_they_are(words: list[tuple[str, str]]) -> None:
    forms = [form for form, _ in words]
    found = TABLE.candidates("xx_a", Read.of(forms, [(upos, "_") for _, upos in words]))
    levels = {upos: TABLE.levels[i] for i, upos in enumerate(UPOS)}
    for i, (form, upos) in enumerate(words):
        applying = [
            j
            for j, script in enumerate(SCRIPTS)
            if upos in levels and levels[upos][j] and script.matches(form) and script.apply(form)
        ]
        applying.sort(key=lambda j: (-int(levels[upos][j]), j))
        rows = np.flatnonzero(found.words == i)
        assert found.scripts[rows].tolist() == applying[:MOST]
        for row in rows.tolist():
            script = SCRIPTS[found.scripts[row]]
            middle = lowered(form)[len(script.prefix) : len(form) - len(script.suffix)]
            lemma = lowered(Script("l", *script[1:]).apply(form))
            hashes = char_hashes(lemma).tolist()
            assert found.lengths[row] == len(lemma)
            assert found.firsts[row] == hashes[0]
            # The beginning is not looked at from the end.
            seen = (len(middle) + len(script.end)) if script.start else len(lemma)
            own = [*reversed(hashes[len(hashes) - seen :])][:SEEN]
            assert found.tails[row].tolist() == own + [BEYOND] * (SEEN - len(own))


@given(st.lists(FORM.filter(bool), min_size=1, max_size=6, unique=True))
def test_lemmas_are_known_by_their_letters_and_shape(forms: list[str]) -> None:
    """The hash of what a script would give is that of the same string given by another script."""
    read = Read.of(forms, [("NOUN", "_")] * len(forms))
    found = TABLE.candidates("xx_a", read)
    places: dict[tuple[str, int], set[int]] = {}
    for word, script, place in zip(
        found.words, found.scripts, known_places(found.spellings, 32), strict=True
    ):
        own = SCRIPTS[script]
        lemma = lowered(Script("l", *own[1:]).apply(forms[word]))
        shapes = {"u": 1, "U": 2, "k": shape(forms[word])}
        places.setdefault((lemma, shapes.get(own.case, 0)), set()).add(int(place))
    assert all(len(own) == 1 for own in places.values())
    assert len(set().union(*places.values())) == len(places)


def test_the_script_with_the_highest_score_is_chosen() -> None:
    forms = ["abies", "unsa", "Unbba", "bab", "ties", "UNBA"]
    read = Read.of(forms, [("NOUN", "Case=Nom|Number=Sing")] * len(forms))
    found = TABLE.candidates("xx_b", read)
    known = np.isin(known_places(found.spellings, 12), TABLE.known)
    places = TABLE.features("xx_b", read, found, known)
    best = TABLE.ranked("xx_b", read).tolist()
    for i in range(len(forms)):
        rows = np.flatnonzero(found.words == i).tolist()
        scores = [sum(int(TABLE.weights[place]) for place in places[row]) for row in rows]
        assert best[i] == found.scripts[rows[scores.index(max(scores))]]
    assert TABLE.lemmas("xx_b", ["ab"], [("ADP", "_")]) == ["ab"]
    # What is told of the convention, of features and of known lemmas is seen.
    assert (places != TABLE.features("xx_a", read, found, known)).any()
    assert (places != TABLE.features("xx_b", read, found, ~known)).any()
    other = Read.of(forms, [("NOUN", "Case=Gen|Number=Sing")] * len(forms))
    assert (places != TABLE.features("xx_b", other, found, known)).any()


def test_a_word_has_its_lemma_whatever_stands_beside_it() -> None:
    forms = ["abies", "x" * 600, "", "unsa", "中"]
    labels = [("NOUN", "_")] * len(forms)
    together = TABLE.lemmas("xx_a", forms, labels)
    alone = [TABLE.lemmas("xx_a", [form], [label])[0] for form, label in zip(forms, labels, strict=True)]
    assert together == alone
    assert together[1] == forms[1]


def test_the_regression_takes_the_steps_of_adagrad() -> None:
    random = np.random.default_rng(1)
    bounds = np.asarray([0, 3, 5, 9])
    rights = np.asarray([1, 3, 8])
    weights = np.asarray([1.0, 2.0, 0.5], dtype=np.float32)
    places = random.integers(0, 20, (9, 4)).astype(np.uint32)
    start = random.standard_normal(20).astype(np.float32)
    settings = LemmaFit(epochs=2, batch=3, learn_rate=0.1)
    found, unit = _regression(places, bounds, rights, weights, start.copy(), settings)
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adagrad([theirs], lr=0.1, initial_accumulator_value=1e-6, eps=0)
    for _ in range(2):
        optimizer.zero_grad()
        scores = theirs[torch.tensor(places.astype(np.int64))].sum(dim=1)
        loss = sum(
            weights[i] * torch.nn.functional.cross_entropy(scores[a:b][None], torch.tensor([rights[i] - a]))
            for i, (a, b) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
        )
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        optimizer.step()
    assert np.abs(found * unit - theirs.detach().numpy()).max() <= unit / 2 + 1e-5


def plurals(*extra: tuple[str, str, str | None, str]) -> WordCounts:
    """Nouns whose plural has an s, verbs that end alike and keep it."""
    counts: WordCounts = Counter()
    for stem in ("hund", "katze", "maus", "tasse", "birne", "lampe", "garten", "wand", "decke", "tisch"):
        counts[stem, "NOUN", "Number=Sing", stem] += 2
        counts[f"{stem}s", "NOUN", "Number=Plur", stem] += 1
        counts[f"{stem}s", "VERB", "_", f"{stem}s"] += 1
    counts.update(extra)
    return counts


def test_a_fit_learns_endings_by_tags_and_exceptions_by_heart() -> None:
    table = fit_table({"xx_a": plurals(("mice", "NOUN", "Number=Plur", "mouse"))})
    forms = ["koffers", "koffers", "koffer", "Hunds", "mice", "mice"]
    tags = [("NOUN", "Number=Plur"), ("VERB", "_"), ("NOUN", "Number=Sing"), ("NOUN", "Number=Plur")]
    labels = [*tags, ("NOUN", "Number=Plur"), ("VERB", "_")]
    assert table.lemmas("xx_a", forms, labels) == ["koffer", "koffers", "koffer", "hund", "mouse", "mice"]


def test_training_words_are_right_however_little_was_learned() -> None:
    words = plurals(("mice", "NOUN", "Number=Plur", "mouse"), ("mice", "NOUN", "Number=Sing", "mice"))
    table = fit_table({"xx_a": words, "xx_b": plurals()}, LemmaFit(epochs=0))
    assert len(table.exceptions)
    for code, own in (("xx_a", words), ("xx_b", plurals())):
        forms = [form for form, *_ in own]
        found = table.lemmas(code, forms, [(upos, str(feats)) for _, upos, feats, _ in own])
        assert found == [lemma for *_, lemma in own]


def test_conventions_of_a_language_share_what_they_agree_on() -> None:
    upper: WordCounts = Counter()
    for (form, upos, feats, lemma), n in plurals().items():
        upper[form, upos, feats, lemma.upper()] += n
    table = fit_table({"xx_a": plurals(("mice", "NOUN", "Number=Plur", "mouse")), "xx_b": upper})
    label = [("NOUN", "Number=Plur")]
    assert table.lemmas("xx_a", ["koffers"], label) == ["koffer"]
    assert table.lemmas("xx_b", ["koffers"], label) == ["KOFFER"]
    assert table.lemmas("xx_a", ["mice"], label) == ["mouse"]


def test_a_new_convention_goes_on_from_a_table() -> None:
    base = fit_table({"xx_a": plurals()})
    own: WordCounts = Counter(
        {("mice", "NOUN", "Number=Plur", "mouse"): 1, ("mouse", "NOUN", "_", "mouse"): 1}
    )
    grown = fit_table({"xx_own": own}, base=base)
    label = [("NOUN", "Number=Plur")]
    assert grown.lemmas("xx_own", ["koffers", "mice"], label * 2) == ["koffer", "mouse"]
    assert fit_table({"xx_own": own}).lemmas("xx_own", ["koffers"], label) != ["koffer"]
    lemmas = Lemmas.of([base]).with_table(grown)
    assert lemmas.codes == ("xx_a", "xx_own")
    again = lemmas.with_table(fit_table({"xx_own": plurals()})).table("xx_own")
    assert again is not None and again.lemmas("xx_own", ["mice"], label) == ["mice"]


def test_a_lemma_is_known_of_another_word_alone_while_a_fit_learns() -> None:
    """Else each training word would tell the answer."""
    words: WordCounts = Counter({("dogs", "NOUN", "_", "dog"): 1, ("dog", "NOUN", "_", "dog"): 1})
    words["cats", "NOUN", "_", "cat"] = 1
    table = fit_table({"xx_a": words})
    _, types = _types({"xx_a": words}, ())
    forms = ["dogs", "cats", "cat", "hens"]
    read = Read.of(forms, [("NOUN", "_")] * 4)
    found = table.candidates("xx_a", read)
    known = _Lemmas.of(types, None).known(found, forms)
    lemmas = [
        table.scripts[script].apply(forms[word])
        for word, script in zip(found.words, found.scripts, strict=True)
    ]
    told = {
        (forms[word], lemma): bool(own) for word, lemma, own in zip(found.words, lemmas, known, strict=True)
    }
    assert told["dogs", "dog"] and told["cat", "cat"]
    assert not told["cats", "cat"] and not told["hens", "hen"]


def test_a_treebank_of_ones_own_goes_on_from_what_its_language_knows() -> None:
    doc = Doc(Vocab(), words=["mice"], pos=["NOUN"], lemmas=["mouse"])
    lemmas = with_lemmas_of(Lemmas.of([fit_table({"xx_a": plurals()})]), "xx_own", "xx_a", [doc])
    assert lemmas is not None
    table = lemmas.table("xx_own")
    assert table is not None
    assert table.lemmas("xx_own", ["mice", "koffers"], [("NOUN", "Number=Plur")] * 2) == ["mouse", "koffer"]


def test_unknown_feats_are_no_feats() -> None:
    counts: WordCounts = Counter({(f, u, None, lemma): n for (f, u, _, lemma), n in plurals().items()})
    table = fit_table({"xx_a": counts})
    assert table.lemmas("xx_a", ["koffers"], [("NOUN", "Number=Plur")]) == ["koffer"]


def test_without_lemmas_there_is_no_table() -> None:
    with pytest.raises(ValueError, match="got no word with a lemma for xx_a, expected some"):
        fit_table({"xx_a": Counter()})


def test_equal_words_make_equal_bytes_and_bytes_the_same_table() -> None:
    tables = [fit_table({"xx_a": plurals(), "xx_b": plurals()}), fit_table({"yy_a": plurals()})]
    lemmas = Lemmas.of(tables)
    data = lemmas.to_bytes()
    assert data == Lemmas.of([fit_table({"xx_a": plurals(), "xx_b": plurals()}), tables[1]]).to_bytes()
    read = Lemmas.from_bytes(data)
    assert read.to_bytes() == data
    table = read.table("xx_b")
    assert table is not None
    for name in ("codes", "scripts", "upos", "scale", "known_bits"):
        assert getattr(table, name) == getattr(tables[0], name)
    for name in ("levels", "shown", "weights", "known", "exceptions", "exception_scripts"):
        np.testing.assert_array_equal(getattr(table, name), getattr(tables[0], name))
    assert read.table("zz_a") is None
    only = read.only(["yy_a"])
    assert only.codes == ("yy_a",) and only.to_bytes() == Lemmas.of(tables[1:]).to_bytes()
    with pytest.raises(ValueError, match="each once"):
        Lemmas.of([tables[0], tables[0]])


@given(st.data())
def test_damage_is_noticed(data: st.DataObject) -> None:
    bytes_ = bytearray(DAMAGED)
    bytes_[data.draw(st.integers(0, len(bytes_) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = Lemmas.from_bytes(bytes(bytes_))
    except ValueError as error:
        assert "the lemmas are damaged" in str(error)
    else:  # blanks that fill up the header
        assert read.to_bytes() == DAMAGED


DAMAGED = Lemmas.of([a_table()]).to_bytes()
