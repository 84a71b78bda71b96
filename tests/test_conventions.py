"""Conventions: their heads against PyTorch, what they predict by brute force, their bytes, Docs tagged by
them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from students import LEXICON, inventory, make_student, tagger, write_vocabulary

from mminibert.models.small_graphs import convention_graph
from mminibert.packaging.quantize import quantize
from mminibert.runtime.by_convention import in_parts
from mminibert.runtime.convention_store import conventions_from_bytes, conventions_to_bytes
from mminibert.runtime.conventions import GRAPH, STRONG_EVIDENCE, Adapter, Convention, Conventions
from mminibert.runtime.forms import FormTable, form_features
from mminibert.runtime.labels import Inventory, Label
from mminibert.runtime.languages import Languages
from mminibert.runtime.types import Floats

WIDTH, INNER = 8, 3
LABELS: dict[str, list[Label]] = {
    "fi_a": [("NOUN", "Case=Nom|Number=Sing"), ("NOUN", "Case=Nom"), ("VERB", "Tense=Past"), ("ADJ", "_")],
    "fi_b": [("NOUN", "Case=Nom|Number=Plur"), ("VERB", "Tense=Past"), ("NOUN", "Case=Nom|Number=Sing")],
    "sv_x": [("DET", "PronType=Art"), ("NOUN", "_")],
}
FORMS = ("talo", "talon", "on", "Talo")


def floats(random: np.random.Generator, *shape: int) -> Floats:
    return random.standard_normal(shape).astype(np.float32)


def make_table(random: np.random.Generator, forms: tuple[str, ...] = FORMS, width: int = INNER) -> FormTable:
    features = tuple(dict.fromkeys(feature for form in forms for feature in form_features(form)))
    rows = random.integers(-127, 128, (len(features), width)).astype(np.int8)
    return FormTable(features, rows, np.abs(floats(random, len(features)) / np.float32(100)))


def make_conventions(
    labels: dict[str, list[Label]] = LABELS, width: int = WIDTH, *, adapter: bool = True
) -> Conventions:
    random = np.random.default_rng(0)
    heads = []
    for code, found in sorted(labels.items()):
        own = Inventory.from_labels(found)
        n = own.n_outputs
        heads.append(
            Convention.of(code, own, floats(random, n, width), floats(random, n), floats(random, INNER))
        )
    langs = {code.split("_")[0]: code for code in sorted(labels)}
    forms = {lang: make_table(random, (*FORMS, "cab", "a")) for lang in langs if lang in ("fi", "aa")}
    shared = Adapter(floats(random, INNER, width), floats(random, width, INNER), forms)
    return Conventions(tuple(heads), shared if adapter else None, langs)


def reference(
    conventions: Conventions, code: str, vectors: Any, forms: npt.NDArray[np.floating]
) -> np.ndarray:
    """The formula, by PyTorch."""
    head, h = conventions.head(code), torch.tensor(vectors)
    weights = torch.from_numpy(head.rows.astype(np.float32) * head.scales[:, None])
    if conventions.adapter is not None:
        v, u = torch.tensor(conventions.adapter.down), torch.tensor(conventions.adapter.up)
        added = torch.tensor(forms) + torch.tensor(head.embedding)
        h = h + torch.nn.functional.gelu(h @ v.T + added.float()) @ u.T
    return (h @ weights.T + torch.tensor(head.bias)).numpy()


def test_the_graph_on_disk_is_the_one_that_is_exported() -> None:
    assert GRAPH.read_bytes() == convention_graph()


@pytest.mark.parametrize("adapter", [True, False])
@pytest.mark.parametrize("code", sorted(LABELS))
def test_logits_are_those_of_pytorch(code: str, adapter: bool) -> None:
    conventions = make_conventions(adapter=adapter)
    random = np.random.default_rng(1)
    vectors, forms = floats(random, 7, WIDTH), floats(random, 7, INNER)
    found = list(conventions.logits(code, [vectors[:3], vectors[3:]], forms))
    assert [len(part) for part in found] == [3, 4]
    assert np.allclose(np.concatenate(found), reference(conventions, code, vectors, forms), atol=1e-5)


def by_brute_force(conventions: Conventions, code: str, logits: np.ndarray) -> Label:
    """The most probable of all combinations of values; if the convention never shows it, the most probable
    one that it shows, unless that is `STRONG_EVIDENCE` times less probable and another convention of the
    language shows the first."""
    own = conventions.inventory(code)
    near = {label for head in conventions.heads if head.code[:2] == code[:2] for label in head.labels}

    def log_probability(label: Label) -> float:
        features = dict(cell.split("=") for cell in label[1].split("|")) if label[1] != "_" else {}
        wanted = [label[0], *(features.get(name, "") for name, _ in own.fields[1:])]
        total = 0.0
        for (_, values), start, value in zip(own.fields, own.starts, wanted, strict=False):
            part = logits[start : start + len(values)].astype(np.float64)
            total += part[values.index(value)] - np.log(np.exp(part).sum())
        return total

    labels = []
    for upos, *values in product(*(values for _, values in own.fields)):
        cells = [f"{name}={value}" for (name, _), value in zip(own.fields[1:], values, strict=True) if value]
        labels.append((upos, "|".join(cells) or "_"))
    best = max(labels, key=log_probability)
    closest = max(own.combinations, key=log_probability)
    if best in own.combinations:
        return best
    strong = log_probability(best) - log_probability(closest) > np.log(STRONG_EVIDENCE)
    return best if strong and best in near else closest


@given(st.integers(0, 10_000), st.sampled_from(sorted(LABELS)))
def test_combinations_are_those_of_brute_force(seed: int, code: str) -> None:
    conventions = make_conventions()
    logits = 4 * floats(np.random.default_rng(seed), 6, conventions.inventory(code).n_outputs)
    found = [conventions.labels[i] for i in conventions.read(code, [logits[:2], logits[2:]])]
    assert found == [by_brute_force(conventions, code, row) for row in logits]


def test_strong_evidence_by_hand() -> None:
    """``fi_b`` never shows a singular NOUN without number, ``fi_a`` does."""
    conventions = make_conventions()
    own = conventions.inventory("fi_b")
    assert own.fields == (
        ("UPOS", ("NOUN", "VERB")),
        ("Case", ("", "Nom")),
        ("Number", ("", "Plur", "Sing")),
        ("Tense", ("", "Past")),
    )
    #                    NOUN VERB   - Nom   - Plur Sing   - Past
    row = np.asarray([[9.0, 0.0, 0.0, 9.0, 3.0, 0.0, 0.0, 9.0, 0.0]], dtype=np.float32)
    weak, strong = row.copy(), row.copy()
    weak[0, 4], strong[0, 4] = np.log(99.0), np.log(101.0)
    for logits, expected in ((weak, ("NOUN", "Case=Nom|Number=Plur")), (strong, ("NOUN", "Case=Nom"))):
        (i,) = conventions.read("fi_b", [logits])
        assert conventions.labels[i] == expected
    without = conventions.only({"fi_b"}, {"fi": "fi_b"})
    (i,) = without.read("fi_b", [strong])  # that combination occurs nowhere now
    assert without.labels[i] == ("NOUN", "Case=Nom|Number=Plur")


@pytest.mark.parametrize("adapter", [True, False])
def test_bytes(adapter: bool) -> None:
    conventions = make_conventions(adapter=adapter)
    data = conventions_to_bytes(conventions)
    found = conventions_from_bytes(data)
    assert conventions_to_bytes(found) == data
    assert found.codes == conventions.codes and found.defaults == conventions.defaults
    assert found.labels == conventions.labels
    random = np.random.default_rng(2)
    vectors, forms = floats(random, 4, WIDTH), floats(random, 4, INNER)
    for code in found.codes:
        assert found.inventory(code) == conventions.inventory(code)
        (a,), (b,) = (list(each.logits(code, [vectors], forms)) for each in (found, conventions))
        assert np.array_equal(a, b)
    for form in FORMS:
        if adapter:
            one, other = (each.forms("fi_a") for each in (found, conventions))
            assert one is not None and other is not None
            assert np.array_equal(one.vector(form), other.vector(form))


@given(st.data())
def test_damaged_bytes_are_noticed(data: st.DataObject) -> None:
    whole = conventions_to_bytes(make_conventions())
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    try:
        found = conventions_from_bytes(damaged)
    except ValueError as error:
        assert "damaged" in str(error)
    else:  # a byte that changes nothing, such as a blank of the header
        assert conventions_to_bytes(found) == whole


def test_names() -> None:
    conventions = make_conventions()
    assert conventions.resolve("fi_a") == "fi_a"
    assert conventions.resolve("fi") == conventions.defaults["fi"] == "fi_b"
    with pytest.raises(ValueError, match=r"'fi_c', expected one of fi_a, fi_b, or 'fi' for fi_b"):
        conventions.resolve("fi_c")
    with pytest.raises(ValueError, match=r"'xx_a', expected that of a treebank.*fi, sv"):
        conventions.resolve("xx_a")
    with pytest.raises(ValueError, match="the default of 'fi' is None, expected one of fi_a, fi_b"):
        replace(conventions, defaults={"sv": "sv_x"})


def test_one_more_convention_leaves_the_others_alone() -> None:
    conventions = make_conventions()
    own = Inventory.from_labels([("X", "_")])
    zeros = np.zeros(INNER, np.float32)
    new = Convention.of("de_own", own, np.ones((1, WIDTH), np.float32), zeros[:1], zeros)
    more = conventions.with_head(new)
    assert more.codes == ("de_own", *conventions.codes)
    assert more.defaults == {**conventions.defaults, "de": "de_own"}
    assert all(more.head(code) is conventions.head(code) for code in conventions.codes)
    again = more.with_head(replace(new, bias=np.ones(1, np.float32)))
    assert again.codes == more.codes and again.head("de_own").bias == 1


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 4))
def test_rows_in_parts(sizes: list[int], size: int) -> None:
    arrays = [np.full((n, 1), i, dtype=np.float32) for i, n in enumerate(sizes)]
    parts = [np.concatenate(part) for part in in_parts(arrays, size)]
    assert all(len(part) == size for part in parts[:-1])
    whole = np.concatenate([*arrays, np.zeros((0, 1), np.float32)])
    assert np.array_equal(np.concatenate([*parts, np.zeros((0, 1), np.float32)]), whole)


# Forms


def test_features_of_a_form_by_hand() -> None:
    assert form_features("Talot") == ("^talot", "$t", "$ot", "$lot", "$alot")
    assert form_features("on") == ("^on", "$n", "$on", "$^on")
    assert form_features("") == ("^", "$^")


@given(st.lists(st.text(max_size=6), min_size=1, max_size=8))
def test_vectors_of_forms(words: list[str]) -> None:
    words = [word for word in words if word] or ["a"]
    table = make_table(np.random.default_rng(3), ("talo", *words[:2]))
    doc = Doc(spacy.blank("xx").vocab, words=words)
    keys = [token.orth for token in doc]
    for _ in range(2):  # the second time from the cache
        found = np.frombuffer(b"".join(table.vectors(doc, keys[1:], 1)), np.float32).reshape(-1, INNER)
        for row, word in zip(found, words[1:], strict=True):
            expected = np.zeros(INNER)
            for feature in form_features(word):
                if feature in table.features:
                    i = table.features.index(feature)
                    expected += table.rows[i] * table.scales[i].astype(np.float64)
            assert np.allclose(row, expected, atol=1e-5)


# Pipelines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged pipeline with two conventions that disagree on everything, and nothing that finds
    languages."""
    folder = tmp_path_factory.mktemp("conventions")
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory())
    light = quantize(nlp, [nlp.make_doc(text) for text in ("a cab", "faced worse .")])
    labels: dict[str, list[Label]] = {
        "aa_x": [label for label in LEXICON.values() if label[0] != "DET"],
        "aa_y": [("X", "Foreign=Yes"), ("DET", "_")],
        "bb_z": [("SYM", "_"), ("INTJ", "_")],
    }
    pipe = tagger(light)
    pipe.conventions = make_conventions(labels, pipe.output_layer.get_dim("nI"))
    light.to_disk(folder / "xx")
    return folder


@pytest.fixture
def nlp(folder: Path) -> Language:
    return spacy.load(folder / "xx")


def upos(doc: Doc) -> set[str]:
    return {token.pos_ for token in doc}


def test_a_convention_is_chosen(nlp: Language) -> None:
    pipe = tagger(nlp)
    pipe.convention = "aa_y"
    doc = nlp("a cab faced worse . bad cabs")
    assert upos(doc) <= {"X", "DET"}
    assert (doc._.convention, doc._.conventions) == ("aa_y", ("aa_y",))
    pipe.convention = "bb"
    assert pipe.convention == "bb_z"
    doc = nlp("a cab faced worse . bad cabs")
    assert upos(doc) <= {"SYM", "INTJ"} and doc._.convention == "bb_z"
    assert next(DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab))._.convention == "bb_z"


def test_tags_are_those_of_the_formula(nlp: Language) -> None:
    pipe = tagger(nlp)
    assert pipe.conventions is not None
    doc = nlp.make_doc("a cab faced")
    nlp.get_pipe("tok2vec")(doc)
    for code in pipe.conventions.codes:
        pipe.convention = code
        table, k = pipe.conventions.forms(code), INNER
        rows = [np.zeros(k, np.float32) if table is None else table.vector(token.text) for token in doc]
        forms = np.asarray(rows, dtype=np.float32)
        logits = reference(pipe.conventions, code, doc.tensor, forms)
        (prediction,) = pipe.predict([doc])
        expected = pipe.conventions.read(code, [logits.astype(np.float32)])
        assert prediction.combinations.tolist() == expected.tolist()


def test_confidences_are_of_the_convention(nlp: Language) -> None:
    pipe = tagger(nlp)
    pipe.confidences, pipe.convention = True, "aa_y"
    assert pipe.conventions is not None
    doc = nlp("a cab faced")
    table = pipe.conventions.forms("aa_y")
    assert table is not None
    forms = np.asarray([table.vector(token.text) for token in doc], dtype=np.float32)
    logits = reference(pipe.conventions, "aa_y", doc.tensor, forms)
    own = pipe.conventions.inventory("aa_y").fields[0][1]
    for token, row in zip(doc, logits, strict=True):
        probs = torch.softmax(torch.from_numpy(row[: len(own)]), dim=0)
        assert token._.pos_confidence == pytest.approx(float(probs[own.index(token.pos_)]), abs=1e-5)


def test_by_config(folder: Path) -> None:
    config = {"components.morphologizer.convention": "aa_y"}
    nlp = spacy.load(folder / "xx", config=config)
    assert nlp("a cab")._.convention == "aa_y"
    with pytest.raises(ValueError, match="'aa_q', expected one of aa_x, aa_y"):
        spacy.load(folder / "xx", config={"components.morphologizer.convention": "aa_q"})


def test_an_unknown_name_changes_nothing(nlp: Language) -> None:
    pipe = tagger(nlp)
    pipe.convention = "aa_x"
    with pytest.raises(ValueError, match="aa_x, aa_y"):
        pipe.convention = "aa_q"
    with pytest.raises(ValueError, match=r"got convention 5, expected a name, such as 'aa_x'"):
        pipe.convention = 5
    assert pipe.convention == "aa_x"
    pipe.conventions = None
    with pytest.raises(ValueError, match="has no conventions"):
        pipe.convention = "aa_x"


def test_without_a_language_or_convention_it_says_what_to_do(nlp: Language) -> None:
    with pytest.raises(ValueError, match="set its `convention`, such as 'aa_x'"):
        nlp("a cab")


def test_without_conventions_the_head_for_all_tags(nlp: Language) -> None:
    pipe = tagger(nlp)
    pipe.conventions = None
    doc = nlp("a cab faced")
    assert doc._.convention is None and doc._.conventions == ()
    assert upos(doc) <= {upos for upos, _ in inventory().combinations}


def test_conventions_of_another_width_are_refused(nlp: Language) -> None:
    with pytest.raises(ValueError, match="of width 8, the encoder's have"):
        tagger(nlp).conventions = make_conventions()


def test_they_survive_bytes_and_disk(nlp: Language, tmp_path: Path) -> None:
    tagger(nlp).convention = "aa_x"
    expected = [(t.pos_, str(t.morph)) for t in nlp("a cab faced worse .")]
    nlp.to_disk(tmp_path / "again")
    again = spacy.load(tmp_path / "again")
    other = spacy.util.load_model_from_config(nlp.config.copy(), auto_fill=True).from_bytes(nlp.to_bytes())
    for found in (again, other):
        tagger(found).convention = "aa_x"
        assert [(t.pos_, str(t.morph)) for t in found("a cab faced worse .")] == expected


def test_empty_docs(nlp: Language) -> None:
    tagger(nlp).convention = "aa_x"
    docs = list(nlp.pipe(["", "a cab", ""]))
    assert [len(doc) for doc in docs] == [0, 2, 0]
    assert docs[0]._.convention is None and docs[1]._.convention == "aa_x"


# Sentences of several languages


def make_languages(nlp: Language, codes: tuple[str, str] = ("aa", "bb")) -> Languages:
    """Letters of ``bad cab`` tell the first language, those of ``worse`` and the full stop the second;
    vectors tell nothing."""
    pieces = tagger(nlp).encoder.pieces
    levels = np.ones((2, len(pieces)), dtype=np.uint8)
    for i, letters in enumerate(("abcd", "wores.")):
        levels[i, [j for j, piece in enumerate(pieces.vocab) if piece.removeprefix("##") in [*letters]]] = 9
    width = tagger(nlp).output_layer.get_dim("nI")
    return Languages(codes, levels, np.zeros((width, 2), np.float32), np.zeros(2, np.float32), 1.0)


def tags(doc: Doc) -> list[tuple[str, str]]:
    return [(token.pos_, str(token.morph)) for token in doc]


MIXED = "bad cab. worse worse. a cab bad cab."


def test_each_sentence_is_tagged_by_the_default_of_its_language(nlp: Language) -> None:
    """By hand, the levels of the first two sentences add up to 55 and 15, and to 11 and 99."""
    pipe = tagger(nlp)
    alone = {}
    for code in ("aa_y", "bb_z"):
        pipe.convention = code
        alone[code] = tags(nlp(MIXED))
    assert all(one != other for one, other in zip(*alone.values(), strict=True))
    pipe.convention, pipe.languages = None, make_languages(nlp)
    doc = nlp(MIXED)
    assert [len(sentence) for sentence in doc.sents] == [3, 3, 5]
    assert doc._.conventions == ("aa_y", "bb_z", "aa_y")
    assert doc._.convention == "aa_y"  # of 8 words in 11
    assert tags(doc) == [*alone["aa_y"][:3], *alone["bb_z"][3:6], *alone["aa_y"][6:]]
    other = nlp("worse worse worse. cab.")
    assert other._.conventions == ("bb_z", "aa_y") and other._.convention == "bb_z"


def test_mixed_docs_do_not_depend_on_their_batch(nlp: Language, tmp_path: Path) -> None:
    pipe = tagger(nlp)
    pipe.languages = make_languages(nlp)
    texts = [MIXED, "", "worse.", "cab", "worse. " * 300 + "bad.", MIXED]
    single = [nlp(text) for text in texts]
    assert single[2]._.conventions == ("bb_z",) and single[3]._.conventions == ("aa_y",)
    assert set(single[4]._.conventions[:300]) == {"bb_z"}
    nlp.to_disk(tmp_path)
    for found in (nlp, spacy.load(tmp_path)):
        docs = list(found.pipe(texts, batch_size=4))
        assert [doc._.conventions for doc in docs] == [doc._.conventions for doc in single]
        assert [tags(doc) for doc in docs] == [tags(doc) for doc in single]


def test_languages_without_a_convention_are_refused(nlp: Language) -> None:
    with pytest.raises(ValueError, match="the languages cc have no convention"):
        tagger(nlp).languages = make_languages(nlp, ("aa", "cc"))
    pipe = tagger(nlp)
    pipe.languages = make_languages(nlp)
    whole = pipe.conventions
    assert whole is not None
    with pytest.raises(ValueError, match="the languages bb have no convention"):
        pipe.conventions = whole.only({"aa_x"}, {"aa": "aa_x"})
    assert pipe.conventions is whole
    pipe.languages = None
    pipe.conventions = whole.only({"aa_x"}, {"aa": "aa_x"})
    assert nlp("worse . cab")._.conventions == ("aa_x",)
