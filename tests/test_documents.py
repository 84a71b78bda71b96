"""What the documents say: links, commands, code and figures."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import srsly
import typer
from test_release import MOST, MOST_LARGE

from mminibert import cli
from mminibert.project.profile import read_toml

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STAND_IN_TESTS = {"ar_padt", "hi_hdtb"}
"""Treebanks whose test set here is that of another release (docs/data.md)."""


def test_documents_link_to_files_that_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name} links to {link}"


def test_wheels_in_the_documents_exist() -> None:
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    for document in documents:
        for wheel in re.findall(r"packages/[\w.*-]+\.whl", document.read_text(encoding="utf-8")):
            assert list(ROOT.glob(wheel)), f"{document.name} names {wheel}"


def test_commands_in_the_documents_exist() -> None:
    """What they tell to run: targets of the Makefile, scripts, steps and subcommands."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    steps = {command["name"] for command in srsly.read_yaml(ROOT / "project.yml")["commands"]}
    known = {
        r"^make ([a-z]+)": set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)),
        r"\bscripts/(\w+\.py)": {path.name for path in (ROOT / "scripts").iterdir()},
        r"project run (\w[\w-]*)": steps | srsly.read_yaml(ROOT / "project.yml")["workflows"].keys(),
        r"^mminibert ([a-z]+)": set(typer.main.get_command(cli.app).commands),  # type: ignore[attr-defined]
    }
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents).replace("`", "\n")
    for pattern, names in known.items():
        used = set(re.findall(pattern, text, re.MULTILINE))
        assert used and used <= names, f"{pattern}: {sorted(used - names)}"


def test_the_readme_is_short() -> None:
    for name, lines in (("README.md", 200), ("project.yml", 260)):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= lines


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the released pipeline."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = (ROOT / "packages").glob("xx_mminibert-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; those without have an empty one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


@pytest.mark.parametrize("document", ["README.md", "docs/components.md"])
def test_its_code_runs_and_prints_what_it_says(document: str, installed: dict[str, str]) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    codes = blocks(text, "python")
    assert codes
    for code in codes:
        done = subprocess.run(
            [sys.executable, "-c", code], env=installed, capture_output=True, encoding="utf-8", check=True
        )
        said = [line.rstrip() for line in done.stdout.splitlines()]
        if expected := re.search(r"  # (.*)\n$", code):
            assert said[-1] == expected[1]
        if document == "README.md":
            *shown, rest = blocks(text, "")[1].splitlines()
            assert rest == "…" and said[: len(shown)] == shown


def test_the_readme_begins_with_the_licence_of_the_packages_and_with_both_kinds_of_scores() -> None:
    licence = read_toml(ROOT / "configs/profiles/release.toml")["package"]["licence"]
    top = " ".join(README.partition("# Use it")[0].split())
    assert f"**Licence**: the packages are {licence}, **not for commercial use**" in top
    assert re.search(r"\*\*Accuracy\*\*: [^*]* on gold words, [^*]* \(F1\) from raw text", top)


def test_contributing_says_how_large_wheels_may_be() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert f"the large multilingual pipeline, of at most {MOST_LARGE / 1e6:g} MB" in text
    assert f"the library and the multilingual pipeline, together of at most {MOST / 1e6:g} MB" in text


def numbers(line: str) -> list[float]:
    """Those of a row of a table or of a sentence."""
    return [float(text.replace(",", "")) for text in re.findall(r"\b\d[\d,]*(?:\.\d+)?", line)]


def row(name: str) -> list[float]:
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)$", README, re.MULTILINE)
    return numbers(line)


def report() -> dict[str, Any]:
    path = ROOT / "docs/results/release-0.2/report.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_the_readmes_scores_are_those_of_the_report() -> None:
    average = report()["averages"]["paper"]
    ours = average["systems"]["mminibert"]
    modes = report()["conventions"]["averages"]["paper"]["modes"]
    assert f"over {len(average['treebanks'])} treebanks" in README
    for name, found, scores in (
        ("gold words (accuracy), its convention given", modes["given"], ["gold UPOS", "gold UFeats"]),
        ("gold words, its language given", modes["default"], ["gold UPOS", "gold UFeats"]),
        ("gold words, nothing known", modes["found"], ["gold UPOS", "gold UFeats"]),
        ("raw text (F1), its convention given", ours, ["raw UPOS", "raw UFeats", "raw Words"]),
    ):
        assert row(name) == [round(found[score], 2) for score in scores]
    (claim,) = re.findall(r"\*\*Accuracy\*\*: (.*)$", README, re.MULTILINE)
    assert numbers(claim) == [
        round(ours[score], 1) for score in ("gold UPOS", "gold UFeats", "raw UPOS", "raw UFeats")
    ]


def test_the_readmes_comparison_with_udpipe_is_that_of_the_files() -> None:
    ours = {row["ltcode"]: row["systems"]["mminibert"] for row in report()["treebanks"]}
    with (ROOT / "docs/results/udpipe_2.3.tsv").open(encoding="utf-8", newline="") as lines:
        rows = {row["ltcode"]: row for row in csv.DictReader(lines, delimiter="\t")}
    kinds = [(part, metric) for part in ("raw", "gold") for metric in ("UPOS", "UFeats")]
    pairs = {f"{part}_{metric.lower()}": f"{part} {metric}" for part, metric in kinds}
    codes = [
        code
        for code, row in rows.items()
        if ours.get(code) and code not in STAND_IN_TESTS and all(row[name] for name in pairs)
    ]
    theirs = [round(sum(float(rows[code][name]) for code in codes) / len(codes), 1) for name in pairs]
    mine = [round(sum(ours[code][name] for code in codes) / len(codes), 1) for name in pairs.values()]
    text = " ".join(README[README.index("**It is ahead of UDPipe 1.2**") :].split())
    assert f"over the {len(codes)} treebanks" in text
    assert (
        f"it has {theirs[0]} UPOS and {theirs[1]} UFeats from raw text, we {mine[0]} and {mine[1]};" in text
    )
    assert f"on gold words {theirs[2]} and {theirs[3]}, we {mine[2]} and {mine[3]}." in text
    assert all(a < b for a, b in zip(theirs, mine, strict=True))
    behind = sum(float(rows[code]["raw_ufeats"]) > ours[code]["raw UFeats"] for code in codes)
    assert f"UDPipe has more UFeats on {behind} of them, from raw text." in text
    (given,) = [
        part["metrics"]
        for part in report()["raw"]["averages"]
        if (part["group"], part["mode"]) == ("udpipe", "given")
    ]
    words, sentences = (
        f"{given[name]['ours']:.2f} against {given[name]['udpipe']:.2f}" for name in ("Words", "Sentences")
    )
    assert f"(F1 {words} over {given['Words']['treebanks']} treebanks)" in text
    assert f"and so are sentences ({sentences})." in text
    assert given["Sentences"]["ours"] > given["Sentences"]["udpipe"]
    for code in ("zh_gsd", "ja_gsd"):
        assert f"{ours[code]['raw UPOS']:.0f} on {code}" in text
    assert f"on given words {ours['zh_gsd']['gold UPOS']:.0f} and {ours['ja_gsd']['gold UPOS']:.0f}" in text


def speeds(folder: str) -> dict[tuple[str, str], int]:
    """Medians of the systems of a benchmark, by system and form."""
    found = json.loads((ROOT / "docs/results" / folder / "benchmark.json").read_text(encoding="utf-8"))
    return {
        (result["system"], result["form"]): round(result["median"])
        for result in found["results"]
        if (result["compared"], result["sample"]) == ("systems", "English")
    }


def test_the_readmes_speeds_are_those_of_the_benchmark() -> None:
    names = {
        "xx_mminibert": "engine",
        "xx_mminibert_lg": "xx_mminibert_lg",
        "spaCy's CNN": "spacy cnn",
        "UDPipe 1": "udpipe 1",
        "multilingual BERT in spacy-transformers": "mbert",
    }
    new, old = speeds("release-0.2/benchmark-zen5"), speeds("release-0.2/benchmark-zen3")
    forms = ("raw", "paragraphs", "words")
    for shown, system in names.items():
        row = [f"{found[system, form]:,}" for found in (new, old) for form in forms]
        assert f"\n| {shown} | {' | '.join(row)} |\n" in README, shown
    text = " ".join(README.split())
    ours = new["engine", "raw"]
    times = {name: ours / new[system, "raw"] for name, system in names.items()}
    assert f"**Speed**: {ours:,} words a second of raw English sentences" in text
    assert f": {times['multilingual BERT in spacy-transformers']:.0f} times multilingual BERT" in text
    cnn = times["spaCy's CNN"]
    assert f"{times['UDPipe 1']:.1f} times UDPipe 1, and {cnn:.1f} times spaCy's own CNN" in text
    first = speeds("release-0.2/benchmark-lg")
    assert f"0.6.2 had {first['engine', 'raw']:,}, a sentence a text" in text
    assert f"spaCy's CNN {first['spacy cnn', 'raw']:,} (" in text


def test_the_large_pipeline_is_as_large_and_as_fast_as_the_readme_says() -> None:
    found = {
        system: speed
        for (system, form), speed in speeds("release-0.2/benchmark-zen5").items()
        if form == "raw"
    }
    (wheel,) = (ROOT / "packages").glob("xx_mminibert_lg-*.whl")
    text = " ".join(README[README.index("**The large one**") :].split())
    assert f"`packages/{wheel.name}`, {wheel.stat().st_size / 1e6:.0f} MB, " in text
    assert (
        f"It tags {found['xx_mminibert_lg']:,} words a second of the text of which `xx_mminibert` tags "
        f"{found['engine']:,}, and multilingual BERT in spacy-transformers {found['mbert']:,} " in text
    )
    assert found["xx_mminibert_lg"] >= 10 * found["mbert"]
    average = report()["averages"]["paper"]
    large, small = (
        [f"{average['systems'][system][score]:.2f}" for score in ("gold UPOS", "gold UFeats")]
        for system in ("mbert", "mminibert")
    )
    assert f"Over the {len(average['treebanks'])} treebanks of the table below it has" in text
    assert f"it has {large[0]} UPOS and {large[1]} UFeats on gold words, `xx_mminibert` " in text
    assert f"`xx_mminibert` {small[0]} and {small[1]} ([report]" in text


def test_the_readmes_languages_are_those_of_the_package(installed: dict[str, str]) -> None:
    (listed,) = re.findall(r"^Languages: (.*?)\. Others", README, re.MULTILINE | re.DOTALL)
    code = "import spacy; print(len(spacy.load('xx_mminibert').meta['languages']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=installed, capture_output=True, text=True, check=True
    )
    assert len(listed.replace("\n", " ").split(", ")) == int(done.stdout)
