"""Conventions as bytes, in the safetensors format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate, pairwise

import numpy as np

from .conventions import Adapter, Convention, Conventions
from .forms import FormTable
from .labels import Label
from .tensors import dump_checked, load_checked

__all__ = ["conventions_from_bytes", "conventions_to_bytes"]

FORMAT = "mminibert-conventions-1"


def conventions_to_bytes(conventions: Conventions) -> bytes:
    """Equal for equal conventions; about as many bytes as there are weights."""
    heads, adapter = conventions.heads, conventions.adapter
    forms = dict(sorted(adapter.forms.items())) if adapter is not None else {}
    tensors = {
        "labels": _text(f"{upos} {feats}" for upos, feats in conventions.labels),
        "shown": np.packbits([_bits(conventions, head) for head in heads], axis=1),
        "rows": np.concatenate([head.rows for head in heads]),
        "scales": np.concatenate([head.scales for head in heads]),
        "bias": np.concatenate([head.bias for head in heads]),
        "embeddings": np.stack([head.embedding for head in heads]),
    }
    if adapter is not None:
        tensors |= {"down": adapter.down, "up": adapter.up}
    for lang, table in forms.items():
        tensors[f"forms.{lang}"] = _text(table.features)
        tensors[f"forms.{lang}.rows"] = table.rows
        tensors[f"forms.{lang}.scales"] = table.scales
    metadata = {
        "outputs": json.dumps({head.code: len(head.rows) for head in heads}),
        "defaults": json.dumps(dict(sorted(conventions.defaults.items()))),
        "forms": json.dumps(list(forms)),
    }
    return dump_checked(tensors, metadata, format=FORMAT)


def conventions_from_bytes(data: bytes) -> Conventions:
    """What `conventions_to_bytes` wrote. Raises ValueError if the data are damaged or of another format."""
    try:
        tensors, metadata = load_checked(data, format=FORMAT)
        outputs: dict[str, int] = json.loads(metadata["outputs"])
        labels = [_label(line) for line in _lines(tensors["labels"])]
        shown = np.unpackbits(tensors["shown"], axis=1, count=len(labels)).astype(bool)
        bounds = pairwise(accumulate(outputs.values(), initial=0))
        heads = [
            Convention(
                code,
                tuple(sorted(labels[j] for j in np.flatnonzero(shown[i]))),
                tensors["rows"][a:b],
                tensors["scales"][a:b],
                tensors["bias"][a:b],
                tensors["embeddings"][i],
            )
            for i, (code, (a, b)) in enumerate(zip(outputs, bounds, strict=True))
        ]
        forms = {
            lang: FormTable(
                tuple(_lines(tensors[f"forms.{lang}"])),
                tensors[f"forms.{lang}.rows"],
                tensors[f"forms.{lang}.scales"],
            )
            for lang in json.loads(metadata["forms"])
        }
        adapter = Adapter(tensors["down"], tensors["up"], forms) if "down" in tensors else None
        return Conventions(tuple(heads), adapter, json.loads(metadata["defaults"]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"the conventions are damaged or of another version: {error}. Install the pipeline's package and "
            "mminibert again"
        ) from error


def _bits(conventions: Conventions, head: Convention) -> np.ndarray:
    bits = np.zeros(len(conventions.labels), dtype=bool)
    bits[conventions.places(head.code)] = True
    return bits


def _label(line: str) -> Label:
    upos, _, feats = line.partition(" ")
    return upos, feats


def _text(lines: Iterable[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


def _lines(text: np.ndarray) -> list[str]:
    found = text.tobytes().decode()
    return found.split("\n") if found else []
