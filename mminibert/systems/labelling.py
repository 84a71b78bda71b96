"""The teacher's logits for many sentences, fast.

On a CPU a BERT as the graph has it (exact GELU, absolute positions) runs in ONNX Runtime, over batches of
equal length: no padding, no alignment, and its last layer only at each word's first piece. Any other teacher
runs as the pipeline that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..models.export import build_graph
from ..runtime.labels import Label
from ..runtime.morphologizer import COMPONENT
from ..runtime.pipeline import tagger
from ..runtime.session import Session
from ..runtime.types import Floats
from ..runtime.windows import equal_length_batches, windows
from ..runtime.wordpieces import Pieces

Labeller = Callable[[Sequence[Sequence[str]]], Floats]
"""Sentences (lists of words) to logits, float32 ``(n_words, n_outputs)``, in their order."""

BATCH_PIECES = 2048
MAX_PIECES_PER_WORD = 12
CACHED_WORDS = 1_000_000


def make_tagger(
    nlp: Language, component: str = COMPONENT
) -> Callable[[Sequence[Sequence[str]]], list[list[Label]]]:
    """Sentences (lists of words) to the label of each word, as the pipeline predicts it, by the fastest
    labeller."""
    label = make_labeller(nlp, component)
    pipe = tagger(nlp, component)
    combinations = pipe.inventory.combinations

    def tag(sentences: Sequence[Sequence[str]]) -> list[list[Label]]:
        rows = iter(pipe.inventory.best_combinations([label(sentences)]))
        return [[combinations[next(rows)] for _ in words] for words in sentences]

    return tag


class TeacherPieces(Pieces):
    """A word's pieces by the teacher's own tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(max_pieces_per_word=MAX_PIECES_PER_WORD, cache_size=CACHED_WORDS)
        self.tokenizer = tokenizer
        self.cls_id, self.sep_id, self.pad_id, self.mask_id = (
            getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "pad", "mask")
        )
        # The word itself starts at the piece after its blank.
        self.blank_id = tokenizer.get_vocab().get("\u2581", -1)

    def encode(self, word: str) -> tuple[int, ...]:
        ids = tuple(self.tokenizer(word, add_special_tokens=False)["input_ids"][:MAX_PIECES_PER_WORD])
        return (self.tokenizer.unk_token_id,) if ids in ((), (self.blank_id,)) else ids


def hugging_face(nlp: Language) -> tuple[Any, Any]:
    """Tokenizer and model, both of ``transformers``, of a pipeline's component ``transformer``.

    Raises ValueError if it has none.
    """
    if "transformer" not in nlp.component_names:
        has = ", ".join(nlp.component_names) or "nothing"
        raise ValueError(
            f"the pipeline has no component 'transformer', only {has}; "
            "take the teacher, training/<profile>/mbert/model-best"
        )
    pipe: Any = nlp.get_pipe("transformer")  # its class is untyped
    return pipe.model.tokenizer, pipe.model.transformer


def make_labeller(nlp: Language, component: str = COMPONENT) -> Labeller:
    """The fastest labeller that gives the pipeline's own logits."""
    if "transformer" in nlp.pipe_names:
        _, transformer = hugging_face(nlp)
        if _is_as_the_graph(transformer.config) and transformer.device.type == "cpu":
            return _onnx_labeller(nlp, component)
    return _pipeline_labeller(nlp, component)


def _is_as_the_graph(config: Any) -> bool:
    """Whether `export.build_graph` computes what a model with this config does."""
    return (
        config.model_type == "bert"
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not config.is_decoder
    )


def _pipeline_labeller(nlp: Language, component: str) -> Labeller:
    pipe = tagger(nlp, component)
    upstream: list[Any] = [earlier for _, earlier in nlp.pipeline[: nlp.pipe_names.index(component)]]

    def label(sentences: Sequence[Sequence[str]]) -> Floats:
        docs = [Doc(nlp.vocab, words=list(words)) for words in sentences]
        logits: list[Any] = [None] * len(docs)
        remaining = iter(sorted(range(len(docs)), key=lambda i: sum(map(len, sentences[i]))))
        while indices := list(islice(remaining, 32)):
            batch = [docs[i] for i in indices]
            for earlier in upstream:
                earlier.set_annotations(batch, earlier.predict(batch))
            for i, rows in zip(indices, pipe.model.predict(batch), strict=True):
                logits[i] = pipe.model.ops.to_numpy(rows)
                docs[i].user_data.clear()
        return np.concatenate(logits)

    return label


def _onnx_labeller(nlp: Language, component: str) -> Labeller:
    tokenizer, transformer = hugging_face(nlp)
    state = transformer.state_dict()
    weights = {name: value.float().numpy() for name, value in state.items() if "pooler" not in name}
    config = transformer.config
    graph = build_graph(
        weights, num_attention_heads=config.num_attention_heads, layer_norm_eps=config.layer_norm_eps
    )
    session = Session(graph, threads=1)
    words = weights["embeddings.word_embeddings.weight"]
    positions = weights["embeddings.position_embeddings.weight"]
    positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
    output = tagger(nlp, component).output_layer
    head, bias = output.get_param("W"), output.get_param("b")
    pieces = TeacherPieces(tokenizer)

    def label(sentences: Sequence[Sequence[str]]) -> Floats:
        docs = [Doc(nlp.vocab, words=list(words)) for words in sentences]
        lengths = [len(doc) for doc in docs]
        logits = np.empty((sum(lengths), len(bias)), dtype=np.float32)
        found = windows(docs, pieces, max_pieces=min(256, len(positions)), overlap=64)
        for batch in equal_length_batches(found, lengths, batch_pieces=BATCH_PIECES):
            embeddings = words[batch.piece_ids] + positions[: batch.piece_ids.shape[1]]
            # spacy-transformers aligns a blank's piece to the word only at the start of a text.
            blank = batch.piece_ids.reshape(-1)[batch.first] == pieces.blank_id
            first = batch.first + (blank & (batch.first % batch.piece_ids.shape[1] != 1))
            (rows,) = session.run({"embeddings": embeddings, "first": first})
            logits[batch.rows] = rows @ head.T + bias
        return logits

    return label
