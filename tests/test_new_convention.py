"""A treebank of the user's own as one more convention: learned, beside the others, without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import spacy
from packaged import CONVENTIONS, random_segmenter, three_languages, with_conventions
from spacy.language import Language
from spacy.tokens import Doc
from students import (
    JOINED,
    inventory,
    link_requirements,
    make_student,
    tagger,
    write_treebank,
    write_vocabulary,
)
from test_conventions import make_conventions
from test_evaluate import official
from test_finetune import accuracy, contents
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.data.conllu import read_conllu
from mminibert.evaluation.conventions import Told
from mminibert.evaluation.tagging import raw_text
from mminibert.packaging.quantize import quantize, with_lemmas, with_segmenter
from mminibert.runtime.labels import Label
from mminibert.runtime.lemmas import Lemmas
from mminibert.runtime.transitions import scores_of
from mminibert.runtime.ud_words import ud_words
from mminibert.systems.lemma_fit import fit_table
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
    assert "dev before" in result.output and "dev after" in result.output
    assert re.search(r"#\s+LOSS\s+UPOS\s+FEATS", result.output)
    assert {"code": "aa_mine", "language": "aa", "default": False} in after.meta["conventions"]
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    before_upos, after_upos = (
        record["scores"][f"dev {when}"]["gold_words"]["UPOS"] for when in ("before", "after")
    )
    assert after_upos > before_upos
    assert record["convention"] == "aa_mine" and record["train"]["name"] == train.name
    forms = {token.form for path in (train, dev) for found in read_conllu(path) for token in found.words}
    old, new = (
        set(json.loads((path / "vocab/strings.json").read_text(encoding="utf-8")))
        for path in (folder / "xx", output / "model")
    )
    assert not forms & new - old  # what is passed on has no words of the treebank


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


def test_it_has_a_lexicon_of_its_treebank(folder: Path) -> None:
    train, dev = files(folder)
    new = add_convention(spacy.load(folder / "xx"), train, folder / "lexicon", code="aa_mine", dev=dev).nlp
    conventions = tagger(new).conventions
    assert conventions is not None
    head = conventions.head("aa_mine")
    assert head.lexicon is not None and len(head.lexicon)
    own = {(token.form, (token.upos, token.feats)) for found in read_conllu(train) for token in found.words}
    for form, _ in own:
        place = head.lexicon.find(form)
        if place >= 0:  # of the others the network is sure
            span = slice(*head.lexicon.starts[place : place + 2])
            shown = {head.inventory.combinations[i] for i in head.lexicon.candidates[span]}
            assert shown >= {label for each, label in own if each == form}


def test_what_is_counted_of_multiword_tokens(folder: Path) -> None:
    """The lexicon has their forms, and forms of their words; side by side stand words alone."""
    write_treebank(folder, "joined", train=100, dev=20)
    train, dev = (folder / "joined" / f"joined-ud-{split}.conllu" for split in ("train", "dev"))
    new = add_convention(spacy.load(folder / "xx"), train, folder / "chain", code="aa_mine", dev=dev).nlp
    conventions = tagger(new).conventions
    assert conventions is not None
    head = conventions.head("aa_mine")
    found = list(read_conllu(train))
    assert any(form == JOINED for sentence in found for form, _, _ in sentence.tokens())
    assert head.lexicon is not None and head.lexicon.find(JOINED) >= 0
    own = [[(token.upos, token.feats) for token in sentence.words] for sentence in found]
    assert head.transitions is not None and head.transitions.any()
    assert head.transitions.tolist() == scores_of(own, head.inventory).tolist()


def test_its_language_is_found(folder: Path) -> None:
    train, _ = files(folder)
    found = add_convention(spacy.load(folder / "aa"), train, folder / "found")
    assert found.code == "aa_own"
    before, after = (found.scores[f"dev {when}"]["gold_words"]["UPOS"] for when in ("before", "after"))
    assert after > before


def test_again_it_takes_the_place_of_the_first(folder: Path) -> None:
    train, _ = files(folder)
    nlp = spacy.load(folder / "aa")
    for replaced in (False, True):
        found = add_convention(nlp, train, folder / "again")
        told = "it takes the place of the convention aa_own that the pipeline had"
        assert (told in found.notes) == replaced
        nlp = found.nlp
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


ROWS = [
    ("abc", "NOUN", "Number=Sing"),
    ("bad", "VERB", "Tense=Past"),
    ("cab", "NOUN", "Number=Plur"),
    ("?", "PUNCT", "_"),
]


def swapped(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [rows[1], rows[0], *rows[2:]]


def own_file(path: Path, n: int, *, feats: bool = True, blanks: bool = True) -> Path:
    """Sentences of English words, in which no blank stands before the last."""
    text = ""
    for i in range(n):
        rows = swapped(ROWS) if i % 2 else ROWS
        for number, (form, upos, found) in enumerate(rows, 1):
            misc = "SpaceAfter=No" if blanks and number == 3 else "_"
            text += f"{number}\t{form}\t_\t{upos}\t_\t{found if feats else '_'}\t{number - 1}\t_\t_\t{misc}\n"
        text += "\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged pipeline with conventions, a segmenter and a card."""
    folder = tmp_path_factory.mktemp("segmenting")
    nlp = with_segmenter(with_conventions(three_languages()), random_segmenter())
    pipe = tagger(nlp)
    pipe.conventions = make_conventions(CONVENTIONS, pipe.output_layer.get_dim("nI"))
    nlp.meta.update(
        {"name": "mminibert", "version": "7.0", "license": "X-1.0", "sources": [{"name": "UD en_x"}]}
    )
    nlp.meta["performance"] = {"pos_acc": 0.5}
    nlp.to_disk(folder / "xx")
    (folder / "xx" / "MODEL_CARD.md").write_text("# the old card\n", encoding="utf-8")
    return folder


def texts_of(nlp: Language, code: str) -> list[Any]:
    tokenizer: Any = nlp.tokenizer
    tagger(nlp).convention = tokenizer.language = code
    docs = nlp.pipe(["abc bad cab? cab-ace, abccde. bad", "я к як."])
    return [
        [(token.text, token.pos_, str(token.morph), token.is_sent_start, ud_words(token)) for token in doc]
        for doc in docs
    ]


def test_it_learns_to_segment_too(segmenting: Path) -> None:
    train, test = own_file(segmenting / "train.conllu", 60), own_file(segmenting / "test.conllu", 20)
    trained = spacy.load(segmenting / "xx")
    output = segmenting / "made"
    found = add_convention(trained, train, output, code="en_mine", test=test)
    nlp = spacy.load(output / "model")
    tokenizer: Any = nlp.tokenizer
    assert found.code == tokenizer.language == tagger(nlp).convention == "en_mine"
    doc = nlp("abc bad cab? bad abc cab?")
    assert [token.text for token in doc] == ["abc", "bad", "cab", "?", "bad", "abc", "cab", "?"]
    for code in CONVENTIONS:
        assert texts_of(nlp, code) == texts_of(trained, code)
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert record["scores"] == found.scores and record["test"]["name"] == "test.conllu"
    after, before = (record["scores"][f"test {when}"]["raw_text"] for when in ("after", "before"))
    assert after["Tokens"] == 1.0 > before["Tokens"] and after["Sentences"] >= before["Sentences"]
    tagged = raw_text(nlp, list(read_conllu(test)), (Told("en_mine", "en_mine"),)).conllu[
        Told("en_mine", "en_mine")
    ]
    (segmenting / "found.conllu").write_text(tagged, encoding="utf-8")
    expected = official(test, segmenting / "found.conllu")
    assert after == {name: pytest.approx(expected[name].f1) for name in after}


def test_what_it_is_called(segmenting: Path) -> None:
    """Name, version and card are of its own; licence and sources are those there were, and the treebank's."""
    train = own_file(segmenting / "train.conllu", 30)
    trained = spacy.load(segmenting / "xx")
    meta = add_convention(trained, train, segmenting / "named", code="en_mine").nlp.meta
    assert (meta["name"], meta["version"], meta["license"]) == ("mminibert_en_mine", "7.0", "X-1.0")
    assert meta["sources"] == [{"name": "UD en_x"}, {"name": "Convention en_mine: train.conllu"}]
    assert not meta.get("performance")
    card = (segmenting / "named" / "model" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# xx_mminibert_en_mine 7.0\n") and card.endswith("# the old card\n")
    again = spacy.load(segmenting / "named" / "model")
    own = {"name": "ours", "version": "1.2.3", "code": "en_mine"}
    meta = add_convention(again, train, segmenting / "again", **own).nlp.meta  # type: ignore[arg-type]
    assert (meta["name"], meta["version"]) == ("ours", "1.2.3")
    assert len(meta["sources"]) == 2
    for wrong in ("mminibert", "mminibert_en", "Ours", "a b"):
        with pytest.raises(ValueError, match=f"--name: got '{wrong}'"):
            add_convention(trained, train, segmenting / "refused", name=wrong)
    with pytest.raises(ValueError, match="--version: got 'new'"):
        add_convention(trained, train, segmenting / "refused", version="new")
    assert not (segmenting / "refused").exists()


def test_its_wheel(segmenting: Path) -> None:
    train = own_file(segmenting / "train.conllu", 30)
    output = segmenting / "wheel"
    arguments = ["finetune", str(segmenting / "xx"), str(train), str(output), "--wheel"]
    result = CliRunner().invoke(app, [*arguments, "--lang", "en", "--version", "1.0"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (wheel,) = output.glob("*.whl")
    assert wheel.name == "xx_mminibert_en_own-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        licences = next(name for name in names if name.endswith("1.0/LICENSES_SOURCES"))
        assert "Convention en_own: train.conllu" in archive.read(licences).decode()
        assert any(name.endswith("/MODEL_CARD.md") for name in names)


def test_without_features_those_of_the_default_convention_stay(segmenting: Path) -> None:
    train = own_file(segmenting / "bare.conllu", 60, feats=False)
    trained = spacy.load(segmenting / "xx")
    found = add_convention(trained, train, segmenting / "bare", code="en_mine")
    assert "UFeats" not in found.scores["dev after"]["gold_words"]
    assert any("no word has FEATS; features are those of en_" in note for note in found.notes)
    pipe = tagger(trained)
    pipe.convention = "en"
    docs = [Doc(trained.vocab, words=[form for form, _, _ in rows]) for rows in (ROWS, swapped(ROWS))]
    before = {(token.pos_, str(token.morph) or "_") for doc in trained.pipe(docs) for token in doc}
    conventions = tagger(found.nlp).conventions
    assert conventions is not None
    labels = set(conventions.head("en_mine").labels)
    own = {upos for _, upos, _ in ROWS}
    common = {label for label in labels if label[0] in {upos for upos, _ in before}}
    assert common <= before and any(feats != "_" for _, feats in common)
    assert labels - common == {(upos, "_") for upos in own - {upos for upos, _ in common}}


def test_without_blanks_text_is_segmented_as_before(segmenting: Path) -> None:
    train = own_file(segmenting / "unsaid.conllu", 30, blanks=False)
    trained = spacy.load(segmenting / "xx")
    found = add_convention(trained, train, segmenting / "unsaid", code="en_mine")
    assert any("where blanks are" in note for note in found.notes)
    now, before = cast("tuple[Any, Any]", (found.nlp.tokenizer, trained.tokenizer))
    assert now.to_bytes() == before.to_bytes()


def test_options_that_do_not_go_together(segmenting: Path) -> None:
    train = own_file(segmenting / "train.conllu", 30)
    start = ["finetune", str(segmenting / "xx"), str(train), str(segmenting / "never")]
    for options in (
        ["--words", "10"],
        ["--keep"],
        ["--encoder", "--lang", "en"],
        ["--encoder", "--convention", "en_a"],
    ):
        with pytest.raises(ValueError, match="--encoder"):
            CliRunner().invoke(app, [*start, *options], catch_exceptions=False)
    assert not (segmenting / "never").exists()


def with_lemma_column(path: Path, source: Path, lemma: Callable[[str], str]) -> Path:
    rows = (line.split("\t") for line in source.read_text(encoding="utf-8").split("\n"))
    lines = ["\t".join([*row[:2], lemma(row[1]), *row[3:]] if len(row) == 10 else row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_it_learns_lemmas_beside_those_of_the_others(folder: Path, tmp_path: Path) -> None:
    old = fit_table(
        {"aa_x": Counter({(form, upos, "_", "old"): 1 for form in ("cab", "a") for upos in ("X", "DET")})}
    )
    with_lemmas(spacy.load(folder / "aa"), Lemmas.of([old])).to_disk(tmp_path / "aa")
    nlp = spacy.load(tmp_path / "aa")
    train = with_lemma_column(tmp_path / "train.conllu", files(folder)[0], str.upper)
    found = add_convention(nlp, train, tmp_path / "made", code="aa_mine")
    made = spacy.load(tmp_path / "made" / "model")
    doc = made("a cab faced worse .")
    assert [token.lemma_ for token in doc] == [token.text.upper() for token in doc]
    scores = [found.scores[f"dev {when}"]["gold_words"]["Lemmas"] for when in ("before", "after")]
    assert scores[0] < 0.1 < 0.9 < scores[1]
    tagger(made).convention = "aa_x"
    assert (
        [token.lemma_ for token in made("a cab")]
        == [token.lemma_ for token in nlp("a cab")]
        == ["old", "old"]
    )
    bare = with_lemma_column(tmp_path / "bare.conllu", files(folder)[0], lambda _: "_")
    none = add_convention(nlp, bare, tmp_path / "none", code="aa_mine")
    assert any("no word has a LEMMA" in note for note in none.notes)
    assert {token.lemma_ for token in none.nlp("a cab")} == {""}
