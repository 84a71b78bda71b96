"""How well a pipeline does on sentences of the user's own, on gold words and from their text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from spacy.language import Language

from ..data.conllu import Sentence, read_conllu
from ..markdown import table
from ..runtime.pipeline import lemmatizer
from .conventions import Told
from .evaluate import LEMMAS, RAW_METRICS
from .metrics import count, lemma_accuracies
from .raw_scores import raw_scores
from .tagging import gold_words, raw_text

__all__ = ["Scores", "own_scores", "scores_table"]

Scores = Mapping[str, Mapping[str, float]]
"""`gold_words`: accuracy of `GOLD_METRICS`, `raw_text`: F1 of `TEXT_METRICS`, in 0..1. Without UFeats where
no FEATS are
known, and without Lemmas where the sentences have none or the pipeline sets none."""
GOLD_METRICS = ("UPOS", "UFeats", LEMMAS)
TEXT_METRICS = (*RAW_METRICS, LEMMAS)
T = TypeVar("T")


def own_scores(nlp: Language, sentences: Sequence[Sentence], told: Told) -> Scores:
    """See `Scores`; all text is told the same. Raises ValueError as `gold_words` and `raw_text` do."""
    has_feats = not all(word.feats_masked for sentence in sentences for word in sentence.words)

    def read(conllu: str, score: Callable[[list[Sentence]], T]) -> T:
        with TemporaryDirectory() as folder:
            path = Path(folder, "found.conllu")
            path.write_text(conllu, encoding="utf-8", newline="\n")
            return score(list(read_conllu(path)))

    of_words = gold_words(nlp, sentences, (Told(told.convention),)).conllu[Told(told.convention)]
    of_text = raw_text(nlp, sentences, (told,)).conllu[told]
    words = read(
        of_words,
        lambda tagged: count(sentences, tagged).accuracies() | lemma_accuracies(sentences, tagged, ()),
    )
    found = {
        "gold_words": words,
        "raw_text": read(of_text, lambda tagged: raw_scores(sentences, tagged)),
    }
    names = {"gold_words": GOLD_METRICS, "raw_text": TEXT_METRICS}
    left_out = {"UFeats"} if not has_feats else set()
    if lemmatizer(nlp) is None or LEMMAS not in words:
        left_out.add(LEMMAS)
    return {
        kind: {name: scores[name] for name in names[kind] if name not in left_out}
        for kind, scores in found.items()
    }


def scores_table(rows: Mapping[str, Scores]) -> str:
    """Markdown: a line each of what was scored, in percent."""
    columns = [("gold_words", name) for name in GOLD_METRICS] + [("raw_text", name) for name in TEXT_METRICS]
    head = ("", *(f"{name}, {'gold words' if kind == 'gold_words' else 'text'}" for kind, name in columns))
    lines = [
        (
            name,
            *(
                f"{100 * scores[kind][metric]:.2f}" if metric in scores[kind] else ""
                for kind, metric in columns
            ),
        )
        for name, scores in rows.items()
    ]
    return table(head, lines, "l" + "r" * len(columns))
