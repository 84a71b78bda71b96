"""Treebanks as running text: which files are read, what dev teaches, and what is recorded of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mminibert.data.running_text import LEAST_GOLD, Counts, RunningText, read_running_text


def block(tokens: str, *, said: str | None = None) -> str:
    """A sentence of CoNLL-U; `~` after a token without a blank, `a+b=ab` for a multiword token."""
    rows, n = [], 0
    for part in tokens.split():
        bare = part.removesuffix("~")
        misc = "_" if bare == part else "SpaceAfter=No"
        forms, _, form = bare.rpartition("=")
        words = forms.split("+") if forms else [form]
        if forms:
            rows.append(f"{n + 1}-{n + len(words)}\t{form}" + "\t_" * 7 + f"\t{misc}")
        for word in words:
            n += 1
            rows.append(f"{n}\t{word}\t_\tX" + "\t_" * 5 + f"\t{'_' if forms else misc}")
    return "\n".join([*([f"# text = {said}"] if said else []), *rows]) + "\n\n"


GOLD, SPREAD, UNSAID = block("Ja~ , gut~ ."), block("So , ja .", said="So , ja ."), block("So , nun .")


def bank(folder: Path, code: str, *, sources: tuple[str, ...] = (), **splits: str) -> Path:
    (folder / code).mkdir()
    for split, text in splits.items():
        (folder / code / f"{code}-ud-{split}.conllu").write_text(text, encoding="utf-8")
    if sources:
        parts = [{"source": source, "sentences": int(source != "empty")} for source in sources]
        (folder / code / "sources.json").write_text(json.dumps({"train": parts}), encoding="utf-8")
    return folder


def read(folder: Path) -> RunningText:
    return next(read_running_text(folder))


@pytest.mark.parametrize(
    ("sources", "learned"),
    [
        ((), 0),
        (("train",), 0),
        (("train", "newer", "dev"), 0),
        (("rebuilt",), 8),
        (("train", "more"), 8),
        (("train", "empty"), 0),  # a part of which nothing is left
    ],
)
def test_dev_but_its_last_fifth_is_learned_from_where_train_is_another(
    tmp_path: Path, sources: tuple[str, ...], learned: int
) -> None:
    dev = "".join(block(f"Ja{i}~ .") for i in range(10))
    found = read(bank(tmp_path, "de_x", sources=sources, train=GOLD, dev=dev))
    assert found.dev_learned == learned
    assert [s.text for s in found.learned] == ["Ja, gut.", *(f"Ja{i}." for i in range(learned))]
    assert [s.text for s in found.held_out] == [f"Ja{i}." for i in range(learned, 10)]


def test_counts_say_how_each_sentence_is_known(tmp_path: Path) -> None:
    train = GOLD * 20 + SPREAD * 3 + UNSAID * 2 + block("Ja .", said="Ja.") + block("Ja .", said="Nein.")
    dev = GOLD * 5 + UNSAID + block("a+b=ab")
    found = read(bank(tmp_path, "de_x", sources=("rebuilt",), train=train, dev=dev))
    assert found.counts == {
        "train": Counts(spaces=20, text=1, rejoined=5, unaligned=1),
        "dev": Counts(spaces=5, unsaid=2),
    }
    assert (found.counts["train"].kept, found.counts["train"].left_out) == (26, 1)
    assert [s.text for s in found.train[20:]] == ["So, ja."] * 3 + ["So, nun."] * 2 + ["Ja."]
    assert found.blanks_right == 1
    record = json.loads(json.dumps(found.record))
    assert record["counts"]["train"] == {
        **vars(Counts()),
        "spaces": 20,
        "text": 1,
        "rejoined": 5,
        "unaligned": 1,
    }
    assert (record["dev_learned"], record["blanks_right"]) == (4, 1)


def test_multiword_tokens_of_those_kept_are_counted(tmp_path: Path) -> None:
    train = block("in+dem=im Haus~ .") + block("in dem Haus .", said="im Haus.")
    found = read(bank(tmp_path, "de_x", train=train))
    assert found.counts == {"train": Counts(spaces=1, text=1, multiword=2)}
    assert found.train[0].words == found.train[1].words == {0: ("in", "dem")}


def test_glued_words_are_joined_where_dev_has_multiword_tokens_for_them(tmp_path: Path) -> None:
    train = block("robił~ em~ .")
    dev = block("robił+em=robiłem~ .") * 5
    found = read(bank(tmp_path, "pl_x", sources=("rebuilt",), train=train, dev=dev))
    assert (found.train[0].forms, found.train[0].words) == (("robiłem", "."), {0: ("robił", "em")})


def test_text_as_in_the_released_dev_file_stays(tmp_path: Path) -> None:
    """Transcribed speech may have blanks all over: then the test file has them, too."""
    found = read(bank(tmp_path, "de_x", sources=("train",), train=GOLD * 9 + SPREAD, dev=GOLD * 9 + SPREAD))
    assert found.counts["train"] == Counts(spaces=10)


def test_newer_treebanks_are_held_against_the_surest_of_their_language(tmp_path: Path) -> None:
    """Their own sentences without blanks may be accidents, and some others disagree with themselves."""
    bank(tmp_path, "de_a", sources=("train",), train=(block("Ja~ ,") + block("Ja ,~ x")) * LEAST_GOLD)
    bank(tmp_path, "de_b", sources=("train",), train=GOLD * LEAST_GOLD)
    newer = block("Ja ,~ x") * LEAST_GOLD + SPREAD * LEAST_GOLD
    bank(tmp_path, "de_c", sources=("newer",), train=newer, dev=SPREAD)
    *_, second, third = read_running_text(tmp_path)
    assert (second.counts, second.blanks_right) == ({"train": Counts(spaces=LEAST_GOLD)}, None)
    assert third.counts == {
        "train": Counts(spaces=LEAST_GOLD, rejoined=LEAST_GOLD),
        "dev": Counts(tokenized=1),
    }
    assert third.train[-1].text == "So, ja."
    assert third.blanks_right == 1


def test_a_treebank_with_enough_gold_sentences_is_its_own_judge(tmp_path: Path) -> None:
    """Others of its language write `? !` in another way."""
    asked = block("Ja ? !")
    bank(tmp_path, "de_a", sources=("rebuilt",), train=block("Ja~ ? !") * LEAST_GOLD + asked)
    bank(tmp_path, "de_b", sources=("rebuilt",), train=block("Ja ?~ !") * LEAST_GOLD * 2 + asked)
    found = list(read_running_text(tmp_path))
    assert [of_one.counts["train"].rejoined for of_one in found] == [1, 1]
    assert [of_one.train[-1].text for of_one in found] == ["Ja? !", "Ja ?!"]


def test_without_enough_gold_sentences_all_of_the_language_are_asked(tmp_path: Path) -> None:
    bank(tmp_path, "de_a", sources=("rebuilt",), train=UNSAID)
    bank(tmp_path, "de_b", sources=("rebuilt",), train=GOLD * (LEAST_GOLD - 1))
    assert [s.text for s in read(tmp_path).train] == ["So, nun."]


def test_test_files_are_not_read(tmp_path: Path) -> None:
    bank(tmp_path, "de_a", train=GOLD, test="no CoNLL-U")
    bank(tmp_path, "de_b", test="no CoNLL-U")
    assert [found.ltcode for found in read_running_text(tmp_path)] == ["de_a"]


def test_treebanks_come_by_language(tmp_path: Path) -> None:
    for code in ("fr_a", "de_a"):
        bank(tmp_path, code, train=GOLD)
    assert [found.lang for found in read_running_text(tmp_path, ["fr_a", "de_a"])] == ["de", "fr"]
    with pytest.raises(ValueError, match="no treebank xx_a"):
        list(read_running_text(tmp_path, ["xx_a"]))
