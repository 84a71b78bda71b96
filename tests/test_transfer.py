"""What a new student takes over from a trained one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from students import (
    inventory,
    make_student,
    random_sentences,
    round_embeddings,
    tagger,
    write_vocabulary,
)

from mminibert.packaging.quantize import quantize
from mminibert.runtime.labels import Inventory
from mminibert.systems.transfer import continue_from

LABELS = inventory()


def test_a_student_continues_from_a_trained_one(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "vocab.txt")
    trained = make_student(vocabulary, LABELS, seed=1)
    new = make_student(vocabulary, LABELS, seed=2)
    docs = [new.make_doc("a cab"), new.make_doc("faced worse .")]
    expected = np.concatenate(tagger(trained).model.predict(docs))
    assert np.abs(np.concatenate(tagger(new).model.predict(docs)) - expected).max() > 0.1
    continue_from(new, trained)
    assert np.array_equal(np.concatenate(tagger(new).model.predict(docs)), expected)
    table = tagger(new).encoder.bert.embeddings.word_embeddings.weight
    assert table.requires_grad


def test_a_student_of_other_labels_and_pieces_takes_over_what_both_have(tmp_path: Path) -> None:
    trained = make_student(write_vocabulary(tmp_path / "vocab.txt"), LABELS, seed=1)
    pieces = tagger(trained).encoder.pieces.vocab
    fewer = tmp_path / "fewer.txt"
    fewer.write_text("\n".join([*pieces[:-3], "zzz"]) + "\n", encoding="utf-8")
    labels = [*list(LABELS.combinations)[1:], ("INTJ", "Mood=New")]
    new = make_student(fewer, Inventory.from_labels(labels), seed=2)
    shim = tagger(new).encoder
    before = shim.bert.embeddings.word_embeddings.weight.detach().numpy().copy()
    continue_from(new, trained)
    table = shim.bert.embeddings.word_embeddings.weight.detach().numpy()
    old = tagger(trained).encoder.bert.embeddings.word_embeddings.weight
    assert np.array_equal(table[:-1], old.detach().numpy()[: len(pieces) - 3])
    assert np.array_equal(table[-1], before[-1])
    doc = new.make_doc("a cab")
    ((got,), (expected,)) = (tagger(nlp).model.predict([doc]) for nlp in (new, trained))
    outputs = [
        {(n, v): i for i, (n, v) in enumerate((n, v) for n, vs in tagger(nlp).inventory.fields for v in vs)}
        for nlp in (new, trained)
    ]
    both = sorted(outputs[0].keys() & outputs[1].keys())
    assert 2 < len(both) < len(outputs[0])
    np.testing.assert_allclose(
        got[:, [outputs[0][value] for value in both]],
        expected[:, [outputs[1][value] for value in both]],
        atol=1e-6,
    )


def test_a_student_continues_from_one_with_fewer_positions(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "vocab.txt")
    trained, new = (
        make_student(vocabulary, LABELS, seed=1),
        make_student(vocabulary, LABELS, max_positions=96),
    )
    doc = new.make_doc("a cab faced worse")
    bert = tagger(new).encoder.bert
    before = bert.embeddings.position_embeddings.weight.detach().clone()
    continue_from(new, trained)
    after = bert.embeddings.position_embeddings.weight.detach()
    assert np.array_equal(after[64:], before[64:]) and not np.array_equal(after[:64], before[:64])
    ((got,), (expected,)) = (tagger(nlp).model.predict([doc]) for nlp in (new, trained))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(("calibrated", "error"), [(False, 1e-6), (True, 0.05)])
def test_a_student_continues_from_a_packaged_one(tmp_path: Path, calibrated: bool, error: float) -> None:
    vocabulary = write_vocabulary(tmp_path / "vocab.txt")
    trained, new = (make_student(vocabulary, LABELS, seed=seed) for seed in (1, 2))
    docs = [spacy.tokens.Doc(trained.vocab, words=words) for words in random_sentences(200, seed=3)]
    round_embeddings(trained)
    continue_from(new, quantize(trained, docs if calibrated else []))
    old, got = (tagger(nlp).encoder.bert.state_dict() for nlp in (trained, new))
    for name in old:
        if name.startswith("layer") or ".layer." in name:
            assert (got[name] - old[name]).norm() <= error * old[name].norm(), name
    expected = np.concatenate(tagger(trained).model.predict(docs))
    assert np.abs(np.concatenate(tagger(new).model.predict(docs)) - expected).max() < 0.1


def test_a_student_of_other_sizes_is_refused(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "vocab.txt")
    narrow = make_student(vocabulary, LABELS)
    wide = make_student(vocabulary, LABELS, intermediate_width=96)
    with pytest.raises(ValueError, match=r"other sizes \(.*intermediate"):
        continue_from(wide, narrow)


@pytest.mark.parametrize(("word_layers", "place"), [(1, 2), (2, 1)])
def test_a_student_with_more_layers_says_the_same_at_first(
    tmp_path: Path, word_layers: int, place: int
) -> None:
    """Where each word has one piece, as the new layer changes next to nothing. It comes before the first one
    that reads words."""
    vocabulary = write_vocabulary(tmp_path / "vocab.txt")
    n = 2
    trained = make_student(vocabulary, LABELS, seed=1, num_hidden_layers=n)
    old = tagger(trained).encoder.bert
    with torch.no_grad():
        for name, value in old.named_parameters():
            if "LayerNorm" in name:  # of a new student they are 1 and 0
                value.mul_(1.5).add_(0.3 + 0.2 * torch.randn(value.shape))
            elif "dense.weight" in name:  # else layers do next to nothing
                value.mul_(20)

    def word_student(seed: int) -> Language:
        sizes = {"num_hidden_layers": n + 1, "word_layers": word_layers}
        return make_student(vocabulary, LABELS, seed=seed, **sizes)

    new = word_student(2)
    continue_from(new, trained)
    bert = tagger(new).encoder.bert
    before, after = (
        {name: value for name, value in each.state_dict().items() if "layer." in name} for each in (old, bert)
    )
    assert len(after) == len(before) * (n + 1) // n
    for name, value in before.items():
        layer = int(name.split(".")[2])
        moved = name.replace(f"layer.{layer}.", f"layer.{layer + (layer >= place)}.")
        assert after[moved].equal(value), name
    ids = torch.from_numpy(np.random.default_rng(0).integers(5, 12, (4, 9)))
    first = torch.tensor([row * 9 + at for row in range(4) for at in range(1, 8)])
    with torch.no_grad():
        expected, got = (each.eval()(ids, None, first) for each in (old, bert))
    assert (got - expected).norm() < 0.15 * (expected - expected.mean(0)).norm()
    again = word_student(3)
    continue_from(again, new)
    found = tagger(again).encoder.bert.state_dict()
    assert all(value.equal(found[name]) for name, value in bert.state_dict().items())
    with pytest.raises(ValueError, match=rf"other sizes \(.*layer\.{n}\..*no fewer layers"):
        continue_from(make_student(vocabulary, LABELS), new)
