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
    rows = [after.graph.input[0], after.graph.output[0]]
    assert [value.name for value in rows] == ["inputs", "labels"]
    for value in rows:
        assert not value.type.tensor_type.shape.dim[0].dim_value
        value.type.tensor_type.shape.dim[0].dim_value = 1
    assert after == before


@pytest.mark.parametrize("name", ["characters", "spelling", "units"])
def test_graphs_of_any_number_of_rows_stay(name: str) -> None:
    graph = segmenters.trained_model().graphs[name]
    assert with_free_rows(graph) == graph


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
