"""The packaged pipeline's encoder as a component of its own, and what users do with such components."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from students import conventions_of_head, round_embeddings
from thinc.api import Adam, Config

from mminibert.packaging.assemble import Parts, assemble, parts_of
from mminibert.packaging.quantize import quantize
from mminibert.packaging.subset import cut
from mminibert.runtime.encoder import SharedEncoder
from mminibert.runtime.languages import Languages
from mminibert.runtime.pipeline import pipeline_encoder, tagger

ROOT = Path(__file__).parents[1]
MakeStudent = Callable[..., Language]
MakeExamples = Callable[..., list[Example]]
TEXTS = ["the dog sees the dogs .", "жéé saw 中 .", "dogs. the dog", "", "the " * 60 + "."]


def tags(docs: Any) -> list[list[tuple[str, str, bool]]]:
    return [[(t.pos_, str(t.morph), bool(t.is_sent_start)) for t in doc] for doc in docs]


@pytest.fixture(scope="module")
def student(make_student: MakeStudent, toy_examples: MakeExamples) -> Language:
    """A student in PyTorch that has learned the toy grammar."""
    nlp = make_student()
    examples, sgd = toy_examples(nlp), Adam(0.01)
    for _ in range(60):
        nlp.update(examples, sgd=cast(Any, sgd))
    round_embeddings(nlp)
    assert len({tag for doc in tags([nlp(TEXTS[0])]) for tag in doc}) > 3
    return nlp


@pytest.fixture
def packaged(student: Language) -> Language:
    """With a convention for each of two languages, which are told apart by random levels."""
    nlp = quantize(student, [])
    labels = list(tagger(nlp).inventory.combinations)
    tagger(nlp).conventions = conventions_of_head(nlp, {"en_x": labels[::2], "fi_x": labels[1::2]})
    tagger(nlp).languages = random_languages(len(pipeline_encoder(nlp).pieces))
    assert {doc._.convention for doc in nlp.pipe(TEXTS)} == {"en_x", "fi_x", None}
    return nlp


def random_languages(n_pieces: int) -> Languages:
    levels = np.random.default_rng(1).integers(0, 16, (2, n_pieces)).astype(np.uint8)
    return Languages(("en", "fi"), levels, np.zeros((16, 2), np.float32), np.zeros(2, np.float32), 1.0)


def own_encoder(nlp: Language) -> Language:
    """The form of 0.1.0: the encoder within the tagger."""
    old = spacy.blank("xx")
    old.add_pipe("sentencizer")
    model = {
        "@architectures": "mminibert.FactoredTagger.v1",
        "tok2vec": {"@architectures": "mminibert.MiniBertOnnx.v1", "max_pieces": 48, "overlap": 24},
    }
    old.add_pipe("factored_morphologizer", name="morphologizer", config={"model": model})
    pipe, parts = tagger(old), parts_of(nlp)
    layer: Any = pipe.tok2vec
    layer.shims[0].set_student(parts.student)
    layer.set_dim("nO", parts.student.width)
    pipe.inventory = parts.inventory
    head: Any = pipe.output_layer
    head.set_dim("nI", parts.student.width)
    head.set_dim("nO", parts.inventory.n_outputs)
    head.set_param("W", parts.weights)
    head.set_param("b", parts.bias)
    pipe.conventions = parts.conventions
    if parts.languages is not None:
        pipe.languages = parts.languages
    return old


def test_a_quantized_student_has_its_encoder_beside_the_tagger(student: Language, packaged: Language) -> None:
    assert packaged.pipe_names == ["sentencizer", "tok2vec", "morphologizer"]
    shared = packaged.get_pipe("tok2vec")
    assert isinstance(shared, SharedEncoder)
    assert shared.listening_components == ["morphologizer"]
    doc = packaged(TEXTS[0])
    rows = tagger(student).tok2vec.predict([doc])[0]
    assert doc.tensor == pytest.approx(np.asarray(rows), abs=1e-4)
    assert len({pos for pos, _, _ in tags([doc])[0]}) > 1


def test_both_forms_tag_alike(packaged: Language, tmp_path: Path) -> None:
    old = own_encoder(packaged)
    expected = tags(old.pipe(TEXTS))
    assert tags(packaged.pipe(TEXTS)) == expected
    old.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert tags(assemble(loaded, parts_of(loaded)).pipe(TEXTS)) == tags(loaded.pipe(TEXTS)) == expected


def test_disk_bytes_and_pickle(packaged: Language, tmp_path: Path) -> None:
    expected = tags(packaged.pipe(TEXTS))
    packaged.to_disk(tmp_path)
    again = spacy.util.load_model_from_config(packaged.config).from_bytes(packaged.to_bytes())
    for nlp in (spacy.load(tmp_path), again, pickle.loads(pickle.dumps(packaged))):
        assert tags(nlp.pipe(TEXTS)) == expected


def test_without_the_tagger_there_are_vectors_alone(packaged: Language, tmp_path: Path) -> None:
    packaged.to_disk(tmp_path)
    for nlp in (
        spacy.load(tmp_path, exclude=["morphologizer"]),
        spacy.load(tmp_path, disable=["morphologizer"]),
    ):
        doc = nlp("the dog")
        assert doc.tensor.shape == (2, 16)
        assert not doc.has_annotation("POS")


def test_a_disabled_encoder_still_serves_its_tagger(packaged: Language) -> None:
    expected = tags(packaged.pipe(TEXTS))
    with packaged.select_pipes(disable=["tok2vec"]):
        docs = list(packaged.pipe(TEXTS))
    assert tags(docs) == expected
    assert all(doc.tensor.size == 0 for doc in docs)
    stale = Doc(packaged.vocab, words=["the", "dog"])
    stale.tensor = np.ones((2, 96), dtype=np.float32)  # of another pipeline
    fresh = Doc(packaged.vocab, words=["the", "dog"])
    assert tags([tagger(packaged)(stale)]) == tags([tagger(packaged)(fresh)])


def test_a_tagger_without_its_encoder_says_so(packaged: Language, tmp_path: Path) -> None:
    packaged.to_disk(tmp_path)
    nlp = spacy.load(tmp_path, exclude=["tok2vec"])
    with pytest.raises(
        ValueError, match=r"listens to a shared encoder that is not before it in the pipeline; add that"
    ):
        nlp("the dog")


def test_replaced_listeners_have_an_encoder_of_their_own(packaged: Language, tmp_path: Path) -> None:
    expected = tags(packaged.pipe(TEXTS))
    packaged.replace_listeners("tok2vec", "morphologizer", ["model.tok2vec"])
    packaged.remove_pipe("tok2vec")
    assert tags(packaged.pipe(TEXTS)) == expected
    packaged.to_disk(tmp_path)
    assert tags(spacy.load(tmp_path).pipe(TEXTS)) == expected


@pytest.mark.parametrize("shared_vocab", [True, False])
def test_components_are_sourced_into_another_pipeline(packaged: Language, shared_vocab: bool) -> None:
    """Features that the source sees for the first time afterwards are in the other vocabulary too."""
    expected = tags(packaged.pipe(TEXTS))
    source = quantize_again(packaged)
    nlp = spacy.blank("xx", vocab=source.vocab) if shared_vocab else spacy.blank("fr")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tok2vec", source=source)
    nlp.add_pipe("morphologizer", source=source)
    assert not [string for string in nlp.vocab.strings if "Number=" in string]
    got = list(nlp.pipe(Doc(nlp.vocab, words=text.split()) for text in TEXTS))
    words = list(packaged.pipe(Doc(packaged.vocab, words=text.split()) for text in TEXTS))
    assert tags(got) == tags(words)
    stored = DocBin(docs=got, attrs=["ORTH", "POS", "MORPH"]).to_bytes()
    again = list(DocBin().from_bytes(stored).get_docs(spacy.blank("xx").vocab))
    assert [[(t.pos_, str(t.morph)) for t in doc] for doc in again] == [
        [(t.pos_, str(t.morph)) for t in doc] for doc in words
    ]
    assert tags(packaged.pipe(TEXTS)) == expected


def quantize_again(nlp: Language) -> Language:
    """The same pipeline, whose vocabulary has seen no text."""
    return assemble(nlp, parts_of(nlp))


def test_several_processes(packaged: Language) -> None:
    assert tags(packaged.pipe(TEXTS, n_process=2)) == tags(packaged.pipe(TEXTS))


def test_what_else_a_pipeline_has_is_kept(student: Language, tmp_path: Path) -> None:
    """Quantizing and cutting keep tokenizer, meta, settings, and other components with what they learned."""
    config = student.config.copy()
    config["components"]["morphologizer"]["upos_weight"] = 2.0
    nlp = spacy.util.load_model_from_config(config).from_bytes(student.to_bytes())
    nlp.tokenizer.add_special_case("cabs", [{"ORTH": "cab"}, {"ORTH": "s"}])  # type: ignore[union-attr]
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ANIMAL", "pattern": "dog"}])
    nlp.meta.update({"license": "CC BY-NC-SA 4.0", "sources": [{"name": "UD en_x"}], "author": "somebody"})
    light = quantize(nlp, [])
    everything = np.ones(len(pipeline_encoder(light).pieces), dtype=bool)
    for made in (light, cut(light, "xx", everything)):
        made.to_disk(tmp_path / str(id(made)))
        loaded = spacy.load(tmp_path / str(id(made)))
        assert loaded.pipe_names == ["sentencizer", "tok2vec", "morphologizer", "entity_ruler"]
        assert [(e.text, e.label_) for e in loaded("the dog saw .").ents] == [("dog", "ANIMAL")]
        assert {k: loaded.meta[k] for k in ("license", "sources", "author")} == {
            "license": "CC BY-NC-SA 4.0",
            "sources": [{"name": "UD en_x"}],
            "author": "somebody",
        }
        assert tagger(loaded).upos_weight == 2.0
        assert tagger(loaded).scorer is not None
    assert [t.text for t in light("cabs")] == ["cab", "s"]


def test_quantizing_calibrates(student: Language, toy_examples: MakeExamples) -> None:
    """With sentences the dense layers multiply 8-bit numbers, without they stay in float32."""
    docs = [example.reference for example in toy_examples(student, n=30)]
    graphs = [parts_of(quantize(student, sentences)).student.graph for sentences in ([], docs)]
    assert [b"MatMulIntegerToFloat" in graph for graph in graphs] == [False, True]


def test_an_encoder_in_torch_has_no_packaged_parts(student: Language) -> None:
    with pytest.raises(ValueError, match=r"expected one in 8 bits; run the step `quantize`"):
        parts_of(student)


def test_parts_are_values(packaged: Language) -> None:
    assert isinstance(parts_of(packaged), Parts)


# A component of the user's own


def test_the_documented_component_trains_on_the_frozen_encoder(packaged: Language, tmp_path: Path) -> None:
    """The config of docs/components.md, on toy sentences: it learns, and nothing else changes."""
    config = Config().from_disk(ROOT / "configs/components/lemmatizer.cfg", interpolate=False)
    expected = tags(packaged.pipe(TEXTS))
    packaged.to_disk(tmp_path / "packaged")
    lemmas = {"dogs": "dog", "sees": "see", "saw": "see", "dog": "dog", "the": "the", ".": "."}
    random = np.random.default_rng(0)
    docs = []
    for _ in range(60):
        words = random.choice(list(lemmas), size=6).tolist()
        docs.append(Doc(packaged.vocab, words=words, lemmas=[lemmas[word] for word in words]))
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "train.spacy")
    config["paths"] = {
        "pipeline": str(tmp_path / "packaged"),
        "train": str(tmp_path / "train.spacy"),
        "dev": str(tmp_path / "train.spacy"),
    }
    config["components"]["trainable_lemmatizer"]["model"]["tok2vec"]["width"] = 16
    config["training"]["max_steps"] = 200
    config["training"]["eval_frequency"] = 100
    config.to_disk(tmp_path / "config.cfg")
    command = [sys.executable, "-m", "spacy", "train", str(tmp_path / "config.cfg")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    nlp = spacy.load(tmp_path / "out" / "model-best")
    assert nlp.pipe_names == [*packaged.pipe_names, "trainable_lemmatizer"]
    assert [t.lemma_ for t in nlp("the dogs saw .")] == ["the", "dog", "see", "."]
    assert tags(nlp.pipe(TEXTS)) == expected
    encoders: Any = pipeline_encoder(nlp), pipeline_encoder(packaged)
    assert encoders[0].to_bytes() == encoders[1].to_bytes()


def test_what_listens_before_the_tagger_still_does(packaged: Language) -> None:
    """A component between encoder and tagger keeps its place in what is made of the pipeline."""
    model = {
        "@architectures": "spacy.Tagger.v2",
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"},
    }
    pipe: Any = packaged.add_pipe("tagger", before="morphologizer", config={"model": model})
    for tag in "ABC":
        pipe.add_label(tag)
    doc = packaged.make_doc("the dog")
    gold = Doc(packaged.vocab, words=["the", "dog"], tags=["A", "B"])
    with packaged.select_pipes(enable=["tagger"]):
        packaged.initialize(lambda: [Example(doc, gold)])
    softmax = next(layer for layer in pipe.model.walk() if layer.name == "softmax")
    softmax.set_param("W", np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32))
    expected = [[t.tag_ for t in doc] for doc in packaged.pipe(TEXTS)]
    assert len({tag for doc in expected for tag in doc}) > 1
    again = assemble(packaged, parts_of(packaged))
    assert again.pipe_names == ["sentencizer", "tok2vec", "tagger", "morphologizer"]
    assert [[t.tag_ for t in doc] for doc in again.pipe(TEXTS)] == expected


def test_settings_that_were_changed_are_kept(packaged: Language) -> None:
    pipe = tagger(packaged)
    pipe.upos_weight, pipe.confidences, pipe.convention = 9.0, True, "fi"
    again = tagger(assemble(packaged, parts_of(packaged)))
    assert (again.upos_weight, again.confidences, again.convention) == (9.0, True, "fi_x")


def test_a_packaged_pipeline_rehearses(packaged: Language) -> None:
    packaged.resume_training()
    head: Any = tagger(packaged).output_layer
    head.set_param("W", head.get_param("W") * np.float32(0.5))
    losses = [
        packaged.rehearse(
            [Example(packaged.make_doc(text), packaged.make_doc(text)) for text in TEXTS[:2]],
            sgd=cast(Any, Adam(0.01)),
        )["morphologizer"]
        for _ in range(8)
    ]
    assert losses[-1] < losses[0]
