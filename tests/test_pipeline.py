"""The component in spaCy: labels, losses, predictions, storage, and any text that there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.ml.models.tok2vec import build_hash_embed_cnn_tok2vec
from spacy.tokens import Doc, Token
from spacy.training import Example
from spacy.vocab import Vocab
from students import round_embeddings
from thinc.api import Adam, Linear, Relu, chain, with_array
from torch.nn import functional

from mminibert.packaging.quantize import quantize
from mminibert.runtime.doc_labels import gold_labels
from mminibert.runtime.factored_tagger import FactoredTagger
from mminibert.runtime.labels import Inventory
from mminibert.runtime.morphologizer import FactoredMorphologizer
from mminibert.runtime.types import Floats

MakeStudent = Callable[..., Language]
MakeExamples = Callable[..., list[Example]]

UPOS = {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"}
UPOS |= {"PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"}
CNN: dict[str, Any] = {
    "width": 8,
    "depth": 1,
    "embed_size": 50,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
CONFIDENCES: list[tuple[Any, str]] = [(Doc, "pos_confidences"), (Token, "pos_confidence")]
TEXT = "the dogs saw 中 sees ."


def pipe_of(nlp: Language) -> FactoredMorphologizer:
    pipe = nlp.get_pipe("morphologizer")
    assert isinstance(pipe, FactoredMorphologizer)
    return pipe


def set_morph(token: Any, feats: str | None) -> None:
    """None makes FEATS unknown."""
    token.set_morph(feats)


def annotated(nlp: Language, words: str, *, pos: str, morphs: str) -> Example:
    """One UPOS and one FEATS a word, `-` where unknown."""
    predicted, reference = (Doc(nlp.vocab, words=words.split()) for _ in range(2))
    for token, upos, feats in zip(reference, pos.split(), morphs.split(), strict=True):
        token.pos_ = "" if upos == "-" else upos
        set_morph(token, None if feats == "-" else feats)
    return Example(predicted, reference)


def logits_of(pipe: FactoredMorphologizer, docs: list[Doc]) -> Floats:
    return pipe.logits(docs)


def random_scores(pipe: FactoredMorphologizer, lengths: list[int], *, seed: int) -> list[Any]:
    """Normally distributed logits, one float32 array a Doc."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(n, pipe.inventory.n_outputs)).astype(np.float32) for n in lengths]


def concatenate(parts: Sequence[Any]) -> Floats:
    return np.concatenate(list(parts))


def sharpen(nlp: Language) -> Language:
    """Give the head random weights, so that predictions are confident and vary."""
    head = pipe_of(nlp).model.get_ref("output_layer")
    shape = (head.get_dim("nO"), head.get_dim("nI"))
    weights: Any = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    head.set_param("W", weights)
    return nlp


def tags(doc: Doc) -> list[tuple[str, str]]:
    return [(token.pos_, str(token.morph)) for token in doc]


def test_the_default_config_trains_and_predicts(toy_examples: MakeExamples) -> None:
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("factored_morphologizer")
    assert isinstance(pipe, FactoredMorphologizer)
    assert (pipe.upos_weight, pipe.confidences) == (4.0, False)
    assert pipe.labels == ()
    with pytest.raises(ValueError, match="no labels yet"):
        pipe.label_data  # noqa: B018
    examples = toy_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    losses = [nlp.update(examples, sgd=optimizer)["factored_morphologizer"] for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]
    assert {token.pos_ for token in nlp("the dog saw .")} <= UPOS
    assert nlp.get_pipe_meta("factored_morphologizer").assigns == ["token.pos", "token.morph"]


def test_labels_come_from_the_examples(make_student: MakeStudent) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    assert pipe.labels[:3] == ("UPOS=ADP", "UPOS=DET", "UPOS=NOUN")
    assert {"Case=", "Case=Acc", "Number=", "Number=Plur", "Number=Sing"} <= set(pipe.labels)
    assert len(pipe.labels) == pipe.inventory.n_outputs == pipe.model.get_dim("nO")
    assert Inventory.from_json(pipe.label_data) == pipe.inventory


def test_words_without_feats_give_no_labels() -> None:
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("factored_morphologizer")
    example = annotated(nlp, "the saw dog", pos="DET VERB NOUN", morphs="- _ Number=Sing")
    nlp.initialize(lambda: [example])
    assert isinstance(pipe, FactoredMorphologizer)
    assert pipe.inventory.combinations == (("NOUN", "Number=Sing"), ("VERB", "_"))


def test_initialize_needs_labels() -> None:
    nlp = spacy.blank("xx")
    nlp.add_pipe("factored_morphologizer")
    example = annotated(nlp, "the dog", pos="DET -", morphs="- Number=Sing")
    with pytest.raises(ValueError, match="no word with UPOS and FEATS"):
        nlp.initialize(lambda: [example])


def test_the_head_starts_at_the_frequencies(make_student: MakeStudent, toy_examples: MakeExamples) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    start, end = pipe.inventory.starts[:2]
    bias: Any = pipe.output_layer.get_param("b")
    probs = np.exp(bias[start:end])
    words = [token.pos_ for eg in toy_examples(nlp) for token in eg.reference]
    upos = pipe.inventory.fields[0][1]
    assert probs == pytest.approx([(words.count(u) + 1) / (len(words) + len(upos)) for u in upos], rel=1e-4)


def test_predictions_are_the_best_combinations(make_student: MakeStudent) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    docs = [nlp.make_doc(text) for text in (TEXT, "", "dogs")]
    indices = pipe.inventory.best_combinations([logits_of(pipe, docs)])
    expected = [pipe.inventory.combinations[i] for i in indices]
    predictions = pipe.predict(docs)
    assert [len(prediction.combinations) for prediction in predictions] == [6, 0, 1]
    assert all(prediction.confidences is None for prediction in predictions)
    pipe.set_annotations(docs, predictions)
    assert [(u, m or "_") for doc in docs for u, m in tags(doc)] == expected


def test_the_scorer_counts(make_student: MakeStudent) -> None:
    nlp = make_student()
    doc = nlp("the dogs")
    upos, feats = [token.pos_ for token in doc], " ".join(str(token.morph) or "_" for token in doc)
    other = "VERB" if upos[1] != "VERB" else "NOUN"
    scores = nlp.evaluate([annotated(nlp, "the dogs", pos=f"{upos[0]} {other}", morphs=feats)])
    assert scores["pos_acc"] == 0.5
    assert scores["morph_acc"] == 1.0
    assert "morph_per_feat" in scores


def test_confidences_are_probabilities_of_the_predicted_upos(make_student: MakeStudent) -> None:
    nlp = make_student(component={"confidences": True})
    pipe = pipe_of(nlp)
    doc = nlp(TEXT)
    n_upos = int(pipe.inventory.starts[1])
    probs = torch.softmax(torch.from_numpy(logits_of(pipe, [doc])[:, :n_upos]), dim=1).numpy()
    columns = [pipe.inventory.fields[0][1].index(token.pos_) for token in doc]
    expected = probs[np.arange(len(doc)), columns]
    assert [token._.pos_confidence for token in doc] == pytest.approx(expected.tolist(), rel=1e-5)
    restored = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert [token._.pos_confidence for token in restored] == [token._.pos_confidence for token in doc]
    assert [len(doc._.pos_confidences) for doc in nlp.pipe(["", "dog dog", ""])] == [0, 2, 0]


def test_confidences_are_absent_unless_asked_for(make_student: MakeStudent) -> None:
    nlp = make_student(component={"confidences": True})  # registers the extension for all pipelines
    assert Token.has_extension("pos_confidence")
    assert [token._.pos_confidence for token in make_student()("the dog")] == [None, None]
    pipe_of(nlp).confidences = False
    assert [token._.pos_confidence for token in nlp("the dog")] == [None, None]


def test_confidences_can_be_asked_for_at_any_time(make_student: MakeStudent) -> None:
    nlp = make_student()
    extensions = [cls.remove_extension(name) for cls, name in CONFIDENCES if cls.has_extension(name)]
    assert len(extensions) in (0, 2)
    pipe_of(nlp).confidences = True
    expected = make_student(component={"confidences": True})("the dog")
    assert [t._.pos_confidence for t in nlp("the dog")] == [t._.pos_confidence for t in expected]


def test_a_user_s_own_attribute_is_left_alone(make_student: MakeStudent) -> None:
    for cls, name in CONFIDENCES:
        if cls.has_extension(name):
            cls.remove_extension(name)
    Token.set_extension("pos_confidence", default="mine")
    nlp = make_student()
    try:
        with pytest.raises(ValueError, match=r"pos_confidence is an attribute of yours"):
            pipe_of(nlp).confidences = True
        assert [token._.pos_confidence for token in nlp("the dog")] == ["mine", "mine"]
    finally:
        Token.remove_extension("pos_confidence")


def test_disk_and_bytes_round_trip(make_student: MakeStudent, tmp_path: Path) -> None:
    nlp = make_student(component={"upos_weight": 2.5})
    pipe, doc = pipe_of(nlp), nlp(TEXT)
    nlp.to_disk(tmp_path / "pipeline")
    pipe.to_disk(tmp_path / "component")
    loaded = spacy.load(tmp_path / "pipeline")
    others = [loaded, make_student(hidden_width=16), make_student()]
    pipe_of(others[1]).from_bytes(pipe.to_bytes())
    pipe_of(others[2]).from_disk(tmp_path / "component")
    for other in others:
        assert pipe_of(other).inventory == pipe.inventory
        assert tags(other(TEXT)) == tags(doc)
        assert np.array_equal(logits_of(pipe_of(other), [doc]), logits_of(pipe, [doc]))
    assert pipe_of(loaded).upos_weight == 2.5


def test_a_stored_component_replaces_the_labels(make_student: MakeStudent) -> None:
    target = make_student()
    text = json.dumps(pipe_of(target).label_data)
    renamed = json.loads(text.replace("VERB", "AUX").replace("NOUN", "X").replace("Number", "Size"))
    source = make_student(labels=renamed)
    before = tags(target(TEXT))
    pipe_of(target).from_bytes(pipe_of(source).to_bytes())
    assert tags(target(TEXT)) == tags(source(TEXT)) != before
    assert pipe_of(target).label_data == renamed


def test_the_pipeline_loads_without_its_vocabulary_file(
    make_student: MakeStudent, vocabulary: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "vocab.txt"
    moved.write_bytes(vocabulary.read_bytes())
    nlp = make_student(vocabulary=str(moved))
    nlp.to_disk(tmp_path / "pipeline")
    moved.unlink()
    assert tags(spacy.load(tmp_path / "pipeline")(TEXT)) == tags(nlp(TEXT))


def test_unknown_labels_have_no_gradient(make_student: MakeStudent) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    examples = [
        annotated(nlp, "the dog", pos="DET NOUN", morphs="- Number=Sing"),
        annotated(nlp, "the dog", pos="- NOUN", morphs="Definite=Def _"),
    ]
    n_upos = int(pipe.inventory.starts[1])
    _, (first, second) = pipe.get_loss(examples, random_scores(pipe, [2, 2], seed=0))
    assert not first[0, n_upos:].any()
    assert first[0, :n_upos].all()
    assert first[1].all()
    assert not second[0, :n_upos].any()
    assert second[0, n_upos:].all()
    assert second[1].all()  # FEATS are known to be empty


def test_the_loss_equals_torch(make_student: MakeStudent, toy_examples: MakeExamples) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    examples = toy_examples(nlp, n=3)
    scores = random_scores(pipe, [len(eg.predicted) for eg in examples], seed=1)
    loss, gradient = pipe.get_loss(examples, scores)
    leaf = torch.tensor(np.concatenate(scores), requires_grad=True)
    words = [token for eg in examples for token in eg.reference]
    expected = torch.zeros(())
    for (name, values), (a, b) in zip(pipe.inventory.fields, pairwise(pipe.inventory.starts), strict=True):
        gold = [t.pos_ if name == "UPOS" else t.morph.to_dict().get(name, "") for t in words]
        indices = torch.tensor([values.index(value) for value in gold])
        weight = pipe.upos_weight if name == "UPOS" else 1.0
        expected = expected + weight * functional.cross_entropy(leaf[:, a:b], indices)
    expected.backward()
    assert leaf.grad is not None
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert [len(part) for part in gradient] == [len(part) for part in scores]
    assert concatenate(gradient) == pytest.approx(leaf.grad.numpy(), abs=1e-6)


def test_a_tokenization_of_its_own(make_student: MakeStudent) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    gold = ["a", "bc", "dogs", ".", "saw"]
    reference = Doc(
        nlp.vocab,
        words=gold,
        spaces=[False, True, False, True, True],
        pos=["DET", "NOUN", "NOUN", "PUNCT", "VERB"],
        morphs=["Definite=Def", "Number=Sing", "Number=Plur", "_", "Tense=Past"],
    )
    predicted = Doc(nlp.vocab, words=["abc", "dog", "s", ".", "saw"], spaces=[True, False, False, True, True])
    eg = Example(predicted, reference)
    # A token over two gold tokens has neither's label; parts of one gold token have its label.
    assert gold_labels(eg) == [
        ("", ""),
        ("NOUN", "Number=Plur"),
        ("NOUN", "Number=Plur"),
        ("PUNCT", "_"),
        ("VERB", "Tense=Past"),
    ]
    loss, (gradient,) = pipe.get_loss([eg], random_scores(pipe, [5], seed=2))
    assert loss > 0
    assert not gradient[0].any()
    assert gradient[1:].all()


def test_rehearsal_has_the_gradient_of_the_divergence(make_student: MakeStudent) -> None:
    nlp = sharpen(make_student())
    pipe = pipe_of(nlp)
    nlp.resume_training()
    head: Any = pipe.output_layer
    head.set_param("W", head.get_param("W") + np.float32(0.3) * np.roll(head.get_param("W"), 1))
    docs = [nlp.make_doc("the dog saw ."), nlp.make_doc(""), nlp.make_doc("dogs")]
    vectors: Any = pipe.tok2vec.predict(docs)
    rows = torch.from_numpy(np.concatenate(vectors))
    assert pipe._rehearsal_model is not None
    before = torch.from_numpy(np.concatenate(pipe._rehearsal_model.predict(docs)))
    weights = torch.tensor(head.get_param("W"), requires_grad=True)
    logits = rows @ weights.T + torch.from_numpy(head.get_param("b"))
    expected = torch.zeros(())
    for i, (a, b) in enumerate(pairwise(pipe.inventory.starts)):
        cross = functional.cross_entropy(logits[:, a:b], torch.softmax(before[:, a:b], dim=1))
        expected = expected + (pipe.upos_weight if i == 0 else 1.0) * cross
    expected.backward()
    losses = pipe.rehearse([Example(doc, nlp.make_doc(doc.text)) for doc in docs])
    assert losses["morphologizer"] == pytest.approx(expected.item(), rel=1e-4)
    assert weights.grad is not None
    assert head.get_grad("W") == pytest.approx(weights.grad.numpy(), abs=1e-5)


def test_rehearsal_without_tokens_or_before_training_does_nothing(make_student: MakeStudent) -> None:
    nlp = make_student()
    examples = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in ("the dog", "")]
    assert pipe_of(nlp).rehearse(examples) == {"morphologizer": 0.0}
    nlp.resume_training()
    assert pipe_of(nlp).rehearse(examples[1:]) == {"morphologizer": 0.0}
    assert not pipe_of(nlp).output_layer.has_grad("W")


def test_labels_are_not_added_one_at_a_time(make_student: MakeStudent) -> None:
    with pytest.raises(NotImplementedError, match="from the training examples"):
        pipe_of(make_student()).add_label("Case=Dat")


def test_other_heads_are_refused() -> None:
    """The component predicts by encoder and output layer: what stands between them would be left out."""
    model = build_hash_embed_cnn_tok2vec(**CNN)
    output = Linear(nI=8)
    whole: Any = chain(model, with_array(chain(Relu(8, 8), output)))
    whole.set_ref("tok2vec", model)
    whole.set_ref("output_layer", output)
    with pytest.raises(ValueError, match=r"expected one of mminibert\.FactoredTagger\.v1"):
        FactoredMorphologizer(Vocab(), whole)


def test_an_encoder_may_have_a_linear_layer(toy_examples: MakeExamples) -> None:
    """Output layers are known by reference, not by thinc's name of them."""
    nlp = spacy.blank("xx")
    encoder: Any = chain(build_hash_embed_cnn_tok2vec(**CNN), with_array(Linear(nI=8, nO=6)))
    pipe = FactoredMorphologizer(nlp.vocab, FactoredTagger(encoder))
    examples = toy_examples(nlp)
    pipe.initialize(lambda: examples, nlp=nlp)
    assert pipe.output_layer.get_param("W").shape == (pipe.inventory.n_outputs, 6)
    assert len(pipe.output_layers) == 1
    assert pipe.logits([examples[0].predicted]).shape == (
        len(examples[0].predicted),
        pipe.inventory.n_outputs,
    )


def test_initialising_for_another_component_keeps_a_trained_tagger(
    make_student: MakeStudent, toy_examples: MakeExamples
) -> None:
    nlp = sharpen(make_student())
    before = tags(nlp(TEXT))
    nlp.initialize(lambda: [annotated(nlp, "the dog", pos="- -", morphs="- -")])
    assert tags(nlp(TEXT)) == before
    pipe_of(nlp).initialize(lambda: toy_examples(nlp), nlp=nlp)
    assert pipe_of(nlp).inventory == pipe_of(make_student()).inventory


def test_initialising_twice_takes_more_labels(make_student: MakeStudent) -> None:
    nlp = make_student()
    pipe = pipe_of(nlp)
    more = annotated(nlp, "the dog", pos="DET NOUN", morphs="Definite=Def|Deixis=Prox|Case=Gen Case=Dat")
    pipe.initialize(lambda: [more], nlp=nlp)
    assert set(pipe.inventory.combinations) == {
        ("DET", "Case=Gen|Definite=Def|Deixis=Prox"),
        ("NOUN", "Case=Dat"),
    }
    assert set(tags(nlp(TEXT))) <= set(pipe.inventory.combinations)


def test_a_failed_initialisation_changes_nothing(
    make_student: MakeStudent, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = sharpen(make_student())
    pipe, before, labels = pipe_of(nlp), tags(nlp(TEXT)), pipe_of(nlp).inventory
    more = annotated(nlp, "the dog", pos="DET NOUN", morphs="Definite=Def|Deixis=Prox Case=Dat")

    stored = pipe.to_bytes()

    def fail(layer: Any, **_: Any) -> None:
        layer.set_param("W", np.zeros((layer.get_dim("nO"), 16), dtype=np.float32))
        raise RuntimeError("no memory")

    monkeypatch.setattr(pipe.output_layer, "init", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        pipe.initialize(lambda: [more], nlp=nlp)
    assert tags(nlp(TEXT)) == before
    assert pipe.inventory == labels
    assert pipe.to_bytes() == stored


def test_empty_docs_among_others(make_student: MakeStudent, toy_examples: MakeExamples) -> None:
    nlp = make_student()
    empty = Example(Doc(nlp.vocab), Doc(nlp.vocab))
    examples = toy_examples(nlp, n=2)
    mixed = [empty, examples[0], empty, examples[1], empty]
    scores = pipe_of(nlp).model.predict([eg.predicted for eg in mixed])
    assert pipe_of(nlp).get_loss(mixed, scores)[0] == pytest.approx(
        pipe_of(nlp).get_loss(examples, [scores[1], scores[3]])[0]
    )
    optimizer = nlp.resume_training()
    assert nlp.update(mixed, sgd=optimizer)["morphologizer"] > 0
    assert nlp.update([empty], sgd=optimizer)["morphologizer"] == 0
    assert [tags(doc) for doc in nlp.pipe(["", "the dog", ""])] == [[], tags(nlp("the dog")), []]
    assert len(nlp("")) == 0
    assert pipe_of(nlp).predict([]) == []


@pytest.fixture(scope="module")
def engines(make_student: MakeStudent, toy_examples: MakeExamples) -> dict[str, Language]:
    """A student of PyTorch, and the same without torch."""
    nlp = make_student()
    sharpen(nlp)  # so that predictions vary
    round_embeddings(nlp)
    calibration = [example.reference for example in toy_examples(nlp, n=40, seed=1)]
    return {"torch": nlp, "onnx": quantize(nlp, calibration)}


def test_a_damaged_file_is_named(engines: dict[str, Language], tmp_path: Path) -> None:
    engines["onnx"].to_disk(tmp_path)
    path = tmp_path / "tok2vec" / "model"
    path.with_name("model.crc32").unlink()  # as in packages up to 0.2.3
    stored = path.read_bytes()
    path.write_bytes(stored[:-40] + b"x" * 40)
    with pytest.raises(ValueError, match=r"tok2vec: .*damaged or of another version.*quantize"):
        spacy.load(tmp_path)


def assert_tagged(nlp: Language, doc: Doc) -> None:
    combinations = set(pipe_of(nlp).inventory.combinations)
    for token in doc:
        if token.is_space:
            assert (token.pos_, str(token.morph)) == ("SPACE", "")
            continue
        assert token.pos_ in UPOS
        assert (token.pos_, str(token.morph) or "_") in combinations


anything = st.one_of(
    st.text(max_size=80),
    st.text(
        st.sampled_from("dogs the.!\u200b\u200d\u202e\ufeff\u0301 \t\n\xa0\x00👩🏽🚀אבعر中ж"), max_size=80
    ),
    st.text(st.characters(min_codepoint=0x10000), max_size=20),
)
ROBUST = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@given(text=anything)
@example(text="")
@example(text=" ")
@example(text="\n\n\t \u3000")
@example(text="\x00")
@example(text="[CLS] [SEP] [PAD] [UNK]")
@example(text="👩🏽‍🚀👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿")
@example(text="שלום עולם \u202eabc\u202c العربية")
@example(text="\u200b\u200d\ufeff")
@example(text="Z̴̢̧a̷̡l̵g̶o̸")
@ROBUST
def test_any_text_is_tagged(engines: dict[str, Language], engine: str, text: str) -> None:
    doc = engines[engine](text)
    assert doc.text == text
    assert_tagged(engines[engine], doc)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@given(sentences=st.lists(st.lists(st.text(min_size=1, max_size=12), max_size=6), max_size=4))
@ROBUST
def test_any_words_are_tagged(engines: dict[str, Language], engine: str, sentences: list[list[str]]) -> None:
    nlp = engines[engine]
    docs = list(nlp.pipe([Doc(nlp.vocab, words=words) for words in sentences]))
    assert [[token.text for token in doc] for doc in docs] == sentences
    for doc in docs:
        assert_tagged(nlp, doc)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize(
    ("text", "n_tokens"),
    [
        pytest.param("dogs 中 the " * 9_091, 27_273, id="100,000 characters"),
        pytest.param("d" * 100_000, 1, id="one word of 100,000"),
        pytest.param("d" * 5_000, 1, id="one word of 5,000"),
        pytest.param("the " + "жé" * 2_500 + " saw", 3, id="a word of 5,000 among others"),
        pytest.param(" " * 100_000, 1, id="100,000 blanks"),
        pytest.param("\u0301" * 5_000, 1, id="5,000 combining accents"),
    ],
)
def test_long_texts_are_tagged(engines: dict[str, Language], engine: str, text: str, n_tokens: int) -> None:
    doc = engines[engine](text)
    assert len(doc) == n_tokens
    assert_tagged(engines[engine], doc)


def test_both_engines_agree(engines: dict[str, Language], toy_examples: MakeExamples) -> None:
    nlp = engines["torch"]
    docs = [eg.reference for eg in toy_examples(nlp, n=20)]
    one, other = (logits_of(pipe_of(engines[name]), docs) for name in ("torch", "onnx"))
    assert other == pytest.approx(one, abs=0.05)  # dense layers are rounded to 8 bits


def test_the_engine_without_torch_is_stored(engines: dict[str, Language], tmp_path: Path) -> None:
    engines["onnx"].to_disk(tmp_path)
    assert tags(spacy.load(tmp_path)(TEXT)) == tags(engines["onnx"](TEXT))


def test_only_the_head_learns_without_torch(make_student: MakeStudent, toy_examples: MakeExamples) -> None:
    nlp = quantize(make_student(), [])
    pipe = pipe_of(nlp)
    examples = toy_examples(nlp)
    shared: Any = nlp.get_pipe("tok2vec")
    encoder, head = shared.to_bytes(), np.array(pipe.output_layer.get_param("W"))
    sgd: Any = Adam(0.01)
    losses = [nlp.update(examples, sgd=sgd)["morphologizer"] for _ in range(10)]
    assert losses[-1] < 0.8 * losses[0]
    assert shared.to_bytes() == encoder
    assert np.abs(pipe.output_layer.get_param("W") - head).max() > 0.01


def test_what_was_first_tagged_in_a_memory_zone_is_tagged_after_it(make_student: MakeStudent) -> None:
    nlp, plain = sharpen(make_student()), sharpen(make_student())
    text = "the dog saw a cat . dogs see the cats ."
    with nlp.memory_zone():
        inside = tags(nlp(text))
    with nlp.memory_zone():
        nlp("other words come between")
    assert inside == tags(nlp(text)) == tags(plain(text))
    assert len(set(inside)) > 1
