"""Checksums beside the files of a pipeline, so that damage shows when it is loaded, whatever is damaged."""

from __future__ import annotations

import zlib
from pathlib import Path

__all__ = ["check_component", "check_file", "write_checksum", "write_checksums"]

SUFFIX = ".crc32"
"""``model.crc32`` stands beside ``model``. A file without one, as in packages up to 0.2.3, is not checked."""

FILES = ("cfg", "model")
"""What spaCy's trainable components write into their folders."""


def write_checksum(path: Path) -> None:
    """Write the CRC-32 of a file's bytes (zlib's, 8 hexadecimal digits) beside it, if the file is there."""
    if path.is_file():
        _beside(path).write_text(_crc32(path), encoding="ascii")


def check_file(path: Path) -> None:
    """Raises ValueError if the file is not there, or not the one whose checksum stands beside it."""
    beside = _beside(path)
    if not beside.is_file():
        return
    if not path.exists():
        raise ValueError(
            f"{path}: is not there, but its checksum {beside.name} is; install the pipeline's package "
            "again (pip install --force-reinstall)"
        )
    expected, got = beside.read_bytes(), _crc32(path)
    if got.encode() != expected:
        raise ValueError(
            f"{path}: the file is damaged, its checksum is {got}, that in {beside.name} is "
            f"{expected.decode('ascii', 'replace')[:20]}; install the pipeline's package again (pip install "
            "--force-reinstall), or delete the checksum if you changed the file yourself"
        )


def write_checksums(component: Path) -> None:
    """`write_checksum` of what a trainable component writes into its folder."""
    for name in FILES:
        write_checksum(component / name)


def check_component(component: Path) -> None:
    """`check_file` of what a trainable component has in its folder."""
    for name in FILES:
        check_file(component / name)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _crc32(path: Path) -> str:
    return f"{zlib.crc32(path.read_bytes()):08x}"
