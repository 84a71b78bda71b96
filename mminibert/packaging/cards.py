"""The model card of a package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from spacy.language import Language

from ..data.text import script_of
from ..data.treebanks import meets
from ..evaluation.metrics import macro_average
from ..markdown import table
from ..runtime.pipeline import pipeline_encoder, tagger
from .conventions_meta import LIMIT, conventions_section
from .lemma_card import lemma_section
from .page import licence, scores_table
from .records import TEACHER, Records
from .segmenter_card import segmentation_limits, segmentation_section, summary
from .segmenter_part import segmenter_of
from .stages import training_lines
from .subset import tokenizer_note

PAPER = "Tsai et al. 2019, *Small and Practical BERT Models for Sequence Labeling*"


def model_card(records: Records, nlp: Language, full: Language) -> str:
    """Markdown. nlp: the packaged pipeline, with its meta. full: the one of all languages."""
    m = nlp.meta
    return "\n\n".join(
        [
            f"# {m['lang']}_{m['name']} {m['version']}",
            f"{m['description']} It runs on spaCy and ONNX Runtime, without PyTorch. {summary(nlp)}",
            licence(m),
            *filter(None, [scores_table(m)]),
            "## Intended use",
            "Tagging text, in batches, on a CPU: counts of word classes, search by part of speech, "
            "features for other components, a first pass before annotation by hand. Mixed languages in one "
            "text need no setting. It is no judge of anything that is not in the treebanks: dialects, "
            "historical spelling and the jargon of a field may be tagged wrong with high confidence.",
            "## Training",
            "\n".join(
                [
                    f"The method is that of {PAPER}.",
                    "",
                    *training_lines(m, records.teacher.name, is_teacher=records.system == TEACHER),
                    "- Word embeddings are in 5 bits, dense layers in 8.",
                ]
            ),
            "## Treebanks",
            "Gold labels are the treebank's own; converted ones are gold labels of another copy or release, "
            "brought to its conventions; silver ones were inferred from another annotation of its text. "
            "Words are syntactic words; those without a known label are among them.",
            _treebanks(records),
            *conventions_section(m, records),
            *segmentation_section(nlp),
            *lemma_section(nlp),
            "## Results",
            _results(records, m["languages"]),
            "## This package",
            _contents(nlp, full),
            "## Limits",
            _limits(records, nlp, full),
            "## Licences",
            f"This package: {m['license']}. What it was made from:",
            "\n".join(f"- {s['name']}: {s.get('license', 'see its repository')}" for s in m["sources"])
            + "\n",
            *_restricted(records),
        ]
    )


def _treebanks(records: Records) -> str:
    rows = []
    for treebank in records.treebanks:
        parts = [f"{part.source} {part.words:,} ({part.labels})" for part in treebank.parts if part.words]
        labels = "none" if treebank.train_words is None else treebank.labels
        words = f"{treebank.train_words or 0:,}"
        rows.append((treebank.ltcode, treebank.lang, words, ", ".join(parts) or labels))
    total = sum(treebank.train_words or 0 for treebank in records.treebanks)
    rows.append(("all", "", f"{total:,}", ""))
    return table(("treebank", "language", "training words", "labels"), rows, "llrl")


def _results(records: Records, languages: Sequence[str]) -> str:
    own = [score for score in records.scores if score.lang in languages]
    if not own:
        return "Not measured."
    columns = {
        "UPOS": [score.gold_words.get("UPOS") for score in own],
        "UFeats": [score.gold_words.get("UFeats") for score in own],
        **{
            f"raw {metric}": [score.raw_text.get(metric) for score in own]
            for metric in ("Tokens", "Words", "Sentences", "UPOS", "UFeats")
        },
        "Lemmas": [score.gold_words.get("Lemmas") for score in own],
        "raw Lemmas": [score.raw_text.get("Lemmas") for score in own],
    }
    columns = {name: column for name, column in columns.items() if not name.endswith("Lemmas") or any(column)}
    names = [*(score.ltcode for score in own), "mean"]
    cells = [[_percent(value) for value in [*column, _mean(column)]] for column in columns.values()]
    speed = macro_average(score.words_per_second for score in own)
    given = any(score.convention for score in own)
    known = ", by the treebank's convention or else its language's default" if given else ""
    return (
        f"Of the multilingual pipeline, on the {own[0].split} "
        f"sets{known}, in percent: accuracy on gold words, and F1 of the CoNLL 2018 evaluation from raw "
        f"text. It was done at {speed:,.0f} words a second on one core, beside other work on the machine.\n\n"
        + table(("treebank", *columns), zip(names, *cells, strict=True), "l" + "r" * len(columns))
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """None if one is missing: a mean over fewer treebanks would not compare with those beside it."""
    known = [value for value in values if value is not None]
    return macro_average(known) if len(known) == len(values) else None


def _percent(fraction: float | None) -> str:
    return "not run" if fraction is None else f"{100 * fraction:.2f}"


def _contents(nlp: Language, full: Language) -> str:
    counts = []
    for pipeline in (nlp, full):
        pipe = tagger(pipeline)
        counts.append((len(pipe.encoder.pieces), len(pipe.inventory.combinations), pipe.inventory.n_outputs))
    names = ("wordpieces", "combinations of UPOS and features", "outputs")
    parts = [f"{n:,} of {of:,} {name}" for n, of, name in zip(*counts, names, strict=True)]
    rules = nlp is not full and segmenter_of(nlp) is None
    note = tokenizer_note(nlp.meta["languages"][0]) if rules else ""
    return f"Components: {', '.join(nlp.pipe_names)}. It has {'; '.join(parts)}. {note}".strip()


def _limits(records: Records, nlp: Language, full: Language) -> str:
    languages = nlp.meta["languages"]
    lines = ["- Scores fall on text unlike that of the treebanks.", *segmentation_limits(nlp)]
    if full.meta.get("conventions"):
        lines.append(LIMIT)
        if languages == records.languages:
            lines.append("- A sentence of a language without a convention is tagged as one of the nearest.")
    else:
        lines.append("- Only combinations of features that the training treebanks have can be predicted.")
    untrained = {treebank.lang for treebank in records.treebanks} - set(records.languages)
    if untrained and languages == records.languages:
        lines.append(
            "- Scored but not trained on, at the user's own risk (code-mixed text among them): "
            f"{', '.join(sorted(untrained))}."
        )
    if unread := sorted(_scripts_without_pieces(records, full)):
        lines.append(
            "- The wordpieces have no letters of these scripts, whose words are all unknown: "
            f"{', '.join(unread)}."
        )
    silver = [t.ltcode for t in records.treebanks if t.labels == "silver" and t.lang in languages]
    if silver:
        lines.append(
            f"- Trained on silver labels, which have errors of their own: {', '.join(sorted(silver))}."
        )
    return "\n".join(lines)


def _restricted(records: Records) -> Iterator[str]:
    """What forbids commercial use or states no licence."""
    licences = {treebank.ltcode: treebank.licence for treebank in records.trained}
    licences |= {part.file: part.licence for treebank in records.trained for part in treebank.parts_of_others}
    texts = {f"{text.lang} ({text.folder})": text.licence for text in records.texts}
    named = [
        f"{kind}: {', '.join(barred)}."
        for kind, found in (("Treebanks", licences), ("Unlabelled text", texts))
        if (barred := [name for name, licence in found.items() if not meets(licence, "commercial")])
    ]
    if named:
        left_out = 'left out with `terms = "commercial"` in a profile'
        yield f"Not for commercial use or without a licence ({left_out}):"
        yield "\n".join(f"- {line}" for line in named) + "\n"


def _scripts_without_pieces(records: Records, full: Language) -> set[str]:
    letters = pipeline_encoder(full).pieces.characters
    known = {script_of(letter) for letter in letters if len(letter) == 1 and letter.isalpha()}
    return {score.script for score in records.scores} - known - {""}
