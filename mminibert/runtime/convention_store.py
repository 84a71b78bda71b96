"""Conventions as bytes, in the safetensors format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from .conventions import Adapter, Convention, Conventions
from .forms import FormTable
from .labels import Label
from .lexicon import Lexicon
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
    lexicons = {head.code: head.lexicon for head in heads if head.lexicon is not None}
    for code, lexicon in lexicons.items():
        tensors |= {f"lexicon.{code}{name}": value for name, value in _lexicon_tensors(lexicon).items()}
    tensors |= {
        f"transitions.{head.code}": head.transitions for head in heads if head.transitions is not None
    }
    metadata = {
        "lexicons": json.dumps(
            {code: [lexicon.bits, lexicon.ending_set] for code, lexicon in lexicons.items()}
        ),
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
        lexicons: dict[str, Any] = json.loads(metadata.get("lexicons", "{}"))  # none up to 0.3.0
        heads = [
            Convention(
                code,
                tuple(sorted(labels[j] for j in np.flatnonzero(shown[i]))),
                tensors["rows"][a:b],
                tensors["scales"][a:b],
                tensors["bias"][a:b],
                tensors["embeddings"][i],
                _lexicon(tensors, f"lexicon.{code}", lexicons[code]) if code in lexicons else None,
                tensors.get(f"transitions.{code}"),  # none up to 0.6.4
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


def _lexicon_tensors(lexicon: Lexicon) -> dict[str, np.ndarray]:
    """By the end of its name. In planes of bytes, as an archive packs these best."""
    return {
        ".steps": _planes(np.diff(lexicon.hashes, prepend=np.uint32(0))),
        ".sets": _planes(lexicon.sets),
        ".sizes": _planes(np.diff(lexicon.starts)),
        ".candidates": _planes(lexicon.candidates),
    }


def _planes(values: np.ndarray) -> np.ndarray:
    """Numbers of 0 to 65,535 as uint8 ``(2, n)``: their lower bytes, then their higher ones."""
    return np.stack([values & 0xFF, values >> 8]).astype(np.uint8)


def _from_planes(planes: np.ndarray) -> np.ndarray:
    return planes[0].astype(np.int64) + (planes[1].astype(np.int64) << 8)


def _lexicon(tensors: Mapping[str, np.ndarray], name: str, about: Any) -> Lexicon:
    """about: bits of the hashes and first set of endings; the former alone in 0.4.0, which had no endings."""
    steps, sets, sizes, candidates = (
        _from_planes(tensors[f"{name}.{part}"]) for part in ("steps", "sets", "sizes", "candidates")
    )
    bits, ending_set = (about, len(sizes)) if isinstance(about, int) else about
    return Lexicon(
        bits,
        ending_set,
        np.cumsum(steps).astype(np.uint32),
        sets.astype(np.uint16),
        np.cumsum(np.append(0, sizes)).astype(np.int32),
        candidates.astype(np.int32),
    )


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
