"""Assets from a mirror, a tiny one made here."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from mminibert.mirror import unpack, unpack_text, unpack_treebank


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
    add_xz(mirror / "unlabelled" / "bb.txt.xz", "einer")
    (mirror / "mbert").mkdir()
    (mirror / "mbert" / "vocab.txt").write_text("[PAD]\n[UNK]\n", encoding="utf-8")
    (mirror / "MANIFEST.tsv").write_text("path\n", encoding="utf-8")
    return mirror


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in files}


def test_the_release_comes_first(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(mirror, "aa_x", tmp_path / "ud") == ["train", "dev", "test"]
    assert contents(tmp_path / "ud") == {
        "aa_x/aa_x-ud-train.conllu": "# gold train\n",
        "aa_x/aa_x-ud-dev.conllu": "# gold dev\n",
        "aa_x/aa_x-ud-test.conllu": "# gold test\n",
    }


def test_silver_train_where_the_release_has_none(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(mirror, "aa_y", tmp_path / "ud") == ["train", "dev", "test"]
    found = contents(tmp_path / "ud" / "aa_y")
    assert found["aa_y-ud-train.conllu"] == "# silver train\n"
    assert found["aa_y-ud-test.conllu"] == "# gold é\n"


def test_another_release_where_there_is_nothing_else(mirror: Path, tmp_path: Path) -> None:
    assert unpack_treebank(mirror, "bb_z", tmp_path / "ud") == ["dev", "test"]
    assert contents(tmp_path / "ud")["bb_z/bb_z-ud-dev.conllu"] == "# other dev\n"


def test_an_unknown_treebank_is_an_error(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of treebank 'cc_q'.*MANIFEST\.tsv"):
        unpack_treebank(mirror, "cc_q", tmp_path / "ud")
    # The code of one treebank may begin another's.
    with pytest.raises(FileNotFoundError, match="'bb'"):
        unpack_treebank(mirror, "bb", tmp_path / "ud")


def test_text_of_both_folders(mirror: Path, tmp_path: Path) -> None:
    assert unpack_text(mirror, "aa", tmp_path) == 4
    assert (tmp_path / "aa.txt").read_text(encoding="utf-8") == "eins\nzwei\ndrei\nvier é\n"
    assert unpack_text(mirror, "bb", tmp_path) == 1
    assert (tmp_path / "bb.txt").read_text(encoding="utf-8") == "einer\n"
    assert unpack_text(mirror, "cc", tmp_path) == 0


def test_a_damaged_text_leaves_nothing_behind(mirror: Path, tmp_path: Path) -> None:
    path = mirror / "unlabelled-2" / "aa.txt.xz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises((EOFError, lzma.LZMAError)):
        unpack_text(mirror, "aa", tmp_path / "text")
    assert contents(tmp_path / "text") == {}


def test_unpack_all(mirror: Path, tmp_path: Path) -> None:
    target = tmp_path / "assets"
    assert list(unpack(mirror, ["aa_x", "aa_y", "bb_z"], target)) == [
        "aa_x: train, dev, test",
        "aa_y: train, dev, test",
        "bb_z: dev, test",
        "aa: 4 unlabelled sentences",
        "bb: 1 unlabelled sentences",
        "vocab.txt",
    ]
    first = contents(target)
    assert first["vocab.txt"] == "[PAD]\n[UNK]\n"
    assert len(first) == 3 + 3 + 2 + 2 + 1
    list(unpack(mirror, ["aa_x", "aa_y", "bb_z"], target))
    assert contents(target) == first


def test_no_mirror_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no MANIFEST\.tsv; give the mirror's folder"):
        list(unpack(tmp_path, ["aa_x"], tmp_path / "assets"))
    assert not (tmp_path / "assets").exists()
