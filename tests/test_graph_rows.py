"""Graphs of one row at a time take any number of rows: against ONNX's own package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import segmenters
from onnx.shape_inference import infer_shapes

from mminibert.runtime.graph_rows import with_free_rows
from mminibert.runtime.segmenter_model import SegmenterModel


def one_row(graph: bytes) -> bytes:
    """As the segmenter's graphs were written up to 0.6.7."""
    model = onnx.load_from_string(graph)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return bytes(model.SerializeToString())


def test_the_first_dimension_alone_is_freed() -> None:
    graph = one_row(segmenters.trained_model().graphs["units"])
    before, after = onnx.load_from_string(graph), onnx.load_from_string(with_free_rows(graph))
    onnx.checker.check_model(infer_shapes(after, strict_mode=True), full_check=True)
    for value, was in zip(
        [*after.graph.input, *after.graph.output], [*before.graph.input, *before.graph.output], strict=True
    ):
        first, *others = value.type.tensor_type.shape.dim
        first_was, *others_were = was.type.tensor_type.shape.dim
        assert others == others_were and value.name == was.name
        assert first == first_was or (first_was.dim_value == 1 and first.dim_value == 0)
    assert not after.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    del before.graph.input[:], before.graph.output[:], after.graph.input[:], after.graph.output[:]
    assert after == before


@pytest.mark.parametrize("name", ["characters", "spelling", "units"])
def test_other_graphs_stay(name: str) -> None:
    """Those that take any number of rows, but for what is the same for all of them."""
    graph = segmenters.trained_model().graphs[name]
    before, after = onnx.load_from_string(graph), onnx.load_from_string(with_free_rows(graph))
    assert before.graph.input[0] == after.graph.input[0]
    assert before.graph.output[:] == after.graph.output[:]
    assert before.graph.node[:] == after.graph.node[:]


def test_a_segmenter_of_earlier_releases_reads_rows_together() -> None:
    model = segmenters.trained_model()
    graphs = {**model.graphs, "units": one_row(model.graphs["units"])}
    old = SegmenterModel.from_bytes(replace(model, graphs=graphs).to_bytes())
    random = np.random.default_rng(0)
    vectors = random.normal(size=(5, 9, model.vector_width)).astype(np.float32)
    gaps = random.integers(0, 5, (5, 9)).astype(np.int32)
    pairs = random.integers(0, len(model.pairs.rows), (5, 9))
    together = old.label_rows(vectors, gaps, pairs, "es")
    assert (together == model.label_rows(vectors, gaps, pairs, "es")).all()
    for i, row in enumerate(together):
        assert (row == model.label_units(vectors[i], gaps[i], pairs[i], "es").logits).all()


def test_bytes_that_are_no_graph_are_refused() -> None:
    graph = segmenters.trained_model().graphs["units"]
    with pytest.raises(ValueError, match=r"no protobuf message \(99 bytes\)"):
        with_free_rows(graph[:99])
