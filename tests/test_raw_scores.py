"""F1 from raw text, beside the official program of the CoNLL 2018 evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluate import official

from mminibert.data.conllu import read_conllu
from mminibert.evaluation.raw_scores import raw_scores

TEXT = "abBacabacAbbacabbacab"
LEMMA = st.sampled_from(["_", "a", "b"])
UPOS = st.sampled_from(["NOUN", "VERB"])
FEATS = st.sampled_from(["_", "Case=Nom|Number=Sing", "Number=Sing|Typo=Yes", "Number=Sing"])


@st.composite
def annotated(draw: st.DrawFn) -> str:
    """The text in sentences of tokens, some of them multiword tokens of words of any form, as CoNLL-U."""
    ends = sorted({*draw(st.sets(st.integers(1, len(TEXT) - 1), max_size=12)), len(TEXT)})
    lines, number, start = [], 1, 0
    for end in ends:
        forms = [TEXT[start:end]]
        if draw(st.booleans()):
            forms = draw(st.lists(st.sampled_from(["a", "b", "ab", "Ba", "c"]), min_size=2, max_size=4))
            lines.append(f"{number}-{number + len(forms) - 1}\t{TEXT[start:end]}" + "\t_" * 8)
        for form in forms:
            head = "0\troot" if number == 1 else "1\tdep"
            lines.append(f"{number}\t{form}\t{draw(LEMMA)}\t{draw(UPOS)}\t_\t{draw(FEATS)}\t{head}\t_\t_")
            number += 1
        start = end
        if end == len(TEXT) or draw(st.integers(0, 3)) == 0:
            lines.append("")
            number = 1
    return "".join(f"{line}\n" for line in lines)


@settings(max_examples=300)
@given(gold=annotated(), found=annotated())
def test_it_is_the_official_one(tmp_path_factory: pytest.TempPathFactory, gold: str, found: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    paths = folder / "gold.conllu", folder / "found.conllu"
    for path, text in zip(paths, (gold, found), strict=True):
        path.write_text(text, encoding="utf-8")
    expected = official(*paths)
    scores = raw_scores(*map(read_conllu, paths))
    assert scores == {name: pytest.approx(expected[name].f1) for name in scores}
    assert raw_scores(*map(read_conllu, (paths[0], paths[0]))) == dict.fromkeys(scores, 1.0)


def test_other_texts(tmp_path: Path) -> None:
    row = "1\t{}\t_\tX\t_\t_\t0\troot\t_\t_\n\n"
    for name, form in (("one", "abc"), ("other", "abd")):
        (tmp_path / name).write_text(row.format(form), encoding="utf-8")
    with pytest.raises(ValueError, match="from character 2 on: expected 'c', got 'd'"):
        raw_scores(read_conllu(tmp_path / "one"), read_conllu(tmp_path / "other"))
