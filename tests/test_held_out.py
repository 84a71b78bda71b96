"""No sentence of dev or test is among the training text from a mirror; which parts of it are taken."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_mirror import add_archive, add_xz, forms, rows

from mminibert.data.conllu import read_conllu
from mminibert.data.treebanks import Terms
from mminibert.project.held_out import HeldOut, key, sentence_keys
from mminibert.project.mirror import Mirror, hold_out
from mminibert.project.train_text import ENOUGH
from mminibert.project.unpack import unpack_text, unpack_treebank

EVERYTHING = ("dev", "more", "rebuilt", "rebuilt2", "releases", "upos")


def sentence(text: str, *, misc: str = "_", upos: str = "X", feats: str = "_") -> str:
    return rows(*(f"{word}/{upos}/{feats}" for word in text.split()), misc=misc)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "MANIFEST.tsv").write_text(
        "path\trepository\tlicence\n"
        "train-more/aa_x-train-a.conllu.xz\tsome/copy\tCC BY 4.0\n"
        "train-more/aa_x-train-b.conllu.xz\tother/copy\tCC BY-NC 4.0\n",
        encoding="utf-8",
    )
    return folder


def made(
    mirror: Path, ltcode: str, *supplements: str, terms: Terms = "any"
) -> tuple[list[str], dict[str, Any]]:
    """The sentences of the train file, as words with blanks, and the sources."""
    target = mirror.parent / "ud"
    unpack_treebank(Mirror(mirror), ltcode, target, supplements, terms=terms)
    path = target / ltcode / f"{ltcode}-ud-train.conllu"
    found = [" ".join(word.form for word in s.words) for s in read_conllu(path)] if path.exists() else []
    sources = json.loads((target / ltcode / "sources.json").read_text(encoding="utf-8"))
    return found, sources


def part(sources: dict[str, Any], source: str) -> dict[str, Any]:
    (found,) = (part for part in sources["train"] if part["source"] == source)
    return dict(found)


# Keys


@example("", "🄐")
@given(st.text(), st.text(alphabet=st.characters(categories=["P", "S", "Z", "M"])))
def test_only_letters_and_digits_count(text: str, other: str) -> None:
    plain = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())
    assert key(text) == plain
    compatible = unicodedata.normalize("NFKC", other)  # of 🄐, a symbol, the letter A between brackets
    if compatible.isascii() and not any(c.isalnum() for c in compatible):
        assert key(text + "\n" + other) == key(text)


def test_keys_by_hand() -> None:
    assert key("Straße — 2nd ＡＢ_c!") == key("STRASSE 2NDabc") == "strasse2ndabc"
    assert key("ﬁve") == "five"
    joined = "1-2\tdel\t_\n1\tde\t_\n2\tel\t_\n3\tMar\t_\n3.1\tno\t_\n4\t.\t_\n\n"
    assert sentence_keys("# text = 9\n" + joined) == ("deelmar", "delmar")
    assert sentence_keys(sentence("A b .")) == ("ab", "ab")


WORDS = st.lists(st.sampled_from(["a", "B", "ç", "7", ".", "—", "día"]), min_size=1, max_size=6)


@given(st.lists(WORDS, max_size=4), WORDS, st.integers(0, 5))
def test_held_out_as_one_by_one(sets: list[list[str]], words: list[str], cut: int) -> None:
    held = HeldOut()
    for i, found in enumerate(sets):
        held.add(f"set {i}", [sentence(" ".join(found))])
    letters = "".join(words).casefold().replace(".", "").replace("—", "")
    having = {
        f"set {i}"
        for i, found in enumerate(sets)
        if sum(word not in ".—" for word in found) >= 4
        and "".join(found).casefold().replace(".", "").replace("—", "") == letters
    }
    but = {f"set {i}" for i in range(cut)}
    assert held.has(sentence_keys(sentence(" ".join(words))), but) == bool(having - but)


# Training text


def test_no_part_has_a_sentence_of_dev_or_test(mirror: Path) -> None:
    """Whatever treebank of the language these are of: named in no profile, or of another release."""
    add_archive(mirror, "aa_x", **{"aa_x-ud-dev.conllu": sentence("own dev one two")})
    add_archive(mirror, "aa_pud", **{"aa_pud-ud-test.conllu": sentence("Of pud , one two .")})
    add_archive(mirror, "bb_pud", **{"bb_pud-ud-test.conllu": sentence("another language one two")})
    add_xz(mirror / "other-releases" / "aa_z-r2.9-dev.conllu.xz", sentence("other release one two"))
    leaking = ["OWN dev one-two", "of PUD one two", "Other release one two ...", "own dev"]
    for folder in ("train-more", "train-rebuilt", "train-rebuilt2"):
        kept = [f"mine of {folder} alone", "another language one two", "dev one two"]
        text = "".join(map(sentence, [*leaking, *kept]))
        add_xz(mirror / folder / f"aa_x-{folder}.conllu.xz", text)
    (mirror / "train-more" / "aa_x-train-more.conllu.xz").rename(
        mirror / "train-more" / "aa_x-train-a.conllu.xz"
    )
    add_xz(
        mirror / "upos-only" / "aa_x-train-upos.tsv.xz",
        "Of\tof\tADP\npud\tx\tX\none\tx\tX\ntwo\tx\tX\n\nu\tu\tX\n",
    )
    found, sources = made(mirror, "aa_x", *EVERYTHING[1:])
    assert found == [
        *("own dev", "mine of train-more alone", "another language one two", "dev one two"),
        *("mine of train-rebuilt alone", "mine of train-rebuilt2 alone", "u"),
    ]
    counts = {p["source"]: (p["held_out"], p["repeated"], p["words"]) for p in sources["train"]}
    assert counts == {"more": (3, 0, 13), "rebuilt": (3, 3, 4), "rebuilt2": (3, 3, 4), "upos": (1, 0, 1)}
    more = part(sources, "more")
    assert (more["repository"], more["licence"], more["labels"]) == (
        *("some/copy", "CC BY 4.0"),
        "converted UPOS, FEATS",
    )


def test_the_words_of_multiword_tokens_and_the_tokens_are_compared(mirror: Path) -> None:
    joined = "1-2\tdel\t" + "_\t" * 7 + "_\n" + sentence("de el mar azul")
    add_archive(mirror, "aa_x", **{"aa_x-ud-test.conllu": joined})
    text = sentence("Del mar azul !") + sentence("de el mar azul") + joined + sentence("mar azul de el")
    add_xz(mirror / "train-rebuilt" / "aa_x-train-rebuilt.conllu.xz", text)
    assert made(mirror, "aa_x", "rebuilt")[0] == ["mar azul de el"]


def test_more_is_added_to_a_train_file_of_the_release(mirror: Path) -> None:
    train = sentence("gold one", feats="Case=Nom") + sentence("own dev one two")
    dev = sentence("own dev one two", feats="Mood=Ind") + sentence("x")
    add_archive(mirror, "aa_x", **{"aa_x-ud-train.conllu": train, "aa_x-ud-dev.conllu": dev})
    more = (
        sentence("Gold one")
        + sentence("own dev one two", feats="Mood=Ind")
        + sentence("own", feats="Mood=Ind")
    )
    more += sentence("dev", feats="Mood=Ind") + sentence("of both", feats="Case=Nom")
    more += sentence("new value", feats="Case=Gen")
    add_xz(mirror / "train-more" / "aa_x-train-a.conllu.xz", more)
    add_xz(mirror / "train-more" / "aa_x-train-b.conllu.xz", sentence("second file") + sentence("of both"))
    add_xz(mirror / "train-rebuilt" / "aa_x-train-rebuilt.conllu.xz", sentence("silver"))
    found, sources = made(mirror, "aa_x", *EVERYTHING)
    # The release's own file is as it is, with what it shares with dev.
    gold, added = ["gold one", "own dev one two"], ["own", "dev", "of both", "new value"]
    assert found == [*gold, *added, "second file"]
    assert [(p["source"], p["held_out"], p["repeated"]) for p in sources["train"]] == [
        *(("train", 0, 0), ("more", 1, 1), ("more", 0, 1)),
    ]
    path = mirror.parent / "ud" / "aa_x" / "aa_x-ud-train.conllu"
    masked = {word.form: word.feats_masked for s in read_conllu(path) for word in s.words}
    assert (masked["own"], masked["both"], masked["value"]) == (False, False, True)
    assert made(mirror, "aa_x", "rebuilt")[0] == gold
    assert made(mirror, "aa_x", *EVERYTHING, terms="commercial")[0] == [*gold, *added]


@pytest.mark.parametrize(("words", "whole"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_dev_is_trained_on_where_there_is_little_else(mirror: Path, words: int, whole: bool) -> None:
    dev = [f"this is sentence {i}" for i in range(20)]
    add_archive(mirror, "aa_x", **{"aa_x-ud-dev.conllu": "".join(map(sentence, dev))})
    add_archive(mirror, "aa_y", **{"aa_y-ud-test.conllu": sentence(dev[3])})
    silver = [*dev, *(f"w{i}" for i in range(words))]
    text = "".join(map(sentence, silver)) + sentence("unknown", misc="Upos=Unknown")
    add_xz(
        mirror / "train-rebuilt" / "aa_x-train-rebuilt.conllu.xz", text + sentence("g", misc="FeatsGuess=Yes")
    )
    found, sources = made(mirror, "aa_x", "dev", "rebuilt")
    left = forms(mirror.parent / "ud/aa_x/aa_x-ud-dev.conllu")[3::4]
    assert len(left) == (20 if whole else 2)
    trained = [] if whole else [text for i, text in enumerate(dev) if i != 3 and str(i) not in left]
    assert found == [*trained, *silver[20:], "unknown", "g"]
    assert part(sources, "rebuilt")["unknown_upos"] == part(sources, "rebuilt")["unknown_feats"] == 1
    if not whole:
        assert part(sources, "dev")["held_out"] == ("3" not in left)


def test_the_tenth_that_is_held_out_is_in_no_training_text(mirror: Path) -> None:
    """A treebank with a train file alone, in which sentences come twice."""
    text = [f"this is sentence {i}" for i in range(30)] * 2
    add_archive(mirror, "aa_x", **{"aa_x-ud-train.conllu": "".join(map(sentence, text))})
    add_xz(mirror / "train-rebuilt" / "aa_y-train-rebuilt.conllu.xz", "".join(map(sentence, text)))
    found, sources = made(mirror, "aa_x")
    dev = [f"this is sentence {i}" for i in forms(mirror.parent / "ud/aa_x/aa_x-ud-dev.conllu")[3::4]]
    assert 3 <= len(set(dev)) <= 6 and len(dev) == 6
    assert sorted(found) == sorted(s for s in text if s not in dev)
    assert sources["dev"] == "a tenth of ud-2.3/aa_x.tar.xz:aa_x-ud-train.conllu"
    assert part(sources, "train")["held_out"] == 2 * len(set(dev)) - 6
    assert set(made(mirror, "aa_y", "rebuilt")[0]) == set(text) - set(dev)


def test_newer_treebanks(mirror: Path) -> None:
    """Several files are one treebank; a tenth is dev, unless another release has one."""
    for code in ("aa_new", "aa_dev"):
        for script in "pq":
            text = "".join(sentence(f"{code} {script} sentence {i}", feats="Odd=Yes") for i in range(20))
            add_xz(mirror / "newer-treebanks" / f"{code}-train-{script}.conllu.xz", text)
    add_xz(mirror / "newer-treebanks" / "aa_newer-train-p.conllu.xz", sentence("of another code alone"))
    add_xz(mirror / "other-releases" / "aa_dev-r2.17-dev.conllu.xz", sentence("aa_dev p sentence 7"))
    add_xz(mirror / "other-releases" / "aa_dev-r2.17-test.conllu.xz", sentence("one two three four"))
    found, sources = made(mirror, "aa_new", "dev")
    dev = forms(mirror.parent / "ud/aa_new/aa_new-ud-dev.conllu")
    assert len(dev) == 4 * 4 and set(dev[::4]) == {"aa_new"}
    held = {" ".join(dev[i : i + 4]) for i in range(0, 16, 4)}
    assert {s for s in found if s.startswith("aa_new p")} | {s for s in found if "q" in s} == set(found)
    assert set(found) == {f"aa_new {s} sentence {i}" for s in "pq" for i in range(20)} - held
    assert [p["source"] for p in sources["train"]] == ["newer", "newer"]
    path = mirror.parent / "ud/aa_new/aa_new-ud-train.conllu"
    assert not any(word.feats_masked for s in read_conllu(path) for word in s.words)  # nothing is compared
    found, sources = made(mirror, "aa_dev")
    assert len(found) == 39 and "aa_dev p sentence 7" not in found
    assert sources["dev"] == "other-releases/aa_dev-r2.17-dev.conllu.xz"
    # What is dev of one treebank is in the training text of no other.
    add_archive(mirror, "aa_x", **{"aa_x-ud-test.conllu": sentence("t")})
    add_xz(mirror / "train-rebuilt" / "aa_x-train-rebuilt.conllu.xz", "".join(map(sentence, [*held, "a b"])))
    assert made(mirror, "aa_x", "rebuilt")[0] == ["a b"]


def test_a_newer_file_that_lost_words_is_left_out(mirror: Path) -> None:
    """None of its words is AUX, as a hundredth of dev's are; fewer words may have none by chance."""
    dev = rows("she/PRON/_", "is/AUX/_", *["here/ADV/_"] * 98)
    add_xz(mirror / "other-releases" / "aa_dev-r2.17-dev.conllu.xz", dev)
    for n_words, is_kept in ((1998, True), (2000, False)):
        text = "".join(rows(f"she{i}/PRON/_", "there/ADV/_") for i in range(n_words // 2))
        add_xz(mirror / "newer-treebanks" / "aa_dev-train-p.conllu.xz", text)
        assert len(Mirror(mirror).splits("aa_dev").train) == is_kept
    add_xz(mirror / "newer-treebanks" / "aa_dev-train-p.conllu.xz", text + rows("she/PRON/_", "'s/AUX/_"))
    assert len(Mirror(mirror).splits("aa_dev").train) == 1


@given(st.lists(st.integers(0, 60), min_size=1, max_size=3))
def test_a_tenth_is_held_out(sizes: list[int]) -> None:
    texts = [(f"t{n}", [f"{n} {i}" for i in range(size)]) for n, size in enumerate(sizes)]
    kept, (_, held) = hold_out("aa_x", texts)
    total = sum(sizes)
    assert len(held) == (max(round(total / 10), 1) if total > 1 else 0)
    assert [name for name, _ in kept] == [name for name, _ in texts]
    for (_, left), (_, whole) in zip(kept, texts, strict=True):
        assert left == [s for s in whole if s not in held]
    assert (kept, held) == (hold_out("aa_x", texts)[0], hold_out("aa_x", texts)[1][1])


def test_version_1_names_of_features(mirror: Path) -> None:
    dev = sentence("a b c d", feats="Definite=Red|Foreign=Foreign")
    add_xz(mirror / "other-releases" / "ar_q-v1-dev.conllu.xz", dev)
    more = sentence("a e", feats="Definite=Cons|Foreign=Yes")
    add_xz(mirror / "train-more" / "ar_q-train-x.conllu.xz", more)
    found, sources = made(mirror, "ar_q", "more")
    assert found == ["a e"]
    assert part(sources, "more")["agreement"] == 1.0
    written = mirror.parent / "ud/ar_q/ar_q-ud-dev.conllu"
    assert {w.feats for s in read_conllu(written) for w in s.words} == {"Definite=Cons|Foreign=Yes"}


def test_unlabelled_text_has_no_sentence_of_dev_or_test(mirror: Path, tmp_path: Path) -> None:
    add_archive(mirror, "aa_pud", **{"aa_pud-ud-test.conllu": sentence("« One two , three four . »")})
    (mirror / "ud-codemixed").mkdir()
    add_archive(mirror, "qtd_x", **{"qtd_x-ud-test.conllu": sentence("eins iki drei dört")})
    (mirror / "ud-2.3" / "qtd_x.tar.xz").rename(mirror / "ud-codemixed" / "qtd_x.tar.xz")
    add_xz(mirror / "unlabelled" / "aa.txt.xz", "One two, three four.\nOne two, three\neins iki drei dört\n")
    add_xz(mirror / "unlabelled-3" / "de.txt.xz", "Eins, iki, drei, dört!\nfünf\n")
    assert unpack_text(Mirror(mirror), "aa", tmp_path) == (2, 1)
    assert (tmp_path / "aa.txt").read_text(encoding="utf-8") == "One two, three\neins iki drei dört\n"
    assert unpack_text(Mirror(mirror), "de", tmp_path) == (1, 1)
