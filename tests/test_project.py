"""The project as a whole: its commands, its documents, its layers, its entry points, its configs."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import srsly
import typer
from spacy.cli.debug_config import debug_config
from spacy.cli.init_config import fill_config
from spacy.util import registry
from weasel.util import load_project_config

from mminibert.project.profile import Profile, compose, read_systems
from mminibert.project.ud_release import read_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROFILES = sorted(path.stem for path in (ROOT / "configs/profiles").glob("*.toml"))
GENERATED = {"corpus", "training", "metrics", "packages"}
"""Folders whose content only the commands write; it may happen to be there."""
NOT_LOCKED = {"torch", "ray"}
"""Packages that are large: one is chosen by the machine, the other's test is skipped without it."""
FREE = {"archives", "errors", "files", "markdown", "processes"}
"""Modules that any room may import."""
ROOMS = re.compile(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)*) ?\|", re.MULTILINE)


@cache
def project(profile: str) -> dict[str, Any]:
    return load_project_config(ROOT, overrides={"vars.profile": profile})


def commands_in_order(config: dict[str, Any]) -> list[dict[str, Any]]:
    by_name = {command["name"]: command for command in config["commands"]}
    return [by_name[name] for name in dict.fromkeys(chain(*config["workflows"].values()))]


# project.yml


def test_every_command_is_in_a_workflow_and_has_help() -> None:
    config = project("sample")
    assert {command["name"] for command in config["commands"]} == {
        command["name"] for command in commands_in_order(config)
    }
    for command in config["commands"]:
        assert command.get("help"), f"command {command['name']} has no help"
        assert command["script"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_dependency_is_there_or_made_before(profile: str) -> None:
    config = project(profile)
    made = {f"assets/{profile}/ud", f"assets/{profile}/unlabelled"}  # by the command `assets`
    for command in commands_in_order(config):
        for path in command.get("deps", []):
            is_source = path.split("/")[0] not in GENERATED | {"assets"} and (ROOT / path).exists()
            assert path in made or is_source, (
                f"{command['name']} needs {path}, which no earlier command makes"
            )
        made.update(command.get("outputs", []))


def scripts() -> Iterator[tuple[str, list[str]]]:
    for command in project("sample")["commands"]:
        for line in command["script"]:
            python, path, *args = shlex.split(line)
            assert python == "python"
            yield path, args


@pytest.mark.parametrize(("path", "args"), list(scripts()), ids=lambda value: str(value)[:60])
def test_every_script_takes_the_arguments_it_is_given(path: str, args: list[str]) -> None:
    spec = importlib.util.spec_from_file_location(f"scripts.{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = typer.Typer()
    app.command()(module.main)
    context = typer.main.get_command(app).make_context(path, list(args))  # parses, and runs nothing
    # Nothing fell into a wrong parameter: each value given is a parameter's value.
    given = (value if isinstance(value, list) else [value] for value in context.params.values())
    values = {str(getattr(value, "value", value)) for value in chain.from_iterable(given)}
    assert {arg for arg in args if not arg.startswith("--")} <= values


def test_treebanks_of_the_paper_are_in_the_table() -> None:
    table = read_table(ROOT / "configs/treebanks.tsv")
    for name in ("table8_upos_f1.tsv", "table9_morphology_f1.tsv"):
        lines = (ROOT / "configs/paper" / name).read_text(encoding="utf-8").splitlines()[1:]
        assert {line.split("\t")[0] for line in lines} <= table.keys()


# Layers


def rooms() -> dict[str, set[str]]:
    """Room to the rooms that it may import, as docs/architecture.md has it."""
    table = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return {room: set(re.findall(r"`(\w+)`", others)) for room, others in ROOMS.findall(table)}


def modules() -> dict[str, Path]:
    package = ROOT / "mminibert"
    paths = {str(path.relative_to(package).with_suffix("")): path for path in package.rglob("*.py")}
    return {name: path for name, path in paths.items() if not name.endswith("__init__")}


def imports(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """("own", "models/onnx") or ("other", "torch") for each import anywhere in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("other", alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield "other", str(node.module).split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            parents = name.split("/")[: -node.level]
            found = node.module.split(".") if node.module else []
            targets = [[*parents, *found]] if found else [[*parents, alias.name] for alias in node.names]
            yield from (("own", "/".join(target)) for target in targets)


def test_every_room_is_on_the_map() -> None:
    assert rooms().keys() == {name.split("/")[0] for name in modules() if "/" in name}
    assert {name for name in modules() if "/" not in name} == {"__main__", "cli", "command"} | FREE


def test_rooms_import_what_the_map_says() -> None:
    allowed = rooms()
    own: dict[str, set[str]] = {}
    for name, path in modules().items():
        found = list(imports(name, path))
        own[name] = {target for kind, target in found if kind == "own"}
        others = {target for kind, target in found if kind == "other"}
        assert "mminibert" not in others, f"{name} imports the package by its full name"
        assert "scripts" not in others
        if "/" not in name:
            continue
        room = name.split("/")[0]
        wrong = {target.split("/")[0] for target in own[name]} - allowed[room] - {room} - FREE
        assert not wrong, f"{name} imports {sorted(wrong)}, which the map does not allow"
        if room in ("runtime", "data", "evaluation"):
            assert not others & {"torch", "transformers", "typer"}, f"{name} imports {others}"
        if room == "training":
            assert not others & {"spacy", "thinc", "srsly"}, f"{name} imports {others}"
    done: set[str] = set()  # within a room too there are no circles
    while len(done) < len(own):
        ready = {name for name, targets in own.items() if name not in done and targets <= done}
        assert ready, f"these import each other: {sorted(own.keys() - done)}"
        done |= ready


def test_rooms_are_in_order() -> None:
    done: set[str] = set()
    for room, others in rooms().items():
        assert others <= done, f"{room} may import {sorted(others - done)}, which come later"
        done.add(room)


@pytest.mark.parametrize("name", ["mminibert", "mminibert.runtime.morphologizer", "mminibert.runtime.onnx"])
def test_import_needs_no_torch(name: str) -> None:
    blocked = "".join(f"sys.modules[{module!r}] = None; " for module in ("torch", "transformers"))
    code = (
        f"import sys; {blocked}import {name}; assert sys.modules[{name!r}]; assert not sys.modules['torch']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["mminibert", "mminibert.cli"])
def test_package_and_command_alone_import_nothing_heavy(name: str) -> None:
    """So `mminibert --help` comes at once."""
    heavy = "{'torch', 'transformers', 'spacy', 'numpy', 'onnxruntime'}"
    code = f"import sys, {name}; print(sorted({heavy} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


# Entry points


def entry_points() -> list[tuple[str, str, str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = settings["project"]["entry-points"]
    return [(group, name, value) for group, points in groups.items() for name, value in points.items()]


@pytest.mark.parametrize(("group", "name", "value"), entry_points())
def test_entry_point_resolves_in_the_registry(group: str, name: str, value: str) -> None:
    function = EntryPoint(name, value, group).load()
    found = getattr(registry, group.partition("_")[2]).get(name)
    assert found is function, "the installation is older than pyproject.toml: make install"


def test_entry_points_need_no_training_packages() -> None:
    """spaCy loads all of a registry to say that it lacks a name, and in `spacy package`."""
    extras = ["torch", "transformers", "spacy_transformers", "onnx", "conllu", "safetensors"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({extras}));"
        "from importlib.metadata import EntryPoint;"
        f"[EntryPoint(name, value, group).load() for group, name, value in {entry_points()}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


# Profiles and systems


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("system", sorted(read_systems()))
def test_config_is_valid(system: str, profile: str, tmp_path: Path, capsys: Any) -> None:
    """As `spacy debug config` sees it: every block's settings fit the function that is registered."""
    settings = Profile.read(profile)
    config = compose(system, settings)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    if "vocabulary" in config["paths"]:
        config["paths"]["vocabulary"] = str(vocabulary)  # the real one is made by the command `assets`
    path, filled = tmp_path / "config.cfg", tmp_path / "filled.cfg"
    config.to_disk(path)
    fill_config(filled, path, silent=True)  # spaCy's own settings, which `spacy train` fills in too
    debug_config(filled)
    assert "Config validation for [initialize]" in capsys.readouterr().out


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("profile", PROFILES)
def test_distilled_and_gold_student_differ_in_the_objective_only(profile: str) -> None:
    distilled, gold = (dict(compose(name, Profile.read(profile))) for name in ("mminibert", "minibert"))
    ours, theirs = distilled.pop("distillation"), gold.pop("distillation")
    assert distilled == gold
    assert {"targets"} <= {key for key in ours if ours[key] != theirs[key]} <= {"targets", "temperature"}


# Continuous integration


def test_ci_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert "set -eu" in lines and lines.index("set -eu") < lines.index("make lint") < lines.index("make test")


def test_make_installs_the_multilingual_pipelines(tmp_path: Path) -> None:
    """Profiles go on from them: of each there is one wheel."""
    command = ["make", "--dry-run", "install", f"VENV={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (installed,) = (line.split() for line in done.stdout.splitlines() if " -e ." in line)
    wheels = [word for word in installed if word.endswith(".whl")]
    found = [path.name.split("-")[0] for pattern in wheels for path in ROOT.glob(pattern)]
    assert found == ["xx_mminibert", "xx_mminibert_lg"]


def test_lock_satisfies_pyproject() -> None:
    from packaging.requirements import Requirement

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins: dict[str, list[Requirement]] = {}
    for pin in (Requirement(line) for line in lines if line and not line.startswith("#")):
        pins.setdefault(pin.name.lower(), []).append(pin)
    assert not [name for name in pins if name.startswith(("torch", "nvidia", "triton", "cuda"))]
    declared = [*settings["dependencies"], *chain(*settings["optional-dependencies"].values())]
    for version in ("3.10", "3.11", "3.12"):
        environment = {"python_version": version, "python_full_version": f"{version}.9"}
        for wanted in map(Requirement, declared):
            if wanted.name in NOT_LOCKED or (wanted.marker and not wanted.marker.evaluate(environment)):
                continue
            fitting = [p for p in pins[wanted.name] if not p.marker or p.marker.evaluate(environment)]
            assert len(fitting) == 1, f"{wanted.name} for Python {version}: {fitting}"
            (pinned,) = fitting[0].specifier
            assert pinned.operator == "=="
            assert wanted.specifier.contains(pinned.version), f"{wanted} but {fitting[0]}"


def test_names_of_package_indexes_stay_out() -> None:
    files = ["project.yml", "Makefile", "requirements.lock", "README.md", "CONTRIBUTING.md", ".ci/run"]
    for name in [*files, "pyproject.toml"]:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"--(extra-)?index-url|--find-links", text), name


def test_project_file_is_what_weasel_reads() -> None:
    raw = srsly.read_yaml(ROOT / "project.yml")
    assert set(raw["vars"]) == {"profile", "mirror", "jobs", "gpu", "teacher"}
    used = set(re.findall(r"\$\{vars\.(\w+)\}", (ROOT / "project.yml").read_text(encoding="utf-8")))
    assert used == set(raw["vars"])


# All six systems


@pytest.mark.usefixtures("inside")
def test_the_comparison_trains_and_scores_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)  # where no seed has a corpus yet
    spec = importlib.util.spec_from_file_location("compare", ROOT / "scripts" / "compare.py")
    assert spec is not None and spec.loader is not None
    compare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare)
    steps = compare.steps("compare", "a teacher", 2)
    for command in steps:
        assert (ROOT / "scripts" / command[0]).exists()
    made = {command[1] for command in steps if command[0] == "train.py"}
    scored = {Path(command[3]).name for command in steps if command[0] == "evaluate.py"}
    assert made == scored == read_systems().keys()
    order = [" ".join(command[:2]) for command in steps]
    assert steps[0] == ["collect.py", "compare", "--labels", "gold"]
    assert order[1] == "train.py mbert"  # the first of all that follows reads it
    assert order.index("collect.py compare", 2) < order.index("train.py mminibert")
    assert [command[0] for command in steps].index("evaluate.py") > order.index("quantize.py minibert")
    mixed = {command[1] for command in steps if command[-2:] == ["--treebanks", "qtd_sagt"]}
    assert mixed == {f"training/compare/{name}/tr_imst/model-best" for name in ("bert", "meta_lstm")}
    again = compare.all_steps("compare", "a teacher", 2, 2)
    assert again[: len(steps)] == steps
    assert again[len(steps)] == ["convert.py", "assets/compare/ud", "corpus/compare@1"]
    assert [command[0] for command in again[len(steps) + 1 : -1]] == [command[0] for command in steps]
    assert "training/compare@1/mminibert/model-onnx" in {command[1] for command in again}
    assert again[-1] == ["report.py", "metrics/compare", "metrics/compare@1", "metrics/compare"]
