"""Folders of pipelines that are damaged, or only half there, as commands meet them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from packaged import random_segmenter, three_languages, with_conventions

from mminibert.command import reported
from mminibert.packaging.quantize import with_segmenter

SPACY_NEEDS_NONE = ("vocab/key2row", "vocab/lookups.bin", "vocab/vectors", "vocab/vectors.cfg")
DAMAGES = ("missing", "half", "empty", "other", "folder")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "pipeline"
    with_segmenter(with_conventions(three_languages()), random_segmenter()).to_disk(path)
    return path


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes({"half": content[: len(content) // 2], "empty": b"", "other": b"\xff\0other"}[how])


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("how", DAMAGES)
def test_each_file_is_said_in_a_line(
    whole: Path, how: str, checksums: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its remedy, whoever reads it; without checksums, as in packages up to 0.2.3, maybe the component
    that it is of alone."""
    names = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    assert len(names) > 12
    for name in [name for name in names if name.suffix != ".crc32"]:
        folder = tmp_path / "pipeline"
        shutil.copytree(whole, folder)
        if not checksums:
            for path in folder.rglob("*.crc32"):
                path.unlink()
        damage(folder / name, how)
        if how == "missing" and (
            name.as_posix() in SPACY_NEEDS_NONE or (name.name == "cfg" and not checksums)
        ):
            spacy.load(folder)
        else:
            with pytest.raises(SystemExit) as end, reported():
                spacy.load(folder)
            said = capsys.readouterr().err
            assert end.value.code == 1
            assert said.startswith("Error: ") and said.count("\n") == 1 and len(said) < 1000, said
            assert str(folder) in said and "install" in said, said
            if checksums:
                of_spacy = folder / "vocab" if name.parent.name == "vocab" else folder / name
                assert str(of_spacy) in said, said
        shutil.rmtree(folder)


def test_commands_of_a_half_pipeline(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(whole, folder)
    (folder / "meta.json").unlink()
    for command in (["conventions", str(folder)], ["subset", str(folder), "en", str(tmp_path / "out")]):
        done = subprocess.run(
            [sys.executable, "-m", "mminibert", *command], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        assert f"{folder}/meta.json" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pipeline"]


def test_a_package_that_is_absent_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), reported():
        spacy.load("xx_absent")
    assert "Can't find model 'xx_absent'" in capsys.readouterr().err
