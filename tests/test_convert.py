"""Conversion of treebanks: counts by hand, the manifest, interruption and resumption, file helpers."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from typer.testing import CliRunner

from mminibert.data import convert as convert_module
from mminibert.data.conllu import ConlluError, read_conllu
from mminibert.data.convert import convert
from mminibert.data.docs import feats_string
from mminibert.data.treebanks import Treebank, find_treebanks
from mminibert.files import (
    LEFT_OVER_SECONDS,
    atomic_path,
    folder_sha256,
    git_blob_id,
    listed,
    replace_folder,
    sha256,
    write_json,
)

# 2 sentences, 6 words, 5 tokens, 1 multiword token, 1 empty node
GOLD = """\
# sent_id = a
1\thabla\thablar\tVERB\t_\tMood=Ind\t0\troot\t_\t_
2-3\tdel\t_\t_\t_\t_\t_\t_\t_\t_
2\tde\tde\tADP\t_\t_\t4\tcase\t_\t_
3\tel\tel\tDET\t_\tDefinite=Def\t4\tdet\t_\t_
4\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\tSpaceAfter=No
4.1\tx\t_\t_\t_\t_\t_\t_\t_\t_

# sent_id = b
1\tno\tno\tINTJ\t_\t_\t0\troot\t_\t_
2\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_

"""
# 1 sentence, 2 words, FEATS of one of them masked, no heads
SILVER = """\
1\tja\tja\tINTJ\t_\tPolarity=Pos\t_\t_\t_\tFeatsGuess=Yes|UniMorph=INTJ
2\t.\t.\tPUNCT\t_\t_\t_\t_\t_\t_

"""
BAD = "1\ta\tb\n\n"


def counts(
    sentences: int, words: int, tokens: int, multiword: int, empty: int, skipped: int, masked: int
) -> Any:
    names = ("sentences", "words", "tokens", "multiword_tokens", "empty_nodes", "skipped")
    values = dict(zip(names, (sentences, words, tokens, multiword, empty, skipped), strict=True))
    return {**values, "masked_upos": 0, "masked_feats": masked}


def add(source: Path, ltcode: str, **splits: str) -> None:
    folder = source / ltcode
    folder.mkdir(parents=True, exist_ok=True)
    for split, text in splits.items():
        (folder / f"{ltcode}-ud-{split}.conllu").write_text(text, encoding="utf-8", newline="")


def numbered(count: int) -> str:
    return "".join(f"1\tw{i}\t_\tX\t_\t_\t0\troot\t_\t_\n\n" for i in range(count))


def docs(path: Path) -> list[Doc]:
    return list(DocBin().from_disk(path).get_docs(Vocab()))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "ud"
    add(folder, "es_x", train=GOLD, dev=GOLD, test=GOLD)
    add(folder, "nl_y", train=SILVER, dev=GOLD)
    add(folder, "xx_pud", test=GOLD)
    return folder


def test_manifest_has_the_counts_of_a_hand_count(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    done: list[str] = []
    manifest = convert(source, target, seed=3, progress=done.append)
    assert done == ["es_x", "nl_y", "xx_pud"] == list(manifest["treebanks"])
    assert json.loads((target / "manifest.json").read_text(encoding="utf-8")) == manifest
    gold = {"labels": "gold", **counts(2, 6, 5, 1, 1, 0, 0)}
    es, nl, pud = manifest["treebanks"].values()
    assert es["splits"] == {"train": gold, "dev": gold, "test": gold}
    assert nl["splits"] == {"train": {"labels": "silver", **counts(1, 2, 2, 0, 0, 0, 1)}, "dev": gold}
    assert pud["splits"] == {"test": gold}
    assert [r["labels"] for r in (es, nl, pud)] == ["gold", "silver", "gold"]
    assert [r["role"] for r in (es, nl, pud)] == ["train", "train", "evaluation only"]
    assert [r["dev"] for r in (es, nl, pud)] == ["file", "file", "none"]
    assert (es["lang"], manifest["seed"], manifest["skip_bad"], manifest["limit"]) == ("es", 3, False, {})
    assert set(manifest["versions"]) == {"mminibert", "spacy"}
    path = source / "es_x" / "es_x-ud-dev.conllu"
    assert es["sources"]["dev"] == {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    for ltcode, record in manifest["treebanks"].items():
        digests = {
            name: hashlib.sha256((target / ltcode / name).read_bytes()).hexdigest()
            for name in record["outputs"]
        }
        assert digests == record["outputs"]
        assert files(target / ltcode) == sorted([*digests, "record.json"])
    assert sorted(pud["outputs"]) == ["test.conllu", "test.spacy", "test.tokens.spacy"]
    assert sorted(nl["outputs"])[-2:] == ["train.spacy", "train.tokens.spacy"]


def test_corpus_holds_the_sentences(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path)
    words, tokens = docs(tmp_path / "es_x" / "train.spacy"), docs(tmp_path / "es_x" / "train.tokens.spacy")
    assert [[token.text for token in doc] for doc in words] == [["habla", "de", "el", "mar"], ["no", "!"]]
    assert [[token.text for token in doc] for doc in tokens] == [["habla", "del", "mar"], ["no", "!"]]
    assert [token.head.i for token in words[0]] == [0, 3, 3, 0]
    assert [feats_string(token) for token in words[0]] == ["Mood=Ind", "_", "Definite=Def", "_"]
    assert tokens[0][1]._.ud_words == (("de", "ADP", "_"), ("el", "DET", "Definite=Def"))
    assert [token._.ud_words for token in tokens[1]] == [None, None]
    assert [token.has_morph() for token in docs(tmp_path / "nl_y" / "train.spacy")[0]] == [False, True]
    assert (tmp_path / "xx_pud" / "test.conllu").read_text(encoding="utf-8") == GOLD


def test_words_of_a_range_stay_with_their_sentence(tmp_path: Path) -> None:
    add(tmp_path / "ud", "es_x", train=numbered(2) + GOLD + numbered(1) + GOLD)
    convert(tmp_path / "ud", tmp_path / "out", limit={"train": 7})
    read = [
        doc for split in ("train", "dev") for doc in docs(tmp_path / "out" / "es_x" / f"{split}.tokens.spacy")
    ]
    expanded = [token.text for doc in read for token in doc if token._.ud_words]
    assert expanded == [token.text for doc in read for token in doc if token.text == "del"] == ["del", "del"]


def test_a_tenth_of_train_is_dev(tmp_path: Path) -> None:
    add(tmp_path / "ud", "xx_a", train=numbered(40), test=numbered(3))
    add(tmp_path / "ud", "xx_b", train=numbered(2))
    add(tmp_path / "ud", "xx_c", train=SILVER.replace("1\t", "1\t", 1) * 30)
    found: dict[tuple[int, str], set[str]] = {}
    for run, seed in enumerate((0, 0, 1)):
        manifest = convert(tmp_path / "ud", tmp_path / str(run), seed=seed)
        for split in ("train", "dev"):
            found[run, split] = {doc[0].text for doc in docs(tmp_path / str(run) / "xx_a" / f"{split}.spacy")}
        assert (len(found[run, "train"]), len(found[run, "dev"])) == (36, 4)
        assert found[run, "train"] | found[run, "dev"] == {f"w{i}" for i in range(40)}
    assert found[0, "dev"] == found[1, "dev"] != found[2, "dev"]
    small, silver = manifest["treebanks"]["xx_b"], manifest["treebanks"]["xx_c"]
    assert small["dev"] == silver["dev"] == "tenth of train"
    assert [small["splits"][split]["sentences"] for split in ("train", "dev")] == [1, 1]
    assert [silver["splits"][split]["labels"] for split in ("train", "dev")] == ["silver", "silver"]
    assert "dev.conllu" in small["outputs"]


def test_limit_keeps_the_first_sentences(tmp_path: Path) -> None:
    add(tmp_path / "ud", "xx_a", train=numbered(9), dev=numbered(9), test=numbered(9))
    add(tmp_path / "ud", "xx_b", train=numbered(30))
    manifest = convert(tmp_path / "ud", tmp_path / "out", limit={"train": 5, "dev": 2})
    splits = {name: record["splits"] for name, record in manifest["treebanks"].items()}
    assert [splits["xx_a"][split]["sentences"] for split in ("train", "dev", "test")] == [5, 2, 9]
    assert [splits["xx_b"][split]["sentences"] for split in ("train", "dev")] == [5, 2]
    assert [doc.text.strip() for doc in docs(tmp_path / "out" / "xx_a" / "train.spacy")] == [
        "w0",
        "w1",
        "w2",
        "w3",
        "w4",
    ]
    with pytest.raises(ValueError, match="got a limit for trian, expected splits train, dev, test"):
        convert(tmp_path / "ud", tmp_path / "out", limit={"trian": 5})


def test_bad_sentences(tmp_path: Path) -> None:
    add(tmp_path / "ud", "aa_good", test=GOLD)
    add(tmp_path / "ud", "bb_bad", train=GOLD + BAD + numbered(20), test=BAD + GOLD + BAD)
    target = tmp_path / "out"
    with pytest.raises(ConlluError, match=r"bb_bad-ud-train.conllu, line 13: got 3 columns.*--skip-bad"):
        convert(tmp_path / "ud", target)
    assert files(target) == [
        f"aa_good/{name}" for name in ("record.json", "test.conllu", "test.spacy", "test.tokens.spacy")
    ]
    splits = convert(tmp_path / "ud", target, skip_bad=True)["treebanks"]["bb_bad"]["splits"]
    assert {name: (c["sentences"], c["skipped"]) for name, c in splits.items()} == {
        "train": (20, 1), "dev": (2, 0), "test": (2, 2)
    }  # fmt: skip
    assert (target / "bb_bad" / "test.conllu").read_text(encoding="utf-8") == GOLD


def test_what_is_up_to_date_is_kept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "corpus"
    converted: list[str] = []
    original = convert_module._convert_treebank

    def spy(treebank: Treebank, folder: Path, **options: Any) -> Any:
        converted.append(treebank.ltcode)
        return original(treebank, folder, **options)

    monkeypatch.setattr(convert_module, "_convert_treebank", spy)

    def changed(change: Callable[[], object], **options: Any) -> list[str]:
        change()
        converted.clear()
        convert(source, target, **options)
        return list(converted)

    everything = ["es_x", "nl_y", "xx_pud"]
    first = convert(source, target)
    assert converted == everything
    assert changed(lambda: None) == []
    assert convert(source, target) == first
    assert changed((target / "manifest.json").unlink) == []
    assert changed(partial(monkeypatch.setattr, convert_module, "FORMAT", 0)) == everything
    assert changed((target / "es_x" / "dev.spacy").unlink) == ["es_x"]
    assert changed(lambda: (target / "nl_y" / "train.spacy").write_bytes(b"half")) == ["nl_y"]
    assert changed(lambda: (target / "nl_y" / "record.json").write_text("{")) == ["nl_y"]
    assert changed(lambda: add(source, "xx_pud", test=SILVER)) == ["xx_pud"]
    assert changed((source / "nl_y" / "nl_y-ud-dev.conllu").unlink) == ["nl_y"]
    assert changed(lambda: None, seed=1) == everything
    assert changed(lambda: None, seed=1, skip_bad=True) == everything
    assert changed(lambda: None, seed=1, skip_bad=True, limit={"test": 1}) == everything
    assert changed((source / "es_x" / "es_x-ud-dev.conllu").unlink, treebanks=["nl_y"]) == ["nl_y"]
    assert list(json.loads((target / "manifest.json").read_text(encoding="utf-8"))["treebanks"]) == ["nl_y"]


def test_outputs_of_a_split_that_is_gone_go_too(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "corpus"
    convert(source, target)
    (source / "es_x" / "es_x-ud-test.conllu").unlink()
    convert(source, target)
    assert not list((target / "es_x").glob("test.*"))


def test_same_input_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first, second = (convert(source, tmp_path / name)["treebanks"] for name in "ab")
    assert [r["outputs"] for r in first.values()] == [r["outputs"] for r in second.values()]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 7])
def test_an_interruption_leaves_no_half_files(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], calls: int
) -> None:
    """The write number `calls` stops halfway; the next run takes up what was done."""
    whole = convert(source, tmp_path / "whole")
    target = tmp_path / "corpus"
    left = calls
    write_bytes = Path.write_bytes

    def stop(path: Path, data: bytes) -> int:
        nonlocal left
        if left == 0:
            write_bytes(path, data[: len(data) // 2])
            raise error
        left -= 1
        return write_bytes(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", stop)
        with pytest.raises(error):
            convert(source, target)
    assert len([name for name in files(target) if not name.endswith(".json")]) == calls
    for name in files(target):
        if not name.endswith(".json"):
            assert sha256(target / name) == sha256(tmp_path / "whole" / name)
    assert not (target / "manifest.json").exists()
    assert convert(source, target) == whole
    assert files(target) == files(tmp_path / "whole")


def test_find_treebanks(source: Path, tmp_path: Path) -> None:
    (source / "notes").mkdir()
    (source / "README.md").touch()
    found = find_treebanks(source)
    assert [(t.ltcode, t.lang, list(t.paths)) for t in found] == [
        ("es_x", "es", ["train", "dev", "test"]), ("nl_y", "nl", ["train", "dev"]), ("xx_pud", "xx", ["test"])
    ]  # fmt: skip
    assert found[2].paths["test"] == source / "xx_pud" / "xx_pud-ud-test.conllu"
    assert [t.ltcode for t in find_treebanks(source, ["nl_y", "es_x", "nl_y"])] == ["nl_y", "es_x"]
    with pytest.raises(ValueError, match=r"no treebank es_z, de_q; there are es_x, nl_y, xx_pud"):
        find_treebanks(source, ["es_x", "es_z", "de_q"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_treebanks(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no treebank, expected files"):
        find_treebanks(source / "notes")


def run_script(*args: str) -> Any:
    spec = importlib.util.spec_from_file_location(
        "convert_script", Path(__file__).parents[1] / "scripts" / "convert.py"
    )
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    app = typer.Typer()
    app.command()(script.main)
    return CliRunner().invoke(app, args)


def test_script(source: Path, tmp_path: Path) -> None:
    result = run_script(str(source), str(tmp_path / "out"), "--treebanks", "xx_pud, nl_y")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1] == ["xx_pud", "test", "gold", "evaluation", "only", "2", "6", "5", "1", "1", "0", "0", "0"]
    assert rows[2] == ["nl_y", "train", "silver", "train", "1", "2", "2", "0", "0", "0", "0", "1"]
    assert [row[:2] for row in rows[3:]] == [["nl_y", "dev"]]


def test_script_reports_errors_without_a_traceback(source: Path, tmp_path: Path) -> None:
    add(source, "aa_bad", test=GOLD + BAD)
    result = run_script(str(source), str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "aa_bad-ud-test.conllu, line 13: got 3 columns" in str(result.exception)
    assert run_script(str(source), str(tmp_path / "out"), "--skip-bad").exit_code == 0
    result = run_script(str(source), str(tmp_path / "out"), "--treebanks", "zz")
    assert (result.exit_code, "no treebank zz; there are aa_bad" in str(result.exception)) == (1, True)


def test_atomic_path(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.endswith("b.txt")
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert (path.read_text(), files(tmp_path)) == ("old", ["a/b.txt"])


def test_what_is_half_written_is_not_listed_and_goes_in_the_end(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "b.json") as half:
        half.write_text("{")
        assert listed(tmp_path, "*.json") == [] and folder_sha256(tmp_path) == folder_sha256(tmp_path / "no")
        (tmp_path / ".tmp-killed").mkdir()
        for path, age in ((tmp_path / ".tmp-killed", LEFT_OVER_SECONDS + 60), (half, LEFT_OVER_SECONDS - 60)):
            os.utime(path, times=(0, time.time() - age))
        with atomic_path(tmp_path / "c.json") as other:
            other.write_text("{}")
    assert files(tmp_path) == ["b.json", "c.json"]


@pytest.mark.parametrize("cut", range(4))
def test_a_folder_is_whole_or_absent_whenever_it_is_cut_off(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "f", count()

    def write(content: str, folder: Path) -> None:
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).write_text(content)

    def killed(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if next(calls) == cut:
            raise KeyboardInterrupt
        return method(*arguments, **options)

    def read() -> list[str]:
        return [found.read_text() for found in listed(path, "*")]

    replace_folder(path, partial(write, "old"))
    with monkeypatch.context() as patch:
        for owner, name in ((Path, "rename"), (Path, "write_text")):
            method = getattr(owner, name)
            patch.setattr(owner, name, lambda *a, _method=method, **o: killed(_method, *a, **o))
        with pytest.raises(KeyboardInterrupt):
            replace_folder(path, partial(write, "new"))
    assert read() == ["old"] * 2
    replace_folder(path, partial(write, "new"))
    assert read() == ["new"] * 2 and files(tmp_path) == ["f/a", "f/b"]


def test_write_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": ["é", 1, None], "a": 0.5})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": ["é", 1, None], "a": 0.5}
    assert path.read_bytes().startswith(b'{\n  "b"') and path.read_bytes().endswith(b"}\n")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"a": {1}})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello\r\n\0", b"x" * (3 << 20)], ids=["empty", "small", "large"])
def test_checksums(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
    git = subprocess.run(
        ["git", "hash-object", "--no-filters", str(path)], capture_output=True, text=True, check=True
    )
    assert git_blob_id(path) == git.stdout.strip()


def test_accepted_sentences_read_again(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path)
    again = list(read_conllu(tmp_path / "es_x" / "dev.conllu"))
    assert [s.text for s in again] == ["habla del mar", "no !"]


def test_the_parts_of_a_train_file_are_in_the_manifest(source: Path, tmp_path: Path) -> None:
    """Even of a treebank that was converted before they were recorded."""
    codes = [treebank.ltcode for treebank in find_treebanks(source)]
    assert [entry["parts"] for entry in convert(source, tmp_path / "corpus")["treebanks"].values()] == [
        {} for _ in codes
    ]
    parts = [("dev", 5), ("rebuilt", 7), ("rebuilt", 2), ("upos", 0)]
    listed = [{"source": name, "words": words, "file": "x"} for name, words in parts]
    write_json(source / codes[0] / "sources.json", {"train": listed})
    manifest = convert(source, tmp_path / "corpus")
    assert manifest["treebanks"][codes[0]]["parts"] == {"dev": 5, "rebuilt": 9}
    assert json.loads((tmp_path / "corpus" / "manifest.json").read_text()) == manifest
