"""Graphs that are not ours are refused when they are loaded, before ONNX Runtime sees them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from packaged import random_segmenter, three_languages, with_conventions
from spacy.language import Language

from mminibert.models.small_graphs import convention_graph, linear_graph
from mminibert.packaging.quantize import with_segmenter
from mminibert.runtime.graph_check import LARGEST, MOST_NODES, check_graph
from mminibert.runtime.languages import MOST_BYTES, Languages
from mminibert.runtime.pipeline import pipeline_encoder
from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.session import Session
from mminibert.runtime.tensors import dump_checked, load_checked


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = ("n",)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def model_of(*nodes: onnx.NodeProto, tensors: Any = (), domains: tuple[str, ...] = ("",)) -> ModelProto:
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], list(tensors))
    opsets = [helper.make_opsetid(domain, 23 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


def plain() -> ModelProto:
    return model_of(helper.make_node("Relu", ["x"], ["y"]))


def loop() -> ModelProto:
    """2^62 times."""
    turn = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Relu", ["v"], ["w"])],
        "turn",
        [
            value("i", TensorProto.INT64, ()),
            value("go", TensorProto.BOOL, ()),
            value("v"),
        ],
        [value("on", TensorProto.BOOL, ()), value("w")],
    )
    times = numpy_helper.from_array(np.asarray(2**62, dtype=np.int64), "times")
    return model_of(helper.make_node("Loop", ["times", "", "x"], ["y"], body=turn), tensors=[times])


def external() -> ModelProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "secret")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return model_of(helper.make_node("Add", ["x", "secret"], ["y"]), tensors=[tensor])


def hidden_loop() -> ModelProto:
    """A graph within an operator that has none."""
    made = plain()
    made.graph.node[0].attribute.append(helper.make_attribute("body", loop().graph))
    return made


def function() -> ModelProto:
    made = plain()
    body = [helper.make_node("Relu", ["a"], ["b"])]
    made.functions.append(helper.make_function("", "Relu", ["a"], ["b"], body, made.opset_import))
    return made


def padded() -> ModelProto:
    pads = numpy_helper.from_array(np.asarray([0, LARGEST + 1], dtype=np.int64), "pads")
    return model_of(helper.make_node("Pad", ["x", "pads"], ["y"]), tensors=[pads])


def dilated() -> ModelProto:
    return model_of(helper.make_node("Conv", ["x", "x"], ["y"], dilations=[1, 1 << 40]))


def negative() -> ModelProto:
    return model_of(helper.make_node("Concat", ["x", "x"], ["y"], axis=-(1 << 40)))


def constant() -> ModelProto:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    return model_of(helper.make_node("Constant", [], ["y"], value=tensor))


def sparse() -> ModelProto:
    made = plain()
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    return made


def foreign() -> ModelProto:
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    return model_of(node, domains=("", "com.microsoft"))


def many_nodes() -> ModelProto:
    names = ["x", *(f"v{i}" for i in range(MOST_NODES)), "y"]
    return model_of(*(helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)))


CRAFTED: dict[Callable[[], ModelProto], str] = {
    loop: "an operator with a graph inside",
    hidden_loop: "an operator with a graph inside",
    external: "data outside of the file",
    function: "functions of its own",
    padded: "the number 65537",
    dilated: "the number 1099511627776",
    negative: "the number -1099511627776",
    constant: "the field 5 of the message 'attribute'",
    sparse: "the field 15 of the message 'graph'",
    foreign: "the operator 'Gelu' of 'com.microsoft'",
    many_nodes: f"{MOST_NODES + 1} nodes",
}


@pytest.mark.parametrize("make", CRAFTED, ids=lambda make: make.__name__)
def test_crafted_graphs_are_refused(make: Callable[[], ModelProto]) -> None:
    crafted = make().SerializeToString()
    with pytest.raises(ValueError, match=re.escape(f"the ONNX graph has {CRAFTED[make]}")):
        Session(crafted, threads=1)


def test_any_operator_that_is_not_ours_is_refused() -> None:
    ours = {"Add", "Mul", "Sub", "Relu", "Identity", "Cast", "Gemm", "MatMul"}
    for schema in onnx.defs.get_all_schemas():
        if schema.name in ("If", "Loop", "Scan", "SequenceMap", "Expand", "Tile", "ConstantOfShape", *ours):
            graph = model_of(helper.make_node(schema.name, ["x"], ["y"])).SerializeToString()
            if schema.name in ours:
                check_graph(graph)
            else:
                with pytest.raises(ValueError, match=f"the operator '{schema.name}'"):
                    check_graph(graph)


def test_graphs_of_this_project_pass() -> None:
    """Those of encoders and segmenters pass wherever a test makes a session."""
    for graph in (linear_graph(), convention_graph(), plain().SerializeToString()):
        check_graph(graph)


def test_a_second_name_of_an_operator_is_refused() -> None:
    """Readers of protobuf differ in which of two counts."""
    loop_too = helper.make_node("Loop", [], []).SerializeToString()
    node = helper.make_node("Relu", ["x"], ["y"]).SerializeToString()
    graph = b"".join(bytes([0x0A, len(part)]) + part for part in (node + loop_too,))
    crafted = bytes([0x3A, len(graph)]) + graph
    assert onnx.load_from_string(crafted).graph.node[0].op_type == "Loop"
    with pytest.raises(ValueError, match="a name that is not one text"):
        check_graph(crafted)


@given(st.binary(max_size=80))
def test_other_bytes_are_refused_or_empty(data: bytes) -> None:
    """Whatever ONNX reads as a graph with nodes has operators."""
    try:
        check_graph(data)
    except ValueError:
        return
    made = ModelProto()
    try:
        made.ParseFromString(data)
    except Exception:
        return
    assert not made.functions
    assert all(node.op_type in ("Relu", "Add", "Sub", "Mul", "Pad", "Gelu") for node in made.graph.node)


@given(data=st.data())
def test_damaged_graphs_never_crash_it(data: st.DataObject) -> None:
    stored = bytearray(convention_graph())
    for _ in range(data.draw(st.integers(1, 3))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_graph(bytes(stored))
    except ValueError as error:
        assert "ONNX graph" in str(error)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return with_segmenter(with_conventions(three_languages()), random_segmenter())


def without_checksums(folder: Path) -> None:
    """As whoever crafts a file would, or a package up to 0.2.3."""
    for path in folder.rglob("*.crc32"):
        path.unlink()


def with_graph(stored: bytes, format: str, name: str, graph: bytes) -> bytes:
    tensors, metadata = load_checked(stored, format=format)
    metadata = {key: text for key, text in metadata.items() if key not in ("format", "sha256")}
    return dump_checked({**tensors, name: np.frombuffer(graph, np.uint8)}, metadata, format=format)


def test_a_pipeline_with_a_crafted_encoder_names_it(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path)
    shim = cast(Any, pipeline_encoder(nlp))
    stored = shim.to_bytes()
    crafted = with_graph(stored, "mminibert-onnx-3", "graph", loop().SerializeToString())
    model = tmp_path / "tok2vec" / "model"
    tok2vec = cast(Any, nlp.get_pipe("tok2vec")).model
    message = srsly.msgpack_loads(tok2vec.to_bytes())
    message["shims"] = [[crafted if part == stored else part for part in parts] for parts in message["shims"]]
    model.write_bytes(srsly.msgpack_dumps(message))
    without_checksums(tmp_path)
    with pytest.raises(ValueError, match=r"tok2vec: the ONNX graph has an operator with a graph inside"):
        spacy.load(tmp_path)


def test_a_pipeline_with_a_crafted_segmenter_names_it(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path)
    assert isinstance(nlp.tokenizer, Segmenter)
    message = srsly.msgpack_loads(nlp.tokenizer.to_bytes())
    graph = external().SerializeToString()
    message["model"] = with_graph(message["model"], "mminibert.segmenter.2", "graph.units", graph)
    (tmp_path / "tokenizer").write_bytes(srsly.msgpack_dumps(message))
    without_checksums(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer: .*the ONNX graph has data outside of the file"):
        spacy.load(tmp_path)


def test_a_graph_that_cannot_run_is_noticed_when_it_is_loaded(nlp: Language, tmp_path: Path) -> None:
    """It is made of what ours are, but for an input that nothing gives."""
    nlp.to_disk(tmp_path)
    assert isinstance(nlp.tokenizer, Segmenter)
    message = srsly.msgpack_loads(nlp.tokenizer.to_bytes())
    graph = model_of(helper.make_node("Add", ["x", "nowhere"], ["y"])).SerializeToString()
    message["model"] = with_graph(message["model"], "mminibert.segmenter.2", "graph.units", graph)
    (tmp_path / "tokenizer").write_bytes(srsly.msgpack_dumps(message))
    without_checksums(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer: .*ONNX Runtime .* cannot read the graph"):
        spacy.load(tmp_path)


def test_a_network_apart_within_one_apart_is_refused(nlp: Language) -> None:
    assert isinstance(nlp.tokenizer, Segmenter)
    model = nlp.tokenizer.model
    stored = model.to_bytes()
    for _ in range(2):
        stored = with_graph(model.to_bytes(), "mminibert.segmenter.2", "apart", stored)
    with pytest.raises(ValueError, match="network apart has one of its own"):
        type(model).from_bytes(stored)


def test_languages_that_would_fill_the_memory_are_refused() -> None:
    """A hundred kilobytes of zip with more than `MOST_BYTES` of zeros."""
    file = io.BytesIO()
    np.savez_compressed(file, levels=np.zeros((64, MOST_BYTES // 64), np.uint8))
    assert len(file.getvalue()) < 100_000
    with pytest.raises(ValueError, match=rf"the languages are damaged .* more than {MOST_BYTES}"):
        Languages.from_bytes(file.getvalue())
