"""Encoder and conventions that learn together: against the packaged heads, the fit's gradients, and a run
that was never interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from students import inventory, make_corpus, make_student, random_sentences, write_vocabulary
from torch import Tensor

from mminibert.data.targets import Shard, sparsify, write_shard
from mminibert.packaging.assemble import head_of
from mminibert.packaging.quantize import quantize, score_conventions
from mminibert.runtime.labels import Inventory
from mminibert.runtime.losses import one_hot
from mminibert.runtime.pipeline import pipeline_encoder, tagger
from mminibert.runtime.types import Floats
from mminibert.runtime.windows import windows
from mminibert.systems import conventions as conventions_module
from mminibert.systems import tuning as module
from mminibert.systems.convention_fit import Adam, ConventionFit, FitSettings, Learned, Words, form_ids
from mminibert.systems.convention_text import LabelledText
from mminibert.systems.conventions import fit_conventions, start_head
from mminibert.systems.joint_tagger import JointOptimizers, JointTagger, Lesson, Tuning, is_off, of_all
from mminibert.systems.tuning import plan, tune
from mminibert.training.checkpoint import Progress
from mminibert.training.model import WORDS

TREEBANKS = ["en_a", "en_b", "de_a"]
TUNING = Tuning(words=3000, pieces=160, learn_rate=0.003, dropout=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a packaged pipeline whose conventions were fitted for a moment; `en_b` is too small for a
    head of its own."""
    folder = tmp_path_factory.mktemp("tuning")
    corpus = make_corpus(folder, {"en_a": 80, "en_b": 4, "de_a": 40})
    nlp = quantize(make_student(write_vocabulary(folder / "vocab.txt"), inventory()), [])
    layer: Any = tagger(nlp).output_layer
    random = np.random.default_rng(0)
    layer.set_param("W", random.normal(size=layer.get_param("W").shape).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conventions_module, "LEAST", 100)
        settings = FitSettings(visits=10, width=8, batch_words=64)
        fitted = fit_conventions(
            nlp, corpus, TREEBANKS, lambda _: {"en": "en_a", "de": "de_a"}, known=(), settings=settings
        )
    tagger(nlp).conventions = fitted.conventions
    nlp.to_disk(folder / "xx")
    return folder


@pytest.fixture
def nlp(folder: Path) -> Language:
    return spacy.load(folder / "xx")


def run(nlp: Language, folder: Path, output: Path, tuning: Tuning = TUNING, **settings: Any) -> Any:
    sentences = [Doc(nlp.vocab, words=words) for words in random_sentences(20, seed=8)]
    given = {"known": (), "calibration": sentences, **settings}
    return tune(nlp, folder / "corpus", tuning, output, **given)


def lesson_of(nlp: Language, model: JointTagger, code: str, n: int = 12) -> tuple[Lesson, list[list[str]]]:
    """Random values, some of them unknown, of random sentences."""
    sentences = random_sentences(n, seed=3)
    docs = [Doc(nlp.vocab, words=words) for words in sentences]
    table, own = model.before.forms(code), model.before.head(code).inventory
    assert table is not None
    places = {feature: i for i, feature in enumerate(table.features)}
    forms = form_ids([word for words in sentences for word in words], places)
    random = np.random.default_rng(4)
    values = np.stack([random.integers(-1, len(shown), len(forms)) for _, shown in own.fields], axis=1)
    cuts = list(windows(docs, model.pieces, **model.cuts))
    offsets = np.cumsum([0, *map(len, docs)])
    return Lesson(cuts, offsets, values.astype(np.int32), forms), sentences


def packaged_vectors(nlp: Language, sentences: list[list[str]]) -> Floats:
    docs = [Doc(nlp.vocab, words=words) for words in sentences]
    return np.concatenate([np.asarray(rows) for rows in tagger(nlp).vectors(docs)])


def test_it_begins_as_the_packaged_pipeline(nlp: Language) -> None:
    """Vectors in float32 instead of 8 bits; logits of the same vectors are those of its heads."""
    model = JointTagger(nlp, TUNING).eval()
    lesson, sentences = lesson_of(nlp, model, "en_a")
    vectors = packaged_vectors(nlp, sentences)
    with torch.no_grad():
        found = model.vectors(lesson.windows).numpy()
    rows = lesson.words(range(len(lesson.windows)))
    assert np.allclose(found, vectors[rows], atol=0.05)
    for code in ("en_a", "de_a"):
        lesson, _ = lesson_of(nlp, model, code)
        table = model.before.forms(code)
        assert table is not None
        forms = np.stack([table.vector(word) for words in sentences for word in words])
        (wanted,) = model.before.logits(code, [vectors], forms)
        with torch.no_grad():
            logits = model.logits(code, torch.from_numpy(vectors), lesson.forms)
        assert np.allclose(logits.numpy(), wanted, atol=1e-4)
    assert is_off(model.before.head("en_b")) and not is_off(model.before.head("en_a"))


def test_loss_and_gradients_are_those_of_the_fit(nlp: Language) -> None:
    """`ConventionFit` has its gradients in NumPy."""
    model = JointTagger(nlp, TUNING).eval()
    code, before = "en_a", model.before
    lesson, _ = lesson_of(nlp, model, code)
    chosen = list(range(len(lesson.windows)))
    rows = lesson.words(chosen)
    loss, n_words = model.loss(code, lesson, chosen, 0.0)
    loss.backward()
    assert n_words == len(rows) == len(lesson.values)
    head, table, adapter = before.head(code), before.forms(code), before.adapter
    assert table is not None and adapter is not None
    own = Learned(Adam(head.weights), Adam(head.bias), Adam(head.embedding))
    forms = {"en": Adam(table.rows * table.scales[:, None])}
    settings = FitSettings(width=8, learn_rate=0.0, head_learn_rate=0.0, forms_learn_rate=0.0)
    fit = ConventionFit(settings, Adam(adapter.down), Adam(adapter.up), forms, {code: own})
    with torch.no_grad():
        vectors = model.vectors(lesson.windows).numpy()
    words = Words(head.inventory, vectors, lesson.forms[rows], lesson.values[rows])
    assert loss.item() == pytest.approx(fit.learn(code, words, np.arange(len(rows)), 1.0), rel=1e-4)
    ((down, up),) = fit._shared
    place = model.places[code]
    table_grad = model.forms[model.tables["en"]].grad
    assert table_grad is not None and not table_grad[-1].any()
    # After one step the first average of Adam is a tenth of the gradient.
    for found, gradient in (
        (model.down.grad, down),
        (model.up.grad, up),
        (model.weights[place].grad, 10 * own.weights.first),
        (model.biases[place].grad, 10 * own.bias.first),
        (model.told[place].grad, 10 * own.embedding.first),
        (table_grad[:-1], 10 * fit.forms["en"].first),
    ):
        assert found is not None and np.abs(gradient).max() > 1e-4
        assert np.allclose(found.numpy(), gradient, rtol=1e-3, atol=1e-5)
    encoder = model.bert.get_parameter("encoder.layer.0.output.dense.weight").grad
    assert encoder is not None and encoder.abs().max().item() > 1e-5
    assert model.head.weight.grad is None or not model.head.weight.grad.any()


def test_the_head_for_all_learns_besides(nlp: Language) -> None:
    model = JointTagger(nlp, TUNING).eval()
    lesson, _ = lesson_of(nlp, model, "en_a")
    alone, both = (model.loss("en_a", lesson, [0, 1], weight)[0] for weight in (0.0, 0.5))
    assert both.item() > alone.item()
    both.backward()
    assert model.head.weight.grad is not None and model.head.weight.grad.abs().max() > 1e-4


def test_values_of_a_convention_for_the_head_for_all() -> None:
    own = Inventory.from_labels([("NOUN", "Case=Nom|Tiny=Yes"), ("VERB", "_"), ("X", "_")])
    whole = Inventory.from_labels([("ADJ", "Case=Acc|Number=Sing"), ("NOUN", "Case=Nom"), ("VERB", "_")])
    labels = [("NOUN", "Case=Nom|Tiny=Yes"), ("VERB", "_"), ("X", "_"), ("NOUN", ""), ("", "Case=Nom")]
    found = of_all(torch.from_numpy(own.encode(labels).astype(np.int64)), own, whole).tolist()
    wanted = whole.encode([("NOUN", "Case=Nom"), ("VERB", "_"), ("", "_"), ("NOUN", ""), ("", "Case=Nom")])
    assert found == wanted.tolist()


def test_everything_has_its_rate(nlp: Language) -> None:
    tuning = replace(TUNING, learn_rate=0.01, heads=2.0, adapter=3.0, forms=3.0, embeddings=4.0)
    model = JointTagger(nlp, tuning)
    optimizers = JointOptimizers(model, tuning)
    names = {id(value): name for name, value in model.named_parameters()}
    optimizers.step(0.5)
    rates = {
        names[id(value)]: (group["lr"], group.get("weight_decay", 0.0))
        for optimizer in optimizers.all
        for group in optimizer.param_groups
        for value in group["params"]
    }
    assert rates.keys() == model.trained().keys()
    prefixes = {"bert": 1.0, "head": 2.0, "weights": 2.0, "biases": 2.0, "down": 3.0, "up": 3.0, "told": 3.0}
    for name, (rate, decay) in rates.items():
        factor = {**prefixes, "forms": 3.0}[name.split(".")[0]]
        factor = 4.0 if name == WORDS else factor
        assert rate == pytest.approx(0.005 * factor)
        decays = name.startswith("bert") and name != WORDS and model.trained()[name].ndim > 1
        assert decay == (0.01 if decays else 0.0)


def test_what_is_read_when(nlp: Language) -> None:
    model = JointTagger(nlp, TUNING)
    lessons = {code: lesson_of(nlp, model, code, n)[0] for code, n in (("en_a", 40), ("de_a", 10))}
    tuning = replace(TUNING, conventions=1, pieces=40)
    steps = list(islice(plan(lessons, tuning), 200))
    assert steps == list(islice(plan(lessons, tuning), 200))
    assert steps != list(islice(plan(lessons, replace(tuning, seed=2)), 200))
    for code, lesson in lessons.items():
        seen: list[int] = []
        for step in steps:
            for drawn, chosen in step:
                if drawn == code:
                    lengths = [len(lesson.windows[i].piece_ids) for i in chosen]
                    assert len(chosen) == 1 or max(lengths) * len(chosen) <= 40
                    seen += chosen
        n = len(lesson.windows)
        passes = [seen[i : i + n] for i in range(0, len(seen) - n + 1, n)]
        assert len(passes) >= 2 and passes[0] != passes[1]
        assert all(sorted(each) == list(range(n)) for each in passes)
    counts = {code: sum(step[0][0] == code for step in steps) for code in lessons}
    assert counts["en_a"] > counts["de_a"] > 30


def test_all_of_it_learns(folder: Path, nlp: Language, tmp_path: Path) -> None:
    said: list[str] = []
    tuned, done = run(nlp, folder, tmp_path / "run", say=said.append)
    assert done.words >= TUNING.words
    assert [line.split(":")[0] for line in said] == ["de_a", "en_a"]
    before = score_conventions(nlp, folder / "corpus", TREEBANKS)
    after = score_conventions(tuned, folder / "corpus", TREEBANKS)
    for code in ("en_a", "de_a"):
        assert after[code]["UPOS"] > before[code]["UPOS"] + 0.1
    sentences = random_sentences(5, seed=6)
    assert not np.allclose(packaged_vectors(nlp, sentences), packaged_vectors(tuned, sentences), atol=0.1)
    assert not np.array_equal(head_of(nlp)[0], head_of(tuned)[0])
    conventions, old = tagger(tuned).conventions, tagger(nlp).conventions
    assert conventions is not None and old is not None and conventions.codes == old.codes
    assert conventions.defaults == old.defaults
    small = conventions.head("en_b")
    weights, bias = start_head(tuned, small.inventory)
    assert np.allclose(small.weights, weights, atol=small.scales.max()) and np.array_equal(small.bias, bias)
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert rows[-1]["words"] == done.words and rows[-1]["loss"] < rows[0]["loss"]
    again, _ = run(nlp, folder, tmp_path / "run")  # it has ended, and is not trained again
    assert np.array_equal(packaged_vectors(again, sentences), packaged_vectors(tuned, sentences))


def test_text_is_learned_from(folder: Path, nlp: Language, tmp_path: Path) -> None:
    """A teacher that takes all words for punctuation is believed where text outweighs the treebank."""
    whole = inventory()
    sentences = random_sentences(300, seed=7)
    told = np.repeat(whole.encode([("PUNCT", "_")]), sum(map(len, sentences)), axis=0)
    targets = sparsify(one_hot(told, whole.starts), whole.starts)
    write_shard(tmp_path / "en-00000.npz", Shard(sentences, targets, ["en_a"] * len(sentences)))
    text = LabelledText((tmp_path / "en-00000.npz",), whole)
    shares = {}
    for name, given in (("without", None), ("with", text)):
        tuned, _ = run(nlp, folder, tmp_path / name, text=given)
        for code in ("en_a", "de_a"):
            with tagger(tuned).tagging_in(code):
                docs = [Doc(tuned.vocab, words=words) for words in random_sentences(20, seed=5)]
                tagged = [token.pos_ == "PUNCT" for doc in tuned.pipe(docs) for token in doc]
            shares[name, code] = float(np.mean(tagged))
    assert shares["with", "en_a"] > shares["without", "en_a"] + 0.3
    assert shares["with", "de_a"] < shares["with", "en_a"] - 0.3


def test_an_interrupted_run_goes_on(
    folder: Path, nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)

    def stop(progress: Progress, _: Tensor) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    whole, _ = run(nlp, folder, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(nlp, folder, tmp_path / "cut", on_step=stop)
    with pytest.raises(ValueError, match="of a training with other inputs or settings"):
        run(nlp, folder, tmp_path / "cut", replace(TUNING, learn_rate=0.001))
    steps: list[int] = []
    cut, _ = run(nlp, folder, tmp_path / "cut", on_step=lambda progress, _: steps.append(progress.step))
    assert steps[0] == 4
    sentences = random_sentences(5, seed=6)
    assert np.array_equal(packaged_vectors(whole, sentences), packaged_vectors(cut, sentences))
    one, other = tagger(whole).conventions, tagger(cut).conventions
    assert one is not None and other is not None
    for head, same in zip(one.heads, other.heads, strict=True):
        assert np.array_equal(head.rows, same.rows) and np.array_equal(head.bias, same.bias)


def test_refused(folder: Path, nlp: Language, tmp_path: Path) -> None:
    pipe = tagger(nlp)
    conventions = pipe.conventions
    assert conventions is not None
    head = conventions.head("en_a")
    fewer = Inventory.from_labels(head.labels[1:])
    pipe.conventions = conventions.with_head(
        type(head).of("en_a", fewer, *start_head(nlp, fewer), head.embedding)
    )
    with pytest.raises(ValueError, match="en_a: the convention has other labels than its treebank"):
        run(nlp, folder, tmp_path)
    off = replace(conventions.head("en_b"), code="en_a")
    pipe.conventions = conventions.only(["en_a", "en_b"]).with_head(off)
    with pytest.raises(ValueError, match="none of the conventions has a head of its own"):
        run(nlp, folder, tmp_path)
    pipe.conventions = replace(conventions, adapter=None)
    with pytest.raises(ValueError, match="have no adapter"):
        run(nlp, folder, tmp_path)
    assert list(tmp_path.iterdir()) == [] and pipeline_encoder(nlp) is not None
