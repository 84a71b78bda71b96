"""The harness of attacks: that it sees what goes wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from packaged import three_languages
from spacy.language import Language

from mminibert.experiments import torture
from mminibert.experiments.torture import Outcome, Step, attack_files, attack_headers, attack_step, spread

WRITER = """
import os, sys
try:
    os.makedirs("out", exist_ok=True)
    for name in "abc":
        if os.path.exists(f"out/{name}"):
            continue
        with open(f"out/BEFORE{name}", "w") as file:
            file.write("x" * 100_000)
        os.replace(f"out/BEFORE{name}", f"out/{name}")
except OSError as error:
    sys.exit(f"Error: {error}")
"""


def step(tmp_path: Path, text: str) -> Step:
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    return Step("write", (str(script),), "out")


def test_places_are_spread() -> None:
    for n in range(1, 40):
        assert sorted(spread(n)) == list(range(1, n + 1))
    assert list(itertools.islice(spread(100), 3)) == [64, 32, 96]


def test_a_step_that_writes_whole_files_ends_the_same(tmp_path: Path) -> None:
    killed, full = attack_step(step(tmp_path, WRITER.replace("BEFORE", ".tmp-")), tmp_path, 60)
    assert (killed.tried, killed.well, killed.wrong) == (7, 7, [])  # a folder, and three times two
    assert (full.tried, full.well) == (3, 3)


def test_a_step_that_keeps_what_is_half_is_found(tmp_path: Path) -> None:
    _, full = attack_step(step(tmp_path, WRITER.replace("BEFORE", "")), tmp_path, 60)
    assert full.wrong == [f"at {n}: run again, it leaves other files" for n in (12_500, 50_000, 87_500)]


def test_a_step_that_goes_on_otherwise_is_found(tmp_path: Path) -> None:
    text = "import os\nos.makedirs('out', exist_ok=True)\n"
    text += "open('out/a', 'a').write('x')\nopen('out/b', 'w').close()"
    killed, _ = attack_step(step(tmp_path, text), tmp_path, 60)
    assert killed.tried == 3
    assert killed.wrong == ["at 3: run again, it leaves other files"]  # it appended twice


def test_a_traceback_is_found(tmp_path: Path) -> None:
    text = WRITER.replace("BEFORE", ".tmp-").replace("sys.exit", "raise TypeError")
    _, full = attack_step(step(tmp_path, text), tmp_path, 60)
    assert len(full.wrong) == full.tried == 3 and "TypeError" in full.wrong[0]


def test_a_step_that_fails_undisturbed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="write does not run undisturbed: status 3"):
        list(attack_step(step(tmp_path, "raise SystemExit(3)"), tmp_path, 60))


def test_files_that_load_damaged_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp: Language = three_languages()
    nlp.to_disk(tmp_path / "pipeline")
    flipped, cut = attack_files(tmp_path / "pipeline", tmp_path, each=1)
    assert flipped.tried == cut.tried > 10
    assert not flipped.wrong and not cut.wrong
    changing = iter(range(10_000))
    monkeypatch.setattr(torture, "_tags", lambda folder: [next(changing)])
    flipped, cut = attack_files(tmp_path / "pipeline", tmp_path, each=1)
    assert len(flipped.wrong) == flipped.tried and "gives other tags" in flipped.wrong[0]
    assert not (tmp_path / "damaged").exists()


def test_headers_that_end_in_another_error_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attack_headers(300).wrong == []

    def load(data: bytes) -> object:
        raise OverflowError("Python int too large")

    monkeypatch.setattr(torture, "load_tensors", load)
    assert len(attack_headers(5).wrong) == 5


def test_the_table_has_what_went_wrong() -> None:
    outcome = Outcome("x, killed")
    outcome.add(None)
    outcome.add("at 3: it leaves other files")
    lines = torture.outcome_table([outcome]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["x, killed", "2", "1", "1"]
    assert lines[-1] == "- x, killed: at 3: it leaves other files"
    assert torture.to_json([outcome])[0]["tried"] == 2
