"""Where commands write: never over what they read, and never over what is there unless they are told to."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import spacy
import typer
from packaged import three_languages, with_conventions
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.files import check_apart, check_vacant, folder_sha256, replace_folder

ROOT = Path(__file__).parents[1]
SENTENCES = "# text = abc bad\n1\tabc\t_\tNOUN\t_\t_\t0\troot\t_\t_\n2\tbad\t_\tVERB\t_\t_\t1\tdep\t_\t_\n\n"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline `place/full`, to which `link` leads; beside it are sentences."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "place").mkdir()
    with_conventions(three_languages()).to_disk(folder / "place" / "full")
    (folder / "link").symlink_to(folder / "place")
    (folder / "mine.conllu").write_text(SENTENCES * 4)
    return folder / "place" / "full"


OVERLAPPING = ["place/full", "link/full", "place", "place/full/inside", "link/full/morphologizer/new", "link"]


@pytest.mark.parametrize("given", ["place/full", "link/full"])
@pytest.mark.parametrize("output", OVERLAPPING)
@pytest.mark.parametrize(
    "command",
    [
        ["subset", "{full}", "en", "{output}"],
        ["subset", "{full}", "en", "{output}", "--force"],
        ["quantize", "{full}", "{output}", "{mine}", "--force"],
        ["finetune", "{full}", "{mine}", "{output}"],
        ["finetune", "{full}", "{mine}", "{output}", "--encoder"],
    ],
    ids=" ".join,
)
def test_no_command_writes_over_its_input(full: Path, command: list[str], output: str, given: str) -> None:
    top = full.parents[1]
    before = folder_sha256(top)
    names = {"full": top / given, "output": top / output, "mine": top / "mine.conllu"}
    done = CliRunner().invoke(app, [part.format(**names) for part in command])
    assert isinstance(done.exception, ValueError)
    assert "is, contains or lies in the input" in str(done.exception)
    assert folder_sha256(top) == before


def test_a_wheel_may_go_beside_the_pipeline_but_not_into_it(full: Path) -> None:
    before = folder_sha256(full)
    done = CliRunner().invoke(app, ["subset", str(full), "en", str(full / "wheels"), "--wheel"])
    assert isinstance(done.exception, ValueError) and folder_sha256(full) == before
    assert not (full / "wheels").exists()
    done = CliRunner().invoke(app, ["subset", str(full), "en", str(full.parent), "--wheel"])
    assert done.exit_code == 0 and folder_sha256(full) == before
    (wheel,) = full.parent.glob("*.whl")
    wheel.unlink()


@pytest.mark.parametrize("output", ["place/full", "link/full/new"])
def test_reports_do_not_go_into_a_pipeline(full: Path, output: str) -> None:
    top, before = full.parents[1], folder_sha256(full)
    for options in ([str(full), str(top / "mine.conllu")], ["x", "y", "--beside", str(full)]):
        done = CliRunner().invoke(app, ["benchmark", *options, "--output", str(top / output)])
        assert isinstance(done.exception, ValueError) and "lies in the input" in str(done.exception)
        assert folder_sha256(full) == before


@pytest.mark.parametrize(
    "command",
    [
        ["subset", "{full}", "en", "{output}"],
        ["quantize", "{full}", "{output}", "{mine}"],
        ["finetune", "{full}", "{mine}", "{output}"],
        ["finetune", "{full}", "{mine}", "{output}", "--encoder"],
    ],
    ids=" ".join,
)
def test_what_is_there_stays(full: Path, tmp_path: Path, command: list[str]) -> None:
    output = tmp_path / "there"
    output.mkdir()
    (output / "meta.json").write_text("mine")
    names = {"full": full, "output": output, "mine": full.parents[1] / "mine.conllu"}
    done = CliRunner().invoke(app, [part.format(**names) for part in command])
    assert isinstance(done.exception, FileExistsError)
    assert str(output) in str(done.exception)
    assert (output / "meta.json").read_text() == "mine" and list(tmp_path.iterdir()) == [output]


def subset(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["subset", *map(str, arguments)])


def test_force_replaces_a_pipeline_whole_and_nothing_else(full: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()  # an empty folder is in nobody's way
    assert subset(full, "en", output).exit_code == 0
    (output / "left-over").touch()
    refused = subset(full, "ru", output).exception
    assert isinstance(refused, FileExistsError) and "or --force to replace it" in str(refused)
    assert spacy.load(output).lang == "en"
    assert subset(full, "ru", output, "--force").exit_code == 0
    assert spacy.load(output).lang == "ru" and not (output / "left-over").exists()
    (tmp_path / "link").symlink_to(output)
    assert subset(full, "en", tmp_path / "link", "-f").exit_code == 0
    assert (tmp_path / "link").is_symlink() and spacy.load(output).lang == "en"
    other = tmp_path / "letters"
    other.mkdir()
    (other / "to-her.txt").write_text("…")
    for place in (other, other / "to-her.txt"):
        assert isinstance(subset(full, "en", place, "--force").exception, FileExistsError)
    assert (other / "to-her.txt").read_text() == "…"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letters", "link", "out"]


def test_wheels_that_are_there_stay(full: Path, tmp_path: Path) -> None:
    """Those of other versions too."""
    earlier = tmp_path / "en_pipeline-0.0.0.dev1-py3-none-any.whl"
    earlier.touch()
    assert subset(full, "en", tmp_path, "--wheel").exit_code == 0
    (wheel,) = set(tmp_path.iterdir()) - {earlier}
    made = wheel.read_bytes()
    wheel.write_bytes(b"mine")
    assert isinstance(subset(full, "en", tmp_path, "--wheel").exception, FileExistsError)
    assert wheel.read_bytes() == b"mine"
    assert subset(full, "en", tmp_path, "--wheel", "--force").exit_code == 0
    assert wheel.read_bytes() == made
    assert set(tmp_path.iterdir()) == {wheel, earlier}


def test_a_refused_run_makes_no_folder(full: Path, tmp_path: Path) -> None:
    for options in ([], ["--wheel"]):
        assert subset(full, "fi", tmp_path / "new" / "out", *options).exit_code == 1
        assert not list(tmp_path.iterdir())


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "out"

    def write(text: str) -> None:
        def into(path: Path) -> None:
            path.mkdir()
            (path / "text").write_text(text)
            if text == "bad":
                raise ValueError(text)

        replace_folder(output, into)

    def names() -> list[str]:
        return [path.name for path in tmp_path.iterdir()]

    write("first")
    with pytest.raises(ValueError, match="bad"):
        write("bad")
    assert (output / "text").read_text() == "first" and names() == ["out"]
    output.rename(tmp_path / ".old-out")  # as a run leaves it that is killed at the worst moment
    with pytest.raises(ValueError, match="bad"):
        write("bad")
    assert (output / "text").read_text() == "first" and names() == ["out"]
    write("second")
    assert (output / "text").read_text() == "second" and names() == ["out"]
    (output / "text").rename(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="is a file"):
        replace_folder(tmp_path / "file", lambda path: path.mkdir())
    assert (tmp_path / "file").read_text() == "second"


def test_of_processes_that_write_the_same_folder_one_leaves_its_own_whole(tmp_path: Path) -> None:
    output = tmp_path / "out"
    begun = Barrier(8, timeout=20)  # broken, not waited for for ever, where one of them fails

    def write(number: int) -> None:
        def into(path: Path) -> None:
            path.mkdir()
            for name in ("a", "b"):
                (path / name).write_text(str(number))
            begun.wait()

        replace_folder(output, into)

    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))  # none fails
        assert len({path.read_text() for path in output.iterdir()}) == 1 and len(list(output.iterdir())) == 2
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_places_that_only_look_alike_are_apart(tmp_path: Path) -> None:
    for name in ("a", "ab", "a/c"):
        (tmp_path / name).mkdir()
    check_apart(tmp_path / "a", [tmp_path / "ab", None, tmp_path / "absent"])
    check_apart(tmp_path / "a/d", [tmp_path / "a/c"])
    with pytest.raises(ValueError, match="lies in the input"):
        check_apart(tmp_path / "b/../a/c/new", [tmp_path / "a"])
    check_vacant(tmp_path / "ab")
    (tmp_path / "killed/.tmp-model").mkdir(parents=True)
    check_vacant(tmp_path / "killed", unless="run.json")
    (tmp_path / "killed/model").mkdir()
    with pytest.raises(FileExistsError, match="killed is there already"):
        check_vacant(tmp_path / "killed")
    with pytest.raises(FileExistsError, match=r"a is there already without run\.json"):
        check_vacant(tmp_path / "a", unless="run.json")


def test_quantize_of_a_profile_spares_the_pipeline_that_it_is_given(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    spec = importlib.util.spec_from_file_location("step_quantize", ROOT / "scripts/quantize.py")
    assert spec is not None and spec.loader is not None
    step = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(step)
    target = tmp_path / "training/sample/mminibert/model-onnx"
    target.mkdir(parents=True)
    (target / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"without meta\.json"):
        step.main("mminibert", "sample", packaged=str(full))
    (target / "mine.txt").unlink()
    spacy.load(full).to_disk(target)
    before = folder_sha256(tmp_path)
    with pytest.raises(ValueError, match="lies in the input"):
        step.main("mminibert", "sample", packaged=str(target))
    assert folder_sha256(tmp_path) == before


def test_every_command_with_an_output_is_here() -> None:
    """A new one has to be thought of."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    writing = {
        name for name, command in commands.items() if any(found.name == "output" for found in command.params)
    }
    assert writing == {"annotate", "subset", "quantize", "finetune", "benchmark"}
