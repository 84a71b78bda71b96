"""The component that sets lemmas, by itself and in packaged pipelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from packaged import CONVENTIONS, random_segmenter, three_languages, with_conventions
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from mminibert.data.docs_conllu import doc_to_conllu
from mminibert.packaging.quantize import with_lemmas, with_segmenter
from mminibert.packaging.subset import subset
from mminibert.runtime.doc_conventions import set_conventions
from mminibert.runtime.lemmas import Lemmas
from mminibert.runtime.lemmatizer import ScriptLemmatizer
from mminibert.runtime.pipeline import lemmatizer
from mminibert.runtime.ud_words import set_words, store_words, ud_lemmas
from mminibert.systems.lemma_fit import WordCounts, fit_table
from mminibert.systems.lemmas import word_counts

PLURAL: WordCounts = Counter(
    {(f"{stem}s", "NOUN", "_", stem): 1 for stem in ("dog", "cat", "hen", "pig", "cow")}
)
PLURAL.update({("was", "VERB", "_", "be"): 1, ("has", "VERB", "_", "have"): 1})
ENGLISH = fit_table({"en_x": PLURAL, "en_y": Counter({("dogs", "NOUN", "_", "DOG"): 5})})
RUSSIAN = fit_table({"ru_x": Counter({("коты", "NOUN", "_", "кот"): 1, ("дома", "NOUN", "_", "дом"): 1})})
LEMMAS = Lemmas.of([ENGLISH, RUSSIAN])


def component(lemmas: Lemmas = LEMMAS) -> ScriptLemmatizer:
    pipe = ScriptLemmatizer(Vocab())
    pipe.lemmas = lemmas
    return pipe


def tagged(*words: str, vocab: Vocab | None = None, code: str | None = "en_x") -> Doc:
    doc = Doc(
        vocab or Vocab(), words=list(words), pos=["VERB" if w in ("was", "has") else "NOUN" for w in words]
    )
    for token in doc:
        token.set_morph("")  # type: ignore[attr-defined]
    if code is not None:
        set_conventions(doc, [(0, code)])
    return doc


def lemmas_of(doc: Doc) -> list[str]:
    return [token.lemma_ for token in doc]


def test_lemmas_are_by_convention_and_tag() -> None:
    assert lemmas_of(component()(tagged("dogs", "was", "has"))) == ["dog", "be", "have"]
    assert lemmas_of(component()(tagged("dogs", code="en_y"))) == ["DOG"]
    assert lemmas_of(component()(tagged("коты", code="ru_x"))) == ["кот"]
    doc = tagged("dogs", "коты", "dogs")
    set_conventions(doc, [(0, "en_x"), (1, "ru_x"), (2, "en_y")])
    assert lemmas_of(component()(doc)) == ["dog", "кот", "DOG"]


def test_a_form_that_is_not_known_has_the_lemma_of_its_spelling() -> None:
    """If that is another word: the form itself stays as it is written, but for vowel signs."""
    counts: WordCounts = Counter({("l'", "NOUN", "_", "le"): 3, ("n'", "NOUN", "_", "ne"): 3})
    table = fit_table({"fr_x": counts})
    assert table.lemmas("fr_x", ["l’"], [("NOUN", "_")]) == ["l’"]
    pipe = component(Lemmas.of([table]))
    doc = pipe(tagged("l'", "l’", "L’", "aujourd’hui", code="fr_x"))
    assert lemmas_of(doc) == ["le", "le", "le", "aujourd’hui"]
    both = component(Lemmas.of([fit_table({"uk_x": Counter({**counts, ("n’", "NOUN", "_", "no"): 3})})]))
    assert lemmas_of(both(tagged("n'", "n’", code="uk_x"))) == ["ne", "no"]
    # An ending's script may keep the apostrophe, as here l’e; one that belongs to the word stays as it is.
    forms = {"l'": "le", "l’": "l’e", "сім'ї": "сім'я", "сім’ї": "сім’я"}
    table = fit_table({"fr_x": Counter({(form, "NOUN", "_", lemma): 3 for form, lemma in forms.items()})})
    assert table.lemmas("fr_x", ["l’"], [("NOUN", "_")]) == ["l’e"]
    doc = component(Lemmas.of([table]))(tagged("l’", "L’", "сім’ї", "сім'ї", code="fr_x"))
    assert lemmas_of(doc) == ["le", "le", "сім’я", "сім'я"]
    words = {("كتب", "NOUN", "_", "كِتَاب"): 2}
    pipe = component(Lemmas.of([fit_table({"ar_x": Counter(words)})]))
    pointed, plain = tagged("كُتُب", "قَلَم", code="ar_x"), tagged("كتب", "قلم", code="ar_x")
    assert lemmas_of(pipe(pointed)) == lemmas_of(pipe(plain)) and pointed[0].lemma_ == "كِتَاب"


def test_what_is_not_known_stays_empty() -> None:
    pipe = component()
    assert lemmas_of(pipe(tagged("dogs", code="fi_x"))) == [""]
    assert lemmas_of(pipe(tagged("dogs", code=None))) == [""]
    untagged = Doc(Vocab(), words=["dogs"])
    set_conventions(untagged, [(0, "en_x")])
    assert lemmas_of(pipe(untagged)) == [""]
    partly = tagged("dogs", "dogs")
    set_conventions(partly, [(0, "fi_x"), (1, "en_x")])
    assert lemmas_of(pipe(partly)) == ["", "dog"] and not partly[0].lemma
    assert lemmas_of(pipe(Doc(Vocab()))) == []


def test_a_table_for_all_is_for_docs_of_no_convention() -> None:
    pipe = component(Lemmas.of([fit_table({"": PLURAL})]))
    assert lemmas_of(pipe(tagged("dogs", code=None))) == ["dog"]


def test_words_of_a_multiword_token_have_lemmas_and_the_token_that_of_its_head() -> None:
    doc = tagged("wasdogs", "cats")
    store_words(doc[0], (("was", "VERB", "_"), ("dogs", "NOUN", "_")))
    component()(doc)
    assert doc[0]._.ud_lemmas == ("be", "dog") and doc[1]._.ud_lemmas is None
    assert lemmas_of(doc) == ["be", "cat"]
    rows = [line.split("\t")[:3] for line in doc_to_conllu(doc).splitlines() if line and line[0] != "#"]
    assert rows == [["1-2", "wasdogs", "_"], ["1", "was", "be"], ["2", "dogs", "dog"], ["3", "cats", "cat"]]
    again = next(DocBin(["POS", "LEMMA"], docs=[doc], store_user_data=True).get_docs(Vocab()))
    assert ud_lemmas(again[0]) == ("be", "dog")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    assert ud_lemmas(doc[0]) is None
    set_words(doc[0], ["a", "b"])
    assert "\t_\t" in doc_to_conllu(doc).splitlines()[2]


def test_docs_of_another_vocab() -> None:
    pipe = component()
    pipe(tagged("dogs", vocab=pipe.vocab))
    doc = pipe(tagged("dogs", "has"))
    assert doc.vocab is not pipe.vocab and lemmas_of(doc) == ["dog", "have"]


def test_what_was_met_in_a_memory_zone_is_known_after_it() -> None:
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("script_lemmatizer", name="lemmatizer")
    pipe.lemmas = LEMMAS
    with nlp.memory_zone():  # with the lemma itself as a word of the zone, which goes with it
        assert lemmas_of(pipe(tagged("kitten", "kittens", vocab=nlp.vocab))) == ["kitten", "kitten"]
    assert lemmas_of(pipe(tagged("kittens", vocab=nlp.vocab))) == ["kitten"]


@given(
    st.lists(
        st.lists(st.sampled_from(["dogs", "was", "has", "hens", "zzs", " ", "\n"]), max_size=4), max_size=5
    )
)
def test_in_a_batch_as_alone(texts: list[list[str]]) -> None:
    together = [lemmas_of(doc) for doc in component().pipe([tagged(*words) for words in texts], batch_size=2)]
    assert together == [lemmas_of(component()(tagged(*words))) for words in texts]


def test_stored_and_read(tmp_path: Path) -> None:
    component().to_disk(tmp_path / "lemmatizer")
    read = ScriptLemmatizer(Vocab()).from_disk(tmp_path / "lemmatizer")
    assert (
        read.to_bytes()
        == LEMMAS.to_bytes()
        == ScriptLemmatizer(Vocab()).from_bytes(read.to_bytes()).to_bytes()
    )
    file = tmp_path / "lemmatizer" / "lemmas"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"lemmas: the file is damaged"):
        ScriptLemmatizer(Vocab()).from_disk(tmp_path / "lemmatizer")
    file.with_name("lemmas.crc32").unlink()
    with pytest.raises(ValueError, match=r"lemmas: the lemmas are damaged or of another version"):
        ScriptLemmatizer(Vocab()).from_disk(tmp_path / "lemmatizer")


def test_without_lemmas_it_says_what_to_do() -> None:
    with pytest.raises(
        ValueError, match="component 'lemmatizer' knows no lemmas yet: load a trained pipeline"
    ):
        ScriptLemmatizer(Vocab())(tagged("dogs"))


def fitted() -> Lemmas:
    """Of what the tiny pipeline says, in capitals."""
    counts: dict[str, WordCounts] = {
        code: Counter(
            {(form, upos, feats, form.upper()): 1 for form in ("abc", "як", "漢語") for upos, feats in labels}
        )
        for code, labels in CONVENTIONS.items()
    }
    groups = {lang: {c: n for c, n in counts.items() if c.startswith(lang)} for lang in ("en", "ru", "zh")}
    return Lemmas.of([fit_table(own) for own in groups.values()])


@pytest.fixture(scope="module")
def whole() -> Language:
    return with_lemmas(with_segmenter(with_conventions(three_languages()), random_segmenter()), fitted())


def test_in_a_pipeline(whole: Language, tmp_path: Path) -> None:
    assert whole.pipe_names[-1] == "lemmatizer"
    doc = whole("abc bad. як.")
    assert doc[0].lemma_ == doc[0].text.upper() and all(token.lemma_ for token in doc)
    assert "token.lemma" in whole.get_pipe_meta("lemmatizer").assigns
    whole.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    assert lemmas_of(again("abc bad. як.")) == lemmas_of(doc)
    with again.select_pipes(disable="lemmatizer"):
        assert set(lemmas_of(again("abc bad."))) == {""}


@pytest.mark.parametrize("lang", ["en", "ru", "zh"])
def test_a_language_has_its_own_lemmas(whole: Language, lang: str) -> None:
    cut = subset(whole, lang)
    found = lemmatizer(cut)
    assert found is not None and {code[:2] for code in found.lemmas.codes} == {lang}
    text = {"en": "abc cab bad.", "ru": "як кя.", "zh": "漢語語。"}[lang]
    own: Any = whole.tokenizer
    own.language = lang
    try:
        assert lemmas_of(cut(text)) == lemmas_of(whole(text))
    finally:
        own.language = None


def test_lemmas_of_other_conventions_are_refused() -> None:
    with pytest.raises(
        ValueError, match="got lemmas of the conventions fi_x, expected those of the pipeline"
    ):
        with_lemmas(with_conventions(three_languages()), Lemmas.of([fit_table({"fi_x": PLURAL})]))


def test_words_are_counted_where_upos_and_lemma_are_known() -> None:
    def docs() -> Iterator[Doc]:
        doc = Doc(
            Vocab(), words=["a", "b", "c", "d"], pos=["NOUN", "", "NOUN", "NOUN"], lemmas=["A", "B", "", "D"]
        )
        doc[0].set_morph("Case=Nom")  # type: ignore[attr-defined]
        doc[3].set_morph(None)  # type: ignore[attr-defined]
        yield doc

    assert word_counts(docs()) == {("a", "NOUN", "Case=Nom", "A"): 1, ("d", "NOUN", None, "D"): 1}
