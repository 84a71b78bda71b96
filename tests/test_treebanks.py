"""Treebanks by their codes, and which model code-mixed text goes to."""

from __future__ import annotations

import pytest

from mminibert.data.treebanks import mixed_of
from mminibert.runtime.languages import language_of


@pytest.mark.parametrize(
    ("ltcode", "lang"), [("af_afribooms", "af"), ("qtd_sagt", "qtd"), ("en_a_b", "en"), ("fi", "fi")]
)
def test_the_language_is_what_comes_before_the_first_line(ltcode: str, lang: str) -> None:
    assert language_of(ltcode) == lang


@pytest.mark.parametrize(
    ("ltcode", "treebanks", "expected"),
    [
        ("tr_imst", ["de_gsd", "tr_imst", "tr_pud", "qtd_sagt", "qfn_fame"], ["qtd_sagt"]),
        ("de_gsd", ["de_gsd", "tr_imst", "qtd_sagt"], []),  # Turkish is named first
        ("de_gsd", ["de_gsd", "qtd_sagt"], ["qtd_sagt"]),
        ("tr_pud", ["tr_imst", "tr_pud", "qtd_sagt"], []),  # the first of a language has it
        ("nl_alpino", ["nl_alpino", "qtd_sagt", "qfn_fame"], ["qfn_fame"]),
        ("en_ewt", ["en_ewt", "qtd_sagt"], []),
        ("qtd_sagt", ["qtd_sagt"], []),
    ],
)
def test_mixed_text_is_scored_with_one_model_of_its_languages(
    ltcode: str, treebanks: list[str], expected: list[str]
) -> None:
    assert mixed_of(ltcode, treebanks) == expected
