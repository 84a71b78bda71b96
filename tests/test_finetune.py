"""A packaged pipeline goes on with a treebank of the user's own."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from students import LEXICON, inventory, make_student, tagger, write_treebank, write_vocabulary
from test_conventions import make_conventions
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.packaging.quantize import quantize, with_lemmas
from mminibert.runtime.labels import Label
from mminibert.runtime.lemmas import Lemmas
from mminibert.systems.finetune import finetune, new_student
from mminibert.systems.lemma_fit import fit_table
from mminibert.systems.transfer import continue_from

CONVENTIONS: dict[str, list[Label]] = {"aa_x": [("X", "_")], "aa_y": [("SYM", "_")]}
META: dict[str, Any] = {
    "conventions": [{"code": "aa_x", "language": "aa", "default": True}],
    "license": "CC BY-NC-SA 4.0",
    "author": "Somebody",
    "languages": ["aa", "bb"],
    "sources": [{"name": "UD aa_x", "license": "CC BY-SA 4.0"}],
    "notes": "A note.",
    "performance": {"pos_acc": 0.5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`xx` is a packaged pipeline that knows nothing yet, `own` a treebank."""
    folder = tmp_path_factory.mktemp("finetune")
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory())
    docs = [nlp.make_doc(text) for text in ("a cab", "faced worse .")]
    quantize(nlp, docs).to_disk(folder / "xx")
    write_treebank(folder, "own", train=300, dev=30, joined=False)
    return folder


@pytest.fixture
def packaged(folder: Path) -> Language:
    """The pipeline as users may have changed it, with a convention."""
    nlp = spacy.load(folder / "xx")
    nlp.meta.update(META)
    nlp.add_pipe("entity_ruler", first=True).add_patterns([{"label": "CAR", "pattern": "cab"}])  # type: ignore[attr-defined]
    tokenizer: Any = nlp.tokenizer
    tokenizer.add_special_case("cabs.", [{"ORTH": "cabs"}, {"ORTH": "."}])
    pipe = tagger(nlp)
    pipe.conventions = make_conventions(CONVENTIONS, pipe.output_layer.get_dim("nI"))
    pipe.convention = "aa_x"
    return nlp


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


def accuracy_of_upos(nlp: Language, path: Path) -> float:
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line]
    sentences = [s.split("\n") for s in path.read_text(encoding="utf-8").strip().split("\n\n")]
    docs = [Doc(nlp.vocab, words=[line.split("\t")[1] for line in lines]) for lines in sentences]
    found = [token.pos_ for doc in nlp.pipe(docs) for token in doc]
    return sum(pos == row[3] for pos, row in zip(found, rows, strict=True)) / len(rows)


def test_it_learns_the_treebank_and_needs_no_torch_afterwards(folder: Path) -> None:
    train, dev = (folder / "own" / f"own-ud-{split}.conllu" for split in ("train", "dev"))
    output = folder / "learnt"
    result = CliRunner().invoke(
        app,
        [
            *("finetune", str(folder / "xx"), str(train), str(output)),
            *("--encoder", "--dev", str(dev), "--words", "300000", "--keep", "--test", str(dev)),
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    before, after = spacy.load(folder / "xx"), spacy.load(output / "model")
    assert accuracy(before, dev) < 0.5
    assert accuracy(after, dev) > 0.85
    assert after.config["components"]["tok2vec"]["model"]["@architectures"] == "mminibert.MiniBertOnnx.v1"
    score = f"{100 * accuracy_of_upos(after, dev):.2f}"
    for name in ("dev after", "test after"):
        (row,) = [line for line in result.output.splitlines() if name in line]
        assert row.split("|")[2].strip() == score


def test_labels_are_added_to_those_there_were(folder: Path) -> None:
    train = folder / "own" / "own-ud-train.conllu"
    nlp, _ = finetune(spacy.load(folder / "xx"), train, folder / "labels", words=200)
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


def test_it_begins_with_what_the_trained_pipeline_knows(folder: Path) -> None:
    """Hardly trained any further, it tags as before."""
    dev = folder / "own" / "own-ud-dev.conllu"
    trained = spacy.load(folder / "learnt" / "model")
    before = accuracy(trained, dev)
    assert before > 0.85
    after, _ = finetune(trained, folder / "own" / "own-ud-train.conllu", folder / "hardly", words=1)
    assert accuracy(after, dev) > before - 0.05


def test_what_is_kept_are_the_trained_weights(folder: Path) -> None:
    """The result tags as the best pipeline of training does, and that is what was learnt."""
    best = spacy.load(folder / "learnt" / "training" / "model-best")
    light = spacy.load(folder / "learnt" / "model")
    dev = folder / "own" / "own-ud-dev.conllu"
    assert accuracy(best, dev) > 0.85
    assert accuracy(light, dev) == pytest.approx(accuracy(best, dev), abs=0.02)


def test_all_else_of_the_pipeline_stays(folder: Path, packaged: Language) -> None:
    finetune(packaged, folder / "own" / "own-ud-train.conllu", folder / "kept", words=200, keep=True)
    for path in ("training/model-best", "model"):
        found = spacy.load(folder / "kept" / path)
        for key in ("license", "author", "languages", "notes", "version"):
            assert found.meta[key] == packaged.meta[key], key
        assert found.meta["name"] == f"{packaged.meta['name']}_finetuned"
        assert found.meta["sources"] == [*META["sources"], {"name": "Fine-tuned on own-ud-train.conllu"}]
        assert not found.meta.get("performance")  # of the weights before
        assert set(packaged.pipe_names) <= set(found.pipe_names) <= {*packaged.pipe_names, "tok2vec"}
        assert [ent.label_ for ent in found("a cab").ents] == ["CAR"]
        assert [token.text for token in found.tokenizer("a cabs.")] == ["a", "cabs", "."]
        assert tagger(found).upos_weight == tagger(packaged).upos_weight
        assert tagger(found).scorer is not None


def test_settings_of_the_tagger_stay(folder: Path, packaged: Language) -> None:
    config = packaged.config.copy()
    config["components"]["morphologizer"] |= {"confidences": True, "upos_weight": 2.5}
    other = spacy.util.load_model_from_config(config, auto_fill=True)
    other.from_bytes(packaged.to_bytes(), exclude=["config.cfg"])
    nlp = new_student(other, tagger(other).inventory)
    assert (tagger(nlp).confidences, tagger(nlp).upos_weight) == (True, 2.5)


def test_the_result_has_one_head_for_all(folder: Path, packaged: Language) -> None:
    """Conventions are of the encoder that there was."""
    finetune(packaged, folder / "own" / "own-ud-train.conllu", folder / "conventions", words=200, keep=True)
    for path in ("training/model-best", "model"):
        found = spacy.load(folder / "conventions" / path)
        assert tagger(found).conventions is None and tagger(found).convention is None
        assert "conventions" not in found.meta
        assert {token.pos_ for token in found("a cab")} <= {upos for upos, _ in LEXICON.values()}


def test_what_was_made_on_the_way_is_removed(folder: Path) -> None:
    train, output = folder / "own" / "own-ud-train.conllu", folder / "alone"
    finetune(spacy.load(folder / "xx"), train, output, words=200, name="mine", version="2.0.0")
    assert {path.name for path in output.iterdir()} == {"model", "run.json"}
    found = spacy.load(output / "model")
    assert (found.meta["name"], found.meta["version"]) == ("mine", "2.0.0")
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert record["scores"].keys() == {"dev before", "dev after"}


def test_features_that_the_treebank_lacks_are_not_unlearned(folder: Path) -> None:
    """Nothing is learned of FEATS: those of what it was trained from stay."""
    train = folder / "without.conllu"
    rows = (folder / "own" / "own-ud-train.conllu").read_text(encoding="utf-8").splitlines()
    cells = [line.split("\t") for line in rows]
    bare = ["\t".join([*row[:5], "_", *row[6:]]) if len(row) > 1 else row[0] for row in cells]
    train.write_text("\n".join(bare) + "\n\n", encoding="utf-8")
    dev = folder / "own" / "own-ud-dev.conllu"
    trained = spacy.load(folder / "learnt" / "model")
    nlp, scores = finetune(trained, train, folder / "without", words=20_000)
    assert "UFeats" not in scores["dev after"]["gold_words"]
    assert accuracy(nlp, dev) > 0.8


def test_a_language_whose_tokenizer_is_not_installed(folder: Path) -> None:
    """As `subset` cuts them: Japanese by rules, since spaCy's own tokenizer needs SudachiPy."""
    nlp = spacy.load(folder / "xx")
    config = nlp.config.copy()
    config["nlp"]["lang"] = "ja"
    config["nlp"]["tokenizer"] = {"@tokenizers": "spacy.Tokenizer.v1"}
    japanese = spacy.util.load_model_from_config(config, auto_fill=True)
    japanese.from_bytes(nlp.to_bytes(), exclude=["config.cfg", "meta.json"])
    found = new_student(japanese, tagger(japanese).inventory)
    assert found.lang == "ja"
    assert [token.text for token in found("a cab")] == ["a", "cab"]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_refused_run_changes_nothing(folder: Path) -> None:
    train, dev = (folder / "own" / f"own-ud-{split}.conllu" for split in ("train", "dev"))
    output = folder / "refused"
    finetune(spacy.load(folder / "xx"), train, output, dev=dev, words=200)
    before = contents(output)
    bad = folder / "bad.conllu"
    bad.write_text("1\ta\ta\tNOSUCH\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8")
    for changed, settings in (
        (train, {"dev": dev, "words": 300}),
        (dev, {"dev": dev, "words": 200}),
        (train, {"words": 200}),  # without dev: a tenth of train, not the file of before
        (bad, {"dev": dev, "words": 200}),
        (train, {"dev": bad, "words": 200}),
    ):
        with pytest.raises(ValueError, match=r"had another config|NOSUCH"):
            finetune(spacy.load(folder / "xx"), changed, output, **settings)
        assert contents(output) == before
    with pytest.raises(ValueError, match=rf"^{re.escape(str(bad))}, line \d+: .*NOSUCH"):
        finetune(spacy.load(folder / "xx"), bad, folder / "never")
    assert not (folder / "never").exists()


def test_a_shared_encoder_goes_on_as_one_that_is_not(folder: Path) -> None:
    nlp, plain = (spacy.load(folder / "learnt" / "model") for _ in range(2))
    plain.replace_listeners("tok2vec", "morphologizer", ["model.tok2vec"])
    plain.remove_pipe("tok2vec")
    dev = folder / "own" / "own-ud-dev.conllu"
    assert accuracy(nlp, dev) == accuracy(plain, dev) > 0.85
    for before in (plain, nlp):
        made = new_student(before, tagger(before).inventory)
        continue_from(made, before)
        assert made.pipe_names == before.pipe_names
        assert accuracy(made, dev) > 0.85
    assert made.config["components"]["tok2vec"]["factory"] == "shared_encoder"


def test_lemmas_are_those_of_the_treebank(folder: Path, packaged: Language, tmp_path: Path) -> None:
    """There is one table, as there is one head; a pipeline that had none has none."""
    rows = (line.split("\t") for line in (folder / "own/own-ud-train.conllu").read_text("utf-8").split("\n"))
    train = tmp_path / "train.conllu"
    lines = ["\t".join([*row[:2], f"{row[1]}q", *row[3:]] if len(row) == 10 else row) for row in rows]
    train.write_text("\n".join(lines), encoding="utf-8")
    conventions = tagger(packaged).conventions
    assert conventions is not None
    old = fit_table({conventions.codes[0]: Counter({("a", "X", "_", "old"): 1})})
    with_lemmas(packaged, Lemmas.of([old])).to_disk(tmp_path / "packaged")
    found, _ = finetune(spacy.load(tmp_path / "packaged"), train, tmp_path / "made", words=200)
    assert [token.lemma_ for token in found("the dogs saw")] == ["theq", "dogsq", "sawq"]
    bare, _ = finetune(packaged, train, tmp_path / "bare", words=200)
    assert "lemmatizer" not in bare.pipe_names
