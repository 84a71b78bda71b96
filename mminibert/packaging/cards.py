"""The model card of a package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spacy.language import Language

from ..data.text import script_of
from ..data.treebanks import is_commercial
from ..evaluation.metrics import macro_average
from ..runtime.morphologizer import COMPONENT
from ..runtime.pipeline import pipeline_encoder, tagger
from .records import Facts
from .subset import tokenizer_note

PAPER = "Tsai et al. 2019, *Small and Practical BERT Models for Sequence Labeling*"
FILES = frozenset({"embeddings", "start"})
"""Of the section `[distillation]`, what names a file of the training run."""


def model_card(facts: Facts, nlp: Language, full: Language) -> str:
    """Markdown. nlp: the packaged pipeline, with its meta. full: the one of all languages."""
    m = nlp.meta
    return "\n\n".join(
        [
            f"# {m['lang']}_{m['name']} {m['version']}",
            f"{m['description']} It runs on spaCy and ONNX Runtime, without PyTorch. It sets "
            "`token.pos`, `token.morph` and sentence starts (by punctuation).",
            "## Intended use",
            "Tagging text, in batches, on a CPU: counts of word classes, search by part of speech, "
            "features for other components, a first pass before annotation by hand. Mixed languages in one "
            "text need no setting. It is no judge of anything that is not in the treebanks: dialects, "
            "historical spelling and the jargon of a field may be tagged wrong with high confidence.",
            "## Training",
            _training(facts),
            "## Treebanks",
            "Gold labels are the treebank's own; silver ones were inferred from another annotation of its "
            "text. Words are syntactic words.",
            _treebanks(facts),
            "## Results",
            _results(facts, m["languages"]),
            "## This package",
            _contents(nlp, full),
            "## Limits",
            _limits(facts, m["languages"], full),
            "## Licences",
            f"This package: {m['license']}. What it was made from:",
            "\n".join(f"- {s['name']}: {s.get('license', 'see its repository')}" for s in m["sources"])
            + "\n",
            *_restricted(facts),
        ]
    )


def _training(facts: Facts) -> str:
    encoder = _block(facts.config, "components", COMPONENT, "model", "tok2vec")
    teacher = _block(facts.teacher_config, "components", "transformer", "model", "transformer_config")
    steps = _block(facts.teacher_config, "distillation")
    lines = [
        f"The method is that of {PAPER}.",
        "",
        f"- Teacher: {facts.teacher}, fine-tuned on the treebanks below"
        + _settings({**teacher, **steps}, ("num_hidden_layers", "words")),
        "- Student: a BERT encoder with one softmax for UPOS and one for each feature"
        + _settings(encoder, ("num_hidden_layers", "hidden_width", "num_attention_heads")),
        "- Trained on distributions of labels for each word, the teacher's (`soft_targets`) and those of "
        f"the treebanks (`gold_targets`){_schedule(facts.config)}",
    ]
    if start := _block(facts.config, "distillation").get("start"):
        lines.append(f"- The student went on from an earlier one, `{start}`; the words are those since then.")
    if facts.targets:
        lines.append(f"- Soft targets: {facts.targets['words']:,} words labelled by the teacher.")
    lines.append("- Word embeddings and dense layers are in 8 bits.")
    return "\n".join(lines)


def _schedule(config: Mapping[str, Any]) -> str:
    settings = {k: v for k, v in config.get("distillation", {}).items() if k not in FILES}
    return _settings(settings, sorted(settings))


def _block(config: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for key in path:
        config = config.get(key, {})
    return config


def _settings(section: Mapping[str, Any], names: Iterable[str]) -> str:
    stated = [f"`{name}` {section[name]}" for name in names if section.get(name) is not None]
    return f": {', '.join(stated)}." if stated else "."


def _treebanks(facts: Facts) -> str:
    rows = []
    for ltcode, entry in facts.treebanks.items():
        train = entry["splits"].get("train")
        words, labels = (f"{train['words']:,}", entry["labels"]) if train else ("0", "none")
        parts = [f"{p['source']} {p['words']:,} ({p['labels']})" for p in facts.parts.get(ltcode, ())]
        rows.append((ltcode, entry["lang"], words, ", ".join(parts) or labels))
    total = sum(e["splits"].get("train", {}).get("words", 0) for e in facts.treebanks.values())
    rows.append(("all", "", f"{total:,}", ""))
    return _table(("treebank", "language", "training words", "labels"), rows)


def _results(facts: Facts, languages: Sequence[str]) -> str:
    own = {k: v for k, v in facts.scores.items() if v["lang"] in languages}
    if not own:
        return "Not measured."
    keys = [("gold_words", "UPOS"), ("gold_words", "UFeats"), ("raw_text", "UPOS"), ("raw_text", "UFeats")]

    def score(record: Mapping[str, Any], part: str, metric: str) -> float:
        value = record[part][metric]
        return float(value["f1"] if isinstance(value, Mapping) else value)

    rows = [(k, *(f"{100 * score(v, *key):.2f}" for key in keys)) for k, v in own.items()]
    means = (macro_average(score(v, *key) for v in own.values()) for key in keys)
    rows.append(("mean", *(f"{100 * mean:.2f}" for mean in means)))
    split = next(iter(own.values()))["split"]
    speed = macro_average(v["words_per_second"] for v in own.values())
    return (
        f"Of the multilingual pipeline, on the {split} "
        "sets, in percent: accuracy on gold words, and F1 of the CoNLL 2018 evaluation from raw text. It was "
        f"done at {speed:,.0f} words a second on one core, beside other work on the machine.\n\n"
        + _table(("treebank", "UPOS", "UFeats", "raw UPOS", "raw UFeats"), rows)
    )


def _contents(nlp: Language, full: Language) -> str:
    counts = []
    for pipeline in (nlp, full):
        pipe = tagger(pipeline)
        counts.append((len(pipe.encoder.pieces), len(pipe.inventory.combinations), pipe.inventory.n_outputs))
    names = ("wordpieces", "combinations of UPOS and features", "outputs")
    parts = [f"{n:,} of {of:,} {name}" for n, of, name in zip(*counts, names, strict=True)]
    note = "" if nlp is full else tokenizer_note(nlp.meta["languages"][0])
    return f"Components: {', '.join(nlp.pipe_names)}. It has {'; '.join(parts)}. {note}".strip()


def _limits(facts: Facts, languages: Sequence[str], full: Language) -> str:
    lines = [
        "- Scores fall on text unlike that of the treebanks.",
        "- Multiword tokens such as Spanish `del` are not split: such a token gets one tag.",
        "- Sentences are found by punctuation only.",
        "- Only combinations of features that the training treebanks have can be predicted.",
    ]
    pipe = tagger(full)
    if pipe.languages is not None and languages == facts.languages:
        lines.append(
            "- Features are kept to those of the languages that a sentence may be of, by its wordpieces: a "
            "sentence of a language without training data gets those of the nearest ones."
        )
    untrained = {entry["lang"] for entry in facts.treebanks.values()} - set(facts.languages)
    if untrained and languages == facts.languages:
        lines.append(
            "- Scored but not trained on, at the user's own risk (code-mixed text among them): "
            f"{', '.join(sorted(untrained))}."
        )
    if unread := sorted(_scripts_without_pieces(facts, full)):
        lines.append(
            "- The wordpieces have no letters of these scripts, whose words are all unknown: "
            f"{', '.join(unread)}."
        )
    silver = [k for k, v in facts.treebanks.items() if v["labels"] == "silver" and v["lang"] in languages]
    if silver:
        lines.append(
            f"- Trained on silver labels, which have errors of their own: {', '.join(sorted(silver))}."
        )
    return "\n".join(lines)


def _restricted(facts: Facts) -> Iterator[str]:
    """What forbids commercial use or states no licence."""
    trained = [code for code, entry in facts.treebanks.items() if "train" in entry["splits"]]
    licences = {code: facts.catalogue.get(code, {}).get("licence", "") for code in trained}
    texts = {
        f"{lang} ({folder})": licence
        for lang, found in facts.texts.items()
        for folder, licence in found.items()
    }
    named = [
        f"{kind}: {', '.join(barred)}."
        for kind, found in (("Treebanks", licences), ("Unlabelled text", texts))
        if (barred := [name for name, licence in found.items() if not is_commercial(licence)])
    ]
    if named:
        yield "Not for commercial use or without a licence (left out with `commercial = true` in a profile):"
        yield "\n".join(f"- {line}" for line in named) + "\n"


def _scripts_without_pieces(facts: Facts, full: Language) -> set[str]:
    letters = (piece.removeprefix("##") for piece in pipeline_encoder(full).pieces.vocab)
    known = {script_of(letter) for letter in letters if len(letter) == 1 and letter.isalpha()}
    return {record["script"] for record in facts.scores.values()} - known - {""}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
