"""Install a profile's wheels into a clean environment and tag a sentence of each treebank without network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mminibert.command import run_command
from mminibert.data.conllu import read_conllu
from mminibert.project.profile import Profile

ENVIRONMENT = Path(".venv-wheel")
PROGRAM = r"""
import importlib.util, json, socket, sys, time

class Blocked(socket.socket):
    def __init__(self, *args, **kwargs):
        raise OSError("this program may not use the network")

def refuse(*args, **kwargs):
    raise OSError("this program may not use the network")

socket.socket, socket.create_connection, socket.getaddrinfo = Blocked, refuse, refuse

start = time.perf_counter()
import spacy
nlp = spacy.load(sys.argv[1])
seconds = time.perf_counter() - start
for ltcode, text in json.load(sys.stdin):
    doc = nlp(text)
    print(f"\n{ltcode}: {text}")
    width = max(len(token.text) for token in doc)
    for token in doc:
        print(f"  {token.text.ljust(width)}  {token.pos_:<5}  {token.morph or '_'}")
    assert all(token.pos_ for token in doc), f"{ltcode}: a token without UPOS"
for name in ("torch", "transformers"):
    assert name not in sys.modules and importlib.util.find_spec(name) is None, f"{name} is installed"
meta = nlp.meta
print(f"\n{meta['lang']}_{meta['name']} {meta['version']}: import and load {seconds:.1f} s, "
      f"without torch and network; teacher: {meta['teacher']}")
"""


def main(profile: Annotated[str, typer.Argument(help="a file of configs/profiles, without .toml")]) -> None:
    settings = Profile.read(profile)
    folder = Path("packages") / settings.name
    name = f"xx_{settings.package_name}"
    wheels = [*folder.glob("mminibert-*.whl"), *folder.glob(f"{name}-*.whl")]
    if len(wheels) != 2:
        raise FileNotFoundError(
            f"{folder} has {len(wheels)} of the two wheels mminibert-*.whl and {name}-*.whl; run the "
            f"step `package` first: scripts/package.py {profile}"
        )
    sentences = []
    for ltcode in settings.treebanks:
        path = settings.corpus / ltcode / "test.conllu"
        if path.exists() and (first := next(iter(read_conllu(path)), None)) is not None:
            text = "".join(form + " " * space for form, space, _ in first.tokens()).strip()
            sentences.append((ltcode, text))
    if not sentences:
        raise FileNotFoundError(f"{settings.corpus} has no test.conllu; run the step `convert` first")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *map(str, wheels)]
    if subprocess.run([python, *install]).returncode:
        raise RuntimeError("pip could not install the wheels; it needs a package index for spaCy")
    # -I: neither this folder nor variables of the environment lend it a package.
    done = subprocess.run([python, "-I", "-c", PROGRAM, name], input=json.dumps(sentences), encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"the pipeline of {folder} does not run; see above")
    print("\nWheels:")
    for wheel in sorted(folder.glob("*.whl")):
        print(f"  {wheel}: {wheel.stat().st_size / 1e6:.2f} MB")
    report = Path("metrics") / settings.name / "report.md"
    print(f"Report: {report}" if report.exists() else f"Report: none yet; {report} is what `tabulate` writes")


if __name__ == "__main__":
    run_command(main)
