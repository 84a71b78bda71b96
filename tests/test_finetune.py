"""A packaged pipeline goes on with a treebank of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from students import LEXICON, inventory, make_student, tagger, write_treebank, write_vocabulary
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.packaging.quantize import quantize
from mminibert.systems.finetune import finetune


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`xx` is a packaged pipeline that knows nothing yet, `own` a treebank."""
    folder = tmp_path_factory.mktemp("finetune")
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory())
    docs = [nlp.make_doc(text) for text in ("a cab", "faced worse .")]
    quantize(nlp, docs).to_disk(folder / "xx")
    write_treebank(folder, "own", train=300, dev=30, joined=False)
    return folder


def accuracy(nlp: Language, path: Path) -> float:
    """Words whose UPOS and FEATS (where they are known) are right, a plain count."""
    right = words = 0
    for sentence in path.read_text(encoding="utf-8").strip().split("\n\n"):
        rows = [line.split("\t") for line in sentence.split("\n")]
        for token, row in zip(nlp(Doc(nlp.vocab, words=[row[1] for row in rows])), rows, strict=True):
            known = row[9] == "_"
            right += token.pos_ == row[3] and (not known or (str(token.morph) or "_") == row[5])
            words += 1
    return right / words


def test_it_learns_the_treebank_and_needs_no_torch_afterwards(folder: Path) -> None:
    train, dev = (folder / "own" / f"own-ud-{split}.conllu" for split in ("train", "dev"))
    output = folder / "learnt"
    result = CliRunner().invoke(
        app,
        ["finetune", str(folder / "xx"), str(train), str(output), "--dev", str(dev), "--words", "600000"],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    before, after = spacy.load(folder / "xx"), spacy.load(output / "model")
    assert accuracy(before, dev) < 0.5
    assert accuracy(after, dev) > 0.9
    assert after.config["components"]["tok2vec"]["model"]["@architectures"] == "mminibert.MiniBertOnnx.v1"
    assert "on dev UPOS" in result.output


def test_labels_are_added_to_those_there_were(folder: Path) -> None:
    train = folder / "own" / "own-ud-train.conllu"
    nlp = finetune(spacy.load(folder / "xx"), train, folder / "labels", words=200)
    found = set(tagger(nlp).inventory.combinations)
    assert set(inventory().combinations) <= found
    assert set(LEXICON.values()) <= found


def test_a_bad_file_is_said_with_its_line(folder: Path) -> None:
    bad = folder / "bad.conllu"
    bad.write_text("1\ta\ta\tNOSUCH\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1.*NOSUCH"):
        finetune(spacy.load(folder / "xx"), bad, folder / "wrong")


def test_a_folder_of_another_run_is_refused(folder: Path) -> None:
    train = folder / "own" / "own-ud-train.conllu"
    finetune(spacy.load(folder / "xx"), train, folder / "twice", words=200)
    finetune(spacy.load(folder / "xx"), train, folder / "twice", words=200)
    with pytest.raises(ValueError, match="had another config"):
        finetune(spacy.load(folder / "xx"), train, folder / "twice", words=300)
