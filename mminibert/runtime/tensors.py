"""Named arrays as bytes in the safetensors format, read and written with NumPy alone.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes with the length n of the header,
as a little-endian integer; n bytes of JSON, which give each tensor's dtype, shape and offsets; the tensors'
bytes. Loading runs no code from the data. The package ``safetensors`` does the same; without it a packaged
pipeline needs one compiled wheel less.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

DTYPES = {"U8": np.uint8, "I8": np.int8, "I32": np.int32, "I64": np.int64, "F32": np.float32}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
ALIGNMENT = 8  # bytes; the header is filled up with blanks, so that arrays can be views of the data


def dump_tensors(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """The arrays in the order given, with text beside them; equal arguments give equal bytes.

    Raises ValueError for a dtype that is not in DTYPES.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, end = [], 0
    for name, tensor in tensors.items():
        if tensor.dtype not in NAMES:
            raise ValueError(
                f"{name}: got dtype {tensor.dtype}, expected one of {', '.join(map(str, NAMES))}"
            )
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        parts.append(np.ascontiguousarray(tensor).tobytes())
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def load_tensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays (read-only views of the data) and the text beside them.

    Raises ValueError for anything that is not in the format, or holds a dtype that is not in DTYPES.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError(f"__metadata__ is {metadata!r:.40}, no table")
        tensors = {name: _view(data, 8 + size, **entry) for name, entry in header.items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"not in the safetensors format: {type(error).__name__}: {error}") from error
    return tensors, metadata


def dump_checked(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str], *, format: str) -> bytes:
    """`dump_tensors` with the name of a format of our own and a checksum in the metadata."""
    text = {"format": format, **metadata}
    return dump_tensors(tensors, {**text, "sha256": _digest(tensors, text)})


def load_checked(data: bytes, *, format: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What `dump_checked` wrote. Raises ValueError if the data are damaged or of another format."""
    tensors, metadata = load_tensors(data)
    if metadata.get("format") != format:
        raise ValueError(f"they are of the format {metadata.get('format')!r}, not {format!r}")
    stored = metadata.pop("sha256", None)
    # The latter is that of packages up to 0.2.3.
    if stored != _digest(tensors, metadata) and stored != _digest(tensors):
        raise ValueError(f"their checksum is wrong ({len(data)} bytes)")
    return tensors, metadata


def _digest(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> str:
    """SHA-256 over the tensors' bytes in the order of their names, after all that the header says, if the
    metadata are given."""
    digest = hashlib.sha256()
    if metadata is not None:
        kinds = {name: [str(tensor.dtype), *tensor.shape] for name, tensor in tensors.items()}
        digest.update(json.dumps([dict(metadata), kinds], sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def _view(data: bytes, origin: int, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    start, end = data_offsets
    kind = np.dtype(DTYPES[dtype])
    if not 0 <= start <= end <= len(data) - origin or end - start != math.prod(shape) * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} and dtype {dtype} is not at bytes {start} to {end}")
    return np.frombuffer(data, dtype=kind, count=math.prod(shape), offset=origin + start).reshape(shape)
