"""The service: UDPipe's REST interface, what is refused, batches, and a process that ends well."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email import policy
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from pathlib import Path
from typing import Any

import pytest
from annotators import loaded, make_pipeline
from spacy.tokens import Doc

from mminibert.annotation.documents import Document
from mminibert.annotation.outputs import Format
from mminibert.data.docs_conllu import doc_to_conllu

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from mminibert.service.app import make_app
from mminibert.service.models import Models
from mminibert.service.parameters import Job
from mminibert.service.worker import Worker

TEXT = "abc bad. cab ace як кя\n漢語語。 abc\n"
RAW = {"tokenizer": "", "tagger": ""}
CONLLU = "# sent_id = a\n1-2\tcab\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
    f"{i}\t{form}\t_\t_\t_\t_\t{head}\t{relation}\t_\t_\n"
    for i, form, head, relation in ((1, "c", 2, "dep"), (2, "ab", 0, "root"))
)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("service") / "pipeline")


@pytest.fixture(scope="module")
def client(pipeline: Path) -> Iterator[TestClient]:
    with TestClient(make_app(loaded(pipeline), longest=2000, seconds=30)) as client:
        yield client


def result(client: TestClient, data: str, **parameters: str) -> str:
    answer = client.post("/process", data={"data": data, **parameters})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["result"]
    return found


def expected(pipeline: Path, text: str = TEXT) -> str:
    return doc_to_conllu(loaded(pipeline)(text), doc_id="text")


def test_every_way_to_send_a_text_gives_what_the_pipeline_gives(client: TestClient, pipeline: Path) -> None:
    fields = {"data": TEXT, **RAW}
    answers = [
        client.post("/process", data=fields),
        client.post("/process", files={name: (None, value) for name, value in fields.items()}),
        client.post("/process", data=RAW, files={"data": ("x.txt", TEXT.encode())}),
        client.get("/process", params=fields),
        client.post("/process", params=RAW, data={"data": TEXT}),
    ]
    for answer in answers:
        assert answer.json() == {
            "model": "auto",
            "acknowledgements": ["xx_pipeline-0.0.0"],
            "result": expected(pipeline),
        }


def test_a_model_is_a_language_or_a_convention(client: TestClient, pipeline: Path) -> None:
    def conventions(model: str) -> list[str]:
        (line,) = result(client, TEXT, **RAW, model=model, output="jsonl").splitlines()
        return [sentence["convention"] for sentence in json.loads(line)["sentences"]]

    assert set(conventions("ru")) == {"ru_x"}
    assert set(conventions("en_y")) == {"en_y"}
    assert conventions("auto") == list(loaded(pipeline)(TEXT)._.conventions)
    listed = client.get("/models").json()
    assert listed["default_model"] == "auto"
    assert list(listed["models"]) == ["auto", "en", "en_x", "en_y", "ru", "ru_x", "zh", "zh_x"]


def test_multiword_tokens_follow_the_convention_that_is_asked_for(client: TestClient) -> None:
    assert "1-2\tcab\t" in result(client, "cab", **RAW, model="en_x")
    assert "1\tcab\t" in result(client, "cab", **RAW, model="en_y")


def test_tokens_and_trees_of_conllu_are_kept(client: TestClient) -> None:
    found = result(client, CONLLU, tagger="", model="en").splitlines()
    assert found[:2] == CONLLU.splitlines()[:2]
    for got, given in zip(found[2:4], CONLLU.splitlines()[2:], strict=True):
        assert got.split("\t")[3] in {"NOUN", "VERB", "PUNCT"}
        assert got.split("\t")[6:] == given.split("\t")[6:]
    assert result(client, CONLLU) == CONLLU + "\n"
    for model in ("ru_x", "en_y"):
        (line,) = result(client, CONLLU, tagger="", model=model, output="jsonl").splitlines()
        assert json.loads(line)["sentences"][0]["convention"] == model


def test_tokens_in_a_line_or_in_lines_are_kept(client: TestClient) -> None:
    for kind, data in (("horizontal", "abc bad .\nace\n"), ("vertical", "abc\nbad\tX\n.\n\n\nace")):
        rows = re.findall(r"^(\d+)\t(\S+)\t", result(client, data, input=kind, tagger=""), re.MULTILINE)
        assert rows == [("1", "abc"), ("2", "bad"), ("3", "."), ("1", "ace")]


def test_without_a_tagger_there_are_tokens_alone(client: TestClient, pipeline: Path) -> None:
    found = result(client, TEXT, tokenizer="")
    assert found == doc_to_conllu(loaded(pipeline).make_doc(TEXT), doc_id="text")


def test_a_line_is_a_sentence_if_the_text_has_them(pipeline: Path) -> None:
    nlp = loaded(pipeline)
    tokenizer: Any = nlp.tokenizer
    read = tokenizer.pipe

    def split(texts: Iterable[str]) -> Iterator[Doc]:
        for doc in read(texts):
            for token in doc:
                token.is_sent_start = True
            yield doc

    vars(tokenizer)["pipe"] = split
    with TestClient(make_app(nlp, longest=2000, seconds=30)) as client:
        found = result(client, "cab як cab\r\n\ncab\u2028cab\n", tokenizer="presegmented", tagger="")
        assert re.findall("# text = (.*)", found) == ["cab як cab", "cab cab"]
        assert len(re.findall("# text", result(client, "cab як cab", **RAW))) == 3


def test_white_space_has_no_result(client: TestClient) -> None:
    assert result(client, "", **RAW) == result(client, " \n", **RAW) == result(client, "\n", tagger="") == ""


def test_what_has_no_effect_is_said(client: TestClient) -> None:
    answer = client.post("/process", data={"data": "abc", "tokenizer": "ranges", "tagger": "", "parser": ""})
    assert [note.partition(":")[0] for note in answer.json()["notes"]] == ["parser", "tokenizer"]


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"data": {"tokenizer": ""}}, 400, "the parameter data is required"),
        ({"data": {"data": "abc", "model": "sv"}}, 400, "got the model 'sv', expected one of GET /models"),
        ({"data": {"data": "abc", **RAW, "output": "epe"}}, 400, "got the output 'epe', expected conllu, "),
        ({"data": {"data": "abc", "input": "xml"}}, 400, "got the input 'xml', expected conllu, horizontal,"),
        ({"data": {"data": "abc"}}, 400, "got no CoNLL-U in line 1: got 1 columns, expected 10"),
        ({"data": {"data": "a" * 2001, **RAW}}, 413, "got 2,001 characters, expected at most 2,000"),
        (
            {"content": b"data=%ff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            400,
            "UTF-8",
        ),
        ({"files": {"data": ("x", b"\xff")}}, 400, "got a form that is not in UTF-8"),
        (
            {"content": b"{}", "headers": {"Content-Type": "application/json"}},
            400,
            "got the Content-Type 'app",
        ),
        ({"content": b"abc", "headers": {"Content-Type": "multipart/form-data"}}, 400, "lacks its boundary"),
        (
            {
                "content": b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\nabc',
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            400,
            "ends early",
        ),
        ({"content": b"x" * 100_000}, 413, "got a form of more than 89,536 bytes"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    client: TestClient, request_: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post("/process", **request_)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"] and "\n" not in answer.text
    assert client.get("/health").json() == {"status": "ok", "pipeline": "xx_pipeline-0.0.0"}


def test_other_methods_and_addresses_are_refused_alike(client: TestClient) -> None:
    assert client.put("/process").json() == {"error": "Method Not Allowed"}
    assert client.get("/nowhere").json() == {"error": "Not Found"}


def test_the_interface_is_described(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    names = {parameter["name"] for parameter in description["paths"]["/process"]["get"]["parameters"]}
    assert names == {"data", "model", "tokenizer", "tagger", "parser", "input", "output"}
    form = description["paths"]["/process"]["post"]["requestBody"]["content"]
    assert set(form["multipart/form-data"]["schema"]["properties"]) == names


# The thread that tags


class Held:
    """A pipeline whose tagging waits for `go`."""

    def __init__(self, pipeline: Path) -> None:
        self.nlp = loaded(pipeline)
        self.go, self.sizes, self.began = threading.Event(), [], threading.Event()
        pipe = self.nlp.pipe

        def held(docs: Any, **settings: Any) -> Any:
            docs = list(docs)
            self.sizes.append(len(docs))
            self.began.set()
            assert self.go.wait(30)
            if any("fault" in doc.text for doc in docs):
                raise RuntimeError("of the pipeline")
            return pipe(docs, **settings)

        vars(self.nlp)["pipe"] = held

    sizes: list[int]


def job(text: str, code: str | None = None) -> Job:
    return Job((Document("text", text),), code, format=Format.conllu)


def test_what_waits_is_tagged_together_and_a_fault_is_of_one_alone(pipeline: Path) -> None:
    held = Held(pipeline)
    worker = Worker(held.nlp)
    first = worker.submit(job("abc"))
    assert held.began.wait(30)
    texts = ["abc bad.", "fault", "як кя", "cab"]
    futures = [
        worker.submit(job(text, code)) for text, code in zip(texts, [None, None, "ru", "en_y"], strict=True)
    ]
    left = worker.submit(job("abc"))
    assert left.cancel()
    held.go.set()
    worker.close()
    assert held.sizes == [1, 4, 1, 1, 1, 1]
    nlp = loaded(pipeline)
    assert first.result() == doc_to_conllu(nlp("abc"), doc_id="text")
    assert futures[0].result() == doc_to_conllu(nlp("abc bad."), doc_id="text")
    assert isinstance(futures[1].exception(), RuntimeError)
    for future, text, code in ((futures[2], "як кя", "ru"), (futures[3], "cab", "en_y")):
        nlp.tokenizer.language = code  # type: ignore[union-attr]
        assert future.result() == doc_to_conllu(nlp(text), doc_id="text")
    assert not worker.alive


def test_a_pipeline_with_a_convention_of_its_own_keeps_it_unless_asked(pipeline: Path) -> None:
    nlp = loaded(pipeline)
    nlp.get_pipe("morphologizer").convention = "en_y"  # type: ignore[attr-defined]
    worker = Worker(nlp)
    own, other = (worker.submit(replace(job("cab", code), format=Format.jsonl)) for code in (None, "en_x"))
    worker.close()
    for future, code, words in ((own, "en_y", 0), (other, "en_x", 2)):
        (sentence,) = json.loads(future.result())["sentences"]
        assert sentence["convention"] == code
        assert len(sentence["tokens"][0]["words"] or ()) == words


def test_a_request_is_given_up_in_time_and_others_are_refused(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mminibert.service.worker.WAITING", 1)
    held = Held(pipeline)
    with TestClient(make_app(held.nlp, longest=100, seconds=0.2)) as client:
        worker: Worker = client.app.state.worker
        late = client.post("/process", data={"data": "abc", **RAW})
        assert late.status_code == 503 and "no result within 0.2 s" in late.json()["error"]
        assert late.headers["Retry-After"]
        waiting = worker.submit(job("abc"))
        full = client.post("/process", data={"data": "abc", **RAW})
        assert full.status_code == 503 and "too many requests" in full.json()["error"]
        with pytest.raises(queue.Full):
            worker.submit(job("abc"))
        held.go.set()
        assert waiting.result(30)
        assert client.post("/process", data={"data": "abc", **RAW}).status_code == 200
        worker.close()
        assert client.get("/health").status_code == 503
        vars(worker)["_waiting"] = queue.Queue()  # so that it is closed once more without waiting


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("auto", None),
        ("en_x", "en_x"),
        ("english-x", "en_x"),
        ("English-X-ud-2.12-230717", "en_x"),
        ("english", "en"),
        ("english-ud", "en"),
        ("english-z-ud-2.12", "no"),
        ("russian-gone", "no"),
        ("russian", "no"),
        ("-ud-", "no"),
        ("", "no"),
    ],
)
def test_models_have_the_names_of_udpipes_service(pipeline: Path, name: str, code: str | None) -> None:
    nlp = loaded(pipeline)
    nlp.meta["conventions"] = [
        {"code": "en_x", "language": "en", "url": "https://x.org/UD_English-X/tree/r2.3"},
        {"code": "ru_gone", "language": "ru", "url": "https://x.org/UD_Russian-Gone"},
        {"code": "ru_x", "language": "ru", "url": "https://x.org/Russian-X"},
    ]
    models = Models.of(nlp)
    if code != "no":
        assert models.find(name) == code
        return
    with pytest.raises(ValueError, match=r"got the model '.*', expected one of GET /models"):
        models.find(name)


# As a process


def asked(address: str, **parameters: str) -> Any:
    """As UDPipe's own client asks: a form of parts with 8 bits."""
    message = MIMEMultipart("form-data", policy=policy.HTTP)
    for name, value in parameters.items():
        part = MIMENonMultipart("text", "plain")
        part.add_header("Content-Disposition", f'form-data; name="{name}"')
        part.add_header("Content-Transfer-Encoding", "8bit")
        part.set_payload(value, charset="utf-8")
        message.attach(part)
    body = message.as_bytes().split(b"\r\n\r\n", maxsplit=1)[1]
    request = urllib.request.Request(address + "process", body, {"Content-Type": message["Content-Type"]})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture
def process(pipeline: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "mminibert", "serve", str(pipeline), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_answers_udpipes_client_and_ends_when_all_is_done(
    process: subprocess.Popen[str], pipeline: Path
) -> None:
    assert process.stdout is not None and process.stderr is not None
    address = process.stdout.readline().split()[0]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    fields = {"input": "conllu", "output": "conllu", **RAW}
    one = asked(address, data=TEXT, **fields)
    sent = TEXT.replace("\n", "\r\n")  # as that client sends it
    assert one["result"] == expected(pipeline, sent) and set(one) == {"model", "acknowledgements", "result"}
    with ThreadPoolExecutor(8) as pool:
        texts = [f"{sent * 20}{'abc ' * i}" for i in range(32)]
        futures = [pool.submit(asked, address, data=text, **fields) for text in texts]
        results = [future.result()["result"] for future in futures]
        assert results == [expected(pipeline, text) for text in texts]
    port = int(address.rstrip("/").rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        connection.makefile("rb") as file,
    ):
        body = b"data=abc&tokenizer=&tagger="
        kind = b"Content-Type: application/x-www-form-urlencoded"
        head = (
            b"POST /process HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head % (kind, len(body)))
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"  # it waits for the rest of the request
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body)
        assert json.loads(file.read().splitlines()[-1])["result"] == expected(pipeline, "abc")
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_an_address_that_is_taken_is_said_in_a_line(pipeline: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "mminibert", "serve", str(pipeline), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 1
    assert done.stderr.startswith("Error: [Errno 98] Address already in use") and done.stderr.count("\n") == 1


def test_load_is_measured_and_every_answer_checked(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("abc bad.\n\ncab ace\n", encoding="utf-8")
    script = Path(__file__).parents[1] / "scripts" / "serve_load.py"
    options = ["--output", "x.json", "--model", str(pipeline), "--connections", "3", "--seconds", "0.3"]
    env = {**os.environ, "PYTHONPATH": str(script.parents[1])}
    command = [sys.executable, str(script), "x.txt", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert (row["connections"], row["failed"]) == (3, 0) and row["requests"] >= 3
    assert done.stdout.splitlines()[0].startswith("| connections | requests |")
