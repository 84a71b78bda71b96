"""The default convention of a language: exactly one, which exists, and the one that the rule names."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminibert.packaging.conventions_default import LARGEST, ONLY, Default, default_conventions, read_chosen
from mminibert.project.profile import read_toml
from mminibert.project.ud_release import catalogue
from mminibert.runtime.languages import language_of

CONFIGS = Path(__file__).parents[1] / "configs"
CHOSEN = read_chosen(CONFIGS)
RELEASE = sorted(read_toml(CONFIGS / "profiles/release.toml")["treebanks"])


@given(words=st.dictionaries(st.sampled_from(RELEASE), st.integers(1, 400_000)))
def test_every_language_has_one_default_that_exists(words: dict[str, int]) -> None:
    defaults = default_conventions(words, CHOSEN)
    languages = {lang: list(codes) for lang, codes in groupby(sorted(words), language_of)}
    assert defaults.keys() == languages.keys()
    for lang, (code, reason) in defaults.items():
        assert code in languages[lang]
        assert reason
        assert (reason == ONLY) == (len(languages[lang]) == 1)
        if reason == LARGEST:
            assert all(words[code] >= words[other] for other in languages[lang])


def test_by_hand() -> None:
    words = {"fi_ftb": 10, "fi_tdt": 20, "ru_big": 90, "ru_gsd": 30, "et_edt": 1, "cs_b": 5, "cs_a": 5}
    chosen = {"ru": Default("ru_gsd", "annotated for UD"), "fi": Default("fi_absent", "not there")}
    assert default_conventions(words, chosen) == {
        "cs": ("cs_a", LARGEST),
        "et": ("et_edt", ONLY),
        "fi": ("fi_tdt", LARGEST),
        "ru": ("ru_gsd", "annotated for UD"),
    }
    assert default_conventions({"ru_gsd": 3}, chosen) == {"ru": ("ru_gsd", ONLY)}
    assert default_conventions({}, chosen) == {}


def test_choices_are_of_treebanks_that_there_are() -> None:
    """A misspelt code would silently leave the choice to size."""
    known = catalogue(CONFIGS)
    for lang, (code, reason) in CHOSEN.items():
        assert code in RELEASE and code in known
        assert sum(language_of(other) == lang for other in RELEASE) > 1, f"{lang} has no choice"
        assert set(re.findall(r"\b[a-z]{2}_[a-z]+", reason)) <= known.keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[fi]\ncode = "fi_tdt"\n', r"\[fi\] has to have a code and a reason"),
        ('fi = "fi_tdt"\n', r"\[fi\] has to have a code and a reason"),
        ('[fi]\ncode = "sv_x"\nreason = "r"\n', r"\[fi\] got the code 'sv_x', expected one of 'fi'"),
        ("[fi\n", r"conventions.toml: "),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "conventions.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_chosen(tmp_path)
