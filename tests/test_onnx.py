from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.lang.xx import MultiLanguage
from spacy.language import Language
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, Config
from transformers import BertConfig, BertModel

from mminibert.models.export import build_graph, read_weights
from mminibert.models.quantization import quantize_columns, quantize_ranges
from mminibert.models.quantized import LARGEST, from_student
from mminibert.runtime.conventions import round_rows
from mminibert.runtime.onnx import MiniBertOnnx
from mminibert.runtime.session import Session
from mminibert.runtime.types import Tok2Vec
from mminibert.runtime.windows import windows
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

LETTERS = "abcdefgh"
PIECES = WordPieces(
    [*SPECIAL_PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS), "-", "."], max_pieces_per_word=4
)
HEADS = 4
SETTINGS: dict[str, Any] = {"max_pieces": 24, "overlap": 8, "batch_pieces": 64}
TEXTS = ["abc d", "a", "h", "", "bad cab.", "dead-ace face " * 2, "fed", "ab c", "cab fab gab " * 30]

Weights = dict[str, npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def bert() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.3,  # so that attention is far from uniform
    )
    return BertModel(config, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def weights(bert: BertModel) -> Weights:
    return {name: value.numpy() for name, value in bert.state_dict().items()}


@pytest.fixture(scope="module")
def encoder(weights: Weights) -> Tok2Vec:
    return from_student(weights, PIECES, num_attention_heads=HEADS, **SETTINGS)


@pytest.fixture(scope="module")
def docs() -> list[Doc]:
    vocab = Vocab()
    return [Doc(vocab, words=text.split()) for text in TEXTS]


@pytest.fixture(scope="module")
def int8(weights: Weights, docs: list[Doc]) -> Tok2Vec:
    return from_student(weights, PIECES, num_attention_heads=HEADS, calibration=docs, **SETTINGS)


def predict(encoder: Tok2Vec, docs: list[Doc]) -> list[npt.NDArray[np.float32]]:
    return cast(list[npt.NDArray[np.float32]], encoder.predict(docs))


def hidden_states(bert: BertModel, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """(batch, length) -> (batch, length, width)"""
    with torch.no_grad():
        return bert(torch.as_tensor(np.asarray(ids), dtype=torch.long)).last_hidden_state.numpy()


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 40), (5, 7), (3, 24)])
def test_graph_equals_hugging_face(bert: BertModel, weights: Weights, batch: int, length: int) -> None:
    rng = np.random.default_rng(batch)
    ids = rng.integers(len(PIECES), size=(batch, length))
    words, positions, types = (
        weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
    )
    graph = build_graph(weights, num_attention_heads=HEADS, layer_norm_eps=1e-12)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    first = rng.integers(batch * length, size=9)
    inputs = {"embeddings": words[ids] + positions[:length] + types[0], "first": first}
    (got,) = session.run(None, inputs)
    expected = hidden_states(bert, ids).reshape(-1, 32)[first]
    np.testing.assert_allclose(got, expected, atol=1e-4)


@given(
    matrix=arrays(np.float32, (3, 5), elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False)),
    largest=st.sampled_from([3, 15, 127]),
)
def test_rows_are_rounded_by_at_most_half_a_step(matrix: npt.NDArray[np.float32], largest: int) -> None:
    rows, scales = round_rows(matrix, largest)
    assert rows.dtype == np.int8
    assert np.abs(rows).max() <= largest
    error = np.abs(rows * scales[:, None].astype(np.float64) - matrix)
    assert (error <= scales[:, None] * 0.50001 + 1e-30).all()


def test_quantization_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        round_rows(np.array([[1.0, np.nan]], dtype=np.float32))


@pytest.fixture(scope="module")
def dequantized(bert: BertModel, weights: Weights) -> BertModel:
    """The oracle: the same model with the word embeddings that the engine has."""
    rows, scales = round_rows(weights["embeddings.word_embeddings.weight"], LARGEST)
    oracle = BertModel(bert.config, add_pooling_layer=False).eval()
    oracle.load_state_dict(bert.state_dict())
    oracle.embeddings.word_embeddings.weight.data = torch.from_numpy(rows * scales[:, None])
    return oracle


def test_engine_equals_hugging_face(dequantized: BertModel, encoder: Tok2Vec, docs: list[Doc]) -> None:
    predictions = predict(encoder, docs)
    assert [rows.shape for rows in predictions] == [(len(doc), 32) for doc in docs]
    for doc, rows in zip(docs[:-1], predictions, strict=False):
        ids, first = [PIECES.cls_id], []
        for token in doc:
            first.append(len(ids))
            ids.extend(PIECES.pieces(token.text))
        assert len(ids) < SETTINGS["max_pieces"], "expected a document of one window"
        if len(doc):
            expected = hidden_states(dequantized, [[*ids, PIECES.sep_id]])[0, first]
            np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_engine_on_a_long_document(dequantized: BertModel, encoder: Tok2Vec, docs: list[Doc]) -> None:
    (rows,) = predict(encoder, docs[-1:])
    found = list(windows(docs[-1:], PIECES, max_pieces=24, overlap=8))
    assert len(found) > 5
    for window in found:
        expected = hidden_states(dequantized, window.piece_ids[None])[0, window.first]
        np.testing.assert_allclose(rows[window.start : window.end], expected, atol=1e-4)


def test_sentences_are_read_apart(encoder: Tok2Vec) -> None:
    vocab = Vocab()
    words = ["abc", "d", "fed", "a"]
    (together,) = predict(encoder, [Doc(vocab, words=words, sent_starts=[True, False, True, False])])
    apart = predict(encoder, [Doc(vocab, words=words[:2]), Doc(vocab, words=words[2:])])
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-5)


def test_rows_depend_on_no_other_document(encoder: Tok2Vec, int8: Tok2Vec, docs: list[Doc]) -> None:
    for one in (encoder, int8):
        unbatched = MiniBertOnnx(**{**SETTINGS, "batch_pieces": 1}).from_bytes(one.to_bytes())
        expected = predict(one, docs)
        for got in (
            predict(one, docs[::-1])[::-1],
            [predict(one, [doc])[0] for doc in docs],
            predict(unbatched, docs),
        ):
            for rows, other in zip(got, expected, strict=True):
                np.testing.assert_allclose(rows, other, atol=1e-5)


def fake_quantized(
    bert: BertModel, dequantized: BertModel, docs: list[Doc], rounded_weights: Weights
) -> BertModel:
    """The oracle of 8-bit layers: rounded weights, and inputs rounded on their way into each dense layer."""
    seen: dict[str, list[torch.Tensor]] = {}
    oracle = BertModel(bert.config, add_pooling_layer=False).eval()
    oracle.load_state_dict(dequantized.state_dict())
    dense = {name: m for name, m in oracle.encoder.named_modules() if isinstance(m, torch.nn.Linear)}

    current: list[npt.NDArray[np.int64]] = []

    def watch(name: str) -> Any:
        # After its attention, the last layer runs on first pieces only.
        part = name.startswith("layer.1.") and "attention.self" not in name

        def keep(_: Any, inputs: Any) -> None:
            rows = inputs[0].flatten(0, -2)
            seen.setdefault(name, []).append(rows[current[-1]] if part else rows)

        return keep

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in dense.items()]
    for window in windows(docs, PIECES, max_pieces=24, overlap=8):
        current.append(window.first)
        hidden_states(oracle, window.piece_ids[None])
    for hook in hooks:
        hook.remove()
    for name, module in dense.items():
        values = torch.cat(seen[name])
        sizes = values.abs().max(dim=0).values
        low, high = ((values / sizes).min().clamp(max=0), (values / sizes).max().clamp(min=0))
        step = (high - low) / 255
        zero = torch.round(-low / step)

        def rounded(_: Any, inputs: Any, sizes: Any = sizes, step: Any = step, zero: Any = zero) -> Any:
            steps = torch.clamp(torch.round(inputs[0] / sizes / step) + zero, 0, 255) - zero
            return (steps * step * sizes,)

        module.register_forward_pre_hook(rounded)
        module.weight.data = torch.from_numpy(rounded_weights[f"encoder.{name}.weight"])
    return oracle


def test_int8_engine_equals_rounded_hugging_face(
    bert: BertModel, dequantized: BertModel, int8: Tok2Vec, encoder: Tok2Vec, docs: list[Doc]
) -> None:
    shim: Any = int8.shims[0]
    rounded_weights, *_ = read_weights(shim.student.graph)
    oracle = fake_quantized(bert, dequantized, docs, rounded_weights)
    rows = np.concatenate(predict(int8, docs))
    expected = np.concatenate(
        [
            hidden_states(oracle, window.piece_ids[None])[0, window.first]
            for window in windows(docs, PIECES, max_pieces=24, overlap=8)
        ]
    )
    exact = np.concatenate(predict(encoder, docs))
    to_oracle, to_exact = (np.sqrt(np.mean((rows - other) ** 2)) for other in (expected, exact))
    assert to_oracle < to_exact / 2
    assert to_exact < 0.05 * exact.std()


@given(
    lows=arrays(np.float32, 6, elements=st.floats(-100, 0, width=32, allow_subnormal=False)),
    highs=arrays(np.float32, 6, elements=st.floats(0, 100, width=32, allow_subnormal=False)),
    data=st.data(),
)
def test_activations_are_off_by_half_a_step_at_most(
    lows: npt.NDArray[np.float32], highs: npt.NDArray[np.float32], data: st.DataObject
) -> None:
    sizes, scale, zero_point = quantize_ranges(lows, highs)
    share = data.draw(arrays(np.float32, 6, elements=st.floats(0, 1, width=32, allow_subnormal=False)))
    x = lows + share * (highs - lows)
    q = np.clip(np.rint(x / sizes / scale) + zero_point, 0, 255)
    assert (np.abs((q - float(zero_point)) * scale * sizes - x) <= 1.01 * scale * sizes).all()
    assert (np.clip(np.rint(np.zeros(6) / sizes / scale) + zero_point, 0, 255) == zero_point).all()


def test_nothing_to_calibrate_with(weights: Weights) -> None:
    with pytest.raises(ValueError, match="no text to calibrate"):
        from_student(weights, PIECES, num_attention_heads=HEADS, calibration=[Doc(Vocab())], **SETTINGS)


def correlated(n: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Sums of products of 200 inputs that lie near a space of a third of their dimensions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, max(n // 3, 1))) @ rng.normal(size=(max(n // 3, 1), n))
    x += 0.1 * rng.normal(size=x.shape)
    return np.asarray(x.T @ x)


@given(
    matrix=arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 3)),
        elements=st.floats(-1e3, 1e3, width=32, allow_subnormal=False),
    ),
)
def test_pairs_of_weights_do_not_overflow_sixteen_bits(matrix: npt.NDArray[np.float32]) -> None:
    columns, _ = quantize_columns(matrix, correlated(len(matrix)))
    numbers = columns.astype(int)
    for pair in (numbers[i : i + 2] for i in range(0, len(numbers), 2)):
        assert 255 * pair.clip(min=0).sum(axis=0).max() < 2**15
        assert 255 * pair.clip(max=0).sum(axis=0).min() >= -(2**15)


def test_runtime_multiplies_the_largest_weights_exactly() -> None:
    """What would overflow 16 bits on x86 without VNNI: large weights of one sign, activations of 255."""
    rng = np.random.default_rng(0)
    matrix = np.abs(rng.normal(size=(64, 32)).astype(np.float32)) * np.where(np.arange(32) % 2, 1, -1)
    columns, _ = quantize_columns(matrix, np.eye(64))
    values = rng.choice(np.asarray([0, 254, 255], dtype=np.uint8), size=(50, 64))
    info = onnx.helper.make_tensor_value_info
    a, y = info("a", onnx.TensorProto.UINT8, [50, 64]), info("y", onnx.TensorProto.INT32, [50, 32])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "product",
        [a],
        [y],
        [onnx.numpy_helper.from_array(columns, "b")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"a": values})
    assert np.array_equal(got, values.astype(int) @ columns.astype(int))
    assert np.abs(columns.astype(int)).max() > 64, "the case has no large weights"


def test_without_correlations_weights_are_rounded_to_the_nearest() -> None:
    matrix = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    columns, scales = quantize_columns(matrix, np.eye(8))
    assert (np.abs(columns * scales.astype(np.float64) - matrix) <= 0.5001 * scales).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_last_weight_is_the_best_one_after_the_others(seed: int) -> None:
    """Its rounding makes up for the errors of all others as well as any integer could, by trying all."""
    rng = np.random.default_rng(seed)
    products = correlated(7, seed)
    weights = rng.normal(size=(7, 3))
    columns, scales = quantize_columns(weights, products)
    damped = products + 0.01 * np.diag(products).mean() * np.eye(7)
    for column in range(3):
        trials = np.repeat(columns[:, column].astype(float)[None], 255, axis=0)
        trials[:, -1] = np.arange(-127, 128)
        errors = trials * scales[column] - weights[:, column]
        losses = np.einsum("ti,ij,tj->t", errors, damped, errors)
        assert trials[losses.argmin(), -1] == columns[-1, column]


def test_outputs_are_nearer_than_with_weights_rounded_alone() -> None:
    products = correlated(48)
    weights = np.random.default_rng(2).normal(size=(48, 20))
    columns, scales = quantize_columns(weights, products)

    def loss(numbers: npt.NDArray[np.floating]) -> float:
        errors = numbers * scales - weights
        return float(np.einsum("io,ij,jo->", errors, products, errors))

    assert loss(columns.astype(float)) < 0.5 * loss(np.rint(weights / scales))


def test_no_documents(encoder: Tok2Vec) -> None:
    assert predict(encoder, []) == []
    assert [rows.shape for rows in predict(encoder, [Doc(Vocab())])] == [(0, 32)]


def test_int8_keep_ids(int8: Tok2Vec, weights: Weights, docs: list[Doc]) -> None:
    used = {piece for doc in docs for token in doc for piece in PIECES.pieces(token.text)}
    smaller = from_student(
        weights, PIECES, num_attention_heads=HEADS, keep_ids=used, calibration=docs, **SETTINGS
    )
    for one, other in zip(predict(smaller, docs), predict(int8, docs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_keep_ids_changes_no_word_that_is_kept(weights: Weights, encoder: Tok2Vec, docs: list[Doc]) -> None:
    used = {piece for doc in docs for token in doc for piece in PIECES.pieces(token.text)}
    assert len(used) < len(PIECES) - len(SPECIAL_PIECES)
    smaller = from_student(weights, PIECES, num_attention_heads=HEADS, keep_ids=used, **SETTINGS)
    assert len(smaller.to_bytes()) < len(encoder.to_bytes())
    for one, other in zip(predict(smaller, docs), predict(encoder, docs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


CONFIG = """
[nlp]
lang = "xx"
pipeline = ["tagger"]

[components]

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"

[components.tagger.model.tok2vec]
@architectures = "mminibert.MiniBertOnnx.v1"
max_pieces = 24
overlap = 8
threads = 1
"""


@pytest.fixture(scope="module")
def nlp(int8: Tok2Vec) -> Language:
    """A stock component over the encoder, with random weights of its own."""
    nlp = MultiLanguage.from_config(Config().from_str(CONFIG))
    tagger = nlp.get_pipe("tagger")
    tagger.model.get_ref("tok2vec").from_bytes(int8.to_bytes())  # type: ignore[attr-defined]
    for tag in "XYZ":
        tagger.add_label(tag)  # type: ignore[attr-defined]
    nlp.initialize()
    softmax = next(layer for layer in tagger.model.walk() if layer.name == "softmax")  # type: ignore[attr-defined]
    softmax.set_param("W", np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32))
    return nlp


def tags(docs: Iterator[Doc]) -> list[list[str]]:
    return [[token.tag_ for token in doc] for doc in docs]


def test_pipeline_round_trips(nlp: Language, tmp_path: Path) -> None:
    expected = tags(nlp.pipe(TEXTS))
    assert len({tag for doc in expected for tag in doc}) == 3
    nlp.to_disk(tmp_path)
    assert tags(spacy.load(tmp_path).pipe(TEXTS)) == expected
    fresh = MultiLanguage.from_config(nlp.config).from_bytes(nlp.to_bytes())
    assert tags(fresh.pipe(TEXTS)) == expected
    assert fresh.to_bytes() == nlp.to_bytes()


def test_several_processes(nlp: Language) -> None:
    expected = tags(nlp.pipe(TEXTS))  # before the fork, so that the parent's session is there
    assert tags(nlp.pipe(TEXTS, n_process=2, batch_size=2)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "then", ["del nlp; gc.collect()", "tag(); del nlp; gc.collect()", "sys.exit(0)", "tag()"]
)
def test_a_fork_after_use_with_two_threads(nlp: Language, tmp_path: Path, then: str) -> None:
    """A child can use, drop and leave an inherited pipeline, whose threads it does not have."""
    nlp.to_disk(tmp_path / "pipeline")
    code = f"""
import gc, os, signal, sys
import spacy
nlp = spacy.load(sys.argv[1])
def tag(): return [token.tag_ for token in nlp("the dog is bad")]
expected = tag()
pid = os.fork()
if not pid:
    signal.alarm(30)
    {then}
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert tag() == expected
"""
    env = {**os.environ, "MMINIBERT_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "pipeline")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr


def test_onnx_runtime_reports_nothing_unless_the_user_wants_it() -> None:
    code = "import os, mminibert.runtime.onnx; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for wanted, expected in ((None, "1"), ("0", "0")):
        env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        if wanted is not None:
            env["ORT_DISABLE_TELEMETRY"] = wanted
        assert subprocess.check_output([sys.executable, "-c", code], text=True, env=env).strip() == expected


def test_spawned_processes(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    code = """
import json, multiprocessing, sys
import spacy
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    docs = spacy.load(sys.argv[1]).pipe(json.loads(sys.argv[2]), n_process=2, batch_size=2)
    print(json.dumps([[token.tag_ for token in doc] for doc in docs]))
"""
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(program), str(tmp_path / "pipeline"), json.dumps(TEXTS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == tags(nlp.pipe(TEXTS))


def test_eight_threads(nlp: Language) -> None:
    """Each starts with a pipeline that has made no session yet."""
    fresh = MultiLanguage.from_config(nlp.config).from_bytes(nlp.to_bytes())
    expected = tags(nlp.pipe(TEXTS))
    ready = threading.Barrier(8)

    def work(_: int) -> list[list[list[str]]]:
        ready.wait()
        return [tags(fresh.pipe(TEXTS)) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        assert all(found == [expected] * 5 for found in pool.map(work, range(8)))


def test_copies_and_pickles_predict_the_same(encoder: Tok2Vec, docs: list[Doc]) -> None:
    expected = np.concatenate(predict(encoder, docs))
    # What multiprocessing does to send a pipeline to a spawned process.
    for other in (encoder.copy(), pickle.loads(pickle.dumps(encoder))):
        assert np.array_equal(np.concatenate(predict(other, docs)), expected)


def test_settings_are_the_config_s_not_the_file_s(encoder: Tok2Vec) -> None:
    other = MiniBertOnnx(max_pieces=16, overlap=8).from_bytes(encoder.to_bytes())
    assert other.shims[0].settings.max_pieces == 16
    assert other.get_dim("nO") == 32


def test_runs_without_torch(encoder: Tok2Vec, docs: list[Doc], tmp_path: Path) -> None:
    encoder.to_disk(tmp_path / "model")
    code = """
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "onnx"]))
import numpy, spacy
from mminibert.runtime.onnx import MiniBertOnnx
encoder = MiniBertOnnx(24, 8).from_disk(sys.argv[1])
doc = spacy.tokens.Doc(spacy.vocab.Vocab(), words=sys.argv[3:])
numpy.save(sys.argv[2], encoder.predict([doc])[0])
"""
    paths = [str(tmp_path / "model"), str(tmp_path / "rows.npy")]
    words = [token.text for token in docs[5]]
    subprocess.run([sys.executable, "-c", code, *paths, *words], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), predict(encoder, [docs[5]])[0], atol=1e-5)


@given(data=st.data())
def test_damaged_data_are_refused(encoder: Tok2Vec, data: st.DataObject) -> None:
    stored = encoder.shims[0].to_bytes()
    position = data.draw(st.integers(0, len(stored) - 1))
    flipped = bytes([stored[position] ^ data.draw(st.integers(1, 255))])
    for damaged in (stored[:position] + flipped + stored[position + 1 :], stored[: max(1, position)]):
        with pytest.raises(ValueError, match=r"ONNX encoder are damaged or of another version: .* Install"):
            MiniBertOnnx(24, 8).shims[0].from_bytes(damaged)


def test_what_learns_from_its_vectors_leaves_it_as_it_is(encoder: Tok2Vec, docs: list[Doc]) -> None:
    stored = encoder.to_bytes()
    rows, backprop = encoder.begin_update(docs)
    for got, expected in zip(rows, encoder.predict(docs), strict=True):
        np.testing.assert_array_equal(got, expected)
    gradient: Any = [np.ones_like(part) for part in rows]
    backprop(gradient)
    encoder.finish_update(Adam())
    assert encoder.to_bytes() == stored


def test_without_weights(docs: list[Doc]) -> None:
    empty = MiniBertOnnx()
    for fails in (lambda: empty.predict(docs), lambda: empty.initialize(X=docs)):
        with pytest.raises(ValueError, match=r"no weights yet\. Load the pipeline"):
            fails()
    assert MiniBertOnnx().from_bytes(empty.to_bytes()).has_dim("nO") is None


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("encoder.layer.1.output.dense.bias", r"lack encoder\.layer\.1\.output\.dense\.bias"),
        ("embeddings.position_embeddings.weight", r"lack embeddings\.position_embeddings\.weight"),
    ],
)
def test_missing_weight(weights: Weights, left_out: str, message: str) -> None:
    rest = {name: value for name, value in weights.items() if name != left_out}
    with pytest.raises(ValueError, match=message):
        from_student(rest, PIECES, num_attention_heads=HEADS, **SETTINGS)


def test_weights_that_do_not_fit(weights: Weights) -> None:
    with pytest.raises(ValueError, match=r"No weight is named encoder\.layer"):
        build_graph(
            {"bert.x": np.zeros(1, dtype=np.float32)}, num_attention_heads=HEADS, layer_norm_eps=1e-12
        )
    with pytest.raises(
        ValueError, match="width 32 of the weights is not a multiple of num_attention_heads=5"
    ):
        build_graph(weights, num_attention_heads=5, layer_norm_eps=1e-12)
    wrong = {**weights, "encoder.layer.0.attention.self.key.bias": np.zeros(3, dtype=np.float32)}
    with pytest.raises(ValueError, match=r"self\.key: weight is \(32, 32\) and bias \(3,\)"):
        build_graph(wrong, num_attention_heads=HEADS, layer_norm_eps=1e-12)
    with pytest.raises(ValueError, match="21 wordpieces but 22 word embeddings"):
        from_student(weights, WordPieces(PIECES.vocab[:-1]), num_attention_heads=HEADS)
    with pytest.raises(ValueError, match="max_pieces is 41, but the student knows 40 positions"):
        from_student(weights, PIECES, num_attention_heads=HEADS, max_pieces=41, overlap=8)


@pytest.mark.parametrize("value", ["0", "many", "-1", "", "1e3", "1.5", "²", "1025", "9" * 30])
def test_bad_number_of_threads(
    weights: Weights, nlp: Language, tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noticed when a pipeline is loaded, not at its first text."""
    nlp.to_disk(tmp_path)
    monkeypatch.setenv("MMINIBERT_THREADS", value)
    says = f"MMINIBERT_THREADS is {value!r}; expected a whole number from 1 to 1024"
    with pytest.raises(ValueError, match=re.escape(says)):
        from_student(weights, PIECES, num_attention_heads=HEADS, **SETTINGS)
    with pytest.raises(ValueError, match=re.escape(says)):
        spacy.load(tmp_path)
    monkeypatch.setenv("MMINIBERT_THREADS", "2")
    assert tags(spacy.load(tmp_path).pipe(TEXTS)) == tags(nlp.pipe(TEXTS))


def test_threads_encode_batches_of_their_own(
    encoder: Tok2Vec, docs: list[Doc], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once, each on one thread, to the same vectors bit by bit."""
    expected = predict(encoder, docs)
    both, made, run = threading.Barrier(2), [], Session.run

    def meet(session: Session, *args: Any) -> Any:
        made.append(session.threads)
        if len(made) <= 2:
            both.wait(timeout=30)
        return run(session, *args)

    monkeypatch.setattr(Session, "run", meet)
    monkeypatch.setenv("MMINIBERT_THREADS", "2")
    found = predict(encoder, docs)
    assert len(made) > 2 and set(made) == {1}
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_bad_number_of_threads_in_the_config(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path)
    overrides = {"components.tagger.model.tok2vec.threads": 2000}
    with pytest.raises(ValueError, match=r"encoder's setting `threads` is '2000'; expected .* 1 to 1024"):
        spacy.load(tmp_path, config=overrides)
