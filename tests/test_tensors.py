"""Tensors as bytes: the library `safetensors` reads what is written and writes what is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load, save

from mminibert.runtime.tensors import DTYPES, dump_tensors, load_tensors

some_arrays = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(list(DTYPES.values())).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


@given(some_arrays)
def test_the_library_reads_what_is_written(tensors: dict[str, np.ndarray]) -> None:
    assert same(load(dump_tensors(tensors, {"format": "x"})), tensors)


@given(some_arrays)
def test_what_the_library_writes_is_read(tensors: dict[str, np.ndarray]) -> None:
    found, metadata = load_tensors(save(tensors, metadata={"a": "é"}))
    assert same(found, tensors)
    assert metadata == {"a": "é"}


@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not in the safetensors format"):
        load_tensors(data)


@given(data=st.data())
def test_damage_is_refused_or_changes_values_only(data: st.DataObject) -> None:
    stored = dump_tensors({"a": np.arange(6, dtype=np.int32).reshape(2, 3)}, {})
    at = data.draw(st.integers(0, len(stored) - 1))
    damaged = stored[:at] + bytes([stored[at] ^ data.draw(st.integers(1, 255))]) + stored[at + 1 :]
    for bad in (damaged, stored[:at]):
        try:
            load_tensors(bad)
        except ValueError as error:
            assert "safetensors" in str(error)


def test_dtype_that_is_not_stored() -> None:
    with pytest.raises(ValueError, match="a: got dtype float64, expected one of"):
        dump_tensors({"a": np.zeros(1)}, {})


def test_metadata_that_are_no_table_are_refused() -> None:
    header = b'{"__metadata__":["x"]}  '
    with pytest.raises(ValueError, match="not in the safetensors format: TypeError: __metadata__"):
        load_tensors(len(header).to_bytes(8, "little") + header)
