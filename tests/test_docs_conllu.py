"""Docs as CoNLL-U: read by the official validator, and put together to their text again."""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from udtools import Validator

from mminibert.data.conllu import read_conllu
from mminibert.data.docs_conllu import doc_to_conllu
from mminibert.runtime.ud_words import set_words, store_words

ESCAPES = {"s": " ", "t": "\t", "r": "\r", "n": "\n", "p": "|", "\\": "\\"}


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(?:u(....)|(.))", lambda m: chr(int(m[1], 16)) if m[1] else ESCAPES[m[2]], text, flags=re.DOTALL
    )


def text_of(conllu: str) -> str:
    """The text by FORM and MISC of surface tokens."""
    text, inside = "", 0
    for line in conllu.split("\n"):
        cells = line.split("\t")
        if len(cells) == 1:
            inside = 0
            continue
        if "-" in cells[0]:
            inside = int(cells[0].split("-")[1])
        elif int(cells[0]) <= inside:
            assert cells[9] == "_"
            continue
        misc = {} if cells[9] == "_" else dict(cell.split("=", 1) for cell in cells[9].split("|"))
        after = "" if misc.get("SpaceAfter") == "No" else unescaped(misc.get("SpacesAfter", r"\s"))
        form = unescaped(misc["SpacesInToken"]) if "SpacesInToken" in misc else cells[1]
        text += unescaped(misc.get("SpacesBefore", "")) + form + after
    return text


VALIDATOR = Validator(lang="ud", level=2, output=None)


def incidents(conllu: str) -> list[str]:
    """What the official validator says at level 2, warnings included."""
    state = VALIDATOR.validate_file_handle(io.StringIO(conllu, newline="\n"))
    return [str(incident) for incident in state.error_tracker]


DUMELO = Doc(
    Vocab(),
    words=["\n ", "Dámelo", "10 \n000", "del", " \t", "|mar\\", "\n\n", "¿", "au  x", "\u00a0"],
    spaces=[False, False, True, True, False, False, False, False, False, False],
    sent_starts=[True, False, False, False, False, False, True, False, False, False],
    pos=["SPACE", "VERB", "NUM", "ADP", "SPACE", "NOUN", "SPACE", "PUNCT", "X", "SPACE"],
    lemmas=["", "dar", "", "de", "", "mar", "", "", "", ""],
)
store_words(
    DUMELO[1], (("Da", "VERB", "Number=Sing|Mood=Imp"), ("me", "PRON", "_"), ("lo", "PRON", "Case=Acc"))
)
store_words(DUMELO[3], (("de", "ADP", "_"), ("el", "DET", "Definite=Def")))
store_words(DUMELO[8], (("a u", "ADP", "_"), ("x", "DET", "_")))
WRITTEN = r"""# newdoc id = x
# newpar
# sent_id = x-1
# text = Dámelo10 000 del |mar\
1-3 Dámelo _ _ _ _ _ _ _ SpacesBefore=\n\s|SpaceAfter=No
1 Da _ VERB _ Mood=Imp|Number=Sing 0 root _ _
2 me _ PRON _ _ 1 dep _ _
3 lo _ PRON _ Case=Acc 1 dep _ _
4 10~000 _ NUM _ _ 1 dep _ SpacesInToken=10\s\n000
5-6 del _ _ _ _ _ _ _ SpacesAfter=\s\s\t
5 de _ ADP _ _ 1 dep _ _
6 el _ DET _ Definite=Def 1 dep _ _
7 |mar\ mar NOUN _ _ 1 dep _ SpacesAfter=\n\n

# newpar
# sent_id = x-2
# text = ¿aux
1 ¿ _ PUNCT _ _ 0 root _ SpaceAfter=No
2-3 aux _ _ _ _ _ _ _ SpacesAfter=\u00a0|SpacesInToken=au\s\sx
2 a~u _ ADP _ _ 1 dep _ _
3 x _ DET _ _ 1 dep _ _

"""


def test_lemmas_are_in_normal_form_c() -> None:
    """As the format wants it; shadda comes before fatha in the lemmas of some treebanks."""
    lemma = "\u0645\u064f\u062f\u0651\u064e\u0629"
    doc = Doc(Vocab(), words=["\u0645\u062f\u0629"], pos=["NOUN"], lemmas=[lemma])
    written = doc_to_conllu(doc, doc_id="x", flat=True)
    assert unicodedata.normalize("NFC", lemma) != lemma
    assert f"\t{unicodedata.normalize('NFC', lemma)}\tNOUN" in written
    assert incidents(written) == []


def test_a_doc_by_hand() -> None:
    lines = WRITTEN.split("\n")
    expected = [line if line.startswith("#") else line.replace(" ", "\t").replace("~", " ") for line in lines]
    written = doc_to_conllu(DUMELO, doc_id="x", flat=True)
    assert written == "\n".join(expected)
    assert text_of(written) == DUMELO.text == "\n Dámelo10 \n000 del  \t|mar\\\n\n¿au  x\u00a0"
    assert incidents(written) == []
    plain = doc_to_conllu(DUMELO)
    bare = [
        "\t".join((*line.split("\t")[:6], "_", "_", *line.split("\t")[8:])) if "\t" in line else line
        for line in expected
        if not line.startswith(("# newdoc", "# sent_id"))
    ]
    assert plain == "\n".join(bare[1:])  # nothing says that the Doc begins a paragraph


def test_the_validator_finds_what_is_wrong() -> None:
    written = doc_to_conllu(DUMELO, doc_id="x", flat=True)
    for good, bad in (
        ("aux\t", "au x\t"),
        ("SpaceAfter=No", "_"),
        ("\tNUM\t", "\tNumber\t"),
        ("0\troot", "_\t_"),
    ):
        assert incidents(written.replace(good, bad)), good


def test_documents_follow_each_other() -> None:
    """A document whose last token says that no blank follows is refused before another one."""
    docs = [Doc(Vocab(), words=["a", "."], spaces=[False, False], pos=["X", "PUNCT"]) for _ in range(2)]
    written = "".join(doc_to_conllu(doc, doc_id=f"d{i}", flat=True) for i, doc in enumerate(docs))
    assert incidents(written) == []
    assert written.count("SpaceAfter=No") == 2
    assert doc_to_conllu(docs[0]).count("SpaceAfter=No") == 2


@pytest.mark.parametrize("doc_id", ["", "a b", "a/b", "a\n"])
def test_a_doc_id_is_one_word(doc_id: str) -> None:
    with pytest.raises(ValueError, match="expected a name without white space and slashes"):
        doc_to_conllu(DUMELO, doc_id=doc_id)


SPACES = st.sampled_from(
    [" ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u3000\u00a0", "\u2028", "\r\n", "\x85", "\x1c"]
)
VISIBLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=3
).map(lambda text: unicodedata.normalize("NFC", text))
TEXTS = st.lists(
    st.one_of(VISIBLE, VISIBLE, st.sampled_from("|\\_#u\\u"), SPACES), min_size=1, max_size=4
).map("".join)
UPOS = st.sampled_from(["NOUN", "VERB", "X", "PUNCT"])


@st.composite
def docs(draw: st.DrawFn) -> Doc:
    n = draw(st.integers(0, 8))
    words = draw(st.lists(TEXTS, min_size=n, max_size=n))
    spaces = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    starts = draw(st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n))
    doc = Doc(Vocab(), words=words, spaces=spaces, pos=["X"] * n, sent_starts=starts)  # type: ignore[arg-type]
    for token in doc:
        if draw(st.booleans()):
            forms = draw(st.lists(TEXTS, min_size=1, max_size=3))
            set_words(token, forms)
            store_words(token, tuple((form, draw(UPOS), "_") for form in forms))
    return doc


@given(docs())
def test_any_text_is_kept_and_valid(tmp_path_factory: pytest.TempPathFactory, doc: Doc) -> None:
    written = doc_to_conllu(doc)
    assert text_of(written) == (doc.text if doc.text.strip() else "")
    valid = doc_to_conllu(doc, doc_id="x", flat=True)
    assert text_of(valid) in (text_of(written), text_of(written) + " ")
    if "\ufffd" not in valid and unicodedata.is_normalized("NFC", valid):
        assert incidents(valid) == []
    if written:
        path: Path = tmp_path_factory.getbasetemp() / "any.conllu"
        path.write_text(written, encoding="utf-8", newline="")
        assert len(list(read_conllu(path))) == written.count("# text")
