"""Building wheels: of this package, and of a pipeline's folder; without network."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import warnings
import zipfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory

import srsly
from packaging.requirements import Requirement
from spacy.util import get_minor_version_range

from ..files import atomic_path, write_json
from ..markdown import without_relative_links
from .page import page

__all__ = ["Distribution", "build_library", "build_pipeline", "read_distribution"]

NAME = "mminibert"
README = "README.md"
LIBRARY_FILES = ("pyproject.toml", "LICENSE")
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of files in wheels, so that equal contents make equal wheels."""
SETUP = "[metadata]\nlong_description_content_type = text/markdown\n"
"""What `spacy package` leaves out."""


@dataclass(frozen=True)
class Distribution:
    """Of the metadata of the library's wheel, what the packages need. requirements: to run it."""

    version: str
    url: str
    email: str
    requirements: tuple[Requirement, ...]

    @property
    def spacy_version(self) -> str:
        spacy = next(r for r in self.requirements if r.name == "spacy")
        return ",".join(sorted(map(str, spacy.specifier), reverse=True))

    def model_requirements(self) -> list[str]:
        """What a package requires besides spaCy: the library, and what that needs to run."""
        own = f"{NAME}{get_minor_version_range(self.version)}"
        return [own, *(str(r) for r in self.requirements if r.name != "spacy")]


def build_library(source: Path, out: Path) -> Path:
    """The wheel of this package, from a copy of its sources: a `build` folder may hold files long deleted.

    Its page is the README, without the links that lead nowhere outside of the repository.
    """
    if not (source / "pyproject.toml").exists():
        raise FileNotFoundError(f"no {source / 'pyproject.toml'}; run this in the folder of the repository")
    with TemporaryDirectory() as folder:
        for name in LIBRARY_FILES:
            shutil.copy(source / name, folder)
        text = (source / README).read_text(encoding="utf-8")
        Path(folder, README).write_text(without_relative_links(text), encoding="utf-8")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / NAME, Path(folder, NAME), ignore=ignored)
        return _pip_wheel(Path(folder), out)


def read_distribution(wheel: Path) -> Distribution:
    """From a wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(name).decode("utf-8"), headersonly=True)
    requirements = map(Requirement, fields.get_all("Requires-Dist", []))
    urls = [url.split(",", 1)[1].strip() for url in fields.get_all("Project-URL", [])]
    return Distribution(
        version=fields["Version"],
        url=fields.get("Home-page") or next(iter(urls), ""),
        email=fields.get("Author-email") or "",
        requirements=tuple(r for r in requirements if r.marker is None),
    )


def build_pipeline(path: Path, out: Path) -> Path:
    """The wheel of a pipeline's folder, by `spacy package` and pip, without network.

    The files README.md (see `page`), LICENSE and LICENSES_SOURCES are written into the folder from its
    meta.json, whose requirements lose spaCy, which `spacy package` adds. Raises RuntimeError if the wheel
    cannot be built.
    """
    from spacy.cli.package import package as spacy_package

    meta = srsly.read_json(path / "meta.json")
    # What comes from a package has it already.
    others = [r for r in meta.get("requirements", []) if Requirement(r).name != "spacy"]
    srsly.write_json(path / "meta.json", {**meta, "requirements": others})
    (path / "LICENSE").write_text(f"{meta['license']}\n", encoding="utf-8")
    sources = meta.get("sources") or []
    lines = [" | ".join(filter(None, (s["name"], s.get("url"), s.get("license")))) for s in sources]
    (path / "LICENSES_SOURCES").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (path / README).write_text(page(meta), encoding="utf-8")
    with TemporaryDirectory() as folder:
        output = io.StringIO()
        try:
            # Building is left to pip, since spaCy's way of it wants the network for an isolated environment.
            with redirect_stdout(output), warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # spaCy leaves its files open
                spacy_package(path, Path(folder), create_sdist=False, require_parent=True, silent=True)
        except SystemExit as error:
            raise RuntimeError(f"{path}: `spacy package` failed: {output.getvalue()}") from error
        (package_path,) = Path(folder).iterdir()
        made = srsly.read_json(package_path / "meta.json")  # spaCy adds requirements in any order
        made["requirements"].sort()
        stated = {key: value for key, value in made.items() if value or key not in ("email", "url")}
        write_json(package_path / "meta.json", stated)
        (package_path / "setup.cfg").write_text(SETUP, encoding="utf-8")
        return _pip_wheel(package_path, out)


def _pip_wheel(source: Path, out: Path) -> Path:
    """Build one wheel into `out`, and leave nothing else: pip would keep it in its cache for good."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--no-cache-dir", "--wheel-dir", folder, str(source.resolve())],
            capture_output=True,
            text=True,
        )
        built = list(Path(folder).glob("*.whl"))
        if done.returncode or len(built) != 1:
            raise RuntimeError(
                f"pip could not build a wheel of {source.name}, for which it needs setuptools 70.1 or later "
                f"(pip install -U setuptools):\n{done.stdout}{done.stderr}"
            )
        with atomic_path(out / built[0].name) as temporary:
            _copy_plain(built[0], temporary)
        return out / built[0].name


def _copy_plain(wheel: Path, target: Path) -> None:
    """A wheel that says nothing of when, and with which rights, its files were written."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file of Unix
            new.writestr(entry, old.read(name), zipfile.ZIP_DEFLATED, 9)
