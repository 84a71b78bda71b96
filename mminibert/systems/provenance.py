"""What a run was made with: config, seeds, versions, checksums."""

from __future__ import annotations

import json
import platform
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import srsly
from safetensors import safe_open
from thinc.api import Config

from ..files import listed, reading, sha256

TEACHER = "delete the folder and run the step `assets` again, or put the teacher there again"
PACKAGES = (
    "mminibert",
    "spacy",
    "thinc",
    "spacy-transformers",
    "transformers",
    "torch",
    "numpy",
    "tokenizers",
)


def check_unchanged(path: Path, record: dict[str, Any]) -> None:
    """Raises ValueError if ``path`` holds the record of a run with another config or other inputs."""
    if not path.exists():
        return
    with reading(path, "to train anew, delete its folder"):
        old = dict(srsly.read_json(path))
    changed = [
        key for key in ("config", "inputs") if old.get(key) != srsly.json_loads(srsly.json_dumps(record[key]))
    ]
    if changed:
        raise ValueError(
            f"{path.parent}: the run there had another {' and other '.join(changed)}; to train anew, delete "
            "that folder, or choose another"
        )


def provenance(config: Config, inputs: Iterable[Path]) -> dict[str, Any]:
    """The record that a training run writes beside its result; inputs are files to name by checksum."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "config": config.interpolate(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": versions,
        "inputs": {_name(path): sha256(path) for path in inputs if path.exists()},
    }


def _name(path: Path) -> str:
    """That of an installed package without where packages are installed, which is another place on each
    machine."""
    installed = Path(sysconfig.get_path("purelib"))
    return str(path.relative_to(installed) if path.is_relative_to(installed) else path)


def pretrained(config: Config) -> list[Path]:
    """The files outside of the corpus that a system's config begins from: vocabulary, teacher in a folder.
    Raises ValueError as `teacher_files` does."""
    paths = config["paths"]
    found = [Path(paths["vocabulary"])] if paths.get("vocabulary") else []
    if (teacher := paths.get("teacher")) and Path(teacher).is_dir():
        found += teacher_files(Path(teacher))
    return found


def teacher_files(folder: Path) -> list[Path]:
    """The files of an encoder that transformers is to load. Raises ValueError if one is cut off or of another
    kind, which it would say without the file."""
    found = [path for path in listed(folder, "*") if path.is_file()]
    for path in found:
        with reading(path, TEACHER):
            if path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".safetensors":
                with safe_open(path, framework="np"):
                    pass
    return found
