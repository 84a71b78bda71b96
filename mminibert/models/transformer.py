"""A pipeline's transformer of spacy-transformers as an encoder that the graph can compute."""

from __future__ import annotations

import json
from typing import Any

from spacy.language import Language

from ..runtime.pieces import StoredPieces
from ..runtime.sentencepieces import SentencePieces
from ..runtime.wordpieces import WordPieces

__all__ = ["TRANSFORMER", "hugging_face", "is_as_the_graph", "stored_pieces"]

TRANSFORMER = "transformer"
"""The component's name."""


def hugging_face(nlp: Language) -> tuple[Any, Any]:
    """Tokenizer and model, both of ``transformers``, of a pipeline's component ``transformer``.

    Raises ValueError if it has none.
    """
    if TRANSFORMER not in nlp.component_names:
        has = ", ".join(nlp.component_names) or "nothing"
        raise ValueError(
            f"the pipeline has no component {TRANSFORMER!r}, only {has}; "
            "take the teacher, training/<profile>/mbert/model-best"
        )
    pipe: Any = nlp.get_pipe(TRANSFORMER)  # its class is untyped
    return pipe.model.tokenizer, pipe.model.transformer


def is_as_the_graph(config: Any) -> bool:
    """Whether `export.build_graph` computes what a model with this config of ``transformers`` does."""
    return (
        config.model_type == "bert"
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not config.is_decoder
    )


def stored_pieces(tokenizer: Any) -> StoredPieces:
    """The vocabulary of a fast tokenizer of ``transformers``: unigram, or cased wordpieces as BERT's.

    Raises ValueError for any other.
    """
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    if settings["model"]["type"] == "Unigram":
        return SentencePieces(settings)
    if settings["model"]["type"] == "WordPiece" and not getattr(tokenizer, "do_lower_case", False):
        ids = settings["model"]["vocab"]
        return WordPieces(sorted(ids, key=ids.__getitem__))
    raise ValueError(
        f"got the tokenizer {type(tokenizer).__name__}, expected cased wordpieces or a unigram vocabulary; "
        "take another teacher, such as bert-base-multilingual-cased or multilingual-e5-small"
    )
