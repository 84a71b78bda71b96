"""The scores of a pipeline on treebanks, a record each.

Scores follow the CoNLL 2018 evaluation. Its program is not part of this package: callers pass a `Scorer`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Protocol

from spacy.language import Language

from ..data.conllu import Sentence, read_conllu
from ..data.corpus import forms_of
from ..data.text import script_of
from ..files import folder_sha256, read_json, sha256, write_json
from ..runtime.pipeline import lemmatizer
from .conventions import DEV_IN_TRAINING, Tagged, Told, dev_in_training, modes_of
from .metrics import count, lemma_accuracies
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
NO_MODES: Mapping[str, Told] = MappingProxyType({})
RECORDED = (
    *("ltcode", "lang", "split", "model", "gold_sha256", "train", "tagged_by", DEV_IN_TRAINING, "script"),
    *("sentences", "words", "seconds", "words_per_second", "raw_seconds", "raw_words_per_second"),
    *("convention", "tokenizer", "gold_words", "raw_text", "modes"),
)
"""What a whole record has."""
RAW_METRICS = ("Tokens", "Sentences", "Words", "UPOS", "UFeats")
"""What is scored from raw text."""
LEMMAS = "Lemmas"
"""What is scored besides where there are lemmas, both the pipeline's and the gold file's."""


def evaluate_treebank(
    nlp: Language,
    gold: Path,
    *,
    score: Scorer,
    tag: TagWords | None = None,
    modes: Mapping[str, Told] = NO_MODES,
    seen: Collection[str] = (),
) -> dict[str, Any]:
    """Tag a gold file twice and score it: the part of a treebank's record that depends on the pipeline.

    With `tag` it is tagged once, on gold words, by that: `raw_text` is None. So it is where labels of the
    gold file are unknown, as `score` counts all words: `gold_words` is then counted here, without those.

    `gold_words` has accuracies in 0..1 (UPOS, UFeats by `score`, FEATS counted here), `raw_text` precision,
    recall and F1 of `RAW_METRICS`. Both have `LEMMAS`, gold words also those of words whose forms are, or are
    not, among ``seen``, in lower case: those learned from. They are those of the first of the modes,
    and `convention` and `tokenizer` are what the pipeline was told in it; `modes` has these four of each, see
    `conventions.modes_of`. `seconds` is the time for tagging the gold words once on this machine,
    `raw_seconds` that for the raw text, None without; `words_per_second` and `raw_words_per_second` are gold
    words by them."""
    sentences = list(read_conllu(gold))
    words = [word for sentence in sentences for word in sentence.words]
    known = not any(word.upos_masked or word.feats_masked for word in words)
    tolds = list(dict.fromkeys(modes.values())) or [Told()]
    raw: Tagged | None = None
    if tag is None:
        tagged = gold_words(nlp, sentences, list(dict.fromkeys(Told(told.convention) for told in tolds)))
        raw = raw_text(nlp, sentences, tolds) if known else None
    else:
        tagged = gold_words_by(tag, sentences)
    lemmas = tag is None and lemmatizer(nlp) is not None and any(word.lemma != "_" for word in words)
    on_words = {
        told.convention: _on_words(
            sentences, conllu, gold, score if known else None, seen if lemmas else None
        )
        for told, conllu in tagged.conllu.items()
    }
    scores = {
        told: {
            "convention": told.convention,
            "tokenizer": told.tokenizer,
            "gold_words": on_words[told.convention],
            "raw_text": None if raw is None else _on_text(raw.conllu[told], gold, score, lemmas),
        }
        for told in tolds
    }
    return {
        "script": script_of("".join(word.form for word in words)),
        "sentences": len(sentences),
        "words": len(words),
        "seconds": tagged.seconds,
        "words_per_second": len(words) / tagged.seconds,
        "raw_seconds": None if raw is None else raw.seconds,
        "raw_words_per_second": None if raw is None else len(words) / raw.seconds,
        **scores[tolds[0]],
        "modes": {mode: scores[told] for mode, told in modes.items()},
    }


def _on_words(
    sentences: Sequence[Sentence],
    conllu: str,
    gold: Path,
    score: Scorer | None,
    seen: Collection[str] | None,
) -> dict[str, float]:
    """seen: None where lemmas are not scored."""
    names = ("UPOS", "UFeats") if seen is None else ("UPOS", "UFeats", LEMMAS)
    with _file(conllu) as path:
        accuracies = count(sentences, read_conllu(path)).accuracies()
        if seen is not None:
            accuracies |= lemma_accuracies(sentences, read_conllu(path), seen)
        official = {} if score is None else score(gold, path)
    return accuracies | {name: official[name].f1 for name in names if official}


def _on_text(conllu: str, gold: Path, score: Scorer, lemmas: bool) -> dict[str, dict[str, float]]:
    with _file(conllu) as path:
        official = score(gold, path)
    return {
        name: {part: getattr(official[name], part) for part in ("precision", "recall", "f1")}
        for name in (*RAW_METRICS, *[LEMMAS] * lemmas)
    }


@contextmanager
def _file(conllu: str) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "system.conllu")
        path.write_text(conllu, encoding="utf-8", newline="\n")
        yield path


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
    gold file is kept if it was tagged by the same: one without scores from raw text, or without some of
    `RAW_METRICS`, does not stand for one that has them, nor one without a mode that the pipeline has for one
    with it, though one by the pipeline itself has all that is asked of a `tag`. A treebank that fails is
    reported as such and the others go on.
    `tag`: see `evaluate_treebank`. Raises ValueError as `treebanks_to_score` does.
    """
    entries = treebanks_to_score(corpus, split, treebanks)
    model = describe_model(nlp, teacher)
    tagged_by = PIPELINE if tag is None else LABELLER
    for ltcode, entry in entries.items():
        gold, path = corpus / ltcode / f"{split}.conllu", out / f"{ltcode}.json"
        try:
            facts = {
                "ltcode": ltcode,
                "lang": entry["lang"],
                "split": split,
                "model": model,
                "gold_sha256": sha256(gold),
                "train": _train(entry),
            }
            modes = modes_of(nlp, ltcode) if tag is None else NO_MODES
            old = _read(path)
            same = all(old.get(key) == value for key, value in facts.items())
            same = same and modes.keys() <= old["modes"].keys() and _is_complete(old)
            if same and old["tagged_by"] in (tagged_by, PIPELINE):
                yield Outcome(ltcode, old, kept=True)
                continue
            with_dev = dev_in_training(nlp, ltcode, facts["train"]["parts"])
            splits = ("train", "dev") if with_dev else ("train",)
            read = (forms_of(corpus, ltcode, split) for split in splits if lemmatizer(nlp) is not None)
            seen = frozenset[str]().union(*read)
            scored = evaluate_treebank(nlp, gold, score=score, tag=tag, modes=modes, seen=seen)
            record = {**facts, "tagged_by": tagged_by, DEV_IN_TRAINING: with_dev, **scored}
            write_json(path, record)
        except Exception as error:
            yield Outcome(ltcode, error=error)
        else:
            yield Outcome(ltcode, record)


def _read(path: Path) -> Mapping[str, Any]:
    """The record that is there; empty if there is none, or if it is damaged or lacks anything, so that it is
    made anew."""
    try:
        return read_json(path, "evaluate again", *RECORDED)
    except (FileNotFoundError, ValueError):
        return {}


def _is_complete(record: Mapping[str, Any]) -> bool:
    """Whether what is there of raw text has all metrics."""
    texts = [scores["raw_text"] for scores in (record, *record["modes"].values())]
    return all(text is None or text.keys() >= set(RAW_METRICS) for text in texts)


def treebanks_to_score(
    corpus: Path, split: str = "test", treebanks: Sequence[str] | None = None
) -> dict[str, Mapping[str, Any]]:
    """What the corpus' manifest has of the treebanks, by default of all that have the split.

    Raises ValueError for a treebank that it has not, or if there is none with that split.
    """
    path = corpus / "manifest.json"
    manifest = read_json(path, "run the step `convert` again", "treebanks")["treebanks"]
    if unknown := sorted(set(treebanks or ()) - set(manifest)):
        raise ValueError(f"{path}: no treebank {', '.join(unknown)}; there are {', '.join(manifest)}")
    ltcodes = treebanks or [ltcode for ltcode, entry in manifest.items() if split in entry["splits"]]
    if not ltcodes:
        raise ValueError(f"{path}: no treebank has a split {split!r}; convert one that has")
    return {ltcode: manifest[ltcode] for ltcode in ltcodes}


def _train(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Words of a treebank's training text, whether its labels are gold or silver ("none" without text), and
    the words of each part that it was put together from, where that is recorded."""
    words = entry["splits"].get("train", {}).get("words", 0)
    return {"words": words, "quality": entry["labels"] if words else "none", "parts": entry.get("parts", {})}


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
