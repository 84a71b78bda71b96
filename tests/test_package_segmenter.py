"""The segmenter in packaged pipelines: put in, kept, cut to a language."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from packaged import (
    CONVENTIONS,
    EXPANSIONS,
    levels_of,
    random_segmenter,
    segmenter_bytes,
    three_languages,
    with_conventions,
)
from spacy.language import Language
from spacy.tokens import Doc

from mminibert.models.segmenter import SegmenterNet, SegmenterSizes
from mminibert.models.segmenter_export import export_segmenter
from mminibert.packaging.assemble import assemble, parts_of
from mminibert.packaging.cards import model_card
from mminibert.packaging.quantize import with_segmenter
from mminibert.packaging.records import Records, TreebankRecord
from mminibert.packaging.segmenter_card import SEGMENTED
from mminibert.packaging.segmenter_part import SegmenterPart
from mminibert.packaging.segmenter_parts import of_language
from mminibert.packaging.subset import CARD, cut, subset
from mminibert.project.vocabulary import Source
from mminibert.runtime.alphabet import CATEGORIES, Alphabet
from mminibert.runtime.segmenter import Segmenter

LANGUAGES = ("en", "ru", "zh")
OWN = {"en": "abcde.?- \n9", "ru": "якae.?- \n9", "zh": "漢語ae.?- \n9"}
"""Characters of each language."""


@pytest.fixture(scope="module")
def part() -> SegmenterPart:
    return random_segmenter()


@pytest.fixture(scope="module")
def whole(part: SegmenterPart) -> Language:
    return with_segmenter(with_conventions(three_languages()), part)


@pytest.fixture(scope="module")
def cuts(whole: Language) -> dict[str, Language]:
    return {lang: subset(whole, lang) for lang in LANGUAGES}


def segmenter(nlp: Language) -> Segmenter:
    assert isinstance(nlp.tokenizer, Segmenter)
    return nlp.tokenizer


def segmented(nlp: Language, text: str, language: str | None = None) -> list[tuple[Any, ...]]:
    """In this language or convention, by default as the pipeline does."""
    tokenizer = segmenter(nlp)
    before = tokenizer.language
    tokenizer.language = language or before
    doc = nlp.make_doc(text)
    tokenizer.language = before
    assert doc.text == text
    return [
        (token.text, token.is_sent_start, token._.ud_words, token.sent._.language if len(doc) else None)
        for token in doc
    ]


@pytest.mark.parametrize("code", [*LANGUAGES, *CONVENTIONS])
@given(data=st.data())
def test_a_part_segments_as_the_whole_that_was_told_the_language(
    whole: Language, cuts: dict[str, Language], code: str, data: st.DataObject
) -> None:
    lang = code.partition("_")[0]
    text = data.draw(st.text(OWN[lang], max_size=40))
    assert segmented(cuts[lang], text, code) == segmented(whole, text, code)


def test_that_comparison_sees_differences(whole: Language) -> None:
    """Between languages, conventions and multiword tokens; of pairs there are some."""
    text = "abc bad. cab-ace cab? ae cab 3 "  # several times, as some differ in a place or two
    text += "a? 3. - cab cab b.c dab? e " + text
    found = [segmented(whole, text, code) for code in ("en", "ru", "zh", "en_x", "en_y")]
    assert len({str([row[:3] for row in rows]) for rows in found}) >= 4
    in_words = [[words for _, _, words, _ in rows] for rows in found]
    assert any(in_words[0]) and in_words[0] != in_words[4]
    model = segmenter(whole).model
    hashes = np.arange(9, dtype=np.uint64)
    args = np.ones(9, dtype=bool), np.zeros(9, dtype=np.int32)
    assert len(set(model.pair_rows(hashes, *args).tolist())) > 5


@given(text=st.text())
def test_a_part_keeps_any_text(cuts: dict[str, Language], text: str) -> None:
    for nlp in cuts.values():
        segmented(nlp, text)
        segmented(nlp, text + "漢語語 як é")


def test_what_a_part_has(whole: Language, cuts: dict[str, Language]) -> None:
    model = segmenter(whole).model
    for lang, nlp in cuts.items():
        own = segmenter(nlp)
        assert own.language == lang and own.model.languages == (lang,)
        assert own.languages == (lang, *(code for code in CONVENTIONS if code.startswith(f"{lang}_")))
        assert own.expansions == {code: found for code, found in EXPANSIONS.items() if code == lang}
        assert set(own.model.graphs) == {"characters", "units"}
        letters = {"en": "abcde", "ru": "abcdeкя", "zh": "abcde漢語"}[lang]
        assert {char for char in own.model.alphabet.known if char.isalpha()} == set(letters)
        kept = own.model.pairs.rows
        if lang == "zh":
            assert np.array_equal(kept, model.pairs.rows)
        else:
            assert not kept.any() and kept.size < model.pairs.rows.size / 10
        assert len(own.to_bytes()) < len(segmenter(whole).to_bytes())


def test_the_language_of_a_part_may_be_one_of_its_conventions(cuts: dict[str, Language]) -> None:
    tokenizer = segmenter(cuts["en"])
    tokenizer.language = "en_y"
    assert subset_language(cuts["en"]) == "en_y"
    with pytest.raises(ValueError, match="got language 'ru', expected one of en"):
        tokenizer.language = "ru"
    tokenizer.language = "en"


def subset_language(nlp: Language) -> str | None:
    return segmenter(assemble(nlp, parts_of(nlp))).language


def test_settings_come_along(whole: Language, tmp_path: Path) -> None:
    """Special cases, what a line break is, a language that the part has."""
    tokenizer = segmenter(whole)
    tokenizer.add_special_case("a-b", ["a", "-b"])
    tokenizer.line_breaks, tokenizer.language = True, "en_x"
    try:
        for lang, language in (("en", "en_x"), ("ru", "ru")):
            subset(whole, lang).to_disk(tmp_path / lang)
            own = segmenter(spacy.load(tmp_path / lang))
            assert (own.language, own.line_breaks) == (language, True)
            assert [token.text for token in own("a-b")] == ["a", "-b"]
        same = segmenter(assemble(whole, parts_of(whole)))
        assert (same.language, same.line_breaks) == ("en_x", True)
        assert [token.text for token in same("a-b")] == ["a", "-b"]
    finally:
        tokenizer.line_breaks, tokenizer.language = False, None


def test_a_pipeline_without_a_segmenter_keeps_its_tokenizer(whole: Language) -> None:
    nlp = three_languages()
    rules: Any = nlp.tokenizer
    rules.add_special_case("a-b", [{"ORTH": "a"}, {"ORTH": "-b"}])
    assert parts_of(nlp).segmenter is None
    kept = assemble(nlp, parts_of(nlp))
    assert [token.text for token in kept.make_doc("a-b c-d")] == ["a", "-b", "c", "-", "d"]
    bare = cut(nlp, "en", levels_of("en") > 0)
    assert [token.text for token in bare.make_doc("Don't")] == ["Do", "n't"]
    given = parts_of(whole)
    assert given.segmenter is not None and given.segmenter.model is segmenter(whole).model


def test_texts_get_tags_in_their_words(cuts: dict[str, Language]) -> None:
    nlp = cuts["en"]
    (token,) = nlp("cab")
    words = nlp(Doc(nlp.vocab, words=["c", "ab"]))
    assert token._.ud_words == tuple((word.text, word.pos_, str(word.morph) or "_") for word in words)
    assert token.pos_ in {word.pos_ for word in words}


def test_bytes_of_the_step(part: SegmenterPart, tmp_path: Path) -> None:
    (tmp_path / "segmenter").write_bytes(segmenter_bytes())
    read = SegmenterPart.read(tmp_path / "segmenter")
    assert read.model.to_bytes() == part.model.to_bytes() and read.expansions == part.expansions
    assert read.treebanks == tuple(CONVENTIONS)
    (tmp_path / "damaged").write_bytes(segmenter_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{tmp_path / 'damaged'}: "):
        SegmenterPart.read(tmp_path / "damaged")
    with pytest.raises(ValueError, match="got language 'fi', expected one of en, ru, zh"):
        part.only("fi", [])


def test_pairs_are_in_steps_of_one_size() -> None:
    """A row of small weights costs few bits, so the table is compressed to less than with a scale a row."""
    torch.manual_seed(0)
    net = SegmenterNet(SegmenterSizes(1 + len(CATEGORIES), 1 + len(CATEGORIES), 1, 2, pairs=2000))
    weights = net.pairs.weight
    with torch.no_grad():
        weights.copy_(torch.randn(2000, 32) * torch.linspace(0, 1, 2000)[:, None])
    model = export_segmenter(net, Alphabet(""), languages=("en",), codes=("en", "en_x"))
    want = weights.detach().numpy()
    step = float(want.std())
    table = model.pairs
    assert table.rows.dtype == np.int8 and set(table.scales.tolist()) == {np.float32(step)}
    assert np.abs(table[np.arange(2000)] - want).max() <= step / 2 + 1e-6
    scales = np.abs(want).max(axis=1, keepdims=True) / 7
    by_row = np.rint(want / np.where(scales > 0, scales, 1)).astype(np.int8)
    sizes = [len(zlib.compress(rows.tobytes(), 9)) for rows in (table.rows, by_row)]
    assert sizes[0] < 0.7 * sizes[1]
    assert len(zlib.compress(table.scales.tobytes(), 9)) < 100


def test_what_packages_say(whole: Language, cuts: dict[str, Language]) -> None:
    """By a pipeline with a segmenter, whole and cut, and one without."""
    rules = with_conventions(three_languages())
    records = Records("MIT", Source("t"), (TreebankRecord("en_x", "en", "gold", 9),))
    about = {"description": "D.", "license": "MIT", "sources": [], "notes": CARD}
    cards = {}
    for name, nlp in {"rules": rules, "whole": whole, **cuts}.items():
        languages = list(LANGUAGES) if name in ("rules", "whole") else [name]
        nlp.meta.update({**about, "languages": languages})
        cards[name] = " ".join(model_card(records, nlp, rules if name == "rules" else whole).split())
    assert "(by punctuation)" in cards["rules"] and "## Segmentation" not in cards["rules"]
    assert "- Sentences are found by punctuation only." in cards["rules"]
    for name in ("whole", *LANGUAGES):
        assert "by punctuation only" not in cards[name] and "are not split" not in cards[name]
        assert (
            "(by punctuation)" not in cards[name] and "finds tokens, sentences and multiword" in cards[name]
        )
        assert "each character a token" not in cards[name]
    assert "running text of en_x, en_y, ru_x and zh_x." in cards["whole"]
    assert "Languages with such tokens: en, ru." in cards["whole"] and "found in the text" in cards["whole"]
    assert "running text of en_x and en_y." in cards["en"] and "language `en`" in cards["en"]
    assert "The treebanks have no such tokens." in cards["zh"]
    hard = "Words that blanks do not part are found less well than others: zh."
    assert [name for name, card in cards.items() if hard in card] == ["whole", "zh"]


def test_what_a_wheel_of_a_language_says(whole: Language) -> None:
    whole.meta["segmenter"] = {"treebanks": list(CONVENTIONS)}
    for lang, own in (("en", ["en_x", "en_y"]), ("zh", ["zh_x"])):
        light = subset(whole, lang)
        assert light.meta["segmenter"] == {"treebanks": own}
        assert light.meta["notes"] == f"{SEGMENTED} {CARD}"
    part = parts_of(whole).segmenter
    assert part is not None
    lacking = SegmenterPart(of_language(part.model, "en", "abcde", pairs=False), {})
    light = subset(with_segmenter(whole, lacking), "zh")  # which that has not learned
    assert not isinstance(light.tokenizer, Segmenter) and "segmenter" not in light.meta
    assert "each character a token" in light.meta["notes"]
