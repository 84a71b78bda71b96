"""What forms were annotated as: kept in few bytes, and weighed against the network by hand."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from students import LEXICON, make_corpus, tagger
from test_conventions import LABELS, make_conventions
from test_conventions import folder as folder  # a packaged pipeline with the conventions aa_x, aa_y, bb_z

from mminibert.data.corpus import read_docs
from mminibert.runtime.convention_store import FORMAT, conventions_from_bytes, conventions_to_bytes
from mminibert.runtime.conventions import Convention, Conventions
from mminibert.runtime.doc_labels import doc_labels
from mminibert.runtime.labels import Inventory, Label
from mminibert.runtime.lexicon import BONUS, ENDING_BONUS, NONE, Lexicon, ending_keys, hash_of
from mminibert.runtime.tensors import dump_checked, load_checked
from mminibert.systems import lexicon_fit
from mminibert.systems.counted import fit_counted
from mminibert.systems.lexicon_fit import counts_of, make_lexicon

OWN = Inventory.from_labels(LABELS["fi_a"])
FORMS = st.text(alphabet="abcdeéäÖжк中-'", min_size=1, max_size=6)


def shown(lexicon: Lexicon, form: str) -> set[Label]:
    found = lexicon.find(form)
    if found == NONE:
        return set()
    places = lexicon.candidates[lexicon.starts[found] : lexicon.starts[found + 1]]
    return {OWN.combinations[place] for place in places.tolist()}


labels = st.sampled_from(OWN.combinations)
counts = st.dictionaries(
    FORMS, st.dictionaries(labels, st.integers(1, 9), min_size=1, max_size=3), max_size=40
)


@given(given=counts)
def test_forms_have_what_they_were_annotated_as(given: dict[str, dict[Label, int]]) -> None:
    lexicon = make_lexicon(given, OWN.combinations)
    assert lexicon.hashes.tolist() == sorted(set(lexicon.hashes.tolist()))
    by_hash: dict[int, set[Label]] = {}
    for form, found in given.items():  # two forms may share a hash
        by_hash.setdefault(hash_of(form, lexicon.bits), set()).update(found)
    for form in given:
        assert shown(lexicon, form) == by_hash[hash_of(form, lexicon.bits)]


def test_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    adj, noun, other, verb = OWN.combinations
    given = {
        "talo": {noun: 100, verb: 1, other: 3},  # one of 104 is an error
        "on": {verb: 50},
        "vain": {adj: 2, noun: 2},
        "rare": {adj: 1},
        "foreign": {("X", "Foreign=Yes"): 7},
        "half": {verb: 2, ("ADJ", ""): 2},  # it may be an adjective of any features
        "whole": {verb: 2, ("VERB", ""): 2},
    }
    lexicon = make_lexicon(given, OWN.combinations, sure={"on", "vain"})
    assert shown(lexicon, "talo") == {noun, other}
    assert shown(lexicon, "on") == set()  # the network says so
    assert shown(lexicon, "vain") == {adj, noun}  # it cannot be sure of both
    assert shown(lexicon, "half") == set() and shown(lexicon, "whole") == {verb}
    assert shown(lexicon, "rare") == {adj} and shown(lexicon, "foreign") == set()
    monkeypatch.setattr(lexicon_fit, "MOST_FORMS", 2)
    few = make_lexicon(given, OWN.combinations)
    assert shown(few, "talo") and shown(few, "on") and not shown(few, "vain") and not shown(few, "rare")


@given(given=counts, words=st.lists(FORMS, max_size=20), least=st.integers(1, 3))
def test_other_forms_are_what_those_of_their_longest_ending_were(
    given: dict[str, dict[Label, int]], words: list[str], least: int
) -> None:
    """Against a search over all forms, for each ending and with none left out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_fit, "LEAST_FORMS", least)
        lexicon = make_lexicon(given, OWN.combinations)
    own_hashes = {hash_of(form, lexicon.bits) for form in given}
    keys: dict[int, set[str]] = {}
    for form in given:
        for key in ending_keys(form):
            keys.setdefault(hash_of(key, lexicon.bits), set()).add(key)
    for word in words:
        if {hash_of(spelling, lexicon.bits) for spelling in (word, word.lower())} & own_hashes:
            continue
        hashes = {hash_of(key, lexicon.bits): key for key in ending_keys(word)}
        if hashes.keys() & own_hashes or any(
            keys.get(number, {key}) != {key} for number, key in hashes.items()
        ):
            continue  # a hash of few bits, as this small lexicon has, is that of another form or ending
        expected: set[Label] = set()
        for n in range(min(5, len(word) - 1), 1, -1):
            alike = [
                found
                for form, found in given.items()
                if len(form) > n
                and form.lower()[-n:] == word.lower()[-n:]
                and form[0].isupper() == word[0].isupper()
                and sum(found.values()) <= 10
            ]
            share = {
                label: sum(found.get(label, 0) / sum(found.values()) for found in alike)
                for label in OWN.combinations
            }
            likely = {label for label, value in share.items() if value >= 0.02 * len(alike) and value}
            if len(alike) >= least and likely:
                expected = likely
                break
        assert shown(lexicon, word) == expected


def test_endings_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    adj, noun, _, verb = OWN.combinations
    given = {f"{letter}alo": {noun: 2} for letter in "bcdef"}
    given |= {f"{letter}olo": {verb: 2} for letter in "bcde"}
    given |= {"falo": {adj: 11}, "palo": {noun: 2, ("ADJ", ""): 1}}
    lexicon = make_lexicon(given, OWN.combinations)
    assert shown(lexicon, "falo") == {adj}  # its own
    assert (
        shown(lexicon, "talo") == set()
    )  # a third of one in nine of the forms are adjectives of any features
    del given["palo"]
    lexicon = make_lexicon(given, OWN.combinations)
    assert shown(lexicon, "halo") == {noun, verb}  # four rare forms on -alo are too few
    monkeypatch.setattr(lexicon_fit, "LEAST_FORMS", 4)
    lexicon = make_lexicon(given, OWN.combinations)
    assert shown(lexicon, "halo") == {noun} and shown(lexicon, "holo") == {verb}
    assert shown(lexicon, "helo") == {noun, verb}  # of -lo
    assert shown(lexicon, "alo") == {noun, verb}  # a form is no ending of its own
    assert shown(lexicon, "Halo") == shown(lexicon, "hal") == set()


def test_spellings_by_hand() -> None:
    (label,) = OWN.combinations[:1]
    lexicon = make_lexicon({form: {label: 1} for form in ("talo", "Öljy", "über")}, OWN.combinations)
    for form in ("talo", "Talo", "TALO", "O\u0308ljy", "Über", "\uff54alo"):
        assert shown(lexicon, form) == {label}
    assert [lexicon.find(form) for form in ("öljy", "talot")] == [NONE, NONE]


def test_steps_of_hashes_fit_into_two_bytes() -> None:
    """Few forms in many bits are far apart: what lies between stands for no form."""
    lexicon = make_lexicon({}, OWN.combinations)
    assert len(lexicon) == 0 and lexicon.find("talo") == NONE
    some = make_lexicon({f"form{i}": {OWN.combinations[0]: 1} for i in range(3)}, OWN.combinations)
    assert np.diff(some.hashes.astype(np.int64), prepend=0).max() < 1 << 16
    many = {f"form{i}": {OWN.combinations[i % 3]: 1} for i in range(3000)}
    lexicon = make_lexicon(many, OWN.combinations)
    wrong = sum(NONE < lexicon.find(f"other{i}") < lexicon.ending_set for i in range(20_000))
    assert wrong < 3 * 20_000 / 2**10


@given(given=counts, seed=st.integers(0, 50))
def test_the_best_of_a_form_wins_within_the_bonus(given: dict[str, dict[Label, int]], seed: int) -> None:
    """`Conventions.read` against each combination's score by a sum over its fields."""
    conventions = make_conventions()
    head = conventions.head("fi_a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_fit, "LEAST_FORMS", 1)
        lexicon = make_lexicon(given, OWN.combinations)
    conventions = conventions.with_head(replace(head, lexicon=lexicon))
    words = [*list(given)[:20], *("x" + form for form in list(given)[:20]), "unknown"]
    random = np.random.default_rng(seed)
    logits = (4 * random.standard_normal((len(words), OWN.n_outputs))).astype(np.float32)
    sets = np.asarray([lexicon.find(word) for word in words], dtype=np.int32)
    plain = conventions.read("fi_a", [logits])
    parts = [logits[:7], logits[7:]]
    found = conventions.read("fi_a", parts, sets)
    for row, word in enumerate(words):
        score = {
            label: float(sum(logits[row, OWN.outputs[value]] for value in values_of(label, OWN)))
            for label in OWN.combinations
        }
        candidates = shown(lexicon, word)
        now = conventions.labels[plain[row]]
        if not candidates or now not in score:
            assert (not candidates and found[row] == plain[row]) or now not in score
            continue
        best = max(candidates, key=lambda label: score[label])
        bonus = BONUS if lexicon.find(word) < lexicon.ending_set else ENDING_BONUS
        margin = score[best] + bonus - score[now]
        if abs(margin) > 1e-3 and now not in candidates:
            assert conventions.labels[found[row]] == (best if margin > 0 else now)
        elif now in candidates:
            assert score[conventions.labels[found[row]]] == pytest.approx(score[best], abs=1e-3)


def values_of(label: Label, own: Inventory) -> list[tuple[str, str]]:
    upos, feats = label
    features = dict(part.split("=") for part in feats.split("|")) if feats != "_" else {}
    return [(name, upos if name == "UPOS" else features.get(name, "")) for name, _ in own.fields]


@given(given=counts)
def test_they_survive_bytes(given: dict[str, dict[Label, int]]) -> None:
    conventions = make_conventions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexicon_fit, "LEAST_FORMS", 1)
        lexicon = make_lexicon(given, OWN.combinations)
    told = conventions.with_head(replace(conventions.head("fi_a"), lexicon=lexicon))
    data = conventions_to_bytes(told)
    again = conventions_from_bytes(data)
    assert conventions_to_bytes(again) == data
    read = again.head("fi_a").lexicon
    assert read is not None and again.head("fi_b").lexicon is None
    for name in ("hashes", "sets", "starts", "candidates"):
        assert np.array_equal(getattr(read, name), getattr(lexicon, name)), name
    assert (read.bits, read.ending_set) == (lexicon.bits, lexicon.ending_set)


def test_those_of_0_4_0_have_no_endings() -> None:
    told = make_conventions()
    lexicon = make_lexicon({form: {OWN.combinations[0]: 1} for form in ("a", "b")}, OWN.combinations)
    told = told.with_head(replace(told.head("fi_a"), lexicon=lexicon))
    tensors, metadata = load_checked(conventions_to_bytes(told), format=FORMAT)
    metadata["lexicons"] = json.dumps({"fi_a": lexicon.bits})
    del metadata["format"]
    read = conventions_from_bytes(dump_checked(tensors, metadata, format=FORMAT)).head("fi_a").lexicon
    assert read is not None and read.ending_set == lexicon.ending_set == len(lexicon.starts) - 1
    assert shown(read, "a") == {OWN.combinations[0]}


def test_parts_that_do_not_go_together_are_refused() -> None:
    lexicon = make_lexicon({"a": {OWN.combinations[0]: 1}, "b": {OWN.combinations[1]: 1}}, OWN.combinations)
    for change in (
        {"sets": lexicon.sets[:-1]},
        {"sets": lexicon.sets + np.uint16(9)},
        {"starts": lexicon.starts[::-1]},
        {"candidates": lexicon.candidates[:-1]},
        {"bits": 33},
        {"ending_set": len(lexicon.starts)},
    ):
        with pytest.raises(ValueError, match="do not go together"):
            replace(lexicon, **change)


# In a pipeline


@pytest.fixture
def nlp(folder: Path) -> Language:
    return spacy.load(folder / "xx")


def test_a_tag_is_one_that_its_form_had(nlp: Language, tmp_path: Path) -> None:
    pipe = tagger(nlp)
    assert pipe.conventions is not None
    words = ["a", "cab", "faced", "worse"]

    def tags() -> list[tuple[str, str]]:
        pipe.convention = "aa_x"
        return [(token.pos_, str(token.morph) or "_") for token in nlp(Doc(nlp.vocab, words=words))]

    before = tags()
    head = pipe.conventions.head("aa_x")
    others = [label for label in head.labels if label not in before and label[0] != "PUNCT"]
    wanted = dict(zip(words, (others * 4)[:4], strict=True))
    strong = {word: {label: 1} for word, label in wanted.items() if word != "worse"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mminibert.runtime.lexicon.BONUS", 1e3)
        pipe.conventions = pipe.conventions.with_head(
            replace(head, lexicon=make_lexicon(strong, head.inventory.combinations))
        )
        after = tags()
        assert after[:3] == [wanted[word] for word in words[:3]] and after[3] == before[3]
        nlp.to_disk(tmp_path / "told")
        again = spacy.load(tmp_path / "told")
        tagger(again).convention = "aa_x"
        doc = again(Doc(again.vocab, words=words))
        assert [(token.pos_, str(token.morph) or "_") for token in doc] == after
        pipe.convention = "aa_y"  # another convention has none
        assert {token.pos_ for token in nlp(Doc(nlp.vocab, words=words))} <= {"X", "DET"}


def test_counts_are_of_words_whose_labels_are_known() -> None:
    sentences = [(["a", "b", " "], [("DET", "_"), ("", ""), ("SPACE", "_")]), (["a"], [("NOUN", "")])]
    assert counts_of(sentences) == {"a": Counter({("DET", "_"): 1, ("NOUN", ""): 1})}


def test_lexicons_of_training_sentences(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that the network alone tags as it was annotated needs no entry."""
    corpus = make_corpus(tmp_path, {"en_a": 30, "en_b": 20})
    nlp = spacy.load(folder / "xx")
    pipe = tagger(nlp)
    own = Inventory.from_labels(LEXICON.values())
    width, said = pipe.output_layer.get_dim("nI"), LEXICON["faced"]
    bias = np.zeros(own.n_outputs, dtype=np.float32)
    bias[[own.outputs[value] for value in values_of(said, own)]] = 3.0  # each field is sure by so much
    weights, none = np.zeros((own.n_outputs, width), np.float32), np.zeros(0, np.float32)
    heads = [Convention.of(code, own, weights, bias, none) for code in ("en_a", "en_b")]
    pipe.conventions = Conventions(tuple(heads), None, {"en": "en_a"})
    docs = read_docs(corpus, "en_a", "train", nlp.vocab, units=("words", "tokens"))
    given = counts_of(([token.text for token in doc], doc_labels(doc)) for doc in docs)
    assert len(given) > 5 and all(len(found) == 1 for found in given.values())
    so_annotated = {form for form, found in given.items() if said in found}
    unknown = {form for form, found in given.items() if not any(feats for _, feats in found)}
    for sure, left_out in ((2.0, so_annotated | unknown), (4.0, unknown)):
        monkeypatch.setattr(lexicon_fit, "SURE", sure)
        told = fit_counted(nlp, corpus, ["en_a"])
        lexicon = told.head("en_a").lexicon
        assert lexicon is not None and told.head("en_b").lexicon is None
        assert {form for form in given if lexicon.find(form) == NONE} == left_out != set(given)
    assert so_annotated


def test_without_conventions_it_is_refused(nlp: Language, tmp_path: Path) -> None:
    tagger(nlp).conventions = None
    with pytest.raises(ValueError, match="the pipeline has no conventions"):
        fit_counted(nlp, tmp_path, ["en_a"])
