"""The levels of a language's wordpieces, by hand; the fit, against PyTorch; both, on a corpus."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from students import inventory, make_project, make_student, tagger, write_vocabulary

from mminibert.packaging import language_parts as module
from mminibert.packaging.language_fit import fit, loss_and_gradient
from mminibert.packaging.language_parts import FLOOR, language_levels, language_parts
from mminibert.project.profile import Profile
from mminibert.runtime.languages import Observations
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

PIECES = WordPieces([*SPECIAL_PIECES, *"abжд中1", *(f"##{letter}" for letter in "abжд"), "ab", "жд"])


def level_of(lang_levels: np.ndarray, piece: str) -> int:
    return int(lang_levels[PIECES.vocab.index(piece)])


def test_levels_by_hand() -> None:
    levels = language_levels(PIECES, {"ab": 90, "aba": 10})  # ab 90, a 0, ab ##a 10 times
    assert levels.dtype == np.uint8
    # 110 pieces, all Latin.
    assert level_of(levels, "ab") == round(math.log(100 / 110)) - FLOOR == 15
    assert level_of(levels, "##a") == round(math.log(10 / 110)) - FLOOR == 13
    # ASCII, and what is no letter, is kept; other scripts and whole pieces that do not occur are not.
    assert [level_of(levels, piece) for piece in ("b", "##b", "1")] == [1, 1, 1]
    assert [level_of(levels, piece) for piece in ("ж", "##д", "中", "жд")] == [0, 0, 0, 0]


def test_only_the_most_frequent_pieces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"ab": 5, "жд": 4, "中": 3}
    assert level_of(language_levels(PIECES, words), "жд") > 0
    monkeypatch.setattr(module, "MAX_PIECES", 1)
    levels = language_levels(PIECES, words)
    assert level_of(levels, "ab") > 0 and level_of(levels, "жд") == 0
    assert level_of(levels, "中") > 0  # a character of its scripts


def test_a_language_of_two_scripts_loses_nothing_in_either() -> None:
    both = language_levels(PIECES, {"ab": 40, "a": 10, "жд": 50})
    latin = language_levels(PIECES, {"ab": 40, "a": 10})
    assert [level_of(both, piece) for piece in ("ab", "a")] == [
        level_of(latin, piece) for piece in ("ab", "a")
    ]
    # A word in another script, among many, is rare.
    few = language_levels(PIECES, {"ab": 990, "жд": 10})
    assert level_of(few, "жд") == round(math.log(10 / 1000)) - FLOOR


def test_no_words() -> None:
    with pytest.raises(ValueError, match="the language has no words"):
        language_levels(PIECES, {})


def test_gradient_is_that_of_autograd() -> None:
    random = np.random.default_rng(0)
    parameters = [random.normal(size=shape).astype(np.float32) for shape in ((5, 4), (4,), (1,))]
    means, levels = (random.normal(size=(9, n)).astype(np.float32) for n in (5, 4))
    gold = random.integers(4, size=9)
    loss, gradients = loss_and_gradient(parameters, means, levels, gold)
    weights, bias, scale = (torch.from_numpy(value.copy()).requires_grad_() for value in parameters)
    logits = torch.from_numpy(means) @ weights + bias + scale * torch.from_numpy(levels)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(gold))
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), abs=1e-5)
    for got, parameter in zip(gradients, (weights, bias, scale), strict=True):
        assert parameter.grad is not None
        assert got == pytest.approx(parameter.grad.numpy(), abs=1e-5)


def observations(mean: list[float], piece: int, n: int, random: Any) -> Observations:
    means = np.asarray(mean) + random.normal(size=(n, len(mean)), scale=0.3)
    return Observations(means.astype(np.float32), np.full(n, piece, np.int32), np.arange(n, dtype=np.int32))


def test_fit_tells_by_vectors_and_by_pieces() -> None:
    """Languages 0 and 1 differ in vectors alone, 1 and 2 in pieces alone."""
    levels = np.asarray([[9, 2], [9, 2], [2, 9]], dtype=np.uint8)

    def sentences(seed: int, most: int) -> list[Observations]:
        random = np.random.default_rng(seed)
        shapes = (([1.0, 0.0], 0, most), ([4.0, 0.0], 0, 40), ([4.0, 0.0], 1, 40))
        return [observations(mean, piece, n, random) for mean, piece, n in shapes]

    found = fit(["a", "b", "c"], levels, sentences(0, 4000))
    for i, own in enumerate(sentences(1, 40)):
        assert (found.evidence(own).argmax(axis=1) == i).all()
    assert found.scale > 0
    again = fit(["a", "b", "c"], levels, sentences(0, 4000))
    assert np.array_equal(again.weights, found.weights) and again.scale == found.scale
    with pytest.raises(ValueError, match="language 'a' has no sentence"):
        fit(["a", "b", "c"], levels, sentences(0, 0))


def test_no_language_is_likelier_for_having_more_sentences() -> None:
    random = np.random.default_rng(0)
    same = [observations([0.0, 0.0], 0, n, random) for n in (4000, 400)]
    found = fit(["a", "b"], np.ones((2, 1), dtype=np.uint8), same)
    margins = np.diff(found.evidence(observations([0.0, 0.0], 0, 50, random)), axis=1)
    assert abs(margins.mean()) < 0.5  # else log(10)


WORDS = {"xa": ["cab", "face", "bad", "a"], "xb": ["rust", "turn", "soul", "o"], "xc": []}


@pytest.fixture(scope="module")
def nlp(tmp_path_factory: pytest.TempPathFactory) -> Language:
    """A student with random weights, whose pieces are letters."""
    vocabulary = write_vocabulary(tmp_path_factory.mktemp("student") / "vocab.txt")
    return make_student(vocabulary, inventory())


def test_languages_of_a_profile(tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, 'assets = "folder"\ntreebanks = ["xa_x", "xb_x", "xb_y", "xc_x"]\n')
    random = np.random.default_rng(0)
    for code in ("xa_x", "xb_x", "xb_y", "xc_x"):
        folder = tmp_path / "corpus/p" / code
        folder.mkdir(parents=True)
        docs = DocBin(attrs=["POS", "MORPH"])
        for _ in range(30 if WORDS[code[:2]] else 0):
            docs.add(Doc(Vocab(), words=random.choice(WORDS[code[:2]], 5).tolist()))
        docs.to_disk(folder / "train.spacy")
    text = tmp_path / "assets/p/unlabelled/xa.txt"
    text.parent.mkdir(parents=True)
    text.write_text("".join(f"{' '.join(random.choice(WORDS['xa'], 6))} zz\n\n" for _ in range(50)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "FITTED_LINES", 10)
    lines: list[str] = []
    found = language_parts(Profile.read("p"), nlp, lines.append)
    assert found.codes == ("xa", "xb")  # xc has no training sentence
    assert [line.split(":")[0] for line in lines[:2]] == ["xa", "xb"] and "loss" in lines[-1]
    pieces = tagger(nlp).encoder.pieces
    # All letters are ASCII, so all are kept; those that occur have a level of their own.
    occur = {lang: set("".join(words)) for lang, words in WORDS.items()}
    for lang, extra in (("xa", "z"), ("xb", "")):
        levels = found.levels[found.codes.index(lang)]
        high = {pieces.vocab[i].removeprefix("##") for i in np.flatnonzero(levels > 1)}
        assert high == occur[lang] | set(extra)
    docs_found = [nlp.make_doc(line) for line in ("bad cab face", "soul turn o", "cab a")]
    assert [got.tolist() for got in found.find(tagger(nlp).vectors(docs_found), docs_found, pieces)] == [
        [0],
        [1],
        [0],
    ]
    again = language_parts(Profile.read("p"), nlp)
    assert again.to_bytes() == found.to_bytes()


def test_lines_to_fit_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "xa.txt"
    path.write_text("".join(f"line {i}\n \n" for i in range(1000)))
    monkeypatch.setattr(module, "MAX_LINES", 500)
    monkeypatch.setattr(module, "FITTED_LINES", 50)
    fitted, counted = module._lines(path)
    assert (len(fitted), len(counted)) == (50, 450)
    assert not set(fitted) & set(counted)
    assert set(fitted) | set(counted) == {f"line {i}" for i in range(0, 1000, 2)}
    path.write_text("")
    assert module._lines(path) == ([], []) == module._lines(tmp_path / "none.txt")


def test_no_training_sentences(tmp_path: Path, nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path, 'assets = "folder"\ntreebanks = ["xa_x"]\n')
    (tmp_path / "corpus/p/xa_x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no treebank of the profile 'p' has training sentences"):
        language_parts(Profile.read("p"), nlp)
