"""The command `mminibert annotate`: what it says and how it ends; `spacy apply` beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from annotators import loaded, make_pipeline
from spacy.cli.apply import apply
from spacy.tokens import DocBin
from typer.testing import CliRunner, Result

from mminibert.annotation import shards
from mminibert.cli import app
from mminibert.workers import pool as pool_module

ROOT = Path(__file__).parents[1]
TEXT = "abc bad. cab ace як кя\n漢語語。 abc\n"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("command") / "pipeline")


@pytest.fixture
def inside(tmp_path: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In an empty folder, whose processes are forked, as new ones take seconds to import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool_module, "get_context", lambda _: get_context("fork"))
    Path("pipeline").symlink_to(pipeline)
    return tmp_path


def annotate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["annotate", "--model", "pipeline", *arguments])


def test_standard_input_to_a_file(pipeline: Path, tmp_path: Path) -> None:
    """In a process of its own, whose workers are new ones too."""
    command = [sys.executable, "-m", "mminibert", "annotate", "-", "-o", "x.conllu", "--model", str(pipeline)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input=TEXT.encode(), capture_output=True, cwd=tmp_path, env=env, timeout=120
    )
    assert done.returncode == 0, done.stderr
    words = sum(not token.is_space for token in loaded(pipeline)(TEXT))
    assert done.stdout.decode() == f"x.conllu: 1 documents, {words} words\n"
    assert "words/s" in done.stderr.decode()
    assert (tmp_path / "x.conllu").read_text(encoding="utf-8").startswith("# newdoc id = stdin\n")
    assert [path.name for path in tmp_path.iterdir()] == ["x.conllu"]


def test_one_process_or_two_give_the_same_bytes(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 3000)
    Path("x.txt").write_text(TEXT * 500, encoding="utf-8")
    for jobs in "12":
        assert annotate("x.txt", "--lines", "-o", f"{jobs}.jsonl", "--jobs", jobs).exit_code == 0
    assert Path("1.jsonl").read_bytes() == Path("2.jsonl").read_bytes()
    assert Path("1.jsonl").read_bytes().count(b"\n") == 1000


BAD = {
    "empty.txt": (b" \n", None, "got nothing but white space"),
    "long.txt": (b"abc " * 250_001, None, "got 1,000,004 characters, expected at most 1,000,000"),
    "bytes.txt": (b"abc \xff", None, "got byte 0xff at position 5, expected UTF-8"),
    "cut.gz": (b"\x1f\x8b\x08\x00", None, "damaged or of another kind (EOFError"),
    "no.xz": (b"plain", None, "damaged or of another kind (LZMAError"),
    "field.jsonl": (b'{"text":"abc"}\n{"body":"abc"}\n', 2, "got the fields 'body', expected 'text'"),
    "list.jsonl": (b'["abc"]\n', 1, "got list, expected an object"),
    "number.jsonl": (b'{"text":7}\n', 1, "got int in 'text', expected a string"),
    "half.jsonl": (b'{"text":"abc\n', 1, "got no JSON"),
    "deep.jsonl": (b"[" * 200_000, 1, "got no JSON"),
    "pair.jsonl": (b'{"text":"\\ud800"}\n', 1, "got half of a surrogate pair"),
    "no.conllu": (
        b"1\tabc\n\n1\tabc" + b"\t_" * 8 + b"\n",
        1,
        "got 2 columns, expected 10 with tabs between",
    ),
    "none.conllu": (b"# alone\n", 1, "got no sentence"),
}


def test_what_is_rejected_stops_nothing(inside: Path) -> None:
    Path("in").mkdir()
    for name, (data, _, _) in BAD.items():
        Path("in", name).write_bytes(data)
    Path("in", "z.txt").write_text(TEXT, encoding="utf-8")
    done = annotate("in", "-o", "out.jsonl")
    assert done.exit_code == 3
    rejects = [json.loads(line) for line in Path("out.jsonl.rejects.jsonl").read_text("utf-8").splitlines()]
    found = {reject["file"]: reject for reject in rejects}
    assert len(rejects) == len(found) and found.keys() == BAD.keys()
    for name, (_, line, reason) in BAD.items():
        assert found[name]["line"] == line and found[name]["reason"].startswith(reason), found[name]
        place = name if line is None else f"{name}, line {line}"
        assert f"rejected {place}: {reason}" in done.stderr
    assert f"{len(BAD)} rejected, see out.jsonl.rejects.jsonl" in done.stderr
    written = [json.loads(line)["id"] for line in Path("out.jsonl").read_text("utf-8").splitlines()]
    assert written == ["field.jsonl:1", "no.conllu:3", "z.txt"]
    assert found["field.jsonl"]["start"] == '{"body":"abc"}\n'


def test_strict_stops_and_loses_nothing(inside: Path) -> None:
    for number, text in enumerate(("abc bad", "\n", "cab")):
        Path(f"{number}.txt").write_text(text)
    done = annotate("0.txt", "1.txt", "2.txt", "-o", "out.tsv", "--strict")
    assert isinstance(done.exception, ValueError) and str(done.exception).startswith("1.txt: got nothing but")
    assert not Path("out.tsv").exists() and not Path("out.tsv.rejects.jsonl").exists()
    Path("1.txt").write_text("ace")
    assert annotate("0.txt", "1.txt", "2.txt", "-o", "out.tsv", "--strict").exit_code == 0
    assert not Path("out.tsv.shards").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.txt", "-o", "x.tsv"], "absent.txt is not there"),
        (["folder", "-o", "x.tsv"], "folder has no files"),
        (["x.txt", "other/x.txt", "-o", "x.tsv"], "both called x.txt"),
        (["-", "--from", "parquet", "-o", "x.tsv"], "got Parquet from stdin"),
        (["x.txt", "-o", "x.tsv", "--keep-others"], "--keep-others goes with --only-languages"),
        (
            ["x.txt", "-o", "x.tsv", "--convention", "en_z"],
            "got convention 'en_z', expected one of en_x, en_y",
        ),
        (["x.txt", "-o", "x.tsv", "--model", "folder"], "folder"),
        (
            ["x.txt", "-o", "x.jsonl.gz"],
            "x.jsonl.gz: got the ending .gz, expected one of .conllu, .jsonl, .tsv, .parquet",
        ),
    ],
)
def test_what_cannot_be_done(inside: Path, arguments: list[str], says: str) -> None:
    Path("folder").mkdir()
    Path("other").mkdir()
    for path in ("x.txt", "other/x.txt"):
        Path(path).write_text(TEXT, encoding="utf-8")
    done = annotate(*arguments)
    assert isinstance(done.exception, ValueError | OSError) and says in str(done.exception)
    assert sorted(path.name for path in inside.iterdir()) == ["folder", "other", "pipeline", "x.txt"]


def test_spacy_apply(inside: Path) -> None:
    """spaCy's own command, on our pipeline, has the same Docs."""
    Path("in").mkdir()
    Path("in", "x.txt").write_text(TEXT, encoding="utf-8")
    apply(Path("in"), Path("theirs.spacy"), "pipeline", "text", 1, 1)
    assert annotate("in", "-o", "ours.spacy").exit_code == 0
    vocab = loaded(Path("pipeline")).vocab
    (theirs,) = DocBin().from_disk("theirs.spacy").get_docs(vocab)
    (ours,) = DocBin().from_disk("ours.spacy/000000.spacy").get_docs(vocab)
    attributes: list[int | str] = ["ORTH", "POS", "MORPH", "SENT_START"]
    assert theirs.to_array(attributes).tolist() == ours.to_array(attributes).tolist()
    assert [token._.ud_words for token in theirs] == [token._.ud_words for token in ours]
    assert theirs._.conventions == ours._.conventions and theirs._.conventions


def test_speed_is_measured_of_each_way(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("abc bad.\n\ncab ace\n", encoding="utf-8")
    script = Path(__file__).parents[1] / "scripts" / "annotate_speed.py"
    env = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    command = [sys.executable, str(script), "x.txt", "found", "--model", str(pipeline), "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "found" / "annotate-speed.json").read_text(encoding="utf-8"))
    ways = figures["ways"]
    assert list(ways) == ["nlp.pipe(texts)", "annotate --jobs 1"]
    assert len({row["words"] for row in ways.values()}) == 1 and figures["documents"] == 2
    assert set(figures["sizes"]) == {"conllu", "jsonl", "tsv", "parquet"}
    table = (tmp_path / "found" / "annotate-speed.md").read_text(encoding="utf-8")
    assert all(f"| `{way}`" in table for way in ways)
