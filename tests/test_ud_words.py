"""Syntactic words of multiword tokens: where a Doc has them, and what encoder and tagger make of them.

The oracle is the Doc in which each word is a token.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.vocab import Vocab
from students import LEXICON, inventory, make_student, make_teacher, write_vocabulary
from test_conventions import make_conventions, make_languages

from mminibert.packaging.assemble import parts_of
from mminibert.packaging.quantize import quantize
from mminibert.runtime.encoder import SharedEncoder
from mminibert.runtime.labels import Label
from mminibert.runtime.onnx import OnnxShim
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.ud_words import head_word, multiword_tokens, set_words, ud_words
from mminibert.runtime.word_rows import TokenRows

Sentence = Sequence[str | tuple[str, ...]]
"""Tokens: a word, or the words of a multiword token."""


def surface(words: str | tuple[str, ...]) -> str:
    """A text that is none of the forms put together, as in ``del`` for ``de`` and ``el``."""
    return words if isinstance(words, str) else "".join(words)[::-1]


def joined(vocab: Vocab, sentences: Iterable[Sentence]) -> Doc:
    """A Doc of surface tokens."""
    tokens = [token for sentence in sentences for token in sentence]
    starts: list[bool | int | None] = [i == 0 for sentence in sentences for i in range(len(sentence))]
    spaces = [i % 3 > 0 for i in range(len(tokens))]
    doc = Doc(vocab, words=[surface(t) for t in tokens], spaces=spaces, sent_starts=starts)
    for token, words in zip(doc, tokens, strict=True):
        if isinstance(words, tuple):
            set_words(token, words)
    return doc


def spelled(vocab: Vocab, sentences: Iterable[Sentence]) -> Doc:
    """The Doc in which each word is a token."""
    words: list[str] = []
    starts: list[bool | int | None] = []
    for sentence in sentences:
        parts = [word for token in sentence for word in ((token,) if isinstance(token, str) else token)]
        words += parts
        starts += [i == 0 for i in range(len(parts))]
    return Doc(vocab, words=words, sent_starts=starts)


DOCS: list[list[Sentence]] = [
    [["a", ("cab", "bad"), "."], [("worse", "worse", "."), "faced"], [("bad",), ("cab", "a")]],
    [["a", "cab", "."]],
    [],
    [[("worse", "a")]],
    [[("a", "cab", "bad") if i % 3 else "faced" for i in range(60)]],
    [["worse", ("worse", "cab"), "."], ["bad", "cab", "."]],
]


# Where they are


def a_doc() -> Doc:
    doc = Doc(Vocab(), words=["x", "del", "mar", "dámelo"], spaces=[True, True, False, False])
    set_words(doc[1], ["de", "el"])
    set_words(doc[3], ["da", "me", "lo"])
    return doc


EXPECTED = [None, ["de", "el"], None, ["da", "me", "lo"]]


def forms(doc: Doc) -> list[list[str] | None]:
    """By token, and the same of the whole Doc."""
    found = [ud_words(token) for token in doc]
    assert {i: words for i, words in enumerate(found) if words} == multiword_tokens(doc)
    assert [token._.ud_words for token in doc] == found
    return [None if words is None else [form for form, _, _ in words] for words in found]


def test_words_have_no_tags_at_first() -> None:
    assert ud_words(a_doc()[1]) == (("de", "_", "_"), ("el", "_", "_"))
    assert ud_words(a_doc()[0]) is None
    assert multiword_tokens(Doc(Vocab(), words=["a"])) == {}


def test_words_survive_what_keeps_user_data() -> None:
    doc = a_doc()
    assert forms(doc) == EXPECTED
    bytes_ = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (stored,) = DocBin().from_bytes(bytes_).get_docs(Vocab())
    for again in (
        stored, doc.copy(), pickle.loads(pickle.dumps(doc)), Doc(Vocab()).from_bytes(doc.to_bytes())
    ):  # fmt: skip
        assert forms(again) == EXPECTED
        assert ud_words(again[1]) == ud_words(doc[1])
    assert forms(doc[1:].as_doc(copy_user_data=True)) == EXPECTED[1:]
    assert forms(doc[1:].as_doc()) == [None] * 3


def test_words_move_with_their_docs() -> None:
    vocab = Vocab()
    one, other = Doc(vocab, words=["au", "x"]), Doc(vocab, words=["y", "du"])
    set_words(one[0], ["à", "le"])
    set_words(other[1], ["de", "le"])
    assert forms(Doc.from_docs([one, other])) == [["à", "le"], None, None, ["de", "le"]]


def test_a_token_that_is_merged_or_split_has_no_words() -> None:
    doc = a_doc()
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
        retokenizer.split(doc[3], ["dáme", "lo"], heads=[doc[3], doc[3]])
    assert [token.text for token in doc] == ["x", "del mar", "dáme", "lo"]
    assert forms(doc) == [None] * 4


@pytest.mark.parametrize("wrong", [[], ["de", ""]])
def test_words_without_a_form_are_refused(wrong: list[str]) -> None:
    doc = a_doc()
    with pytest.raises(ValueError, match=r"for the token 'mar', expected one or more, each with a form"):
        set_words(doc[2], wrong)
    assert forms(doc) == EXPECTED


@pytest.mark.parametrize(
    ("upos", "head"),
    [
        ("ADP DET", 0),
        ("ADP PRON", 1),
        ("DET NOUN", 1),
        ("ADP DET NOUN", 2),
        ("VERB PRON PRON", 0),
        ("AUX PRON", 1),
        ("SCONJ AUX", 0),
        ("CCONJ ADP NOUN PRON", 2),
        ("X", 0),
        ("_ _", 0),
    ],
)
def test_the_head_is_the_first_content_word(upos: str, head: int) -> None:
    assert head_word(upos.split()) == head


# Vectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student in PyTorch, and the packaged pipeline of it, with conventions of two languages."""
    folder = tmp_path_factory.mktemp("words")
    nlp = make_student(write_vocabulary(folder / "vocab.txt"), inventory(), dropout=0.0)
    nlp.to_disk(folder / "torch")
    light = quantize(nlp, [])
    labels: dict[str, list[Label]] = {
        "aa_x": list(LEXICON.values()),
        "aa_y": [("X", "Foreign=Yes"), ("DET", "_"), ("NOUN", "Case=Nom"), ("NOUN", "_")],
        "bb_z": [("SYM", "_"), ("INTJ", "_"), ("PRON", "Case=Acc")],
    }
    pipe = tagger(light)
    pipe.conventions = make_conventions(labels, pipe.output_layer.get_dim("nI"))
    pipe.languages = make_languages(light)
    light.to_disk(folder / "shared")
    light.replace_listeners("tok2vec", "morphologizer", ["model.tok2vec"])
    light.remove_pipe("tok2vec")
    light.to_disk(folder / "inside")
    return folder


def load(folder: Path, form: str) -> Language:
    nlp = spacy.load(folder / form)
    nlp.disable_pipes(*(name for name in ("sentencizer",) if name in nlp.pipe_names))
    return nlp


@pytest.mark.parametrize("form", ["torch", "shared"])
def test_words_have_the_vectors_of_tokens(folder: Path, form: str) -> None:
    nlp = load(folder, form)
    pipe = tagger(nlp)
    layer: Any = pipe.tok2vec if form == "torch" else nlp.get_pipe("tok2vec").model  # type: ignore[attr-defined]
    rows = layer.predict([joined(nlp.vocab, doc) for doc in DOCS])
    expected = layer.predict([spelled(nlp.vocab, doc) for doc in DOCS])
    for doc, found, words in zip(DOCS, rows, expected, strict=True):
        counts = [1 if isinstance(t, str) else len(t) for sentence in doc for t in sentence]
        if not any(isinstance(token, tuple) for sentence in doc for token in sentence):
            assert not isinstance(found, TokenRows)
            assert np.array_equal(found, words)
            continue
        assert isinstance(found, TokenRows)
        assert found.words is not None and np.array_equal(found.words, words)
        assert len(words) == sum(counts) > 0
        starts = np.cumsum([0, *counts])
        for row, start, count in zip(found, starts, counts, strict=False):
            mean = words[start : start + count].mean(axis=0)
            assert np.allclose(row, mean, atol=1e-6) if count > 1 else np.array_equal(row, words[start])


def test_each_word_has_its_share_of_the_gradient(folder: Path) -> None:
    """Against PyTorch's own of the means of the words' rows."""
    nlp = load(folder, "torch")
    layer: Any = tagger(nlp).tok2vec
    bert = layer.shims[0].bert
    sentence: Sentence = ["a", ("cab", "bad"), "faced"]
    rows, backprop = layer.begin_update([joined(nlp.vocab, [sentence])])
    direction = np.random.default_rng(0).standard_normal(rows[0].shape).astype(np.float32)
    backprop([direction])
    found = {name: parameter.grad.to_dense().clone() for name, parameter in bert.named_parameters()}
    pieces = tagger(nlp).encoder.pieces
    ids, first = [pieces.cls_id], []
    for word in ("a", "cab", "bad", "faced"):
        first.append(len(ids))
        ids.extend(pieces.pieces(word))
    bert.zero_grad()
    hidden = bert(torch.tensor([[*ids, pieces.sep_id]]), None, torch.tensor(first))
    tokens = torch.stack([hidden[0], (hidden[1] + hidden[2]) / 2, hidden[3]])
    assert np.allclose(rows[0], tokens.detach().numpy(), atol=1e-5)
    (tokens * torch.from_numpy(direction)).sum().backward()
    for name, parameter in bert.named_parameters():
        assert torch.allclose(found[name], parameter.grad.to_dense(), atol=1e-5), name


def test_what_is_derived_of_vectors_is_plain(folder: Path) -> None:
    nlp = load(folder, "shared")
    doc = nlp(joined(nlp.vocab, DOCS[0]))
    assert isinstance(doc.tensor, TokenRows)
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert type(again.tensor) is np.ndarray
    assert np.array_equal(again.tensor, doc.tensor)
    assert len(again.to_bytes()) == len(doc.to_bytes())
    for other in (doc.tensor[1:], doc.tensor.copy(), doc.tensor * 2, doc.copy().tensor):
        assert getattr(other, "words", None) is None


# Tags


def tags(doc: Doc) -> list[Label]:
    return [(token.pos_, str(token.morph) or "_") for token in doc]


def word_tags(doc: Doc) -> list[Label]:
    """Of all words, by the extension."""
    return [
        (upos, feats)
        for token in doc
        for _, upos, feats in ud_words(token) or [(token.text, token.pos_, str(token.morph) or "_")]
    ]


def check(doc: Doc, oracle: Doc) -> None:
    assert word_tags(doc) == tags(oracle)
    at = 0
    for token in doc:
        words = ud_words(token) or ((token.text,),)
        own = oracle[at : at + len(words)]
        head = own[head_word([word.pos_ for word in own])]
        assert (token.pos_, token.morph, token._.pos_confidence) == (
            head.pos_, head.morph, head._.pos_confidence
        )  # fmt: skip
        assert [word[0] for word in words] == [word.text for word in own]
        at += len(words)
    assert at == len(oracle)
    assert doc._.conventions == oracle._.conventions


@pytest.mark.parametrize("convention", [None, "aa_x", "aa_y", "bb_z", "for all"])
@pytest.mark.parametrize("form", ["shared", "inside"])
def test_words_are_tagged_like_tokens(folder: Path, form: str, convention: str | None) -> None:
    nlp = load(folder, form)
    pipe = tagger(nlp)
    pipe.confidences = True
    if convention == "for all":
        pipe.conventions = None
    else:
        pipe.convention = convention
    found = list(nlp.pipe((joined(nlp.vocab, doc) for doc in DOCS), batch_size=4))
    expected = list(nlp.pipe((spelled(nlp.vocab, doc) for doc in DOCS), batch_size=4))
    for doc, oracle in zip(found, expected, strict=True):
        check(doc, oracle)
    if convention is None:
        assert {code for doc in found for code in doc._.conventions} == {"aa_y", "bb_z"}
        starts = [start for start, _ in found[0].user_data["mminibert_conventions"]]
        assert starts == [0, 3, 5]  # tokens, not words
    assert len({tag for doc in found for tag in word_tags(doc)}) > 2
    for doc, sentences in zip(found, DOCS, strict=True):
        alone = nlp(joined(nlp.vocab, sentences))
        assert word_tags(alone) == word_tags(doc)


def test_a_tagger_on_an_encoder_of_spacys_tags_words() -> None:
    nlp = make_teacher(inventory())
    found = list(nlp.pipe(joined(nlp.vocab, doc) for doc in DOCS))
    expected = list(nlp.pipe(spelled(nlp.vocab, doc) for doc in DOCS))
    for doc, oracle in zip(found, expected, strict=True):
        assert word_tags(doc) == tags(oracle)


def test_several_processes_threads_and_a_disabled_encoder(folder: Path) -> None:
    nlp = load(folder, "shared")
    expected = [word_tags(nlp(joined(nlp.vocab, doc))) for doc in DOCS]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda doc: word_tags(nlp(joined(nlp.vocab, doc))), DOCS * 10)
    assert list(found) == expected * 10
    docs = [joined(nlp.vocab, doc) for doc in DOCS]
    assert [word_tags(doc) for doc in nlp.pipe(docs, n_process=2, batch_size=2)] == expected
    with nlp.select_pipes(disable=["tok2vec"]):
        docs = [nlp(joined(nlp.vocab, doc)) for doc in DOCS]
    assert [word_tags(doc) for doc in docs] == expected
    assert all(doc.tensor.size == 0 for doc in docs)
    stored = Doc(nlp.vocab).from_bytes(nlp(joined(nlp.vocab, DOCS[0])).to_bytes())  # its vectors are plain
    assert word_tags(tagger(nlp)(stored)) == expected[0]


@pytest.mark.parametrize("form", ["shared", "inside"])
def test_words_are_encoded_once(folder: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = load(folder, form)
    encoded: list[int] = []
    predict = OnnxShim.predict

    def counting(self: OnnxShim, fwd_args: list[Doc]) -> Any:
        encoded.extend(map(len, fwd_args))
        return predict(self, fwd_args)

    monkeypatch.setattr(OnnxShim, "predict", counting)
    nlp(joined(nlp.vocab, DOCS[0]))
    assert encoded == [3 + 1 + 4 + 3]


def test_user_data_gets_tags_and_nothing_else(folder: Path) -> None:
    nlp = load(folder, "shared")
    doc = joined(nlp.vocab, DOCS[0])
    before = set(doc.user_data)
    assert set(nlp(doc).user_data) - before == {"mminibert_conventions"}
    plain = nlp(Doc(nlp.vocab, words=["a", "cab"]))
    assert set(plain.user_data) == {"mminibert_conventions"}


def test_a_component_beside_the_tagger_learns_from_tokens(folder: Path) -> None:
    """It listens to vectors of tokens, also while it is trained on Docs with multiword tokens."""
    nlp = load(folder, "shared")
    model = {
        "@architectures": "spacy.Tagger.v2",
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "tok2vec"},
    }
    nlp.add_pipe("tagger", config={"model": model})
    doc = joined(nlp.vocab, DOCS[0])
    words = [token.text for token in doc]
    gold = Doc(nlp.vocab, words=words, tags=["A" if ud_words(token) else "B" for token in doc])
    with nlp.select_pipes(enable=["tok2vec", "tagger"]):
        sgd = nlp.initialize(lambda: [Example(joined(nlp.vocab, DOCS[0]), gold)])
        for _ in range(80):
            nlp.update([Example(joined(nlp.vocab, DOCS[0]), gold)], sgd=sgd)
    assert [token.tag_ for token in nlp(doc)] == [token.tag_ for token in gold]
    shared = nlp.get_pipe("tok2vec")
    assert isinstance(shared, SharedEncoder) and parts_of(nlp).student is shared.model.shims[0].student  # type: ignore[attr-defined]


WORDS = st.sampled_from(list(LEXICON))
TOKENS = WORDS | st.lists(WORDS, min_size=1, max_size=4).map(tuple)
DRAWN = st.lists(st.lists(st.lists(TOKENS, min_size=1, max_size=12), max_size=4), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DRAWN)
def test_any_docs_are_tagged_as_their_words(packaged: Language, drawn: list[list[Sentence]]) -> None:
    found = packaged.pipe(joined(packaged.vocab, doc) for doc in drawn)
    expected = packaged.pipe(spelled(packaged.vocab, doc) for doc in drawn)
    for doc, oracle in zip(found, expected, strict=True):
        check(doc, oracle)


@pytest.fixture(scope="module")
def packaged(folder: Path) -> Language:
    nlp = load(folder, "shared")
    tagger(nlp).confidences = True
    return nlp
