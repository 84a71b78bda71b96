"""A packaged pipeline without a home and asserts, and where warnings are errors and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaged import random_segmenter, three_languages, with_conventions
from spacy.language import Language

from mminibert.packaging.quantize import with_segmenter

TEXT = "abc bad. cab як кя. 漢語"
# Only files that are opened for writing, made, removed or renamed count; `os.devnull` is none.
CODE = """
import os, sys
written = []
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[0] != os.devnull:
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(args[0])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate"):
        written.append(args[0])
sys.addaudithook(hook)
import spacy
nlp = spacy.load(sys.argv[1])
(doc,) = nlp.pipe([sys.argv[2]])
print([(token.text, token.pos_, str(token.morph)) for token in doc])
# Where torch is installed, spaCy imports it, and it makes a folder for its compiler.
print([path for path in written if "torchinductor" not in str(path)])
"""


@pytest.fixture(scope="module")
def nlp() -> Language:
    return with_segmenter(with_conventions(three_languages()), random_segmenter())


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["-W", "error"], {}),
        (["-OO"], {"HOME": None, "XDG_CACHE_HOME": None, "TMPDIR": "/nowhere"}),
    ],
    ids=["warnings are errors", "without asserts, docstrings and a home"],
)
def test_it_loads_and_tags_and_writes_nothing(
    nlp: Language, tmp_path: Path, options: list[str], environment: dict[str, str | None]
) -> None:
    nlp.to_disk(tmp_path)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8"}
    for name, value in environment.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value
    command = [sys.executable, *options, "-c", CODE, str(tmp_path), TEXT]
    done = subprocess.run(command, capture_output=True, text=True, env=env, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    tagged, written = done.stdout.splitlines()
    assert tagged == str([(token.text, token.pos_, str(token.morph)) for token in nlp(TEXT)])
    assert written == "[]"
