"""Getting a release: a server of this machine that refuses, breaks off and sends what is wrong."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from mminibert.project import ud_release
from mminibert.project.profile import Profile
from mminibert.project.ud_release import Row, fetch, join_parts, read_table

ROOT = Path(__file__).parents[1]


class Server(ThreadingHTTPServer):
    """Sends `files`, by their addresses; those of `broken` so many times only half; counts the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.broken: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, ltcode: str, split: str, text: str, **checksums: str) -> Row:
        """A file and its row of the table, by default with its SHA-256."""
        file = f"{ltcode}-ud-{split}.conllu"
        self.files[f"/U/UD_X/r2.3/{file}"] = text.encode()
        known = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "git_blob": "unused", **checksums}
        return {
            "ltcode": ltcode,
            "split": split,
            "file": file,
            "repository": "U/UD_X",
            "tag": "r2.3",
            **known,
        }


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        half = self.server.broken[self.path] > 0
        self.server.broken[self.path] -= half
        self.wfile.write(data[: len(data) // 2] if half else data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(ud_release, "SOURCE", server.url)
        monkeypatch.setattr(ud_release, "PAUSE", 0.0)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_release_is_fetched_once(server: Server, tmp_path: Path) -> None:
    rows = [server.add("en_a", "dev", "one\n" * 1000), server.add("de_b", "test", "zwei\n")]
    told: list[tuple[str, int]] = []
    assert fetch(rows, tmp_path, lambda *what: told.append(what)) == 2
    assert told == [("en_a-ud-dev.conllu", 2), ("de_b-ud-test.conllu", 2)]
    assert (tmp_path / "en_a/en_a-ud-dev.conllu").read_text() == "one\n" * 1000
    assert (tmp_path / "de_b/de_b-ud-test.conllu").read_text() == "zwei\n"
    assert len(names(tmp_path)) == 2
    assert fetch(rows, tmp_path) == 0
    assert set(server.asked.values()) == {1}


def test_a_file_without_sha256_is_compared_by_the_id_that_git_gives_it(
    server: Server, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("one\n")
    blob = subprocess.check_output(["git", "hash-object", "--no-filters", str(text)], text=True).strip()
    assert fetch([server.add("en_a", "dev", "one\n", sha256="", git_blob=blob)], tmp_path / "ud") == 1
    with pytest.raises(ConnectionError, match=f"got the checksum {blob}, expected 0000"):
        fetch([server.add("en_b", "dev", "one\n", sha256="", git_blob="0000")], tmp_path / "ud")


def test_what_breaks_off_is_tried_again(server: Server, tmp_path: Path) -> None:
    row = server.add("en_a", "dev", "one\n" * 1000)
    server.broken["/U/UD_X/r2.3/en_a-ud-dev.conllu"] = ud_release.TRIES - 1
    assert fetch([row], tmp_path) == 1
    assert (tmp_path / "en_a/en_a-ud-dev.conllu").read_text() == "one\n" * 1000
    assert names(tmp_path) == ["en_a-ud-dev.conllu"]


def test_an_interrupted_run_keeps_what_is_whole_and_goes_on(server: Server, tmp_path: Path) -> None:
    rows = [server.add("en_a", split, f"{split}\n" * 1000) for split in ("train", "dev", "test")]
    server.broken["/U/UD_X/r2.3/en_a-ud-dev.conllu"] = ud_release.TRIES
    with pytest.raises(ConnectionError) as error:
        fetch(rows, tmp_path)
    path = tmp_path / "en_a/en_a-ud-dev.conllu"
    said = f"cannot get {path} from {server.url}/U/UD_X/r2.3/en_a-ud-dev.conllu: "
    assert str(error.value).startswith(said)
    assert "1 of 3 files are there, and the same command gets the others" in str(error.value)
    assert names(tmp_path) == ["en_a-ud-train.conllu"]
    assert fetch(rows, tmp_path) == 2
    assert server.asked["/U/UD_X/r2.3/en_a-ud-train.conllu"] == 1
    assert path.read_text() == "dev\n" * 1000


def test_a_wrong_checksum_is_no_file(server: Server, tmp_path: Path) -> None:
    row = server.add("en_a", "dev", "one\n", sha256="0" * 64)
    with pytest.raises(ConnectionError, match=r"got the checksum [0-9a-f]{64}, expected 0{64}"):
        fetch([row], tmp_path)
    assert names(tmp_path) == []


def test_an_absent_file_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    row = server.add("en_a", "dev", "one\n")
    server.files.clear()
    with pytest.raises(ConnectionError, match=r"en_a-ud-dev\.conllu from http.*en_a-ud-dev\.conllu: .*404"):
        fetch([row], tmp_path)
    assert list(server.asked.values()) == [1]


def test_without_network_file_and_address_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(ud_release, "SOURCE", url)
    monkeypatch.setattr(ud_release, "PAUSE", 0.0)
    row = {
        "ltcode": "en_a",
        "file": "f.conllu",
        "repository": "U/X",
        "tag": "r2.3",
        "sha256": "",
        "git_blob": "",
    }
    with pytest.raises(ConnectionError, match=f"cannot get .*en_a/f.conllu from {url}/U/X/r2.3/f.conllu: "):
        fetch([row], tmp_path)


def test_a_file_of_the_users_own_is_neither_taken_nor_overwritten(server: Server, tmp_path: Path) -> None:
    rows = [server.add("en_a", split, f"{split}\n") for split in ("train", "dev")]
    path = tmp_path / "en_a/en_a-ud-dev.conllu"
    path.parent.mkdir()
    path.write_text("mine\n")
    with pytest.raises(
        ValueError, match=r"1 of 2 files are not .*\n  .*en_a-ud-dev\.conllu: got [0-9a-f]{64}, expected"
    ):
        fetch(rows, tmp_path)
    assert path.read_text() == "mine\n"
    assert not server.asked


def test_of_many_wrong_files_the_first_are_named(server: Server, tmp_path: Path) -> None:
    rows = [server.add("en_a", f"{i:02}", "one\n") for i in range(25)]
    (tmp_path / "en_a").mkdir()
    for row in rows:
        (tmp_path / "en_a" / row["file"]).write_text("mine\n")
    with pytest.raises(
        ValueError, match=r"25 of 25 files(?s:.*)ud-19\.conllu: got .*\n  and 5 more$"
    ) as error:
        fetch(rows, tmp_path)
    assert "ud-20" not in str(error.value)


def test_parts_of_a_train_file_are_joined_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "cs_x"
    folder.mkdir()
    rows = [
        {"ltcode": "cs_x", "split": split, "file": f"cs_x-ud-{split}.conllu"}
        for split in ("train-c", "train-l", "train-v", "test")
    ]
    for row in rows:
        (folder / row["file"]).write_text(f"{row['split']}\n", encoding="utf-8")
    whole = folder / "cs_x-ud-train.conllu"
    assert list(join_parts(rows, tmp_path)) == ["cs_x: joined train-c, train-l, train-v"]
    assert whole.read_text(encoding="utf-8") == "train-c\ntrain-l\ntrain-v\n"
    assert list(join_parts(rows, tmp_path)) == []
    whole.write_text("cut off", encoding="utf-8")
    assert list(join_parts(rows, tmp_path))


def test_the_table_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    table = read_table(Path("configs/treebanks.tsv"))
    rows = [row for rows in table.values() for row in rows]
    for row in rows:
        assert len(row["git_blob"]) == 40, row
        assert len(row["sha256"]) in (0, 64), row
        assert row["file"] == f"{row['ltcode']}-ud-{row['split']}.conllu"
        assert row["repository"].startswith("UniversalDependencies/UD_") and row["tag"] == "r2.3"
        assert row["licence"]
    assert len({row["file"] for row in rows}) == len(rows)
    assert all(any(row["split"] == "test" for row in rows) for rows in table.values())
    assert Profile.read("paper").treebanks == list(table)
