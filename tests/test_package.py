from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from email import message_from_bytes
from email.message import Message
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from packaged import (
    CONVENTIONS,
    LABELS,
    PIECES,
    SENTENCES,
    WHOLE,
    levels_of,
    segmenter_bytes,
    three_languages,
    with_conventions,
)
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from students import link_requirements, make_student
from typer.testing import CliRunner

from mminibert.cli import app
from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.files import sha256, write_json
from mminibert.packaging.assemble import parts_of
from mminibert.packaging.build import package
from mminibert.packaging.cards import model_card
from mminibert.packaging.language_parts import language_levels, language_parts
from mminibert.packaging.page import licence, performance, scores_table
from mminibert.packaging.records import read_records
from mminibert.packaging.stages import training_stage
from mminibert.packaging.subset import RARE, cut, subset, tokenizer_note, without_rare_pieces
from mminibert.packaging.wheels import build_library, build_pipeline, read_distribution
from mminibert.project.parts import Part
from mminibert.project.profile import Profile
from mminibert.project.vocabulary import Source, put_vocabulary
from mminibert.runtime.languages import Levels, language_of
from mminibert.runtime.lemmas import Lemmas
from mminibert.runtime.losses import one_hot
from mminibert.runtime.pipeline import lemmatizer, pipeline_encoder, tagger
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces
from mminibert.systems.lemma_fit import WordCounts, fit_table
from mminibert.systems.manifest import write_manifest

ROOT = Path(__file__).parents[1]
NEEDED = set(SPECIAL_PIECES)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return three_languages()


def kept_by(levels: Levels) -> set[str]:
    return {PIECES.vocab[i] for i in np.flatnonzero(levels)}


def tag(nlp: Language, words: list[str], convention: str | None = None) -> list[tuple[str, str]]:
    """In this convention, by default as the pipeline finds it."""
    pipe = tagger(nlp)
    before = pipe.convention
    pipe.convention = convention
    doc = nlp(Doc(nlp.vocab, words=words))
    pipe.convention = before
    return [(t.pos_, str(t.morph)) for t in doc]


@pytest.fixture(scope="module")
def whole(nlp: Language) -> Language:
    return with_conventions(nlp)


@pytest.fixture(scope="module")
def light(whole: Language) -> Language:
    return subset(whole, "en")


@pytest.fixture(scope="module")
def bare(nlp: Language) -> Language:
    """Of one language, cut out of a pipeline without conventions."""
    return cut(nlp, "en", levels_of("en") > 0)


WORDS = st.lists(st.text("abcde.-", min_size=1, max_size=9), min_size=1, max_size=12)


@given(words=WORDS)
@pytest.mark.parametrize("code", ["en_x", "en_y"])
def test_subset_predicts_what_the_whole_does(
    whole: Language, light: Language, code: str, words: list[str]
) -> None:
    found = tag(light, words, code)
    assert found == tag(whole, words, code)
    allowed = {(upos, "" if feats == "_" else feats) for upos, feats in LABELS["en"] + CONVENTIONS["en_y"]}
    assert set(found) <= allowed


@given(words=WORDS)
def test_without_conventions_too(nlp: Language, bare: Language, words: list[str]) -> None:
    assert tag(bare, words) == tag(nlp, words)


def test_subset_has_all_conventions_of_its_language(whole: Language, light: Language) -> None:
    before, after = tagger(whole).conventions, tagger(light).conventions
    assert before is not None and after is not None
    assert after.codes == ("en_x", "en_y") and after.defaults == {"en": "en_x"}
    assert after.head("en_y") is before.head("en_y")
    assert tagger(light).languages is None
    doc = light(Doc(light.vocab, words=["abc", "bad", ".", "cab"]))
    assert doc._.convention == "en_x" and len(list(doc.sents)) == 2
    assert tag(light, ["abc", "bad"]) == tag(whole, ["abc", "bad"], "en_x")


def test_a_convention_that_is_set_is_kept_by_its_language_alone(whole: Language) -> None:
    pipe = tagger(whole)
    pipe.convention = "en_y"
    chosen = {lang: tagger(subset(whole, lang)).convention for lang in ("en", "ru")}
    pipe.convention = None
    assert chosen == {"en": "en_y", "ru": None}


def test_subset_is_smaller(whole: Language, light: Language) -> None:
    full_pipe, pipe = (cast(Any, p.get_pipe("morphologizer")) for p in (whole, light))
    vocab = pipe.encoder.pieces.vocab
    assert not set(vocab) & {"я", "##к", "漢", "##語", "χ", "ябк", "漢語"}
    assert set(vocab) >= {"abc", "##cde", "a", "##e", "?"}
    assert pipe.labels == (
        *("UPOS=NOUN", "UPOS=PUNCT", "UPOS=VERB"),
        *("Number=", "Number=Plur", "Number=Sing"),
        *("Tense=", "Tense=Past"),
    )
    assert pipe.model.get_ref("output_layer").get_dim("nO") == 8
    assert full_pipe.model.get_ref("output_layer").get_dim("nO") > 8
    assert len(pipe.model.to_bytes()) < len(full_pipe.model.to_bytes())


def test_part_of_a_language() -> None:
    # ASCII and all that is no letter stays; of other scripts only the language's own.
    assert kept_by(levels_of("ru")) == {*"abcdeяк.?-", *(f"##{c}" for c in "abcdeяк")}


def test_rare_letters_are_foreign() -> None:
    words = dict.fromkeys(["a" * n for n in range(1, 21)] + ["я"], 1)  # 1 letter of 211
    kept = kept_by(language_levels(PIECES, words))
    assert "я" in kept  # it occurs
    assert "к" not in kept


def test_the_most_frequent_pieces_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"abccde": 2, "ябк": 3, "як": 1, "abc": 2}  # abc ##cde, ябк, я ##к, abc
    for most, kept in ((1, {"abc"}), (2, {"abc", "ябк"}), (3, {"abc", "ябк", "##cde"})):
        monkeypatch.setattr("mminibert.packaging.language_parts.MAX_PIECES", most)
        assert kept_by(language_levels(PIECES, words)) & set(WHOLE) == kept


def test_subset_has_the_positions_of_its_windows(nlp: Language, light: Language) -> None:
    students = [cast(Any, p.get_pipe("morphologizer")).encoder for p in (nlp, light)]
    whole, part = students
    assert len(part.student.positions) == part.settings.max_pieces < len(whole.student.positions)
    assert np.array_equal(part.student.positions, whole.student.positions[: part.settings.max_pieces])


def vectors_of(nlp: Language, sentences: Mapping[str, Sequence[list[str]]]) -> list[list[float]]:
    docs = [Doc(nlp.vocab, words=words) for of_lang in sentences.values() for words in of_lang]
    return [row for rows in tagger(nlp).vectors(docs) for row in np.asarray(rows).tolist()]


def test_pieces_that_no_language_has_are_left_out(whole: Language) -> None:
    """Here Russian is taken away from what languages know: what has its pieces alone is another word then."""
    nlp = spacy.util.load_model_from_config(whole.config.copy()).from_bytes(whole.to_bytes())
    pipe = tagger(nlp)
    languages = pipe.languages
    assert languages is not None
    levels = languages.levels.copy()
    levels[languages.codes.index("ru")] = 0
    pipe.languages = replace(languages, levels=levels)
    light = without_rare_pieces(nlp, RARE)
    left = set(pipeline_encoder(light).pieces.vocab)
    assert left == kept_by(levels.any(axis=0)) | NEEDED
    assert "я" in kept_by(levels_of("ru")) - left
    rare = levels.copy()
    number = pipeline_encoder(nlp).pieces.vocab.index("abc")
    rare[:, number] = np.minimum(rare[:, number], RARE)
    pipe.languages = replace(languages, levels=rare)
    left = set(pipeline_encoder(without_rare_pieces(nlp, RARE)).pieces.vocab)
    assert left == (kept_by(levels.any(axis=0)) | NEEDED) - {"abc"}
    pipe.languages = replace(languages, levels=levels)
    others = {lang: found for lang, found in SENTENCES.items() if lang != "ru"}
    assert vectors_of(light, others) == vectors_of(nlp, others)
    for words in others["en"]:
        assert tag(light, words) == tag(nlp, words)
    with pytest.raises(ValueError, match="no parts of languages"):
        pipe.languages = None
        without_rare_pieces(nlp, RARE)


def test_subset_from_the_folder_alone(nlp: Language, whole: Language, tmp_path: Path) -> None:
    whole.to_disk(tmp_path / "xx")
    full = spacy.load(tmp_path / "xx")
    for lang in LABELS:
        subset(full, lang).to_disk(tmp_path / lang)
        loaded = spacy.load(tmp_path / lang)
        assert loaded.lang == loaded.meta["lang"] == lang
        assert loaded.meta["languages"] == [lang]
        for sentence in SENTENCES[lang]:
            assert tag(loaded, sentence) == tag(whole, sentence, f"{lang}_x")
    with pytest.raises(ValueError, match="got language 'fi', expected one of en, ru, zh"):
        subset(full, "fi")
    with pytest.raises(ValueError, match=r"no parts of languages.*spacy\.load\('xx_mminibert'\)"):
        subset(nlp, "en")
    with pytest.raises(ValueError, match=r"the part of 'en' has 3 pieces, the pipeline has \d+"):
        cut(full, "en", np.ones(3, dtype=bool))


@pytest.mark.parametrize(
    ("lang", "code", "name", "tokens", "note"),
    [
        ("en", "en", "x", ["Do", "n't", "."], ""),
        ("zh", "zh", "x", ["漢", "語", "。"], "each character a token"),
        ("ko", "ko", "x", ["학교에", "간다", "."], "needs another package"),
        ("ja", "ja", "x", ["漢語", "。"], "needs another package"),
        ("be", "xx", "x_be", ["Don't", "."], "spaCy does not have the language"),
    ],
)
def test_tokenizers(nlp: Language, lang: str, code: str, name: str, tokens: list[str], note: str) -> None:
    nlp.meta["name"] = "x"
    light = cut(nlp, lang, levels_of("en") > 0)
    text = "".join(tokens).replace("에간", "에 간")
    assert [token.text for token in light.make_doc(text)] == tokens
    assert (light.meta["lang"], light.meta["name"]) == (code, name)
    assert note in tokenizer_note(lang) and bool(note) == bool(tokenizer_note(lang))


PROFILE = """
description = "a test"
assets = "folder"
treebanks = ["en_x", "en_y", "ru_x", "zh_x"]
conventions = true

[teacher]
name = "some/encoder"
licence = "MIT"

[collect]
train_words = 0
text_words = 0
replaced = 0.0
shard_words = 10000

[package]
licence = "CC BY-SA 4.0"
"""
CATALOGUE = "ltcode\tsplit\trepository\ttag\tlicence\nen_x\ttrain\tU/UD_X\tr2.3\tCC BY 4.0\n"
CHOSEN = '[en]\ncode = "en_y"\nreason = "it is older"\n'
RECORD = {
    "lang": "en",
    "convention": "en_x",
    "script": "Ethiopic",
    "split": "test",
    "model": {"teacher": None},
    "words_per_second": 1000.0,
    "gold_words": {"UPOS": 0.7500123, "UFeats": 0.5, "FEATS": 0.5},
    "raw_text": {"UPOS": {"f1": 0.7000001}, "UFeats": {"f1": 0.4}, "Words": {"f1": 0.9}},
}


VOCABULARY = {"name": "Pieces of someone", "url": "https://example.org", "license": "MIT"}


def write_profile(folder: Path) -> None:
    put_vocabulary(folder / "assets/p/vocab.txt", PIECES.to_bytes(), Source(**VOCABULARY))
    shutil.copytree(ROOT / "configs", folder / "configs", ignore=shutil.ignore_patterns("profiles", "paper"))
    (folder / "configs/profiles").mkdir()
    (folder / "configs/profiles/p.toml").write_text(PROFILE)
    (folder / "configs/treebanks.tsv").write_text(CATALOGUE)
    (folder / "configs/conventions.toml").write_text(CHOSEN)
    entries = {}
    for code, labels_of_code in CONVENTIONS.items():
        lang = language_of(code)
        sentences = SENTENCES[lang]
        target = folder / f"corpus/p/{code}"
        target.mkdir(parents=True)
        docs = DocBin(attrs=["POS", "MORPH"])
        vocab = spacy.blank("xx").vocab
        for words in sentences:
            labels = [labels_of_code[i % len(labels_of_code)] for i in range(len(words))]
            pos, morphs = zip(*labels, strict=True)
            docs.add(Doc(vocab, words=words, pos=list(pos), morphs=list(morphs)))
        docs.to_disk(target / "train.spacy")
        kind = "silver" if lang == "ru" else "gold"
        words_count = sum(map(len, sentences))
        entries[code] = {"lang": lang, "labels": kind, "splits": {"train": {"words": words_count}}}
    (folder / "corpus/p/manifest.json").write_text(json.dumps({"treebanks": entries}))
    text = folder / "assets/p/unlabelled"
    text.mkdir(parents=True)
    (text / "en.txt").write_text("bad face bad abccde bed.\nshort\n")
    (text / "sources.json").write_text(json.dumps({"en": {"unlabelled": "CC0", "unlabelled-3": "CC BY 4.0"}}))
    (folder / "metrics/p/mminibert").mkdir(parents=True)
    (folder / "metrics/p/mminibert/en_x.json").write_text(json.dumps(RECORD))


def step(name: str) -> ModuleType:
    """The script of a step."""
    spec = importlib.util.spec_from_file_location(f"step_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(nlp: Language, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `quantize` was run, for a student and a segmenter that learned nothing, and `package`
    for one language."""
    folder = tmp_path_factory.mktemp("repository")
    write_profile(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(FileNotFoundError, match=r"no training/p/mminibert/model-onnx; run .*`quantize`"):
            next(package(Profile.read("p")))
        student = make_student(Path("assets/p/vocab.txt"), tagger(nlp).inventory, max_positions=160)
        Path("training/p/mminibert").mkdir(parents=True)
        student.to_disk("training/p/mminibert/model-best")
        Path("training/p/segmenter").mkdir()
        Path("training/p/segmenter/segmenter").write_bytes(segmenter_bytes())
        Path("training/p/lemmatizer").mkdir()
        counts: WordCounts = Counter({("dogs", "NOUN", "_", "dog"): 1})
        Path("training/p/lemmatizer/lemmas").write_bytes(Lemmas.of([fit_table({"en_x": counts})]).to_bytes())
        step("quantize").main("mminibert", "p")
        assert lemmatizer(spacy.load("training/p/mminibert/model-onnx")) is not None
        paths = list(package(Profile.read("p"), ["en"], source=ROOT))
    assert [path.name.split("-")[0] for path in paths] == [
        *("mminibert", "xx_mminibert_p", "en_mminibert_p", "packages.json")
    ]
    yield folder


def wheel_of(built: Path, name: str) -> Path:
    (path,) = (built / "packages/p").glob(f"{name}-*-py3-none-any.whl")
    return path


def read_meta(wheel: Path) -> dict[str, Any]:
    name = wheel.name.split("-")[0]
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{name}/meta.json")
    return dict(json.loads(text, parse_float=lambda number: round(float(number), 9)))


def test_requirements_are_those_to_run(built: Path) -> None:
    for name in ("xx_mminibert_p", "en_mminibert_p"):
        requirements = read_distribution(wheel_of(built, name)).requirements
        assert sorted(r.name for r in requirements) == ["mminibert", "onnxruntime", "spacy", "tokenizers"]
        assert all(r.specifier for r in requirements)
    library = {r.name: r.specifier for r in read_distribution(wheel_of(built, "mminibert")).requirements}
    assert sorted(library) == ["onnxruntime", "spacy", "tokenizers"]
    (spacy_requirement,) = (r for r in requirements if r.name == "spacy")
    assert spacy_requirement.specifier == library["spacy"]


def test_meta(built: Path) -> None:
    full, light = (read_meta(wheel_of(built, name)) for name in ("xx_mminibert_p", "en_mminibert_p"))
    for m in (full, light):
        assert (m["author"], m["license"], m["teacher"]) == ("mMiniBERT", "CC BY-SA 4.0", "some/encoder")
        assert m["pipeline"] == ["sentencizer", "tok2vec", "morphologizer", "lemmatizer"]
        assert m["performance"] == {
            **{"gold_words_upos": 0.75, "gold_words_ufeats": 0.5},
            **{"raw_text_upos_f1": 0.7, "raw_text_ufeats_f1": 0.4, "raw_text_words_f1": 0.9},
            "measured": "Means over the test set of 1 treebank, of the multilingual pipeline in 8 bits, in "
            "the treebank's convention or else its language's default: gold words (accuracy), raw text (F1) "
            "of the CoNLL 2018 evaluation.",
            "treebanks": {
                "en_x": {
                    **{key: RECORD[key] for key in ("split", "convention")},
                    "gold_words": {"UPOS": 0.75, "UFeats": 0.5, "FEATS": 0.5},  # to four decimals
                    "raw_text": {"UPOS": {"f1": 0.7}, "UFeats": {"f1": 0.4}, "Words": {"f1": 0.9}},
                    "trained_on": True,
                }
            },
            **({"speed": 1000.0} if m is full else {}),
        }
        assert {
            "name": "UD en_x (gold labels)",
            "url": "https://github.com/U/UD_X/tree/r2.3",
            "license": "CC BY 4.0",
        } in m["sources"]
        assert {"name": "UD ru_x (silver labels)"} in m["sources"]
        assert VOCABULARY in m["sources"]
        assert {"name": "Text: en (unlabelled-3)", "license": "CC BY 4.0"} in m["sources"]
    assert (full["lang"], full["languages"]) == ("xx", ["en", "ru", "zh"])
    assert (light["lang"], light["languages"]) == ("en", ["en"])
    assert "the language `en`" in light["description"] and "3 languages" in full["description"]
    assert set(full["performance"]) - set(light["performance"]) == {"speed"}
    assert full["segmenter"] == {"treebanks": list(CONVENTIONS)}
    assert light["segmenter"] == {"treebanks": ["en_x", "en_y"]}


def test_only_the_release_has_its_name(
    tmp_path: Path, nlp: Language, whole: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    path = Path("configs/profiles/p.toml")

    def read(section: str, name: str = "p") -> Profile:
        path.with_stem(name.partition("@")[0]).write_text(PROFILE + section)
        return Profile.read(name)

    assert read("").package_name == "mminibert_p" and read("").package_version("1.5") == "1.5"
    assert read("", "p@3").package_name == "mminibert_p_3"
    assert read("", "My-own.2").package_name == "mminibert_my_own_2"
    mine = read('name = "mine"\nversion = "2.0.1"\n')
    assert (mine.package_name, mine.package_version("1.5")) == ("mine", "2.0.1")
    assert read('name = "mine"\n', "p@3").package_name == "mine_3"
    assert read('name = "mminibert"\n', "release").package_name == "mminibert"
    assert read('name = "mminibert"\n', "release@1").package_name == "mminibert_1"
    # In a language that spaCy does not have, the released wheel is xx_mminibert_be.
    for section, name in (('name = "mminibert"\n', "p"), ("", "be"), ('name = "mminibert_be"\n', "p")):
        with pytest.raises(ValueError, match=r"\.toml: package\.name: got .* of the released wheels"):
            read(section, name)
    for name in ("Mine", "my-own", "mminibert__be", "_mine", "é"):
        with pytest.raises(ValueError, match="expected small letters and digits"):
            read(f'name = "{name}"\n')
    for version in ("one", "1.0-beta"):
        with pytest.raises(ValueError, match=rf"package\.version: got '{version}', expected"):
            read(f'version = "{version}"\n')
    Path("training/p/mminibert").mkdir(parents=True)
    whole.to_disk("training/p/mminibert/model-onnx")
    with pytest.raises(ValueError, match=r"got package\.name 'en_mine', expected none that begins with"):
        next(package(read('name = "en_mine"\n'), source=ROOT))
    with pytest.raises(ValueError, match="got --publish with the profile p, expected release or permissive"):
        step("package").main("p", publish=True)
    assert not Path("packages").exists()


def test_wheels_are_called_as_the_profile_says(
    tmp_path: Path, whole: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    text = PROFILE.replace("conventions = true", "conventions = false")
    Path("configs/profiles/p.toml").write_text(text + 'name = "mine"\nversion = "2.0.1"\n')
    nlp = spacy.util.load_model_from_config(whole.config.copy()).from_bytes(whole.to_bytes())
    tagger(nlp).conventions = None
    Path("training/p/mminibert").mkdir(parents=True)
    nlp.to_disk("training/p/mminibert/model-onnx")
    stale = [f"packages/p/{name}-1.0-py3-none-any.whl" for name in ("xx_mine", "xx_mminibert_p", "xx_other")]
    Path("packages/p").mkdir(parents=True)
    for path in map(Path, stale):
        path.touch()
    library, *wheels, index = package(Profile.read("p"), ["en", "zh"], source=ROOT)
    assert [Path(path).exists() for path in stale] == [
        False,
        True,
        True,
    ]  # those of other names are no matter
    version = read_distribution(library).version
    assert version != "2.0.1" and library.name.startswith(f"mminibert-{version}-")
    names = ["xx_mine", "en_mine", "zh_mine"]
    assert [wheel.name for wheel in wheels] == [f"{name}-2.0.1-py3-none-any.whl" for name in names]
    assert read_meta(wheels[0])["name"] == "mine"
    (library_range,) = (r for r in read_distribution(wheels[0]).requirements if r.name == "mminibert")
    assert library_range.specifier.contains(version) and not library_range.specifier.contains("2.0.1")
    languages = {entry["file"]: entry["language"] for entry in json.loads(index.read_text())}
    assert languages == {
        library.name: None,
        **dict(zip((w.name for w in wheels), ("xx", "en", "zh"), strict=True)),
    }


def test_a_wheel_can_be_cut_out_of_the_multilingual_one(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel_of(built, "xx_mminibert_p")) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.glob("xx_mminibert_p/xx_mminibert_p-*")
    done = CliRunner().invoke(app, ["subset", str(folder), "en", str(tmp_path / "out"), "--wheel"])
    assert done.exit_code == 0, done.output
    (wheel,) = (tmp_path / "out").iterdir()
    assert f"{wheel}: 0.3 MB" in done.output.replace("\n", "")
    contents = []
    for path in (wheel, wheel_of(built, "en_mminibert_p")):
        with zipfile.ZipFile(path) as archive:
            contents.append({name: archive.read(name) for name in archive.namelist()})
    cut_out, packaged = contents
    assert cut_out.keys() == packaged.keys()
    # The card is the multilingual one's.
    other = {name for name in cut_out if cut_out[name] != packaged[name]}
    assert {name.split("/")[-1] for name in other} <= {"MODEL_CARD.md", "RECORD"}


def page_of(wheel: Path) -> tuple[Message, str]:
    """The metadata of a wheel, and the text that an index shows."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        found = message_from_bytes(archive.read(name))
    return found, cast(bytes, found.get_payload(decode=True)).decode()


@pytest.mark.parametrize("name", ["mminibert", "xx_mminibert_p", "en_mminibert_p"])
def test_pages_of_wheels_are_markdown_without_relative_links(built: Path, name: str) -> None:
    fields, text = page_of(wheel_of(built, name))
    assert fields["Description-Content-Type"] == "text/markdown"
    assert not [field for field, value in fields.items() if not value.strip()]
    tokens = [token for top in MarkdownIt().parse(text) for token in (top, *(top.children or ()))]
    targets = [token.attrs.get("href") or token.attrs.get("src") for token in tokens]
    assert all(str(target).startswith("https://") for target in targets if target)
    assert not [token for token in tokens if token.type.startswith("html")]
    assert len(text) < 20_000 and text.startswith("# ")


def test_the_page_of_the_library_has_the_words_of_the_readme(built: Path) -> None:
    def words(text: str) -> list[str]:
        parsed = MarkdownIt("commonmark").enable("table").parse(text)
        return [child.content for token in parsed for child in token.children or [] if child.content] + [
            token.content for token in parsed if token.type == "fence"
        ]

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "".join(words(page_of(wheel_of(built, "mminibert"))[1])) == "".join(words(readme))


def test_the_first_that_is_read_of_a_pipeline_names_licence_and_scores(built: Path) -> None:
    for name in ("xx_mminibert_p", "en_mminibert_p"):
        text = page_of(wheel_of(built, name))[1]
        with zipfile.ZipFile(wheel_of(built, name)) as archive:
            (path,) = [n for n in archive.namelist() if n.endswith("MODEL_CARD.md")]
            card = archive.read(path).decode()
            assert archive.read(path.replace("MODEL_CARD", "README")).decode() == text.rstrip() + "\n"
        for found in (text, card.split("## Intended use")[0]):
            assert "Licence of this package: CC BY-SA 4.0, by those of the treebanks" in found
            rows = re.sub(" +", " ", found)
            assert "| gold words (accuracy) | 75.00 | 50.00 |" in rows
            assert "| raw text (F1) | 70.00 | 40.00 |" in rows
            assert "Means over the test set of 1 treebank, of the multilingual pipeline in 8 bits" in found
        assert f'nlp = spacy.load("{name}")' in text and f"{wheel_of(built, name).name}\n" in text


def test_what_forbids_commercial_use_says_so() -> None:
    assert "CC BY-NC-SA 4.0, **not for commercial use**, by" in licence({"license": "CC BY-NC-SA 4.0"})
    assert "none stated, **not for commercial use**" in licence({"license": ""})
    assert "commercial" not in licence({"license": "CC BY-SA 4.0"})


def test_scores_are_averages_of_what_all_treebanks_have() -> None:
    rows: dict[str, Any] = {
        "en_x": {"gold_words": {"UPOS": 0.5, "UFeats": 1.0}, "raw_text": {"UPOS": {"f1": 0.25}}},
        "en_y": {
            "gold_words": {"UPOS": 1.0, "UFeats": 0.0},
            "raw_text": {"UPOS": {"f1": 0.5}},
            "split": "dev",
        },
    }
    found = performance(rows, 10.0)
    assert (found["gold_words_upos"], found["gold_words_ufeats"], found["raw_text_upos_f1"]) == (
        0.75,
        0.5,
        0.375,
    )
    assert found["speed"] == 10.0 and found["measured"].startswith(
        "Means over the dev sets of 2 treebanks, of"
    )
    assert found["measured"].endswith(
        "8 bits: gold words (accuracy), raw text (F1) of the CoNLL 2018 evaluation."
    )
    rows["en_y"]["trained_on"] = False
    assert "of 2 treebanks (1 of them not trained on), of the" in performance(rows)["measured"]
    rows["en_y"]["raw_text"] = None
    found = performance(rows)
    assert not [key for key in found if key.startswith("raw")] and "speed" not in found
    assert "raw text" not in found["measured"] and "raw text" not in scores_table({"performance": found})
    assert performance({}) == {} and scores_table({"performance": {}}) == ""


def test_equal_content_makes_equal_wheels(built: Path, tmp_path: Path) -> None:
    """Whatever the order of hashes, the time and the rights of files; and pip keeps none of them."""
    code = """
import sys
from pathlib import Path
from mminibert.packaging.build import package
from mminibert.project.profile import Profile
list(package(Profile.read("p"), ["en"], source=Path(sys.argv[1])))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIP_CACHE_DIR": str(tmp_path / "cache")}
    running = []
    for seed, umask in (("1", 0o022), ("2", 0o077)):
        shutil.copytree(built, tmp_path / seed, copy_function=shutil.copyfile)
        shutil.rmtree(tmp_path / seed / "packages")
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, str(ROOT)],
                cwd=tmp_path / seed,
                env={**environment, "PYTHONHASHSEED": seed},
                umask=umask,
            )
        )
    assert [process.wait() for process in running] == [0, 0]
    made = [{path.name: sha256(path) for path in (tmp_path / seed / "packages/p").iterdir()} for seed in "12"]
    assert len(made[0]) == 5 and made[0] == made[1]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_requirements_of_other_components_have_one_order(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """spaCy finds them in a set."""
    nlp.to_disk(tmp_path / "pipeline")
    made = []
    for found in (["numpy>=1", "pytest>=8"], ["pytest>=8", "numpy>=1"]):
        monkeypatch.setattr(
            import_module("spacy.cli.package"),
            "get_third_party_dependencies",
            lambda *_, found=found, **__: list(found),
        )
        made.append(build_pipeline(tmp_path / "pipeline", tmp_path).read_bytes())
    assert made[0] == made[1]
    requirements = read_distribution(next(tmp_path.glob("*.whl"))).requirements
    assert [r.name for r in requirements] == ["numpy", "pytest", "spacy"]


def test_packages_json(built: Path) -> None:
    entries = json.loads((built / "packages/p/packages.json").read_text())
    assert [(e["file"].split("-")[0], e["language"]) for e in entries] == [
        ("en_mminibert_p", "en"),
        ("mminibert", None),
        ("xx_mminibert_p", "xx"),
    ]
    for entry in entries:
        path = built / "packages/p" / entry["file"]
        assert (entry["bytes"], entry["sha256"]) == (path.stat().st_size, sha256(path))


def test_wheels_hold_what_they_should(built: Path) -> None:
    with zipfile.ZipFile(wheel_of(built, "mminibert")) as archive:
        files = set(archive.namelist())
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mminibert").rglob("*.py")}
    assert files >= modules | {"mminibert/py.typed"}
    for name in ("xx_mminibert_p", "en_mminibert_p"):
        with zipfile.ZipFile(wheel_of(built, name)) as archive:
            files = {n.split("/")[-1] for n in archive.namelist()}
        assert files >= {"config.cfg", "MODEL_CARD.md", "LICENSE", "LICENSES_SOURCES", "README.md"}
        assert not [n for n in files if re.search(r"\.(pkl|pickle|pt)$", n)]


def test_parts_of_the_profile(built: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(built)
    languages = language_parts(Profile.read("p"), nlp)
    assert languages.codes == ("en", "ru", "zh")
    assert set(np.flatnonzero(languages.part("en"))) >= set(np.flatnonzero(levels_of("en")))


def test_conventions_of_the_profile(built: Path) -> None:
    """Each is what its treebank shows; the text's language is found, and its default convention taken."""
    full = spacy.load(built / "training/p/mminibert/model-onnx")
    pipe = tagger(full)
    conventions = pipe.conventions
    assert conventions is not None and pipe.languages is not None
    assert conventions.defaults == {"en": "en_y", "ru": "ru_x", "zh": "zh_x"}
    for code, labels in CONVENTIONS.items():
        longest = max(map(len, SENTENCES[language_of(code)]))
        assert set(conventions.head(code).labels) == set(labels[:longest])
    doc = full(Doc(full.vocab, words=["abc", "bad", ".", "як", "кя", "."]))
    assert doc._.conventions == ("en_y", "ru_x")


def test_what_the_wheels_say_of_conventions(built: Path) -> None:
    """The default of `en` is the chosen one, not the first of its two, which are of one size."""
    full, light = (read_meta(wheel_of(built, name)) for name in ("xx_mminibert_p", "en_mminibert_p"))
    rows = {row["code"]: row for row in full["conventions"]}
    assert sorted(rows) == sorted(CONVENTIONS)
    assert [code for code, row in rows.items() if row["default"]] == ["en_y", "ru_x", "zh_x"]
    assert rows["en_y"]["reason"] == "it is older" and "scores" not in rows["en_y"]
    assert rows["en_x"] == {
        **{"code": "en_x", "language": "en", "default": False, "words": 9},
        **{"licence": "CC BY 4.0", "url": "https://github.com/U/UD_X/tree/r2.3"},
        "scores": {"UPOS": 0.75, "UFeats": 0.5},
    }
    assert light["conventions"] == [rows["en_x"], rows["en_y"]]
    assert full["dev_in_training"] == []
    for name, listed in (("xx_mminibert_p", 3), ("en_mminibert_p", 1)):
        with zipfile.ZipFile(wheel_of(built, name)) as archive:
            card = archive.read(next(n for n in archive.namelist() if n.endswith("MODEL_CARD.md"))).decode()
        section = re.sub(" +", " ", card.split("## Conventions")[1].split("##")[0])
        assert "| en | en_x, en_y | en_y | it is older |" in section
        assert section.count("\n| ") == listed + 2  # with the head


def test_quantize_goes_on_from_a_packaged_encoder(
    tmp_path: Path, whole: Language, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its encoder and head for all stay, its conventions are fitted anew."""
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    whole.to_disk("given")
    script = step("quantize")
    assert script.treebanks_of(whole) == []
    names = ("UD en_x (gold labels)", "ru_x: text.xz", "Treebank ru_x (silver labels)", "Teacher: UD", "")
    named = [{"name": name} for name in names]
    assert script.treebanks_of(SimpleNamespace(meta={"sources": named})) == ["en_x", "ru_x"]
    shutil.copyfile("corpus/p/en_x/train.spacy", "corpus/p/en_x/dev.spacy")
    script.main("mminibert", "p", packaged="given")
    made = spacy.load("training/p/mminibert/model-onnx")
    languages = tagger(made).languages
    assert languages is not None
    assert vectors_of(made, SENTENCES) == vectors_of(whole, SENTENCES)
    vocab = pipeline_encoder(made).pieces.vocab
    kept = {
        piece
        for piece, own in zip(vocab, np.asarray(languages.pieces.any(axis=0)).tolist(), strict=True)
        if own
    }
    assert set(vocab) == kept | NEEDED
    assert np.array_equal(parts_of(made).weights, parts_of(whole).weights)
    before, after = tagger(whole).conventions, tagger(made).conventions
    scores = json.loads(Path("training/p/mminibert/conventions.json").read_text(encoding="utf-8"))
    assert list(scores) == ["en_x"]
    told = f"en_x: {scores['en_x']['UPOS']:.2%} of the UPOS of its dev set, "
    assert sum(line.startswith(told) for line in capsys.readouterr().out.splitlines()) == 1
    assert before is not None and after is not None and after.codes == before.codes
    assert before.adapter is None and after.adapter is not None
    lexicons = [head.lexicon for head in after.heads if head.lexicon is not None]
    assert len(lexicons) == len(after.heads) and any(map(len, lexicons))
    with pytest.raises(ValueError, match="got --keep, expected --packaged"):
        script.main("mminibert", "p", keep=True)
    script.main("mminibert", "p", packaged="given", keep=True)
    strings = (
        set(json.loads(Path(path, "vocab/strings.json").read_text(encoding="utf-8")))
        for path in ("training/p/mminibert/model-onnx", "given")
    )
    assert next(strings) <= next(strings)  # no words of the treebanks
    kept_as_they_are = spacy.load("training/p/mminibert/model-onnx")
    heads = tagger(kept_as_they_are).conventions
    assert heads is not None and heads.adapter is None and heads.codes == before.codes
    for head, old in zip(heads.heads, before.heads, strict=True):
        assert np.array_equal(head.rows, old.rows)
        assert head.lexicon is not None and old.lexicon is None
        assert head.transitions is not None and old.transitions is None
    assert pipeline_encoder(kept_as_they_are).pieces.vocab == pipeline_encoder(whole).pieces.vocab
    with pytest.raises(ValueError, match="got --again, expected --keep"):
        script.main("mminibert", "p", packaged="given", again="en_x")
    made.to_disk("made")
    script.main("mminibert", "p", packaged="made", keep=True, again="en_x")
    heads = tagger(spacy.load("training/p/mminibert/model-onnx")).conventions
    assert heads is not None and heads.codes == after.codes
    changed = [
        head.code
        for head, old in zip(heads.heads, after.heads, strict=True)
        if not np.array_equal(head.rows, old.rows)
    ]
    assert changed == ["en_x"]


def test_a_student_of_the_teachers_labels_learns_from_text(
    tmp_path: Path, whole: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its training does; one of gold labels alone does not."""
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    whole.to_disk("given")
    step("quantize").main("mminibert", "p", packaged="given")
    without = spacy.load("training/p/mminibert/model-onnx")
    labels, sentences = tagger(whole).inventory, [["abc", "bad", "."]] * 50
    verb = np.repeat(labels.encode([("VERB", "_")]), 150, axis=0)
    path = Path("corpus/p/soft_targets/en-00000.npz")
    path.parent.mkdir()
    targets = sparsify(one_hot(verb, labels.starts), labels.starts)
    write_shard(path, Shard(sentences, targets, ["en_x"] * len(sentences)))
    write_manifest(path.parent, [path], labelled_by="xx_large 1.0")
    write_json(Path("corpus/p/labels.json"), labels.to_json())
    text = {"words": 150, "labelled_by": "xx_large 1.0"}
    for system, learned in (("mminibert", text), ("minibert", None)):
        step("quantize").main(system, "p", packaged="given")
        made = spacy.load(f"training/p/{system}/model-onnx")
        assert made.meta.get("convention_text") == learned
        before, after = tagger(without).conventions, tagger(made).conventions
        assert before is not None and after is not None
        same = np.array_equal(before.head("en_x").rows, after.head("en_x").rows)
        assert same == (learned is None)


def test_a_profile_without_conventions(
    tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    Path("configs/profiles/p.toml").write_text(PROFILE.replace("conventions = true", "conventions = false"))
    Path("configs/conventions.toml").unlink()
    nlp.to_disk("given")
    step("quantize").main("mminibert", "p", packaged="given")
    library, wheel, _ = package(Profile.read("p"), [], source=ROOT)
    assert library.name.startswith("mminibert-") and "conventions" not in read_meta(wheel)
    made = spacy.load("training/p/mminibert/model-onnx")
    assert tagger(made).conventions is None and tagger(made).languages is not None
    doc = made(Doc(made.vocab, words=["abc", "як"]))
    assert doc._.convention is None
    assert tag(subset(made, "en"), ["abc", "bad", "cab"]) == tag(made, ["abc", "bad", "cab"])


def test_nothing_is_said_of_a_vocabulary_without_record(
    tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    profile, vocabulary = Profile.read("p"), Path("assets/p/vocab.txt")
    assert read_records(profile, nlp).vocabulary == Source(**VOCABULARY)
    # However many pieces a vocabulary has, its origin cannot be known from that.
    many = WordPieces([*PIECES.vocab, *(f"x{i}" for i in range(119_547 - len(PIECES)))])
    encoder = SimpleNamespace(pieces=many)
    monkeypatch.setattr("mminibert.packaging.records.pipeline_encoder", lambda _: encoder)
    assert len(many) == 119_547
    vocabulary.write_bytes(many.to_bytes())  # the record is of another file
    assert read_records(profile, nlp).vocabulary is None
    put_vocabulary(vocabulary, PIECES.to_bytes(), Source("of other pieces than the pipeline's"))
    assert read_records(profile, nlp).vocabulary is None
    put_vocabulary(vocabulary, many.to_bytes(), Source("mine"))
    assert read_records(profile, nlp).vocabulary == Source("mine")
    vocabulary.with_name("sources.json").unlink()
    assert read_records(profile, nlp).vocabulary is None
    assert all(not source["name"].startswith("Wordpiece") for source in read_records(profile, nlp).sources())
    vocabulary.with_name("sources.json").write_text('{"vocabulary": {"title": "x"}}')
    with pytest.raises(ValueError, match=r"sources\.json: no record of a vocabulary .*run `assets` again"):
        read_records(profile, nlp)


def test_a_card_of_scores_on_gold_words_alone(
    tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    Path("metrics/p/mminibert/ru_x.json").write_text(json.dumps({**RECORD, "lang": "ru", "raw_text": None}))
    records = read_records(Profile.read("p"), nlp)
    nlp.meta.update({"description": "D", "license": "L", "sources": [], "languages": ["en", "ru"]})
    card = re.sub(" +", " ", model_card(records, nlp, nlp))
    assert "| ru_x | 75.00 | 50.00 | not run | not run |" in card
    assert "| mean | 75.00 | 50.00 | not run | not run |" in card


def test_sources_of_the_parts_of_a_train_file(
    tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_profile(tmp_path)
    (tmp_path / "configs/other_treebanks.tsv").write_text(
        "ltcode\tlanguage\trepository\ttag\tlicence\nru_x\tru\tsome/corpus\t\tunstated\n"
    )
    parts = [
        Part("train", "en_x-ud-train.conllu", "gold", 1, 7, repository="U/UD_X", licence="CC BY 4.0"),
        Part("more", "en_x-more.xz", "converted UPOS, FEATS", 1, 5, None, "my/copy", "CC BY-NC 4.0"),
        Part("rebuilt", "en_x-rebuilt.xz", "silver UPOS, FEATS", 0, 0, 0.9, "x/y", "MIT", repeated=3),
    ]
    write_json(tmp_path / "assets/p/ud/en_x/sources.json", {"train": [asdict(part) for part in parts]})
    records = read_records(Profile.read("p"), nlp)
    found = {source["name"]: source for source in records.sources()}
    assert found["UD en_x (gold labels)"]["url"] == "https://github.com/U/UD_X/tree/r2.3"
    assert found["Treebank ru_x (silver labels)"] == {
        "name": "Treebank ru_x (silver labels)",
        "url": "https://github.com/some/corpus",
        "license": "unstated",
    }
    assert found["en_x: en_x-more.xz (my/copy)"]["license"] == "CC BY-NC 4.0"
    assert not any("en_x-rebuilt" in name for name in found)  # nothing of it was taken
    nlp.meta.update({"description": "D", "license": "L", "sources": [], "languages": ["en", "ru"]})
    card = re.sub(" +", " ", model_card(records, nlp, nlp))
    assert "| train 7 (gold), more 5 (converted UPOS, FEATS) |" in card
    assert "- Treebanks: en_y, ru_x, zh_x, en_x-more.xz." in card


def test_model_card(built: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    card = re.sub(" +", " ", (built / "packages/p/MODEL_CARD.md").read_text())  # tables are padded
    assert "| en_x | 75.00 | 50.00 | not run | 90.00 | not run | 70.00 | 40.00 |" in card
    assert "| ru_x | ru | 6 | silver |" in card and "| all | | 28 | |" in card
    assert "some/encoder" in card and "silver labels, which have errors of their own: ru_x" in card
    assert "no letters of these scripts, whose words are all unknown: Ethiopic." in card
    assert "done at 1,000 words a second" in card
    monkeypatch.chdir(built)
    records = read_records(Profile.read("p"), nlp)
    nlp.meta.update({"description": "D", "license": "L", "sources": [], "languages": ["ru"]})
    assert "Not measured." in model_card(records, nlp, nlp)
    assert "From the beginning" not in card
    encoder = {"num_hidden_layers": 3, "word_layers": 1, "hidden_width": 256, "dropout": 0.1}
    config = {"components": {"morphologizer": {"model": {"tok2vec": encoder}}}}
    teacher = {"encoder": {"num_hidden_layers": 12}, "schedule": {"words": 900}}
    first = training_stage(
        {**config, "distillation": {"words": 700, "start": None}}, teacher=[teacher], soft_words=1000
    )
    then = training_stage(
        {**config, "distillation": {"words": 500, "embeddings": "", "start": "somewhere"}},
        start={"lang": "xx", "name": "earlier", "version": "0.1.0"},
        soft_words=2000,
        labelled_by="xx_earlier 0.0.9",
    )
    nlp.meta["training"] = [{**first, "seen_words": 707}, {**then, "seen_words": 450}]
    card = model_card(records, nlp, nlp)
    assert "fine-tuned on the treebanks below: `num_hidden_layers` 12, `words` 900." in card
    assert "for each feature: `num_hidden_layers` 3, `word_layers` 1, `hidden_width` 256.\n" in card
    assert "- From the beginning, 1,000 words labelled by the teacher: `words` 700.\n" in card
    labelled = "2,000 words labelled by `xx_earlier 0.0.9`"
    assert f"- From `xx_earlier 0.1.0`, {labelled}: `words` 500, `seen_words` 450.\n" in card
    assert "somewhere" not in card


def test_installed_wheels_run_with_their_requirements_only(built: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheels = [str(wheel_of(built, name)) for name in ("mminibert", "xx_mminibert_p", "en_mminibert_p")]
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target"]
    subprocess.run([*command, str(site), *wheels], check=True)
    link_requirements(site, ["spacy", "onnxruntime", "tokenizers"])
    code = """
import sys, json, importlib.util
sys.path.insert(0, sys.argv[1])
import spacy
from mminibert.packaging.subset import subset
out = {}
words = json.loads(sys.argv[2])
full = spacy.load("xx_mminibert_p")
for name, nlp in (("xx", full), ("en", spacy.load("en_mminibert_p")), ("subset", subset(full, "en"))):
    for code in ("en_x", "en_y"):
        nlp.get_pipe("morphologizer").convention = code
        doc = nlp(spacy.tokens.Doc(nlp.vocab, words=words))
        out[name + code] = [(t.pos_, str(t.morph)) for t in doc]
        assert doc._.convention == code
    assert len(list(nlp(spacy.tokens.Doc(nlp.vocab, words=["abc", ".", "cab"])).sents)) == 2
    nlp.tokenizer.language = "en"
    out[name] = [(t.text, t.is_sent_start) for t in nlp(sys.argv[3])]
assert all(importlib.util.find_spec(m) is None for m in ("torch", "transformers", "onnx", "pytest"))
assert "torch" not in sys.modules
print(json.dumps(out))
"""
    words = ["abc", "bad", "face", ".", "abccde", "-", "?"]
    text = "abc bad. cab-ace cab? ae cab 3"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(site), json.dumps(words), text],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    full = spacy.load(built / "training/p/mminibert/model-onnx")
    assert got["enen_x"] != got["enen_y"]
    full.tokenizer.language = "en"  # type: ignore[union-attr]
    segmented = [[token.text, token.is_sent_start] for token in full(text)]
    assert got["xx"] == got["en"] == got["subset"] == segmented
    for code in ("en_x", "en_y"):
        expected = tag(full, words, code)
        for name in ("xx", "en", "subset"):
            assert [tuple(t) for t in got[name + code]] == expected


def test_errors(built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(built)
    profile = Profile.read("p")
    with pytest.raises(ValueError, match=r"got fi, expected languages .*: en, ru, zh"):
        next(package(profile, ["en", "fi"], source=ROOT))
    with pytest.raises(FileNotFoundError, match="folder of the repository"):
        build_library(tmp_path, tmp_path)
