"""Load the service of this machine: requests a second, how long they take, and the memory it has.

    python scripts/serve_load.py texts.txt --output load.json

A line of the file is the text of a request. The service is a process of its own, on loopback; the connections
are threads of this one, which send one request after the other.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import numpy as np
import typer

from mminibert.command import run_command
from mminibert.files import atomic_path
from mminibert.markdown import table

COLUMNS = (
    "connections",
    "requests",
    "failed",
    "requests/s",
    "words/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "memory MiB",
)


def main(
    texts: Annotated[Path, typer.Argument(help="a text a line, in UTF-8")],
    output: Annotated[Path, typer.Option(help="JSON with the figures of the table")],
    model: Annotated[
        str, typer.Option(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    connections: Annotated[list[int], typer.Option(help="at once; may be repeated", min=1)] = [1, 8, 64],  # noqa: B006
    seconds: Annotated[float, typer.Option(help="that each number of connections takes", min=0.1)] = 20,
) -> None:
    """Print a table, and write it as JSON. The status is 1 if a request failed."""
    lines = [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{texts} has no text; expected one a line")
    command = [sys.executable, "-m", "mminibert", "serve", model, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            found = re.search(r":(\d+)/", service.stdout.readline())
            if found is None:
                raise RuntimeError("the service did not start; what it said stands above")
            port = int(found[1])
            load(port, lines, 4, min(seconds, 2))  # its caches are filled
            rows = [{**load(port, lines, n, seconds), "memory MiB": memory(service.pid)} for n in connections]
        finally:
            service.terminate()
    typer.echo(
        table(COLUMNS, [[f"{row[name]:,.4g}" for name in COLUMNS] for row in rows], "r" * len(COLUMNS))
    )
    with atomic_path(output) as temporary:
        temporary.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if any(row["failed"] for row in rows):
        raise typer.Exit(1)


def load(port: int, lines: list[str], connections: int, seconds: float) -> dict[str, Any]:
    """What so many connections get in this time. A request fails if its answer does not have its text."""
    numbers = count()
    end = time.perf_counter() + seconds

    def ask() -> list[tuple[float, int]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        done = []
        while (begin := time.perf_counter()) < end:
            words = answered(connection, lines[next(numbers) % len(lines)])
            done.append((time.perf_counter() - begin, words))
        connection.close()
        return done

    begin = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        done = [item for future in [pool.submit(ask) for _ in range(connections)] for item in future.result()]
    took = time.perf_counter() - begin
    milliseconds = np.percentile([1000 * latency for latency, _ in done], [50, 95, 99]).tolist()
    return {
        "connections": connections,
        "requests": len(done),
        "failed": sum(not words for _, words in done),
        "requests/s": len(done) / took,
        "words/s": sum(words for _, words in done) / took,
        **dict(zip(("p50 ms", "p95 ms", "p99 ms"), milliseconds, strict=True)),
    }


def answered(connection: http.client.HTTPConnection, text: str) -> int:
    """The words of the answer, 0 if it is not the right one."""
    body = urlencode({"data": text, "tokenizer": "", "tagger": ""})
    try:
        connection.request("POST", "/process", body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        found: Any = (
            json.loads(answer.read()) if answer.status == 200 else {"result": "", "error": answer.read()}
        )
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0
    got = "".join(re.findall("^# text = (.*)", found["result"], re.MULTILINE))
    if "".join(got.split()) != "".join(text.split()):
        return 0
    return len(re.findall(r"^\d+\t", found["result"], re.MULTILINE))


def memory(pid: int) -> float:
    """That a process has in use, MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


if __name__ == "__main__":
    run_command(main)
