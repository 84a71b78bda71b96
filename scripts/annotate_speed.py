"""Words a second of `nlp.pipe`, and of `mminibert annotate` by processes and by actors of a local Ray.

    python scripts/annotate_speed.py texts.txt docs/results/annotate

A line of the file is a document. Each way is a process of its own, from its start to its end, one after the
other; all write CoNLL-U, and `annotate` the same bytes whatever the way. Then: how fast the process that
reads can be, and how large each format is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Annotated, Any

import typer

from mminibert.annotation.inputs import Inputs
from mminibert.annotation.shards import batches, source_digest
from mminibert.annotation.sources import Kind, sources
from mminibert.command import run_command
from mminibert.files import atomic_path, sha256, write_json
from mminibert.markdown import table
from mminibert.processes import ONE_THREAD

PIPE = """
import sys, spacy
from mminibert.data.docs_conllu import doc_to_conllu
nlp = spacy.load(sys.argv[1])
words, batch = 0, []
def tag():
    global words
    with nlp.memory_zone():
        for doc in nlp.pipe(batch):
            words += sum(not token.is_space for token in doc)
            out.write(doc_to_conllu(doc))
    batch.clear()
with open(sys.argv[2], encoding="utf-8") as lines, open(sys.argv[3], "w", encoding="utf-8") as out:
    for line in lines:
        batch.append(line.strip())
        if len(batch) == 5000:
            tag()
    tag()
print(f"{words:,} words")
"""

FIRST = "nlp.pipe(texts)"


def main(
    texts: Annotated[Path, typer.Argument(help="a document a line, in UTF-8")],
    output: Annotated[Path, typer.Argument(help="a folder for annotate-speed.md and annotate-speed.json")],
    model: Annotated[
        str, typer.Option(help="an installed package or the folder of a pipeline")
    ] = "xx_mminibert",
    jobs: Annotated[list[int], typer.Option(help="at once; may be repeated", min=1)] = [1, 2],  # noqa: B006
    ray: Annotated[bool, typer.Option(help="actors of a local Ray cluster as well")] = False,
) -> None:
    ways = {FIRST: [sys.executable, "-c", PIPE, model, str(texts)]}
    command = [sys.executable, "-m", "mminibert", "annotate", str(texts), "--lines", "--model", model]
    for n in jobs:
        ways[f"annotate --jobs {n}"] = [*command, "--jobs", str(n), "--output"]
    for n in jobs if ray else ():
        ways[f"annotate --ray local --jobs {n}"] = [*command, "--jobs", str(n), "--ray", "local", "--output"]
    found: dict[str, dict[str, float]] = {}
    digests = set()
    with TemporaryDirectory(dir=output.parent) as folder:
        for way, arguments in ways.items():
            target = Path(folder) / "out.conllu"
            found[way] = row = timed([*arguments, str(target)])
            typer.echo(f"{way}: {row['words'] / row['seconds']:,.0f} words/s")
            if way != FIRST:
                digests.add(sha256(target))
            size = target.stat().st_size
            target.unlink()
        if len(digests) > 1:
            raise RuntimeError("the ways of `annotate` wrote different bytes")
        sizes = {"conllu": size}
        for format in ("jsonl", "tsv", "parquet"):
            target = Path(folder) / f"out.{format}"
            timed([*command, "--jobs", str(max(jobs)), "--output", str(target)])
            sizes[format] = target.stat().st_size
    whole = texts.stat().st_size
    figures = {
        "model": model,
        "processors": os.cpu_count(),
        "documents": sum(1 for line in texts.read_text(encoding="utf-8").split("\n") if line.strip()),
        "bytes": whole,
        "ways": found,
        "bytes_read_a_second": whole / seconds_to_read(texts),
        "sizes": {format: size / whole for format, size in sizes.items()},
    }
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "annotate-speed.json", figures)
    with atomic_path(output / "annotate-speed.md") as temporary:
        temporary.write_text(report(figures), encoding="utf-8")


def report(figures: dict[str, Any]) -> str:
    """Markdown: tables of the ways and of the formats."""
    rate = {way: row["words"] / row["seconds"] for way, row in figures["ways"].items()}
    ways = [
        (
            f"`{way}`",
            f"{row['words']:,.0f}",
            f"{row['seconds']:,.1f}",
            f"{rate[way]:,.0f}",
            f"{rate[way] / rate[FIRST]:.2f}",
            f"{row['memory']:,.0f}",
        )
        for way, row in figures["ways"].items()
    ]
    head = ("way", "words", "seconds", "words/s", f"times `{FIRST}`", "MiB, the largest process")
    sizes = [(format, f"{size:.1f}") for format, size in figures["sizes"].items()]
    of = f"{figures['documents']:,} documents, {figures['bytes']:,} bytes"
    return (
        f"{of}, {figures['processors']} processors. "
        f"The process that reads can read {figures['bytes_read_a_second'] / 1e6:.1f} MB a second.\n\n"
        f"{table(head, ways, 'lrrrrr')}\n\n{table(('format', 'bytes for a byte of text'), sizes, 'lr')}\n"
    )


def seconds_to_read(texts: Path) -> float:
    """What cutting all documents into shards takes, without tagging them."""
    start = time.perf_counter()
    found = sources([str(texts)], kind=None, plain=Kind.lines)
    for batch in batches(Inputs(found)):
        source_digest("", batch.documents)
    return time.perf_counter() - start


def timed(command: list[str]) -> dict[str, float]:
    """seconds: from start to end. memory: MiB of the largest of the processes that it waited for."""
    start = time.perf_counter()
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, text=True, env={**os.environ, **ONE_THREAD}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        said.seek(0)
        lines = said.read()
    counts = re.findall(r"([\d,]+) words$", lines, re.MULTILINE)
    if process.returncode or not counts:
        raise RuntimeError(f"status {process.returncode} of {' '.join(command[2:])}: {lines[-2000:]}")
    words = int(counts[-1].replace(",", ""))
    return {"words": words, "seconds": seconds, "memory": used.ru_maxrss / 1024}


if __name__ == "__main__":
    run_command(main)
