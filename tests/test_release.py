"""The wheels in packages/: small enough, and what the README promises of them."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from mminibert.packaging.subset import RARE, RARE_OF_TEACHER
from mminibert.runtime.pipeline import pipeline_encoder, tagger

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "packages"
MOST, MOST_LEMMAS, MOST_LARGE, MOST_PERMISSIVE = 36.5e6, 6e6, 75e6, 4.5e6
"""Bytes of library and multilingual pipeline, of what the lemmas are of that, of the large multilingual one,
and of the Finnish one."""
RARE_PIECES = {"xx_mminibert": RARE, "xx_mminibert_lg": RARE_OF_TEACHER}


def unpacked(name: str, folder: Path) -> Language:
    (wheel,) = PACKAGES.glob(f"{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (config,) = folder.glob(f"{name}/*/config.cfg")
    return spacy.load(config.parent)


@pytest.fixture(scope="module", params=RARE_PIECES)
def nlp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Language:
    return unpacked(request.param, tmp_path_factory.mktemp("wheel"))


def test_there_are_wheels_that_go_together() -> None:
    """A pipeline goes with libraries of its minor version; one that did not change is not released again."""
    wheels = {wheel.name.split("-")[0]: wheel for wheel in PACKAGES.glob("*.whl")}
    assert sorted(wheels) == ["fi_mminibert_permissive", "mminibert", "xx_mminibert", "xx_mminibert_lg"]
    versions = {name: tuple(map(int, wheel.name.split("-")[1].split("."))) for name, wheel in wheels.items()}
    assert len({version[:2] for version in versions.values()}) == 1
    assert max(versions.values()) == versions["mminibert"]
    sizes = {name: wheel.stat().st_size for name, wheel in wheels.items()}
    assert sizes["mminibert"] + sizes["xx_mminibert"] <= MOST
    assert sizes["xx_mminibert_lg"] <= MOST_LARGE
    assert sizes["fi_mminibert_permissive"] <= MOST_PERMISSIVE
    for name in RARE_PIECES:
        with zipfile.ZipFile(wheels[name]) as archive:
            lemmas = [info for info in archive.infolist() if "/lemmatizer/" in info.filename]
        assert lemmas and sum(info.compress_size for info in lemmas) <= MOST_LEMMAS


def test_the_permissive_pipeline_has_permissive_sources_alone(tmp_path: Path) -> None:
    nlp = unpacked("fi_mminibert_permissive", tmp_path)
    assert nlp.meta["license"] == "CC BY 4.0"
    licences = [source["license"] for source in nlp.meta["sources"]]
    assert licences and not [
        licence for licence in licences if re.search("NC|SA|ND|GPL|GFDL|research", licence)
    ]
    doc = nlp("Vanha koira nukkuu pihalla.")
    assert [token.pos_ for token in doc] == ["ADJ", "NOUN", "VERB", "NOUN", "PUNCT"]
    assert [token.lemma_ for token in doc] == ["vanha", "koira", "nukkua", "piha", "."]


@pytest.mark.parametrize(
    ("sentence", "upos"),
    [
        ("Der kleine Hund schläft unter dem Tisch .", "DET ADJ NOUN VERB ADP DET NOUN PUNCT"),
        ("Ella lee un libro en casa .", "PRON VERB DET NOUN ADP NOUN PUNCT"),
        ("Она читает книгу .", "PRON VERB NOUN PUNCT"),
        ("Jis skaito knygą .", "PRON VERB NOUN PUNCT"),
        ("Ọmọ náà ń jẹun .", "NOUN DET AUX VERB PUNCT"),
        ("అతను పుస్తకం చదువుతున్నాడు .", "PRON NOUN VERB PUNCT"),
    ],
)
def test_simple_sentences_are_tagged(nlp: Language, sentence: str, upos: str) -> None:
    assert [token.pos_ for token in nlp(sentence)] == upos.split()
    assert [token.pos_ for token in nlp(sentence.replace(" .", "."))] == upos.split()


def test_lemmas_are_found(nlp: Language) -> None:
    doc = nlp("Die Kinder gingen zum Bahnhof.")
    assert [token.lemma_ for token in doc] == ["der", "Kind", "gehen", "zu", "Bahnhof", "."]
    assert doc[3]._.ud_lemmas == ("zu", "der")


def test_features_are_tagged(nlp: Language) -> None:
    hund = nlp("Der kleine Hund schläft unter dem Tisch .")[2]
    assert hund.morph.to_dict() == {"Case": "Nom", "Gender": "Masc", "Number": "Sing"}


def test_the_card_names_what_it_was_made_with(nlp: Language) -> None:
    assert "multilingual-e5-small" in nlp.meta["teacher"]
    assert len(nlp.meta["languages"]) > 40
    assert nlp.meta["license"]
    assert all(source["name"] for source in nlp.meta["sources"])


def test_loading_it_imports_the_runtime_alone(nlp: Language) -> None:
    """No CoNLL-U code, no command line, nothing that trains."""
    code = "import spacy, sys; spacy.load(sys.argv[1])('Ella lee.'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(nlp.path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    own = {name.split(".")[1] for name in done.stdout.split() if name.startswith("mminibert.")}
    assert own == {"runtime"}


def test_the_encoder_is_a_component_of_its_own(nlp: Language) -> None:
    assert nlp.pipe_names == ["sentencizer", "tok2vec", "morphologizer", "lemmatizer"]
    assert nlp("Ella lee un libro.").tensor.shape == (5, 384 if nlp.meta["name"].endswith("_lg") else 256)


def test_rare_wordpieces_are_left_out(nlp: Language) -> None:
    languages, pieces = tagger(nlp).languages, pipeline_encoder(nlp).pieces
    assert languages is not None
    longer = [len(piece) > 1 for piece in pieces.characters]
    highest = languages.levels.max(axis=0)[longer]
    rare = RARE_PIECES["xx_" + nlp.meta["name"]]
    # Special pieces are of no language.
    assert (highest > 0).sum() > 80_000 and highest[highest > 0].min() == rare + 1


def test_every_convention_tells_nouns_from_verbs(nlp: Language) -> None:
    """One whose treebank tells features of punctuation alone had nothing but that, one whose treebank tells
    no pronouns had none. Vietnamese VTB annotates them as nouns and names."""
    conventions = tagger(nlp).conventions
    assert conventions is not None
    for head in conventions.heads:
        needed = {"NOUN", "VERB", "ADJ", "NUM", "PRON"} - ({"PRON"} if head.code == "vi_vtb" else set())
        assert needed <= {upos for upos, _ in head.labels}, head.code


@pytest.mark.parametrize("quote", ['"', "“", "„", "«"])
def test_contractions_are_cut_after_a_quote(nlp: Language, quote: str) -> None:
    tokens = [token.text for token in nlp(f"She said: {quote}Don’t go there” and left.")]
    assert tokens == ["She", "said", ":", quote, "Do", "n’t", "go", "there", "”", "and", "left", "."]


FINNISH = [
    "Tämä talo on suurempi kuin se , jonka näimme eilen .",
    "Hän ei ole vielä lukenut kirjaa , jota pyysin häntä lukemaan .",
    "Minulla oli kolme vanhaa ystävää Helsingissä .",
]


def features(feats: str) -> frozenset[str]:
    """In no order."""
    return frozenset(feats.split("|")) - {"", "_"}


def test_a_convention_changes_tags(nlp: Language) -> None:
    """What the two Finnish treebanks say of the same words differs, and is what they or the language have."""
    pipe = tagger(nlp)
    conventions = pipe.conventions
    assert conventions is not None
    heads = (conventions.inventory(code) for code in conventions.of_language("fi"))
    shown = {(upos, features(feats)) for head in heads for upos, feats in head.combinations}
    found = {}
    try:
        for code in ("fi_ftb", "fi_tdt"):
            nlp.get_pipe("morphologizer").convention = code  # type: ignore[attr-defined]
            docs = list(nlp.pipe(FINNISH))
            assert {doc._.convention for doc in docs} == {code}
            found[code] = [(token.pos_, features(str(token.morph))) for doc in docs for token in doc]
            assert set(found[code]) <= shown
    finally:
        pipe.convention = None
    differing = sum(a != b for a, b in zip(*found.values(), strict=True))
    assert 0 < differing < len(found["fi_tdt"])


def test_the_convention_is_found(nlp: Language) -> None:
    """Sentence by sentence, the default of the language."""
    conventions = tagger(nlp).conventions
    assert conventions is not None
    doc = nlp("Hän ei ole vielä lukenut kirjaa. Der kleine Hund schläft unter dem Tisch. Она читает книгу.")
    assert doc._.conventions == tuple(conventions.defaults[lang] for lang in ("fi", "de", "ru"))


def test_its_meta_describes_all_conventions(nlp: Language) -> None:
    conventions = tagger(nlp).conventions
    assert conventions is not None
    rows = nlp.meta["conventions"]
    assert tuple(row["code"] for row in rows) == conventions.codes
    assert {row["language"]: row["code"] for row in rows if row["default"]} == conventions.defaults
    assert all(row["words"] > 0 and bool(row["default"]) == bool(row.get("reason")) for row in rows)
    assert sorted(nlp.meta["languages"]) == list(conventions.languages)
