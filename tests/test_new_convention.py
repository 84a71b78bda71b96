"""A treebank of the user's own as one more convention: learned, beside the others, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from students import inventory, link_requirements, make_student, tagger, write_treebank, write_vocabulary
from test_conventions import make_conventions
from test_finetune import accuracy, contents
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.packaging.quantize import quantize
from mminibert.runtime.labels import Label
from mminibert.systems.new_convention import add_convention

LABELS: dict[str, list[Label]] = {
    "aa_x": [("X", "Foreign=Yes"), ("DET", "_")],
    "bb_z": [("SYM", "_"), ("INTJ", "_")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`xx` is a packaged pipeline with two conventions, `aa` one with those of one language, `own` a
    treebank."""
    folder = tmp_path_factory.mktemp("own")
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory())
    light = quantize(nlp, [nlp.make_doc(text) for text in ("a cab", "faced worse .")])
    pipe = tagger(light)
    light.to_disk(folder / "bare")
    pipe.conventions = make_conventions(LABELS, pipe.output_layer.get_dim("nI"))
    light.to_disk(folder / "xx")
    pipe.conventions = pipe.conventions.only({"aa_x"})
    light.to_disk(folder / "aa")
    write_treebank(folder, "own", train=300, dev=30, joined=False)
    return folder


def files(folder: Path) -> tuple[Path, Path]:
    train, dev = (folder / "own" / f"own-ud-{split}.conllu" for split in ("train", "dev"))
    return train, dev


def test_by_the_command(folder: Path) -> None:
    train, dev = files(folder)
    output = folder / "learnt"
    arguments = ["finetune", str(folder / "xx"), str(train), str(output), "--dev", str(dev)]
    result = CliRunner().invoke(app, [*arguments, "--convention", "aa_mine"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    before, after = spacy.load(folder / "xx"), spacy.load(output / "model")
    tagger(before).convention = "aa"
    assert accuracy(before, dev) < 0.2  # its labels are others
    assert accuracy(after, dev) > 0.4  # though the encoder has learned nothing
    assert after("a cab")._.convention == "aa_mine"
    assert "before  on dev UPOS" in result.output and "after   on dev UPOS" in result.output
    assert {"code": "aa_mine", "language": "aa", "default": False} in after.meta["conventions"]
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert record["dev_after"]["upos"] > record["dev_before"]["upos"]
    assert record["convention"] == "aa_mine" and record["train"]["name"] == train.name


def test_it_forgets_nothing_of_the_others(folder: Path) -> None:
    train, dev = files(folder)
    old = spacy.load(folder / "xx")
    new = add_convention(old, train, folder / "others", code="aa_mine", dev=dev).nlp
    texts = ["a cab faced worse .", "bad cabs", "faced"]
    for code in LABELS:
        for nlp in (old, new):
            tagger(nlp).convention = code
        assert [[(token.pos_, str(token.morph)) for token in doc] for doc in new.pipe(texts)] == [
            [(token.pos_, str(token.morph)) for token in doc] for doc in old.pipe(texts)
        ]
        one, other = tagger(old).conventions, tagger(new).conventions
        assert one is not None and other is not None
        assert (one.head(code).rows == other.head(code).rows).all()
        assert one.defaults.items() <= other.defaults.items()


def test_its_language_is_found(folder: Path) -> None:
    train, _ = files(folder)
    found = add_convention(spacy.load(folder / "aa"), train, folder / "found")
    assert found.code == "aa_own"
    assert found.after.upos > found.before.upos


def test_again_it_takes_the_place_of_the_first(folder: Path) -> None:
    train, _ = files(folder)
    nlp = spacy.load(folder / "aa")
    for _ in range(2):
        nlp = add_convention(nlp, train, folder / "again").nlp
    conventions = tagger(nlp).conventions
    assert conventions is not None and conventions.codes == ("aa_own", "aa_x")
    assert [row["code"] for row in nlp.meta["conventions"]] == ["aa_own"]


def test_it_needs_no_torch(folder: Path, tmp_path: Path) -> None:
    train, dev = files(folder)
    link_requirements(tmp_path, ["mminibert"])
    (tmp_path / "mminibert").symlink_to(Path(__file__).parents[1] / "mminibert")
    code = (
        "import importlib.util, sys\n"
        "sys.path.insert(0, sys.argv.pop(1))\n"
        "assert not any(map(importlib.util.find_spec, ('torch', 'transformers', 'onnx')))\n"
        "from mminibert.cli import main\n"
        "main()\n"
    )
    arguments = ["finetune", str(folder / "xx"), str(train), str(folder / "light"), "--dev", str(dev)]
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path), *arguments, "--convention", "aa_mine"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "light" / "model" / "config.cfg").exists()


@pytest.mark.parametrize(
    ("pipeline", "text", "settings", "message"),
    [
        ("bare", None, {}, "has no conventions.*--encoder"),
        ("xx", None, {"code": "mine"}, "'mine', expected a language and a name"),
        ("xx", "1\ta\ta\tNOSUCH\t_\t_\t_\t_\t_\t_\n\n", {}, "line 1.*NOSUCH"),
        ("xx", "", {"code": "aa_mine"}, "got no sentence, expected at least one"),
        ("xx", "1\ta\ta\tX\t_\t_\t_\t_\t_\t_\n\n", {"code": "aa_mine"}, "got 1 sentences"),
    ],
)
def test_what_is_refused_changes_nothing(
    folder: Path, pipeline: str, text: str | None, settings: dict[str, Any], message: str
) -> None:
    train, dev = files(folder)
    output = folder / "refused"
    if not output.exists():
        add_convention(spacy.load(folder / "xx"), train, output, code="aa_mine", dev=dev)
    before = contents(output)
    if text is not None:
        train = folder / "bad.conllu"
        train.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        add_convention(spacy.load(folder / pipeline), train, output, **settings)
    assert contents(output) == before


def test_a_tenth_serves_where_there_is_no_dev(folder: Path) -> None:
    """Held out sentences are not learned from: with two, one is left."""
    train = folder / "two.conllu"
    rows = ["1\tcab\tcab\tX\t_\t_\t_\t_\t_\t_\n\n", "1\tface\tface\tDET\t_\t_\t_\t_\t_\t_\n\n"]
    train.write_text("".join(rows), encoding="utf-8")
    found = add_convention(spacy.load(folder / "xx"), train, folder / "two", code="aa_two")
    conventions = tagger(found.nlp).conventions
    assert conventions is not None and len(conventions.inventory("aa_two").combinations) == 1


def test_options_of_one_way_do_not_go_with_the_other(folder: Path) -> None:
    train, _ = files(folder)
    for options in (["--words", "100"], ["--encoder", "--convention", "aa_mine"]):
        result = CliRunner().invoke(
            app, ["finetune", str(folder / "xx"), str(train), str(folder / "no"), *options]
        )
        assert isinstance(result.exception, ValueError) and "--encoder" in str(result.exception)
        assert not (folder / "no").exists()
