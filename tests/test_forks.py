"""A packaged pipeline with two threads, over forks, in any order of use. In a child an inherited session of
ONNX Runtime can neither run nor be destroyed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaged import random_segmenter, three_languages, with_conventions

from mminibert.packaging.quantize import with_segmenter

# Each order has a process of its own, forked from one that has imported all and has no session.
CODE = """
import gc, os, signal, sys, traceback
import spacy

spacy.util.load_model_from_config(spacy.util.load_config(f"{sys.argv[1]}/config.cfg"))
TEXT = "abc bad. cab як кя. 漢語"

def load():
    global nlp
    nlp = spacy.load(sys.argv[1])

def tags(doc): return [(token.pos_, str(token.morph)) for token in doc]
def tag(): return tags(nlp(TEXT))
def piped(): return [tags(doc) for doc in nlp.pipe([TEXT] * 6, n_process=2, batch_size=2)]

def check(): assert tag() == expected

def use():
    global expected
    expected = tag()

def processes(): assert piped() == [tag()] * 6

def drop():
    global nlp
    del nlp
    gc.collect()

def fork(*steps):
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        try:
            for step in steps:
                step()
        except Exception:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)  # to end an interpreter with torch in it takes seconds; `leave` does
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"a child ended with status {status}"

def leave(): sys.exit(0)

def child(*steps): return lambda: fork(*steps)

ORDERS = {
    "loaded, used in the child": (load, child(use), use),
    "loaded, dropped in the child": (load, child(drop), use),
    "used, dropped in the child": (load, use, child(drop), check),
    "used, used and dropped in the child": (load, use, child(check, drop), check),
    "a child's child": (load, use, child(check, child(check, drop), check), check),
    "a child's child alone": (load, use, child(child(check, drop)), check),
    "another pipeline in the child": (load, use, child(load, check, drop), check),
    "used, left by the child": (load, use, child(leave), check),
    "processes before use": (load, processes, use),
    "processes after use, twice": (load, use, processes, processes, check),
}
for name, steps in ORDERS.items():
    print(name, flush=True)
    fork(*steps)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_no_threads_of_its_parent(tmp_path: Path) -> None:
    with_segmenter(with_conventions(three_languages()), random_segmenter()).to_disk(tmp_path)
    env = {**os.environ, "MMINIBERT_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 10
