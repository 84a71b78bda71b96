"""The scores of a pipeline on treebanks, a record each.

Scores follow the CoNLL 2018 evaluation. Its program is not part of this package: callers pass a `Scorer`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Protocol

from spacy.language import Language

from ..data.conllu import read_conllu
from ..data.text import script_of
from ..files import folder_sha256, sha256, write_json
from .metrics import count
from .tagging import TagWords, gold_words, gold_words_by, raw_text


class Score(Protocol):
    """What the CoNLL evaluation gives for one metric, all in 0..1."""

    precision: float
    recall: float
    f1: float


PIPELINE, LABELLER = "pipeline", "labeller"
"""What a treebank was tagged by: the pipeline as users run it, or the fast labeller, on gold words alone."""
Scorer = Callable[[Path, Path], Mapping[str, Score]]
"""Of a gold and a system CoNLL-U file to the CoNLL 2018 metrics by name (`Words`, `UPOS`, `UFeats` ...)."""


def evaluate_treebank(
    nlp: Language, gold: Path, *, score: Scorer, tag: TagWords | None = None
) -> dict[str, Any]:
    """Tag a gold file twice and score it: the part of a treebank's record that depends on the pipeline.

    With `tag` it is tagged once, on gold words, by that: `raw_text` is None. So it is where labels of the
    gold file are unknown, as `score` counts all words: `gold_words` is then counted here, without those.

    `gold_words` has accuracies in 0..1 (UPOS, UFeats by `score`, FEATS counted here), `raw_text` precision,
    recall and F1 of Words, UPOS and UFeats. `seconds` is the time for tagging the gold words on this
    machine, `words_per_second` likewise.
    """
    sentences = list(read_conllu(gold))
    start = perf_counter()
    tagged = "".join(gold_words(nlp, sentences) if tag is None else gold_words_by(tag, sentences))
    seconds = perf_counter() - start
    with TemporaryDirectory() as folder:
        words_path, raw_path = Path(folder, "words.conllu"), Path(folder, "raw.conllu")
        words_path.write_text(tagged, encoding="utf-8", newline="\n")
        counts = count(sentences, read_conllu(words_path))
        on_words = counts.accuracies()
        all_known = counts.known_upos == counts.known_feats == counts.words
        if all_known:
            official = score(gold, words_path)
            on_words |= {name: official[name].f1 for name in ("UPOS", "UFeats")}
        on_raw: Mapping[str, Score] = {}
        if tag is None and all_known:
            raw_path.write_text(raw_text(nlp, sentences), encoding="utf-8", newline="\n")
            on_raw = score(gold, raw_path)
    return {
        "script": script_of("".join(word.form for sentence in sentences for word in sentence.words)),
        "sentences": counts.sentences,
        "words": counts.words,
        "seconds": seconds,
        "words_per_second": counts.words / seconds,
        "gold_words": on_words,
        "raw_text": {
            name: {part: getattr(on_raw[name], part) for part in ("precision", "recall", "f1")}
            for name in ("Words", "UPOS", "UFeats")
        }
        if on_raw
        else None,
    }


@dataclass(frozen=True)
class Outcome:
    """What became of one treebank: its `record`, or the `error`. `kept`: the record was there already."""

    ltcode: str
    record: Mapping[str, Any] | None = None
    error: Exception | None = None
    kept: bool = False


def evaluate_corpus(
    nlp: Language,
    corpus: Path,
    out: Path,
    *,
    score: Scorer,
    treebanks: Sequence[str] | None = None,
    split: str = "test",
    teacher: str | None = None,
    tag: TagWords | None = None,
) -> Iterator[Outcome]:
    """Evaluate each `<corpus>/<ltcode>/<split>.conllu` and write `<out>/<ltcode>.json`.

    By default all treebanks of `<corpus>/manifest.json` with that split. A record of the same model and
    gold file is kept if it was tagged by the same: one without scores from raw text does not stand for one
    that has them, though one by the pipeline itself has all that is asked of a `tag`. A treebank that fails
    is reported as such and the others go on. `tag`: see `evaluate_treebank`. Raises ValueError for a
    treebank that the manifest has not, or if there is none with that split.
    """
    manifest = json.loads((corpus / "manifest.json").read_text(encoding="utf-8"))["treebanks"]
    if unknown := sorted(set(treebanks or ()) - set(manifest)):
        raise ValueError(
            f"{corpus / 'manifest.json'}: no treebank {', '.join(unknown)}; there are {', '.join(manifest)}"
        )
    ltcodes = treebanks or [ltcode for ltcode, entry in manifest.items() if split in entry["splits"]]
    if not ltcodes:
        raise ValueError(
            f"{corpus / 'manifest.json'}: no treebank has a split {split!r}; convert one that has"
        )
    model = describe_model(nlp, teacher)
    tagged_by = PIPELINE if tag is None else LABELLER
    for ltcode in ltcodes:
        entry, gold, path = manifest[ltcode], corpus / ltcode / f"{split}.conllu", out / f"{ltcode}.json"
        try:
            facts = {
                "ltcode": ltcode,
                "lang": entry["lang"],
                "split": split,
                "model": model,
                "gold_sha256": sha256(gold),
                "train": _train(entry),
            }
            old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            same = all(old.get(key) == value for key, value in facts.items())
            if same and old.get("tagged_by") in (tagged_by, PIPELINE):
                yield Outcome(ltcode, old, kept=True)
                continue
            record = {**facts, "tagged_by": tagged_by, **evaluate_treebank(nlp, gold, score=score, tag=tag)}
            write_json(path, record)
        except Exception as error:
            yield Outcome(ltcode, error=error)
        else:
            yield Outcome(ltcode, record)


def _train(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Words of a treebank's training text and whether its labels are gold or silver; "none" without text."""
    words = entry["splits"].get("train", {}).get("words", 0)
    return {"words": words, "quality": entry["labels"] if words else "none"}


def describe_model(nlp: Language, teacher: str | None) -> dict[str, str | None]:
    """Name and version of a loaded pipeline, the checksum of its folder, and the teacher's name.

    Raises ValueError for a pipeline that was not loaded from a folder.
    """
    if nlp.path is None:
        raise ValueError("the pipeline has no folder; evaluate one that spacy.load has read")
    name = f"{nlp.meta['lang']}_{nlp.meta['name']}"
    return {
        "name": name,
        "version": nlp.meta["version"],
        "sha256": folder_sha256(nlp.path),
        "teacher": teacher,
    }
