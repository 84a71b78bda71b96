"""Name, licence, sources and card of a pipeline that was trained further on a treebank of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spacy.language import Language

from ..packaging.assemble import assemble, parts_of
from ..project.package_names import wrong_name, wrong_version

__all__ = ["named", "write_pipeline"]

CARD = "MODEL_CARD.md"


def named(trained: Language, kind: str, new: str, name: str | None, version: str | None) -> dict[str, Any]:
    """The meta.json of what becomes of a pipeline, without its scores.

    new: what it has learned, and of which file. name: what follows the language in the package's name, by
    default that of the pipeline and `kind`, never the released one's; version: by default the pipeline's.
    Licence and sources are the pipeline's, with `new` among the sources. Raises ValueError for a name or
    version that cannot be.
    """
    old = str(trained.meta["name"])
    name = name or (old if old.endswith(f"_{kind}") else f"{old}_{kind}")
    if wrong := wrong_name(name):
        raise ValueError(f"--name: {wrong}")
    if version and (wrong := wrong_version(version)):
        raise ValueError(f"--version: {wrong}")
    meta = dict(trained.meta)
    others = [source for source in meta.get("sources") or [] if source["name"] != new]
    meta |= {
        "name": name,
        "version": version or meta["version"],
        "description": f"{meta.get('description', '')} {new}.".strip(),
        "sources": [*others, {"name": new}],
    }
    meta.pop("performance", None)
    return meta


def write_pipeline(nlp: Language, trained: Language, path: Path) -> None:
    """Into a new folder, without the words of sentences that it has read, with the card of the pipeline that
    it was made of under what is new."""
    assemble(nlp, parts_of(nlp)).to_disk(path)
    card = trained.path / CARD if trained.path is not None else None
    if card is not None and card.exists():
        meta, old = nlp.meta, trained.meta
        head = (
            f"# {meta['lang']}_{meta['name']} {meta['version']}\n\n{meta['description']} Its scores are in "
            f"run.json, beside the folder. All else is as in {old['lang']}_{old['name']} {old['version']}, "
            "whose card follows.\n\n"
        )
        (path / CARD).write_text(head + card.read_text(encoding="utf-8"), encoding="utf-8")
