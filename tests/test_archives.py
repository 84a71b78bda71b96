"""Compressed files that are too big, damaged, or lead elsewhere."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mminibert import archives
from mminibert.archives import members, read_arrays, unpacking
from mminibert.data.targets import read_shard
from mminibert.project.mirror import Mirror
from mminibert.project.unpack import unpack_text
from mminibert.training.bundle import read_weights

BOUND = 12_000  # a tar has 10,240 bytes at least


@pytest.fixture(autouse=True)
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones, so that bombs are made in no time."""
    monkeypatch.setattr(archives, "MOST_BYTES", BOUND)
    monkeypatch.setattr(archives, "MOST_TIMES", 10)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def tar_xz(path: Path, *files: tuple[tarfile.TarInfo, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:xz") as tar:
        for info, content in files:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def npz(path: Path, n: int, *, name: str = "a:float") -> Path:
    arrays: dict[str, Any] = {name: np.zeros(n, dtype=np.uint8)}
    np.savez_compressed(path, **arrays)
    return path


def content(path: Path) -> bytes:
    with unpacking(path, "mend it") as file:
        return file.read()


@pytest.mark.parametrize("pack", [lzma.compress, bz2.compress])
def test_a_file_is_unpacked_up_to_the_bound(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / ("x.xz" if pack is lzma.compress else "x.bz2")
    assert content(write(path, pack(b"a" * BOUND))) == b"a" * BOUND
    write(path, pack(b"a" * (BOUND + 1)))
    says = f"^{path}: damaged or of another kind .*unpacks to more than {BOUND:,} bytes.; mend it$"
    with pytest.raises(ValueError, match=says):
        content(path)
    random = np.random.default_rng(0).bytes(5 * BOUND)  # what does not shrink may be as big as it is
    assert content(write(path, pack(random))) == random
    write(path, pack(random)[:-100])
    with pytest.raises(ValueError, match="damaged"):
        content(path)


def test_no_more_than_the_bound_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.xz", lzma.compress(b"a" * 50_000_000))
    read = 0
    with pytest.raises(ValueError, match="unpacks to more"), unpacking(path, "") as file:
        while part := file.read(100):
            read += len(part)
    assert read <= max(BOUND, 10 * path.stat().st_size)


def test_members(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("x")
    folder.type = tarfile.DIRTYPE
    path = tar_xz(tmp_path / "x.tar.xz", (folder, b""), (tarfile.TarInfo("x/a"), b"one"))
    assert list(members(path, "")) == [("x/a", b"one")]
    write(path, path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=f"^{path}: damaged"):
        list(members(path, ""))
    tar_xz(path, (tarfile.TarInfo("x/a"), b"a" * 100_000))
    with pytest.raises(ValueError, match=f"^{path}: .*unpacks to more"):
        list(members(path, ""))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x/a.conllu", tarfile.SYMTYPE),
        ("x/a.conllu", tarfile.LNKTYPE),
        ("x/a.conllu", tarfile.FIFOTYPE),
        ("x/../../a.conllu", tarfile.REGTYPE),
        ("/a.conllu", tarfile.REGTYPE),
    ],
)
def test_links_and_names_that_lead_out_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    path = tar_xz(tmp_path / "x.tar.xz", (info, b""))
    with pytest.raises(ValueError, match=rf"^{path}: .*got '{name}', expected plain files"):
        list(members(path, ""))


READERS = [lambda path: read_arrays(path, "mend it"), read_weights, read_shard]


@pytest.mark.parametrize("read", READERS)
def test_arrays(tmp_path: Path, read: Callable[[Path], object]) -> None:
    whole = npz(tmp_path / "x.npz", 1000).read_bytes()
    path = tmp_path / "y.npz"
    for damaged in (b"", b"no zip", whole[: len(whole) // 2], whole[:90] + b"\xff" + whole[91:]):
        write(path, damaged)
        with pytest.raises(ValueError, match=rf"^{path}: damaged or of another kind \(.*\); \w+"):
            read(path)
    npz(path, 100_000)
    with pytest.raises(ValueError, match=rf"^{path}: .*unpacks to more than {BOUND:,} bytes"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.npz")


def test_arrays_are_those_of_numpy(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a": np.arange(6).reshape(2, 3), "b": np.asarray("é")}
    np.savez(tmp_path / "x.npz", **arrays)
    found = read_arrays(tmp_path / "x.npz", "")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    np.savez(tmp_path / "y.npz", a=np.asarray([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_arrays(tmp_path / "y.npz", "")


def test_bombs_in_a_mirror(tmp_path: Path) -> None:
    write(tmp_path / "MANIFEST.tsv", b"path\n")
    bomb = tarfile.TarInfo("aa_x/aa_x-ud-dev.conllu")
    tar_xz(tmp_path / "ud-2.3/aa_x.tar.xz", (bomb, b"# x\n" * 50_000))
    with pytest.raises(ValueError, match=r"aa_x.tar.xz: .*unpacks to more .*copy the mirror again"):
        Mirror(tmp_path).splits("aa_x")
    write(tmp_path / "unlabelled/bb.txt.xz", lzma.compress(b"eins\n" * 50_000))
    with pytest.raises(ValueError, match=r"bb.txt.xz: .*unpacks to more .*copy the mirror again"):
        unpack_text(Mirror(tmp_path), "bb", tmp_path / "text")
    assert not any((tmp_path / "text").iterdir())


A = "fd99dedae7c3f7532f8a65d60f811a05dc9dc3e1c5936b0c554c98aafdad8c10"
"""Of "# a" in a line, by `sha256sum`."""


def test_files_of_a_mirror_are_those_of_its_manifest(tmp_path: Path) -> None:
    """Checksums by `sha256sum`."""
    archive = "ud-2.3/aa_x.tar.xz"
    right = {
        f"{archive}:aa_x-ud-dev.conllu": A,
        "mbert/vocab.txt": "fe0fee712da87f214ec972e7f86c1517ecf7c763bae348a74f322016f696d2f5",
        "train-more/aa_x-train-a.conllu.xz": A,
        "other-releases/aa_y-v1-dev.conllu.xz": A,
        "unlabelled/cc.txt.xz": A,
    }
    rows = "".join(f"{name}\t{digest}\t\n" for name, digest in right.items())
    write(tmp_path / "MANIFEST.tsv", f"path\tsha256_uncompressed\tlicence\n{rows}".encode())
    for text in (b"# a\n", b"# b\n"):
        tar_xz(tmp_path / archive, (tarfile.TarInfo("aa_x/aa_x-ud-dev.conllu"), text))
        write(tmp_path / "mbert/vocab.txt", b"[PAD]\n" + text)
        for name in [name for name in right if name.endswith(".xz")]:
            write(tmp_path / name, lzma.compress(text))
        mirror = Mirror(tmp_path)
        if text == b"# a\n":
            assert mirror.splits("aa_x").dev is not None
            assert mirror.checked("mbert/vocab.txt") == b"[PAD]\n# a\n"
            assert list(mirror.supplement("more", "aa_x")) and mirror.splits("aa_y").dev
            assert unpack_text(mirror, "bb", tmp_path / "text") == (0, 0)
            assert unpack_text(mirror, "cc", tmp_path / "text") == (1, 0)
        else:
            says = "got SHA-256 .*by MANIFEST.tsv; copy the mirror again"
            with pytest.raises(ValueError, match=f"{archive}:aa_x-ud-dev.conllu: {says}"):
                mirror.splits("aa_x")
            with pytest.raises(ValueError, match=f"vocab.txt: {says}"):
                mirror.checked("mbert/vocab.txt")
            with pytest.raises(ValueError, match=f"aa_x-train-a.conllu.xz: {says}"):
                list(mirror.supplement("more", "aa_x"))
            with pytest.raises(ValueError, match=f"aa_y-v1-dev.conllu.xz: {says}"):
                mirror.splits("aa_y")
            with pytest.raises(ValueError, match=f"cc.txt.xz: {says}"):
                unpack_text(mirror, "cc", tmp_path / "text")
