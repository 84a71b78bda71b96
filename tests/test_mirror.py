"""Assets from a mirror, a tiny one made here."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mminibert.data.conllu import read_conllu
from mminibert.project.mirror import Mirror
from mminibert.project.parts import masked, without_doubtful
from mminibert.project.unpack import unpack, unpack_text, unpack_treebank
from mminibert.project.vocabulary import vocabulary_source


def add_archive(mirror: Path, ltcode: str, **files: str) -> None:
    (mirror / "ud-2.3").mkdir(parents=True, exist_ok=True)
    with tarfile.open(mirror / "ud-2.3" / f"{ltcode}.tar.xz", "w:xz") as tar:
        for name, text in {"README.md": "about", "LICENSE.txt": "free", **files}.items():
            info = tarfile.TarInfo(f"{ltcode}/{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def add_xz(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(text.encode("utf-8")))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """`aa_x` has all of the release, `aa_y` silver train, `bb_z` is of another release only."""
    mirror = tmp_path / "mirror"
    add_archive(
        mirror,
        "aa_x",
        **{f"aa_x-ud-{split}.conllu": f"# gold {split}\n" for split in ("train", "dev", "test")},
    )
    add_archive(mirror, "aa_y", **{"aa_y-ud-dev.conllu": "# gold dev\n", "aa_y-ud-test.conllu": "# gold é\n"})
    add_xz(mirror / "train-rebuilt" / "aa_y-train-rebuilt.conllu.xz", "# silver train\n")
    add_xz(mirror / "train-rebuilt" / "aa_x-train-rebuilt.conllu.xz", "# silver train\n")
    add_xz(mirror / "other-releases" / "aa_y-2.5-train.conllu.xz", "# other train\n")
    add_xz(mirror / "other-releases" / "bb_z-v1-dev.conllu.xz", "# other dev\n")
    add_xz(mirror / "other-releases" / "bb_z-v1-test.conllu.xz", "# other test\n")
    add_xz(mirror / "unlabelled" / "aa.txt.xz", "eins\nzwei\n")
    add_xz(mirror / "unlabelled-2" / "aa.txt.xz", "drei\nvier é")
    add_xz(mirror / "unlabelled-3" / "aa.txt.xz", "fünf\nsechs\n")
    add_xz(mirror / "unlabelled" / "bb.txt.xz", "einer")
    (mirror / "mbert").mkdir()
    (mirror / "mbert" / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")
    (mirror / "MANIFEST.tsv").write_text("path\n", encoding="utf-8")
    return mirror


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


def test_the_release_comes_first(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(Mirror(mirror), "aa_x", tmp_path / "ud") == ["train", "dev", "test"]
    found = contents(tmp_path / "ud")
    assert json.loads(found.pop("aa_x/sources.json"))["dev"] == ("ud-2.3/aa_x.tar.xz:aa_x-ud-dev.conllu")
    assert found == {
        "aa_x/aa_x-ud-train.conllu": "# gold train\n",
        "aa_x/aa_x-ud-dev.conllu": "# gold dev\n",
        "aa_x/aa_x-ud-test.conllu": "# gold test\n",
    }


def test_silver_train_where_the_release_has_none(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(Mirror(mirror), "aa_y", tmp_path / "ud") == ["train", "dev", "test"]
    found = contents(tmp_path / "ud" / "aa_y")
    assert found["aa_y-ud-train.conllu"] == "# silver train\n"
    assert found["aa_y-ud-test.conllu"] == "# gold é\n"


def test_another_release_where_there_is_nothing_else(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(Mirror(mirror), "bb_z", tmp_path / "ud") == ["dev", "test"]
    assert contents(tmp_path / "ud")["bb_z/bb_z-ud-dev.conllu"] == "# other dev\n"


def test_an_unknown_treebank_is_an_error(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of treebank 'cc_q'.*MANIFEST\.tsv"):
        unpack_treebank(Mirror(mirror), "cc_q", tmp_path / "ud")
    # The code of one treebank may begin another's.
    with pytest.raises(FileNotFoundError, match="'bb'"):
        unpack_treebank(Mirror(mirror), "bb", tmp_path / "ud")


def test_text_of_all_folders(mirror: Path, tmp_path: Path) -> None:
    assert unpack_text(Mirror(mirror), "aa", tmp_path) == (6, 0)
    assert (tmp_path / "aa.txt").read_text(encoding="utf-8") == "eins\nzwei\ndrei\nvier é\nfünf\nsechs\n"
    assert unpack_text(Mirror(mirror), "bb", tmp_path) == (1, 0)
    assert (tmp_path / "bb.txt").read_text(encoding="utf-8") == "einer\n"
    assert unpack_text(Mirror(mirror), "cc", tmp_path) == (0, 0)


def test_a_damaged_text_leaves_nothing_behind(mirror: Path, tmp_path: Path) -> None:
    path = mirror / "unlabelled-2" / "aa.txt.xz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"aa\.txt\.xz: damaged .*; copy the mirror again"):
        unpack_text(Mirror(mirror), "aa", tmp_path / "text")
    assert contents(tmp_path / "text") == {}


def test_unpack_all(mirror: Path, tmp_path: Path) -> None:
    target = tmp_path / "assets"
    assert list(unpack(Mirror(mirror), ["aa_x", "aa_y", "bb_z"], target)) == [
        "aa_x: train, dev, test",
        "aa_y: train, dev, test",
        "bb_z: dev, test",
        "aa: 6 unlabelled sentences, 0 of dev and test sets left out",
        "bb: 1 unlabelled sentences, 0 of dev and test sets left out",
        "vocab.txt",
    ]
    first = contents(target)
    assert first["vocab.txt"] == "[PAD]\n[UNK]\n"
    assert len(first) == 3 + 3 + 2 + 3 + 2 + 1 + 2
    source = vocabulary_source(target / "vocab.txt")
    assert source is not None
    assert (source.name.split()[-1], source.license) == ("bert-base-multilingual-cased", "Apache-2.0")
    list(unpack(Mirror(mirror), ["aa_x", "aa_y", "bb_z"], target))
    assert contents(target) == first


def test_no_mirror_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no MANIFEST\.tsv; give the mirror's folder"):
        list(unpack(Mirror(tmp_path), ["aa_x"], tmp_path / "assets"))
    assert not (tmp_path / "assets").exists()


def rows(*words: str, misc: str = "_") -> str:
    """A sentence whose cells are `form/UPOS/FEATS`."""
    cells = (word.split("/") for word in words)
    lines = (f"{i}\t{f}\t_\t{u}\t_\t{x}\t_\t_\t_\t{misc}\n" for i, (f, u, x) in enumerate(cells, 1))
    return "".join(lines) + "\n"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """`aa_x` lacks train; everything that can stand in for it is there. `bb_y` has a train file."""
    mirror = tmp_path / "mirror"
    dev = "".join(rows(word) for word in [*(f"d{i}/X/_" for i in range(19)), "r/NOUN/Case=Nom"])
    add_archive(mirror, "aa_x", **{"aa_x-ud-dev.conllu": dev, "aa_x-ud-test.conllu": rows("t/X/_")})
    add_archive(
        mirror, "bb_y", **{"bb_y-ud-train.conllu": rows("own/X/_"), "bb_y-ud-dev.conllu": rows("d/X/_")}
    )
    for code in ("aa_x", "bb_y"):
        silver = rows("r/NOUN/Case=Nom", misc="UniMorph=N") + rows("s/X/_", misc="UniMorph=X")
        add_xz(mirror / "train-rebuilt" / f"{code}-train-rebuilt.conllu.xz", silver)
    add_xz(mirror / "other-releases" / "aa_x-r2.1-train.conllu.xz", rows("o/VERB/Mood=Ind", "p/X/_"))
    add_xz(mirror / "other-releases" / "aa_x-2015-v1-train.conllu.xz", rows("old/CONJ/_"))
    add_xz(mirror / "upos-only" / "aa_x-train-upos.tsv.xz", "u\tlemma\tDET\nv\tv\tX\n\nw\tw\tX\n")
    (mirror / "MANIFEST.tsv").write_text("path\tkind\tcode\tnote\n", encoding="utf-8")
    return mirror


def forms(path: Path) -> list[str]:
    return [line.split("\t")[1] for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line]


def test_a_train_file_is_put_together_from_what_there_is(parts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ud" / "aa_x"
    unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("upos", "releases", "rebuilt", "dev"))
    train = folder / "aa_x-ud-train.conllu"
    dev = forms(folder / "aa_x-ud-dev.conllu")
    assert len(dev) == 2  # a tenth
    assert sorted([*dev, *forms(train)[:18]]) == sorted([*(f"d{i}" for i in range(19)), "r"])
    # What dev has is not taken again, but for the sentence that is left as dev, which is short.
    again = [] if "r" in forms(train)[:18] else ["r"]
    assert forms(train)[18:] == [*again, "s", "o", "p", "u", "v", "w"]
    assert forms(folder / "aa_x-ud-test.conllu") == ["t"]
    masked = {s.words[0].form: [w.feats_masked for w in s.words] for s in read_conllu(train)}
    assert [masked[form] for form in ("r", "s", "o", "u", "w")] == [  # of `o` dev lacks the value
        [False],
        [False],
        [True, True],
        [True, True],
        [True],
    ]
    sources = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
    assert sources["test"] == "ud-2.3/aa_x.tar.xz:aa_x-ud-test.conllu"
    assert sources["dev"] == "a tenth of ud-2.3/aa_x.tar.xz:aa_x-ud-dev.conllu"
    assert [(p["source"], p["labels"], p["sentences"], p["words"]) for p in sources["train"]] == [
        ("dev", "gold", 18, 18),
        ("rebuilt", "silver UPOS, FEATS", 1 + len(again), 1 + len(again)),
        ("releases", "UPOS", 1, 2),
        ("upos", "UPOS", 2, 3),
    ]
    first = contents(folder)
    unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("upos", "releases", "rebuilt", "dev"))
    assert contents(folder) == first


def test_columns_have_the_words_of_a_multiword_token_after_it(parts: Path, tmp_path: Path) -> None:
    file = parts / "upos-only" / "aa_x-train-upos.tsv.xz"
    add_xz(file, "lieu\tlieu\tNOUN\ndu\t_\t_\nde\tde\tADP\nle\tle\tDET\n_\t_\tSYM\nrang\trang\tNOUN\n")
    unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("upos",))
    (sentence,) = read_conllu(tmp_path / "ud/aa_x/aa_x-ud-train.conllu")
    assert [word.form for word in sentence.words] == ["lieu", "de", "le", "_", "rang"]
    tokens = [(form, [word.form for word in words]) for form, _, words in sentence.tokens()]
    assert tokens == [("lieu", ["lieu"]), ("du", ["de", "le"]), ("_", ["_"]), ("rang", ["rang"])]
    add_xz(file, "du\t_\t_\nde\tde\tADP\n")
    with pytest.raises(ValueError, match=r"a multiword token without two words after it: '1\\tde"):
        unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("upos",))


def test_rows_of_a_source_that_are_no_words_are_left_out(parts: Path, tmp_path: Path) -> None:
    """`<kindel_piir/>` stands between words; without it nothing says where blanks are."""
    words = rows("Ta/PRON/_", ",/PUNCT/_", "b:/PUNCT/_", "et/SCONJ/_").replace("b:\t_", "b:\t####")
    plain, alone = rows("Ta/PRON/_", "et/SCONJ/_"), rows("b:/PUNCT/_").replace("b:\t_", "b:\t####")
    text = f"# sent_id = 1\n# text = Ta , b: et\n{words}# text = Ta et\n{plain}{alone}"
    add_xz(parts / "train-more" / "aa_x-train-source.conllu.xz", text)
    unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("more",))
    first, second = read_conllu(tmp_path / "ud/aa_x/aa_x-ud-train.conllu")
    assert [word.form for word in first.words] == ["Ta", ",", "et"]
    assert (first.comments, second.comments) == (("# sent_id = 1",), ("# text = Ta et",))
    joined = "1-2\tb:\t_\t_\t_\t_\t_\t_\t_\t_\n"
    add_xz(parts / "train-more" / "aa_x-train-source.conllu.xz", text.replace("1\tTa", f"{joined}1\tTa", 1))
    with pytest.raises(ValueError, match="got the row 1-2 'b:' beside markup"):
        unpack_treebank(Mirror(parts), "aa_x", tmp_path / "ud", ("more",))


def test_each_supplement_is_asked_for_by_name(parts: Path, tmp_path: Path) -> None:
    assert unpack_treebank(Mirror(parts), "aa_x", tmp_path / "none", ()) == ["dev", "test"]
    unpack_treebank(Mirror(parts), "aa_x", tmp_path / "silver", ("rebuilt",))
    assert forms(tmp_path / "silver/aa_x/aa_x-ud-train.conllu") == ["r", "s"]
    assert len(forms(tmp_path / "silver/aa_x/aa_x-ud-dev.conllu")) == 20
    with pytest.raises(ValueError, match=r"got supplement \['silver'\], expected any of \['dev', "):
        unpack_treebank(Mirror(parts), "aa_x", tmp_path / "wrong", ("silver",))


def test_a_train_file_of_the_release_needs_nothing_else(parts: Path, tmp_path: Path) -> None:
    unpack_treebank(Mirror(parts), "bb_y", tmp_path / "ud", ("dev", "rebuilt"))
    assert forms(tmp_path / "ud/bb_y/bb_y-ud-train.conllu") == ["own"]
    assert forms(tmp_path / "ud/bb_y/bb_y-ud-dev.conllu") == ["d"]


@pytest.mark.parametrize("source", ["rebuilt", "releases"])
@pytest.mark.parametrize(("agreeing", "masked"), [(16, True), (17, False)])
def test_feats_that_dev_contradicts_are_masked(
    parts: Path, tmp_path: Path, source: str, agreeing: int, masked: bool
) -> None:
    dev = "".join(rows(f"D{i}/NOUN/Case=Nom", "only/X/Foreign=Yes") for i in range(20))
    shared = [f"d{i}/NOUN/Case={'Nom' if i < agreeing else 'Acc'}" for i in range(20)]
    other = rows(*shared, "new/NOUN/Case=Nom", "d19/VERB/Case=Nom", misc="UniMorph=N")
    names = {"rebuilt": "train-rebuilt/{}-train-rebuilt", "releases": "other-releases/{}-r2.1-train"}
    for code in ("cc_x", "cc_none"):
        add_archive(parts, code, **{f"{code}-ud-test.conllu": rows("t/X/_")})
        add_xz(parts / f"{names[source].format(code)}.conllu.xz", other)
    add_archive(parts, "cc_x", **{"cc_x-ud-dev.conllu": dev, "cc_x-ud-test.conllu": rows("t/X/_")})

    def masks(code: str) -> dict[str, bool]:
        unpack_treebank(Mirror(parts), code, tmp_path / "ud", (source,))
        path = tmp_path / "ud" / code / f"{code}-ud-train.conllu"
        return {w.form: w.feats_masked for s in read_conllu(path) for w in s.words if w.upos == "NOUN"}

    found = masks("cc_x")
    assert [found[form] for form in ("d0", "new")] == [masked] * 2
    assert found["d19"]  # its value is not in dev
    # With nothing to compare with, what was made to the release's conventions is trusted.
    assert set(masks("cc_none").values()) == {source == "releases"}


@pytest.mark.parametrize(("agreeing", "changed"), [(16, 20), (17, 3)])
def test_feats_are_compared_with_train_where_there_is_no_dev(agreeing: int, changed: int) -> None:
    """Under 85% all are marked, else those of the words with another value."""
    train = [rows(f"d{i}/NOUN/Case=Nom").strip() for i in range(20)]
    text = [rows(f"d{i}/NOUN/Case={'Nom' if i < agreeing else 'Acc'}").strip() for i in range(20)]
    for trusted in (True, False):
        found, agreement = masked(text, [], train, trusted=trusted)
        assert agreement == agreeing / 20
        assert [a != b for a, b in zip(text, found, strict=True)] == [i >= 20 - changed for i in range(20)]
    assert masked(text, train, text, trusted=True)[1] == agreeing / 20  # dev comes first
    assert masked(text, [], [], trusted=True) == (text, None)


def test_version_1_stands_in_as_version_2(parts: Path, tmp_path: Path) -> None:
    text = "# text = وَ CONJ\n" + rows("وَ/CONJ/_", "كِتَابٌ/NOUN/Case=Nom", "ُ/X/_")
    add_xz(parts / "other-releases" / "ar_q-v1-test.conllu.xz", text)
    assert unpack_treebank(Mirror(parts), "ar_q", tmp_path / "ud", ("dev",)) == ["test"]
    found = (tmp_path / "ud/ar_q/ar_q-ud-test.conllu").read_text(encoding="utf-8")
    # Without vowel signs; a form of nothing else keeps them.
    assert found == "# text = وَ CONJ\n" + rows("و/CCONJ/_", "كتاب/NOUN/Case=Nom", "ُ/X/_")


def test_code_mixed_treebanks_are_for_evaluation(parts: Path, tmp_path: Path) -> None:
    add_archive(
        parts,
        "qq_mix",
        **{f"qq_mix-ud-{split}.conllu": rows(f"{split}/X/_") for split in ("train", "dev", "test")},
    )
    (parts / "ud-codemixed").mkdir()
    (parts / "ud-2.3" / "qq_mix.tar.xz").rename(parts / "ud-codemixed" / "qq_mix.tar.xz")
    assert unpack_treebank(Mirror(parts), "qq_mix", tmp_path / "ud", ("dev", "rebuilt")) == ["test"]
    assert forms(tmp_path / "ud/qq_mix/qq_mix-ud-test.conllu") == ["test"]


def test_text_that_is_not_for_commercial_use_is_left_out(mirror: Path, tmp_path: Path) -> None:
    (mirror / "MANIFEST.tsv").write_text(
        "path\tkind\tlicence\n"
        "unlabelled/aa.txt.xz\tunlabelled\tCC BY 2.0 FR + CC0-1.0\n"
        "unlabelled-2/aa.txt.xz\tunlabelled\tMPL-2.0 + CC BY-NC 4.0\n"
        "unlabelled-3/aa.txt.xz\tunlabelled\tsee unlabelled-3/SOURCES.tsv\n",
        encoding="utf-8",
    )
    table = mirror / "unlabelled-3" / "SOURCES.tsv"
    free = "lang\tsource\tlicence\naa\tx/y\tMIT\naa\tx/z\tCC0\nbb\tx/y\tCC BY-NC 4.0\naa\tx/u\tMIT\n"
    table.write_text(free + "aa\tx/w\tunstated (research)\n", encoding="utf-8")
    assert unpack_text(Mirror(mirror), "aa", tmp_path) == (6, 0)
    assert unpack_text(Mirror(mirror), "aa", tmp_path, terms="commercial") == (2, 0)
    assert (tmp_path / "aa.txt").read_text(encoding="utf-8") == "eins\nzwei\n"
    assert unpack_text(Mirror(mirror), "aa", tmp_path, terms="permissive") == (2, 0)
    # The manifest does not state its licence.
    assert unpack_text(Mirror(mirror), "bb", tmp_path, terms="commercial") == (0, 0)
    table.write_text(free, encoding="utf-8")
    assert unpack_text(Mirror(mirror), "aa", tmp_path, terms="commercial") == (4, 0)
    list(unpack(Mirror(mirror), ["aa_x"], tmp_path / "free", terms="permissive"))
    assert json.loads((tmp_path / "free/unlabelled/sources.json").read_text(encoding="utf-8")) == {
        "aa": {"unlabelled": "CC BY 2.0 FR + CC0-1.0", "unlabelled-3": "MIT + CC0"}
    }
    list(unpack(Mirror(mirror), ["aa_x"], tmp_path / "assets"))
    assert json.loads((tmp_path / "assets/unlabelled/sources.json").read_text(encoding="utf-8")) == {
        "aa": {
            "unlabelled": "CC BY 2.0 FR + CC0-1.0",
            "unlabelled-2": "MPL-2.0 + CC BY-NC 4.0",
            "unlabelled-3": "MIT + CC0",
        }
    }


@pytest.mark.parametrize(("agreeing", "kept"), [(16, False), (17, True)])
def test_lemmas_that_dev_contradicts_are_left_out(agreeing: int, kept: bool) -> None:
    def text(lemma: Callable[[int], str]) -> list[str]:
        return [rows(f"d{i}/NOUN/Case=Nom").strip().replace("\t_\t", f"\t{lemma(i)}\t", 1) for i in range(20)]

    dev = text(lambda i: f"d{i}")
    own = text(lambda i: f"d{i}" if i < agreeing else f"D{i}")
    found, agreement = masked(own, dev, [], trusted=True)
    assert agreement == 1.0
    assert found == (own if kept else text(lambda _: "_"))
    # Where there is nothing to compare with, as dev has no lemmas, they stay.
    assert masked(own, text(lambda _: "_"), [], trusted=True)[0] == own


def labelled(**times: int) -> list[str]:
    """Sentences of a word each, so many times: ``form_UPOS_FEATS``, with what comes after that as MISC."""
    found = []
    for key, n in times.items():
        form, upos, feats, *misc = key.split("_")
        found += [rows(f"{form}/{upos}/{'N=' + feats if feats else '_'}", misc="=".join(misc) or "_")] * n
    return found


MARK = "UposGuess=Yes"


@pytest.mark.parametrize(
    ("silver", "gold", "expected"),
    [
        # Half of 10 is another UPOS: 0.5 apart, more than 0.25 + 0.5 / 10 ** 0.5 = 0.41.
        (labelled(A_VERB_=5), labelled(a_AUX_=5, a_VERB_=5), MARK),
        (labelled(a_VERB__X_1=5), labelled(A_AUX_=5), f"X=1|{MARK}"),
        (labelled(a_VERB__Feats_Unknown=5), labelled(a_AUX_=5), "Feats=Unknown|UposGuess=Yes"),
        # 0.4 apart, less than 0.25 + 0.5 / 5 ** 0.5 = 0.47, more than 0.25 + 0.5 / 20 ** 0.5 = 0.36.
        (labelled(a_VERB_=5), labelled(a_AUX_=2, a_VERB_=3), "_"),
        (labelled(a_VERB_=5), labelled(a_AUX_=8, a_VERB_=12), MARK),
        (labelled(a_VERB_=4), labelled(a_AUX_=50), "_"),
        (labelled(a_VERB_=50), labelled(a_AUX_=4), "_"),
        (labelled(a_VERB_1=5), labelled(a_VERB_2=5), "_"),
        (labelled(a_VERB_=5), labelled(b_AUX_=5), "_"),
    ],
)
def test_forms_that_the_release_annotates_otherwise_are_masked(
    silver: list[str], gold: list[str], expected: str
) -> None:
    found = without_doubtful(silver, gold)
    assert {sentence.split("\t")[9].strip() for sentence in found} == {expected}
    assert [s.split("\t")[:9] for s in found] == [s.split("\t")[:9] for s in silver]
    assert without_doubtful(silver, silver) == silver
    assert without_doubtful(silver, []) == silver


def test_words_that_are_unknown_already_tell_nothing() -> None:
    silver = labelled(a_VERB_=5, a_AUX__UposGuess_Yes=50)
    assert without_doubtful(silver, labelled(a_AUX_=9))[0].endswith(f"\t{MARK}\n\n")
    assert without_doubtful(silver, labelled(a_VERB_=9)) == silver


def test_doubtful_words_of_supplements_are_masked(parts: Path, tmp_path: Path) -> None:
    """Of silver text, and of text with UPOS alone, which has no FEATS to compare."""
    dev = rows(*["fue/AUX/_"] * 9, *["es/AUX/_"] * 9)
    add_archive(parts, "dd_x", **{"dd_x-ud-dev.conllu": dev, "dd_x-ud-test.conllu": rows("t/X/_")})
    add_xz(parts / "train-rebuilt/dd_x-train-rebuilt.conllu.xz", rows(*["fue/VERB/_"] * 5, *["es/AUX/_"] * 5))
    add_xz(parts / "upos-only/dd_x-train.tsv.xz", "".join(["es\tser\tVERB\nfue\tser\tAUX\n\n"] * 5))
    unpack_treebank(Mirror(parts), "dd_x", tmp_path / "ud", ("rebuilt", "upos"))
    path = tmp_path / "ud/dd_x/dd_x-ud-train.conllu"
    found = {(w.form, w.upos): w.upos_masked for s in read_conllu(path) for w in s.words}
    assert found == {("fue", "VERB"): True, ("es", "AUX"): False, ("es", "VERB"): True, ("fue", "AUX"): False}
