"""The wheels in packages/: small enough, and what the README promises of them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "packages"
MOST = 36e6
"""Bytes of both wheels together."""


@pytest.fixture(scope="module")
def nlp(tmp_path_factory: pytest.TempPathFactory) -> Language:
    (wheel,) = PACKAGES.glob("xx_mminibert-*.whl")
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (config,) = folder.glob("xx_mminibert/*/config.cfg")
    return spacy.load(config.parent)


def test_there_are_two_wheels_of_one_version() -> None:
    wheels = sorted(PACKAGES.glob("*.whl"))
    names = [wheel.name.split("-") for wheel in wheels]
    assert [name for name, *_ in names] == ["mminibert", "xx_mminibert"]
    assert len({version for _, version, *_ in names}) == 1
    assert sum(wheel.stat().st_size for wheel in wheels) <= MOST


@pytest.mark.parametrize(
    ("sentence", "upos"),
    [
        ("Der kleine Hund schläft unter dem Tisch .", "DET ADJ NOUN VERB ADP DET NOUN PUNCT"),
        ("Ella lee un libro en casa .", "PRON VERB DET NOUN ADP NOUN PUNCT"),
        ("Она читает книгу .", "PRON VERB NOUN PUNCT"),
    ],
)
def test_simple_sentences_are_tagged(nlp: Language, sentence: str, upos: str) -> None:
    assert [token.pos_ for token in nlp(sentence)] == upos.split()


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
    assert nlp.pipe_names == ["sentencizer", "tok2vec", "morphologizer"]
    assert nlp("Ella lee un libro.").tensor.shape == (5, 256)
