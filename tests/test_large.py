"""A teacher as a packaged pipeline, without torch: the large model."""

from __future__ import annotations

import json
import runpy
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from students import make_corpus, make_project
from teachers import ROOT, MakeExamples, make_teacher, write_bert
from test_sentencepieces import ROWS, tokenizer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mminibert.models.encoders import WORDS, export_from
from mminibert.models.transformer import hugging_face
from mminibert.packaging.build import package
from mminibert.packaging.quantize import LARGEST_OF_TEACHER, quantize
from mminibert.packaging.subset import with_pieces
from mminibert.project.profile import Profile
from mminibert.runtime.conventions import round_rows
from mminibert.runtime.pipeline import pipeline_encoder, tagger
from mminibert.systems.labelling import make_labeller

PROFILE = """
assets = "folder"
treebanks = ["en_a"]
[teacher]
name = "some/encoder"
licence = "MIT"
[package]
licence = "CC0"
"""
SENTENCES = [["ab", "中文", "文", "éa"], ["a", "文", "b"], ["bcd"] * 40 + ["文"], ["<s>"]]


def write_unigram_bert(folder: Path) -> Path:
    """As a multilingual E5 is: BERT over a unigram vocabulary."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    sizes |= {"vocab_size": len(ROWS), "max_position_embeddings": 160, "pad_token_id": 1}
    config = BertConfig(initializer_range=0.3, **sizes)
    BertModel(config).save_pretrained(folder)
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>"}
    special = {f"{name}_token": piece for name, piece in {**names, "mask": "<mask>"}.items()}
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), **special)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["unigram", "wordpiece"])
def teacher(
    request: pytest.FixtureRequest,
    vocabulary: Path,
    tmp_path_factory: pytest.TempPathFactory,
    toy_examples: MakeExamples,
) -> Language:
    folder = tmp_path_factory.mktemp("bert")
    path = write_unigram_bert(folder) if request.param == "unigram" else write_bert(folder, vocabulary)
    return make_teacher(path, toy_examples)


def logits(nlp: Language, sentences: list[list[str]]) -> np.ndarray:
    pipe: Any = tagger(nlp)
    return pipe.logits([Doc(nlp.vocab, words=words) for words in sentences])


def test_it_predicts_what_the_teacher_does(teacher: Language, tmp_path: Path) -> None:
    light = quantize(teacher, [])
    assert light.pipe_names == ["sentencizer", "tok2vec", "morphologizer"]
    light.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    found = logits(loaded, SENTENCES)
    assert np.array_equal(found, logits(light, SENTENCES))
    rows, scales = round_rows(export_from(teacher).weights[WORDS], LARGEST_OF_TEACHER)
    with torch.no_grad():
        table = hugging_face(teacher)[1].embeddings.word_embeddings.weight
        table[: len(rows)] = torch.from_numpy(rows * scales[:, None])
    ordinary = SENTENCES[:3]  # to the teacher `<s>` is the start of a text
    expected = make_labeller(teacher)(ordinary)
    assert logits(light, ordinary) == pytest.approx(expected, abs=1e-4)
    assert expected.std() > 0


def test_dense_layers_are_in_8_bits_with_sentences_to_calibrate_by(teacher: Language) -> None:
    docs = [Doc(teacher.vocab, words=words) for words in SENTENCES[:3] * 4]
    light = quantize(teacher, docs)
    encoder: Any = pipeline_encoder(light)
    assert b"MatMulIntegerToFloat" in encoder.student.graph
    expected = make_labeller(teacher)(SENTENCES[:3])
    assert logits(light, SENTENCES[:3]) == pytest.approx(expected, abs=0.1 * float(np.abs(expected).max()))


def test_its_vocabulary_can_be_cut_to_that_of_a_language(teacher: Language) -> None:
    student = pipeline_encoder(quantize(teacher, [])).student  # type: ignore[attr-defined]
    words = ["ab", "éa", "中文"]
    kept = np.zeros(len(student.pieces), dtype=bool)
    kept[[i for word in words for i in student.pieces.pieces(word)]] = True
    small, old_ids = with_pieces(student, kept)
    assert len(small.pieces) < len(student.pieces) and type(small.pieces) is type(student.pieces)
    for word in words:
        ids = list(small.pieces.pieces(word))
        assert tuple(old_ids[ids]) == student.pieces.pieces(word)
        assert np.array_equal(small.words[ids], student.words[old_ids[ids]])


def test_a_transformer_that_the_graph_cannot_compute_is_refused(
    vocabulary: Path, tmp_path: Path, toy_examples: MakeExamples
) -> None:
    nlp = make_teacher(write_bert(tmp_path, vocabulary), toy_examples)
    pipe: Any = nlp.get_pipe("transformer")
    pipe.model.transformer.config.hidden_act = "relu"
    with pytest.raises(ValueError, match="expected one as BERT"):
        quantize(nlp, [])


def test_its_wheel(teacher: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the steps of the project, with a profile of one treebank."""
    make_project(tmp_path, PROFILE)
    (tmp_path / "corpus").mkdir()
    make_corpus(tmp_path / "made", {"en_a": 30}).rename(tmp_path / "corpus" / "p")
    monkeypatch.chdir(tmp_path)
    teacher.meta["training"] = [{"encoder": {"num_hidden_layers": 2}, "schedule": {"words": 100}}]
    Path("training/p/mbert").mkdir(parents=True)
    teacher.to_disk("training/p/mbert/model-best")
    runpy.run_path(str(ROOT / "scripts" / "quantize.py"))["main"]("mbert", "p")
    made = list(package(Profile.read("p"), ["en"], system="mbert", source=ROOT))
    assert [path.name.split("-")[0] for path in made] == [
        *("mminibert", "xx_mminibert_p_lg", "en_mminibert_p_lg", "packages.json")
    ]
    languages = {entry["file"].split("-")[0]: entry["language"] for entry in json.loads(made[-1].read_text())}
    assert languages == {"mminibert": None, "xx_mminibert_p_lg": "xx", "en_mminibert_p_lg": "en"}
    for wheel in made[1:3]:
        with zipfile.ZipFile(wheel) as archive:
            card, page = (
                next(archive.read(name).decode() for name in archive.namelist() if name.endswith(end))
                for end in ("MODEL_CARD.md", "METADATA")
            )
        assert "the large BERT that the small one is distilled from" in page
        assert "- some/encoder, fine-tuned on the treebanks below: a softmax for UPOS and one for" in card
        assert "- From the beginning: `words` 100." in card and "Student" not in card
    with pytest.raises(ValueError, match="expected mminibert or mbert"):
        next(package(Profile.read("p"), system="minibert"))
