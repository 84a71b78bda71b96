"""Treebanks in CoNLL-U to the corpus that training and evaluation read, with a manifest."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..files import atomic_path, read_json, sha256, write_json
from .conllu import ConlluError, Sentence, read_conllu
from .docs import tokens_doc, words_doc
from .lock import only_run
from .treebanks import SPLITS, Treebank, find_treebanks

DOCBIN_ATTRS = ("ORTH", "SPACY", "POS", "MORPH", "TAG", "LEMMA", "HEAD", "DEP", "SENT_START")
RECORD = "record.json"  # a treebank's part of the manifest; written last, so it says that the rest is whole
COUNTS = (
    *("sentences", "words", "tokens", "multiword_tokens", "empty_nodes", "skipped"),
    *("masked_upos", "masked_feats"),
)

FORMAT = 3
"""Of what is written. Another number has all treebanks converted anew."""

RECORDED = ("settings", "sources", "lang", "role", "labels", "dev", "splits", "outputs")
Record = dict[str, Any]


def convert(
    source: Path,
    target: Path,
    treebanks: Sequence[str] | None = None,
    *,
    skip_bad: bool = False,
    seed: int = 0,
    limit: Mapping[str, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Record:
    """Convert the treebanks of the folder `source` (all, or those named), and return the manifest.

    For each treebank `target/<ltcode>/` gets `{train,dev,test}.spacy` (a Doc a sentence, a token a
    syntactic word), `{train,dev,test}.tokens.spacy` (a token a surface token) and `{dev,test}.conllu`
    (the sentences accepted). A treebank with train but without dev gives a tenth of train as dev, chosen
    by `seed` and left out of train. One without train is for evaluation only. At most `limit[split]`
    sentences of a split are kept. `progress` is called with the code of each treebank done.

    `target/manifest.json` is written last and has the treebanks of this call. A treebank whose sources,
    settings and outputs are as they were is not converted again. Raises `ConlluError` for a bad file (see
    `read_conllu`; `skip_bad` leaves out bad sentences); what was written before stays. Raises ValueError
    for a treebank or a split in `limit` that does not exist.
    """
    if unknown := set(limit or ()) - set(SPLITS):
        raise ValueError(f"got a limit for {', '.join(sorted(unknown))}, expected splits {', '.join(SPLITS)}")
    settings = {
        "seed": seed,
        "skip_bad": skip_bad,
        "limit": dict(limit or {}),
        "format": FORMAT,
        "versions": {"mminibert": version("mminibert"), "spacy": version("spacy")},
    }
    with only_run(target):
        manifest_path = target / "manifest.json"
        records = {}
        for treebank in find_treebanks(source, treebanks):
            folder = target / treebank.ltcode
            sources = {
                split: {"file": path.name, "sha256": sha256(path)} for split, path in treebank.paths.items()
            }
            record = _finished(folder, settings, sources)
            if record is None:
                manifest_path.unlink(missing_ok=True)
                record = {"settings": settings, "sources": sources}
                record |= _convert_treebank(treebank, folder, skip_bad=skip_bad, seed=seed, limit=limit or {})
                write_json(folder / RECORD, record)
            records[treebank.ltcode] = {key: value for key, value in record.items() if key != "settings"}
            records[treebank.ltcode]["parts"] = _parts(source / treebank.ltcode / "sources.json")
            if progress is not None:
                progress(treebank.ltcode)
        manifest = {**settings, "python": platform.python_version(), "treebanks": records}
        write_json(manifest_path, manifest)
        return manifest


def _finished(folder: Path, settings: Record, sources: Record) -> Record | None:
    """The record of an earlier conversion with these settings and sources whose outputs are unchanged."""
    with suppress(FileNotFoundError, ValueError):
        record = read_json(folder / RECORD, "run `convert` again", *RECORDED)
        same = record.get("settings") == settings and record.get("sources") == sources
        if same and all(sha256(folder / name) == digest for name, digest in record["outputs"].items()):
            return record
    return None


def _convert_treebank(
    treebank: Treebank, folder: Path, *, skip_bad: bool, seed: int, limit: Mapping[str, int]
) -> Record:
    """Write the files of a treebank and return its record, less settings and sources.

    `labels` are those of train: silver if MISC of any word has `UniMorph=`, from which they were inferred.
    """
    for stale in (RECORD, *(name for split in SPLITS for name in _names(split))):
        (folder / stale).unlink(missing_ok=True)
    cut = "train" in treebank.paths and "dev" not in treebank.paths
    tenth = _tenth(treebank, skip_bad, seed) if cut else frozenset()
    splits: dict[str, Record] = {}
    outputs: dict[str, str] = {}
    for split in SPLITS:
        path = treebank.paths.get("train" if cut and split == "dev" else split)
        if path is None:
            continue
        part = _Split(split)
        skipped: list[ConlluError] = []
        for index, sentence in enumerate(read_conllu(path, skip_bad=skip_bad, on_bad=skipped.append)):
            if part.counts["sentences"] == limit.get(split):
                break
            if not cut or split == "test" or (index in tenth) == (split == "dev"):
                part.add(sentence)
        part.counts["skipped"] = 0 if cut and split == "dev" else len(skipped)
        outputs |= part.write(folder)
        kind = "silver" if part.silver else "gold"
        splits[split] = {"labels": kind, **{name: part.counts[name] for name in COUNTS}}
    return {
        "lang": treebank.lang,
        "role": "train" if "train" in treebank.paths else "evaluation only",
        "labels": splits["train"]["labels"] if "train" in splits else "gold",
        "dev": "tenth of train" if cut else "file" if "dev" in treebank.paths else "none",
        "splits": splits,
        "outputs": outputs,
    }


def _parts(path: Path) -> dict[str, int]:
    """Words of a train file by where they come from (`dev`, `rebuilt` ...), if that is recorded beside it."""
    words: Counter[str] = Counter()
    if path.exists():
        for part in read_json(path, "run `assets` again", "train")["train"]:
            words[part["source"]] += part["words"]
    return dict(+words)


def _names(split: str) -> tuple[str, ...]:
    names = (f"{split}.spacy", f"{split}.tokens.spacy")
    return names if split == "train" else (*names, f"{split}.conllu")


def _tenth(treebank: Treebank, skip_bad: bool, seed: int) -> frozenset[int]:
    """Positions of a tenth of the train sentences (at least one of two), those with the lowest hashes."""

    def digest(index: int) -> bytes:
        return hashlib.sha256(f"{seed} {treebank.ltcode} {index}".encode()).digest()

    count = sum(1 for _ in read_conllu(treebank.paths["train"], skip_bad=skip_bad))
    wanted = max(round(count / 10), min(count - 1, 1))
    return frozenset(sorted(range(count), key=digest)[:wanted])


class _Split:
    """The sentences of one split on their way to its files."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.counts: Counter[str] = Counter()
        self.silver = False
        self._vocab = Vocab()
        self._words = DocBin(attrs=DOCBIN_ATTRS)
        self._tokens = DocBin(attrs=DOCBIN_ATTRS, store_user_data=True)
        self._conllu: list[str] = []

    def add(self, sentence: Sentence) -> None:
        words, tokens = words_doc(sentence, self._vocab), tokens_doc(sentence, self._vocab)
        self._words.add(words)
        _add_with_user_data(self._tokens, tokens)
        if self.split != "train":
            self._conllu.append(sentence.to_conllu())
        self.counts["sentences"] += 1
        self.counts["words"] += len(words)
        self.counts["tokens"] += len(tokens)
        self.counts["multiword_tokens"] += len(sentence.ranges)
        self.counts["empty_nodes"] += len(sentence.empty_nodes)
        self.counts["masked_upos"] += sum(word.upos_masked for word in sentence.words)
        self.counts["masked_feats"] += sum(word.feats_masked for word in sentence.words)
        self.silver = self.silver or any("UniMorph=" in word.misc for word in sentence.words)

    def write(self, folder: Path) -> dict[str, str]:
        """Write the files of the split and return the SHA-256 of each by its name."""
        names = _names(self.split)
        conllu = "".join(self._conllu).encode("utf-8")
        contents = (self._words.to_bytes(), self._tokens.to_bytes(), conllu)
        for name, content in zip(names, contents, strict=False):  # train has no CoNLL-U
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(content)
        return {name: sha256(folder / name) for name in names}


def _add_with_user_data(docs: DocBin, doc: Doc) -> None:
    """`docs.add(doc)` for a DocBin with user data, without the slow encoding of a dict that is empty."""
    if doc.user_data:
        docs.add(doc)
        return
    docs.store_user_data = False
    docs.add(doc)
    docs.store_user_data = True
    docs.user_data.append(None)
