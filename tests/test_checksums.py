"""One bit of a stored pipeline that flips is noticed when it is loaded, and the file is named."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import spacy
from packaged import random_segmenter, three_languages, with_conventions
from spacy.language import Language

from mminibert.packaging.quantize import with_segmenter
from mminibert.runtime.onnx import MiniBertOnnx

OF_SPACY = {"config.cfg", "meta.json"}
TEXT = "abc bad . cab як кя . 漢語"


@pytest.fixture(scope="module")
def nlp() -> Language:
    return with_segmenter(with_conventions(three_languages()), random_segmenter())


@pytest.fixture(scope="module")
def folder(nlp: Language, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline")
    nlp.to_disk(path)
    return path


def own_files(folder: Path) -> list[Path]:
    """All files but those that users may change, and the vocabulary, which is empty."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in OF_SPACY and path.parent.name != "vocab"
    )


def tags(nlp: Language) -> list[tuple[str, str, str]]:
    return [(token.text, token.pos_, str(token.morph)) for token in nlp(TEXT)]


def test_every_file_has_a_checksum(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in own_files(folder)}
    own = {name for name in names if not name.endswith(".crc32")}
    assert own >= {"morphologizer/cfg", "morphologizer/model", "tok2vec/model", "tokenizer"}
    assert names == own | {f"{name}.crc32" for name in own}


def test_a_flipped_bit_anywhere_is_noticed(folder: Path, nlp: Language) -> None:
    chooser = random.Random(0)
    for path in own_files(folder):
        stored = path.read_bytes()
        for _ in range(6):
            damaged = bytearray(stored)
            damaged[chooser.randrange(len(stored))] ^= 1 << chooser.randrange(8)
            path.write_bytes(damaged)
            named = re.escape(str(path).removesuffix(".crc32"))
            with pytest.raises(ValueError, match=rf"^{named}: the file is damaged.*install the pipeline"):
                spacy.load(folder)
        path.write_bytes(stored)
    assert tags(spacy.load(folder)) == tags(nlp)


def test_a_file_that_is_cut_off_is_noticed(folder: Path) -> None:
    for path in own_files(folder):
        stored = path.read_bytes()
        path.write_bytes(stored[: len(stored) // 2])
        with pytest.raises(ValueError, match="the file is damaged"):
            spacy.load(folder)
        path.write_bytes(stored)


def test_pipelines_without_checksums_load(nlp: Language, tmp_path: Path) -> None:
    """As those of packages up to 0.2.3."""
    nlp.to_disk(tmp_path)
    for path in tmp_path.rglob("*.crc32"):
        path.unlink()
    loaded = spacy.load(tmp_path)
    assert tags(loaded) == tags(nlp)
    loaded.to_disk(tmp_path)
    assert len(list(tmp_path.rglob("*.crc32"))) == len(list(own_files(tmp_path))) / 2


def test_what_is_excluded_is_not_written_nor_checked(nlp: Language, tmp_path: Path) -> None:
    pipe = nlp.get_pipe("morphologizer")
    pipe.to_disk(tmp_path, exclude=["vocab", "model"])  # type: ignore[attr-defined]
    assert {path.name for path in tmp_path.iterdir()} == {"cfg", "cfg.crc32"}


@pytest.mark.parametrize("setting", ["max_pieces", "overlap", "batch_pieces", "threads"])
def test_settings_are_checked_before_any_text(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} of the encoder is 0, expected 1 or more"):
        MiniBertOnnx(**{setting: 0})
