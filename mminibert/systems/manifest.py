"""The manifest of a folder of targets: there only while it is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.targets import read_shard
from ..files import listed, read_json, reading, sha256, write_json

SOFT_TARGETS = "soft_targets"
"""The folder of a teacher's labels, in that of the corpus."""
MANIFEST = "manifest.json"
REMEDY = "run `collect` or `collect-gold` again"


def outdate(target: Path) -> None:
    """Take the manifest away, before what it names is changed."""
    (target / MANIFEST).unlink(missing_ok=True)


def write_manifest(target: Path, paths: Sequence[Path], **made_with: Any) -> dict[str, Any]:
    """Write ``manifest.json``: what the shards were made with, the words, bytes a word and checksum of each;
    returns it.

    Removes shards of earlier calls that are not among these.
    """
    kept = {path.name for path in paths}
    if stale := [path for path in listed(target, "*.npz") if path.name not in kept]:
        outdate(target)
    for path in stale:
        path.unlink(missing_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for path in sorted(paths):
        words = len(read_shard(path).targets)
        rows[path.name] = {"words": words, "bytes": path.stat().st_size, "sha256": sha256(path)}
    total = sum(row["words"] for row in rows.values())
    size = sum(row["bytes"] for row in rows.values())
    manifest = {
        **made_with,
        "words": total,
        "bytes_per_word": round(size / max(total, 1), 1),
        "shards": rows,
    }
    write_json(target / MANIFEST, manifest)
    return manifest


def shards_of(manifest: Path) -> list[Path]:
    """The shards that a manifest names. Raises ValueError if one is not as it was when that was written."""
    rows = read_json(manifest, REMEDY, "shards")["shards"]
    with reading(manifest, REMEDY):
        digests = {manifest.parent / name: row["sha256"] for name, row in rows.items()}
    for path, digest in digests.items():
        if not path.exists() or sha256(path) != digest:
            raise ValueError(f"{path}: not the shard that {manifest} names; {REMEDY}")
    return list(digests)
