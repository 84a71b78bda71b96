"""The teacher's logits for many sentences, fast.

On a CPU a BERT as the graph has it (exact GELU, absolute positions) runs in ONNX Runtime, over batches of
equal length: no padding, no alignment, and its last layer only at each word's first piece. Any other teacher
runs as the pipeline that it is, a packaged one with the adapter of its conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..models.export import build_graph
from ..models.transformer import TRANSFORMER, hugging_face, is_as_the_graph
from ..runtime.encoder import ENCODER
from ..runtime.labels import Inventory, Label
from ..runtime.morphologizer import COMPONENT, FactoredMorphologizer
from ..runtime.pieces import Pieces
from ..runtime.pipeline import tagger
from ..runtime.session import Session
from ..runtime.types import Floats
from ..runtime.windows import windows
from .heads import convention_logits, spread


class Labeller(Protocol):
    """A teacher, as fast as it can be."""

    def __call__(
        self, sentences: Sequence[Sequence[str]], conventions: Sequence[str] | None = None
    ) -> Floats:
        """Logits of sentences (lists of words), float32 ``(n_words, n_outputs)``, in their order.

        conventions: the code of the convention that each sentence is labelled in, "" where none is given;
        None where none is at all. Raises ValueError for one that the teacher does not know.
        """


BATCH_PIECES, BATCH_SENTENCES = 2048, 512
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
        self.tokenizer, self._fast = tokenizer, tokenizer.backend_tokenizer
        self.cls_id, self.sep_id, self.pad_id, self.mask_id = (
            getattr(tokenizer, f"{name}_token_id") for name in ("cls", "sep", "pad", "mask")
        )
        # The word itself starts at the piece after its blank.
        self.blank_id = tokenizer.get_vocab().get("\u2581", -1)

    def encode(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._fast.encode(word, add_special_tokens=False).ids[:MAX_PIECES_PER_WORD])
        return (self.tokenizer.unk_token_id,) if ids in ((), (self.blank_id,)) else ids


def make_labeller(
    nlp: Language, component: str = COMPONENT, *, inventory: Inventory | None = None
) -> Labeller:
    """The fastest labeller that gives the pipeline's own logits. inventory: whose outputs these are of, by
    default the pipeline's; a value that the pipeline does not have is then impossible."""
    if TRANSFORMER in nlp.pipe_names:
        _, transformer = hugging_face(nlp)
        if is_as_the_graph(transformer.config) and transformer.device.type == "cpu":
            return _onnx_labeller(nlp, component, inventory)
    elif ENCODER in nlp.pipe_names:
        return _packaged_labeller(nlp, component, inventory)
    return _pipeline_labeller(nlp, component, inventory)


class _Head:
    """Logits of vectors, float32 ``(n_words, width)``, of all outputs of an inventory, by default the
    pipeline's."""

    def __init__(self, pipe: FactoredMorphologizer, inventory: Inventory | None = None) -> None:
        self.pipe, self.inventory = pipe, inventory or pipe.inventory
        self._is_own = self.inventory.outputs == pipe.inventory.outputs
        output: Any = pipe.output_layer
        self.weights, self.bias = (output.ops.to_numpy(output.get_param(name)) for name in ("W", "b"))

    def __call__(self, vectors: Floats, words: Sequence[str], codes: np.ndarray | None) -> Floats:
        """codes: of each word the convention's, "" where none is given."""
        if codes is None:
            found: Floats = vectors @ self.weights.T + self.bias
            return found if self._is_own else spread(found, self.pipe.inventory, self.inventory)
        logits = np.empty((len(vectors), self.inventory.n_outputs), dtype=np.float32)
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code).tolist()
            logits[rows] = self._in_convention(vectors[rows], [words[i] for i in rows], str(code))
        return logits

    def _in_convention(self, vectors: Floats, words: Sequence[str], code: str) -> Floats:
        if not code:
            return self(vectors, words, None)
        if self.pipe.conventions is None:
            raise ValueError(
                f"the teacher has no conventions, got {code!r}; train it with those of the profile"
            )
        return convention_logits(self.pipe.conventions, code, self.inventory, vectors, words)


def _packaged_labeller(nlp: Language, component: str, inventory: Inventory | None = None) -> Labeller:
    pipe = tagger(nlp, component)
    head = _Head(pipe, inventory)

    def label(sentences: Sequence[Sequence[str]], conventions: Sequence[str] | None = None) -> Floats:
        logits = []
        for start in range(0, len(sentences), BATCH_SENTENCES):
            part = sentences[start : start + BATCH_SENTENCES]
            vectors: Any = pipe.vectors([Doc(nlp.vocab, words=list(words)) for words in part])
            codes = None
            if conventions is not None:
                codes = np.repeat(conventions[start : start + BATCH_SENTENCES], list(map(len, part)))
            logits.append(head(np.concatenate(vectors), [word for words in part for word in words], codes))
        return np.concatenate(logits)

    return label


def _pipeline_labeller(nlp: Language, component: str, inventory: Inventory | None = None) -> Labeller:
    head = _Head(tagger(nlp, component), inventory)
    upstream: list[Any] = [earlier for _, earlier in nlp.pipeline[: nlp.pipe_names.index(component)]]

    def label(sentences: Sequence[Sequence[str]], conventions: Sequence[str] | None = None) -> Floats:
        docs = [Doc(nlp.vocab, words=list(words)) for words in sentences]
        logits: list[Any] = [None] * len(docs)
        remaining = iter(sorted(range(len(docs)), key=lambda i: sum(map(len, sentences[i]))))
        while indices := list(islice(remaining, 32)):
            batch = [docs[i] for i in indices]
            for earlier in upstream:
                earlier.set_annotations(batch, earlier.predict(batch))
            for i, rows in zip(indices, head.pipe.tok2vec.predict(batch), strict=True):
                codes = None if conventions is None else np.repeat(conventions[i], len(rows))
                logits[i] = head(head.pipe.model.ops.to_numpy(rows), sentences[i], codes)
                docs[i].user_data.clear()
        return np.concatenate(logits)

    return label


def _onnx_labeller(nlp: Language, component: str, inventory: Inventory | None = None) -> Labeller:
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
    head = _Head(tagger(nlp, component), inventory)
    pieces = TeacherPieces(tokenizer)

    def label(sentences: Sequence[Sequence[str]], conventions: Sequence[str] | None = None) -> Floats:
        docs = [Doc(nlp.vocab, words=list(words)) for words in sentences]
        lengths = [len(doc) for doc in docs]
        codes = None if conventions is None else np.repeat(conventions, lengths)
        all_words = [word for words in sentences for word in words]
        logits = np.empty((sum(lengths), head.inventory.n_outputs), dtype=np.float32)
        found = windows(docs, pieces, max_pieces=min(256, len(positions)), overlap=64)
        for batch in found.batches(BATCH_PIECES):
            embeddings = words[batch.piece_ids] + positions[: batch.piece_ids.shape[1]]
            (rows,) = session.run({"embeddings": embeddings, "first": batch.first})
            own = [all_words[i] for i in batch.rows]
            logits[batch.rows] = head(rows, own, None if codes is None else codes[batch.rows])
        return logits

    return label
