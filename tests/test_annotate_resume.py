"""Annotating that is killed, goes on, is asked again with other inputs or options, or loses a process."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotators import Here, annotate_in, make_pipeline, random_lines, run
from students import descendants, start

from mminibert.annotation import shards
from mminibert.annotation.inputs import Inputs, Item
from mminibert.annotation.shards import MANIFEST, Manifest, batches
from mminibert.workers.workers import AHEAD

CHARACTERS = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`in`, with files of which one has a bad line, and `pipeline`."""
    folder = tmp_path_factory.mktemp("annotate")
    make_pipeline(folder / "pipeline")
    (folder / "in").mkdir()
    for seed, name in enumerate("ab"):
        (folder / "in" / f"{name}.txt").write_text("\n".join(random_lines(700, seed=seed)), encoding="utf-8")
    (folder / "in" / "ab.txt").write_bytes(b"abc\n\xff\n")
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", CHARACTERS)


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, bytes]:
    """The output of a run that nobody killed, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_CHARACTERS", CHARACTERS)
        done = list(run([folder / "in"], folder / "expected", folder / "pipeline"))
    assert len(done) > 12 and done[-1].rejects == 1
    return contents(folder / "expected")


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if not path.name.startswith(".")}


def shards_in(output: Path) -> dict[str, tuple[int, int]]:
    """Which files they are and when they were written."""
    found = {}
    for path in sorted(output.glob("0*.jsonl")) if output.exists() else ():
        found[path.name] = path.stat().st_ino, path.stat().st_mtime_ns
    return found


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def whole_lines(manifest: Path) -> list[str]:
    """The files that it lists."""
    lines = manifest.read_text(encoding="utf-8").splitlines(True) if manifest.exists() else []
    return [json.loads(line)["file"] for line in lines if line.endswith("\n")]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_started_again_it_gives_the_same_bytes(
    folder: Path, expected: dict[str, bytes], jobs: int
) -> None:
    output = folder / f"out{jobs}"
    before: dict[str, tuple[int, int]] = {}
    for lines in (0, 2, 5):
        process = start(annotate_in, folder, output.name, jobs, CHARACTERS)
        wait_for(lambda n=lines: lines_in(output / MANIFEST) > n or (n == 0 and output.exists()))
        children = list(descendants(process.pid))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        wait_for(lambda pids=children: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        kept = whole_lines(output / MANIFEST)
        now = shards_in(output)
        assert len(now) < len(expected) - 2 and set(kept) <= now.keys()
        assert all(now[name] == place for name, place in before.items())
        before = {name: now[name] for name in kept}
    assert len(before) > 5
    process = start(annotate_in, folder, output.name, jobs, CHARACTERS)
    process.join()
    assert process.exitcode == 0
    assert contents(output) == expected
    assert all(shards_in(output)[name] == place for name, place in before.items())


def test_one_file_is_gone_on_with_too(folder: Path, expected: dict[str, bytes], small: None) -> None:
    output = folder / "one.jsonl"
    for _ in itertools.islice(run([folder / "in"], output, folder / "pipeline"), 3):
        pass
    assert not output.exists()
    kept = shards_in(folder / "one.jsonl.shards")
    assert len(kept) >= 3
    new = [done.new for done in run([folder / "in"], output, folder / "pipeline")]
    assert new[:3] == [0, 0, 0] and new[-1] > 0
    parts = [data for name, data in sorted(expected.items()) if name.startswith("0")]
    assert output.read_bytes() == b"".join(parts)
    rejects = folder / "one.jsonl.rejects.jsonl"
    assert rejects.read_bytes() == expected["rejects.jsonl"]
    assert not (folder / "one.jsonl.shards").exists()


def test_what_is_finished_is_left_alone(folder: Path, small: None, tmp_path: Path) -> None:
    for output in (tmp_path / "x.jsonl", tmp_path / "x"):
        list(run([folder / "in"], output, folder / "pipeline"))
        with pytest.raises(FileExistsError, match="--force"):
            next(run([folder / "in"], output, folder / "pipeline"))
    before = shards_in(tmp_path / "x")
    *_, end = run([folder / "in"], tmp_path / "x", folder / "pipeline", force=True)
    assert end.new == 0 and end.words > 0 and shards_in(tmp_path / "x") == before
    for inside in (folder / "in", folder / "in" / "new.jsonl", folder):
        with pytest.raises(ValueError, match="is, contains or lies in the input"):
            next(run([folder / "in"], inside, folder / "pipeline", force=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "poem.txt").write_text("abc")
    with pytest.raises(FileExistsError, match="manifest"):
        next(run([folder / "in"], tmp_path / "mine", folder / "pipeline", force=True))


def test_what_depends_on_a_change_is_made_anew(folder: Path, small: None, tmp_path: Path) -> None:
    text = tmp_path / "x.txt"
    lines = random_lines(600)
    text.write_text("\n".join(lines), encoding="utf-8")
    output = tmp_path / "out"

    def again(**settings: Any) -> set[str]:
        """Which shards were made anew."""
        before = shards_in(output)
        list(run([text], output, folder / "pipeline", force=True, **settings))
        after = shards_in(output)
        return {name for name, place in after.items() if before.get(name) != place}

    everything = again()
    assert len(everything) > 4 and not again()
    assert again(confidences=True) == everything
    assert again() == everything
    damaged = output / sorted(everything)[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert again() == {damaged.name}
    lines[-1] = lines[-1][::-1] + "abc"
    text.write_text("\n".join(lines), encoding="utf-8")
    assert again() == {max(everything)}
    text.write_text("\n".join(lines[:10]), encoding="utf-8")
    assert again() == {min(everything)} and len(shards_in(output)) == 1


def test_a_manifest_whose_last_line_was_cut(folder: Path, tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.begin()
    manifest.add(shards.Entry("000000.tsv", "a", "b", 1, 2))
    manifest.close()
    path = tmp_path / MANIFEST
    path.write_text(path.read_text() + '{"file": "00')
    assert list(Manifest(tmp_path).entries) == ["000000.tsv"] and not Manifest(tmp_path).finished
    path.write_text("nonsense\n")
    with pytest.raises(ValueError, match=r"manifest\.jsonl: damaged"):
        Manifest(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
def test_a_process_that_is_killed_ends_the_run(folder: Path, expected: dict[str, bytes]) -> None:
    """With a line, and it goes on."""
    output = folder / "lost"
    here = Path(__file__).parent
    code = (
        "from pathlib import Path; import annotators; from mminibert.command import reported\n"
        "if __name__ == '__main__':\n"
        "    with reported():\n"
        f"        annotators.annotate_in(Path({str(folder)!r}), 'lost', 2, {CHARACTERS}, forked=False)\n"
    )
    (folder / "script.py").write_text(code)
    paths = [str(here), str(here.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-W", "ignore", str(folder / "script.py")]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or lines_in(output / MANIFEST) > 1)
    assert process.poll() is None, process.communicate()
    workers = [
        pid for pid in descendants(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[-1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.startswith("Error: a process ended before its work was done") and said.count("\n") == 1
    assert 1 < len(shards_in(output)) < len(expected) - 2
    list(run_small(folder, output))
    assert contents(output) == expected


def run_small(folder: Path, output: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_CHARACTERS", CHARACTERS)
        yield from run([folder / "in"], output, folder / "pipeline")


def test_no_more_is_read_than_is_worked_at(
    folder: Path, small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So memory does not grow with the input."""
    read = [0]
    plain = Inputs.__iter__

    def counted(self: Inputs) -> Iterator[tuple[int, Item]]:
        for item in plain(self):
            read[0] += 1
            yield item

    monkeypatch.setattr(Inputs, "__iter__", counted)
    documents, ahead = 0, []
    for done in run([folder / "in"], tmp_path / "out", folder / "pipeline"):
        documents = done.documents + done.rejects
        ahead.append(read[0] - documents)
    in_a_shard = CHARACTERS // shards.DOCUMENT_CHARACTERS
    assert 0 < max(ahead) <= Here.size * AHEAD * in_a_shard < documents / 4


def test_shards_by_hand() -> None:
    from mminibert.annotation.documents import Document, Reject

    items: list[tuple[int, Item]] = [(i, Document(str(i), "x" * 1000)) for i in range(1000)]
    items.insert(500, (500, Reject("f", 1, "bad")))
    found = list(batches(items))
    assert [len(batch.documents) for batch in found] == [477, 477, 46]
    assert [len(batch.rejects) for batch in found] == [0, 1, 0]
    assert [batch.read for batch in found] == [476, 953, 999]
    assert not list(batches([]))
