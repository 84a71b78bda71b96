"""Text as people have it: decomposed, of ligatures and presentation forms, with vowel signs, typographic
apostrophes, symbols and white space."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import packaged
import pytest
import segmenters
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from test_conventions import make_conventions, make_table

from mminibert.data.conllu import Sentence, read_conllu
from mminibert.experiments import odd_text
from mminibert.runtime.by_convention import tag
from mminibert.runtime.normal_form import composed, normal_form, normal_text, spelling
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.word_kinds import LETTERS, OTHER, PUNCTUATION, SYMBOL, kind_of, possible_upos

VOCAB = spacy.blank("xx").vocab
ODD = "aé e\u0301\u0323\u1e01ﬁﬃﻻﺎ\uff21가\u1100\u1161\u11a8\u0958\u093c\u0915\u3099か. \n😀\u200d\ufe0f𝐀"
POINTED = "\u0628\u0627\u064e\u0651\u064b\u0640\u0670\u05d1\u05b8\u05bc"
odd = st.text(alphabet=ODD + POINTED + "’ʼ“„«", max_size=30)
ELSEWHERE = str.maketrans("’ʼ“„«", '\'\'"""', "\u064b\u064e\u0651\u0640\u0670\u05b8\u05bc")
"""Takes away what may be left out, and the nunation, which may change its place."""


@given(odd | st.text(max_size=30))
def test_normal_text(text: str) -> None:
    """Each of its characters is at a place of its own, and stands for what is there up to the next."""
    found = normal_text(text)
    if found is None:
        assert composed(text) == text
        return
    places = found.places.tolist()
    assert len(places) == len(found.text) + 1 and places[-1] == len(text)
    assert all(before < after for before, after in pairwise(places))
    assert not places or places[0] == 0
    assert _elsewhere(found.text) == _elsewhere(text)
    assert len(composed(found.text)) == len(found.text)


def _elsewhere(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(ELSEWHERE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("đa\u0323i ho\u0323c", "đại học"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
        ("か\u3099", "が"),
        ("\ufe8e", "ا"),  # a final alef
        ("𝐀𝐛", "Ab"),
        ("Ａ", None),  # in Japanese treebanks
        ("ﬁ", "ﬁ"),  # can't be cut
        ("\u0958", None),
        ("plain é 我", None),
        ("qu’il l’été, p’ a’1 ‘a’ ’b", "qu'il l'été, p’ a’1 ‘a’ ’b"),
        ("П\u02bcять", "П'ять"),
        ("“don’t „d'or «l’été a“l'a ”l'a “a “a'1", "\"don't \"d'or \"l'été a“l'a ”l'a “a “a'1"),
        ("وَلَدٌ", "ولدٌ"),  # nunation stays
        ("كِتَابًا", "كتاباً"),  # and comes after its alef
        ("جدّاً", "جداً"),
        ("الـــكِــتاب لـ ـ", "الكتاب لـ ـ"),
        ("بِـهِ", "به"),
        ("בְּרֵאשִׁית־", "בראשית־"),
        ("\u064eب \u05b8", None),  # on no letter
    ],
)
def test_normal_text_by_hand(text: str, expected: str | None) -> None:
    found = normal_text(text)
    assert (None if found is None else found.text) == expected


def test_normal_forms_of_words() -> None:
    words = ("oﬃce", "Ａ１", "ﻻ", "e\u0301", "ﻗﻠَﻢ")
    assert [normal_form(word) for word in words] == ["office", "A1", "لا", "é", "قلم"]
    assert [spelling(word) for word in ("l’", "’s", "’", "1’", "“", "ﬁ")] == ["l'", "'s", "’", "1’", "“", "ﬁ"]
    assert [normal_form(word) for word in "“—…"] == ['"', "-", "..."]


@given(odd)
def test_the_segmenter_keeps_the_text(text: str) -> None:
    made = segmenters.segmenter(VOCAB)
    doc = made(text)
    assert doc.text == text
    assert "".join(token.text_with_ws for token in doc) == text


def test_decomposed_text_has_the_same_tokens_and_words() -> None:
    made = segmenters.segmenter(VOCAB, language="vi")
    text = "sinh viên học trường Hà Nội ."
    expected = [token.text for token in made(text)]
    decomposed = unicodedata.normalize("NFD", text)
    assert len(decomposed) > len(text) and any(" " in form for form in expected)
    found = made(decomposed)
    assert found.text == decomposed
    assert [unicodedata.normalize("NFC", token.text) for token in found] == expected
    assert [token.form for token in made.explain(decomposed)] == [token.text for token in found]


def test_pointed_text_has_the_same_tokens() -> None:
    """A token has its letters' signs, and all of its elongation."""
    made = segmenters.segmenter(VOCAB)
    for plain, pointed in (("قلم كتاب", "قَلَم كِـــتابٌ"), ("l'été à qui?", "l’été à qui?")):
        found = made(pointed)
        assert found.text == pointed
        assert [(t.is_sent_start, normal_form(t.text).rstrip("ٌ")) for t in found] == [
            (t.is_sent_start, t.text) for t in made(plain)
        ]
        assert [token.form for token in made.explain(pointed)] == [token.text for token in found]


def test_forms_are_looked_up_by_their_normal_form() -> None:
    table = make_table(np.random.default_rng(0), ("café", "office"))
    for form, same in (("cafe\u0301", "café"), ("oﬃce", "office"), ("Ｏｆｆｉｃｅ", "office")):
        assert table.ids(form) == table.ids(same) and len(table.ids(form)) == 5
    assert "office" in table and "offic" not in table


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("z.B.", LETTERS),
        ("لقد", LETTERS),
        ("a", OTHER),
        ("3-1", OTHER),
        (".", PUNCTUATION),
        ("“", PUNCTUATION),
        ("?!…", PUNCTUATION),
        (":-)", PUNCTUATION),
        ("_", OTHER),
        ("§§", OTHER),
        ("\uff05", OTHER),  # a full-width per cent sign
        ("ๆๆ", OTHER),  # modifiers
        ("😀", SYMBOL),
        ("👍🏽", SYMBOL),
        ("👩\u200d🚀", SYMBOL),
        ("❤\ufe0f", SYMBOL),
        ("©", SYMBOL),
        ("+", OTHER),
        ("\u200d", OTHER),
        ("😀!", OTHER),
    ],
)
def test_kinds(word: str, kind: int) -> None:
    assert kind_of(word) == kind


def test_letters_are_no_punctuation_and_symbols_are_symbols() -> None:
    """Of a head that would say PUNCT of all words; forms that the treebanks have often are left to it."""
    labels = {"fi_a": [("NOUN", "_"), ("PUNCT", "_"), ("SYM", "_")], "sv_x": [("NOUN", "_"), ("PUNCT", "_")]}
    conventions = make_conventions(labels)
    for head in conventions.heads:
        head.bias[:] = [0, 50, -50][: len(head.bias)]
    words = ["sana", "talo", "😀", ".", "😀", "a"]
    docs = [Doc(VOCAB, words=words[:2]), Doc(VOCAB, words=words[2:])]
    vectors = [np.zeros((len(doc), 8), dtype=np.float32) for doc in docs]

    def tags(code: str) -> list[str]:
        sentences = [[(0, code)] for _ in docs]
        found = tag(conventions, docs, vectors, sentences, confidences=True)
        assert found.confidences is not None and (found.confidences > 0.9).sum() >= 4
        return [conventions.labels[label][0] for label in found.labels.tolist()]

    assert tags("fi_a") == ["NOUN", "PUNCT", "SYM", "PUNCT", "SYM", "PUNCT"]  # talo is in the table of forms
    assert tags("sv_x") == ["NOUN", "NOUN", "PUNCT", "PUNCT", "PUNCT", "PUNCT"]  # it has no SYM


def test_punctuation_that_treebanks_lack_is_punctuation() -> None:
    """Of a head that would say NOUN of all words, what is in the table is left to it."""
    labels = {
        "fi_a": [("NOUN", "_"), ("PUNCT", "_"), ("SYM", "_")],
        "sv_x": [("NOUN", "_"), ("PUNCT", "_")],
        "ru_y": [("ADJ", "_"), ("NOUN", "_")],
    }
    conventions = make_conventions(labels)
    for head in conventions.heads:
        head.rows[:] = 0
        head.bias[:] = [50, 0, -50] if head.code == "fi_a" else [0, 50] if head.code == "ru_y" else [50, 0]
    words = ["“", "?!", "%", "sana", "。"]
    doc = Doc(VOCAB, words=words)

    def tags(code: str) -> list[str]:
        vectors = [np.zeros((len(words), 8), dtype=np.float32)]
        found = tag(conventions, [doc], vectors, [[(0, code)]])
        return [conventions.labels[label][0] for label in found.labels.tolist()]

    for adapter in (conventions.adapter, None):
        object.__setattr__(conventions, "adapter", adapter)
        assert tags("fi_a") == ["PUNCT", "PUNCT", "NOUN", "NOUN", "PUNCT"]
        assert tags("sv_x") == ["PUNCT", "PUNCT", "NOUN", "NOUN", "PUNCT"]
    assert tags("ru_y") == ["NOUN"] * 5  # it has no PUNCT
    conventions.head("fi_a").bias[:] = [50, 0, 20]
    assert tags("fi_a") == ["SYM", "SYM", "NOUN", "NOUN", "SYM"]


def test_possible_upos_by_hand() -> None:
    found = possible_upos(["NOUN", "PUNCT", "SYM", "X"])
    assert [[int(each) for each in row] for row in found[[OTHER, LETTERS, SYMBOL, PUNCTUATION]].tolist()] == [
        [1, 1, 1, 1],
        [1, 0, 1, 1],
        [0, 0, 1, 0],
        [0, 1, 1, 0],
    ]
    assert possible_upos(["PUNCT"]).all()


@pytest.fixture(scope="module")
def nlp() -> Language:
    return packaged.three_languages()


def test_white_space_is_space(nlp: Language) -> None:
    """And changes nothing of the words around it."""
    words = ["abc", "bad", "cab", "."]
    with_blanks = ["\n", "abc", " ", "bad", "\t\n", "cab", ".", "\u2028"]
    plain, found = (nlp(Doc(nlp.vocab, words=own)) for own in (words, with_blanks))
    assert [(t.pos_, str(t.morph)) for t in found if not t.is_space] == [
        (t.pos_, str(t.morph)) for t in plain
    ]
    assert {(t.pos_, str(t.morph), t.has_morph()) for t in found if t.is_space} == {("SPACE", "", True)}
    assert {t.pos_ for t in nlp(Doc(nlp.vocab, words=[" ", "\n"]))} == {"SPACE"}
    assert "SPACE" not in {upos for upos, _ in tagger(nlp).combinations}


def test_altered_text_is_scored(nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by hand; ways that change nothing are left out."""
    path = tmp_path / "en_x/test.conllu"
    path.parent.mkdir()
    rows = [("abc", "NOUN"), ("office", "NOUN"), ("café", "X"), (".", "PUNCT")]
    lines = [f"{i}\t{form}\t_\t{upos}\t_\t_\t_\t_\t_\t_" for i, (form, upos) in enumerate(rows, 1)]
    path.write_text("\n".join([*lines, "", *lines[:1], "", ""]), encoding="utf-8")
    found = dict(odd_text.scores(nlp, path, most=1))
    same = ("lower case", "’ for '", "vowel signs")
    assert list(found) == [name for name in odd_text.ALTERATIONS if name not in same]
    tags = {word.text: word.pos_ for word in nlp(Doc(nlp.vocab, words=[form for form, _ in rows]))}
    right = sum(tags[form] == upos for form, upos in rows)
    assert found["as it is"]["UPOS"] == right / 4
    assert found["NFD"] == found["as it is"]
    (line,) = [line for line in odd_text.table({"en_x": found}).split("\n") if line.startswith("| en_x")]
    assert f"| {100 * right / 4:.1f} " in line
    turkish = tmp_path / "tr_x" / "test.conllu"
    turkish.parent.mkdir()
    turkish.write_text("1\tiyi\t_\tX\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8")
    seen: list[str] = []
    written = odd_text.altered

    def watched(sentences: Sequence[Sentence], alter: Callable[[str], str]) -> list[Sentence]:
        found = written(sentences, alter)
        seen.extend(word.form for sentence in found for word in sentence.words)
        return found

    monkeypatch.setattr(odd_text, "altered", watched)
    list(odd_text.scores(nlp, turkish, most=2))
    assert "İYİ" in seen and "İyi" in seen and "IYI" not in seen
    altered = odd_text.altered(list(read_conllu(path)), odd_text.ALTERATIONS["ligatures"])
    assert [word.form for word in altered[0].words] == ["abc", "o\ufb03ce", "café", "."]
    assert odd_text.ALTERATIONS["full width"]("a1.") == "\uff41\uff11."


def test_multiword_tokens_are_altered_with_their_words(tmp_path: Path) -> None:
    """Else the raw text would be as it was."""
    rows = ["1-2\tl'ami\t_\t_\t_\t_\t_\t_\t_\t_"]
    rows += [f"{i}\t{form}\t_\tX\t_\t_\t_\t_\t_\t_" for i, form in ((1, "l'"), (2, "ami"))]
    (tmp_path / "test.conllu").write_text("\n".join([*rows, "", ""]), encoding="utf-8")
    (found,) = odd_text.altered(list(read_conllu(tmp_path / "test.conllu")), odd_text.ALTERATIONS["’ for '"])
    assert (found.text, [word.form for word in found.words]) == ("l’ami", ["l’", "ami"])
    signs = odd_text.ALTERATIONS["vowel signs"]
    assert [signs(form) for form in ("من", "של", "ab")] == ["مَنَ", "שָלָ", "ab"]
