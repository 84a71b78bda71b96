"""What a component with factored labels has and learns: its layers, its labels, its losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_get_examples
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from .checksums import write_checksums
from .doc_batches import doc_batches
from .doc_labels import gold_labels
from .encoder import Encoder, SharedEncoder, encoder_of, is_listener
from .factored_tagger import resized
from .labels import Inventory
from .losses import log_softmax, one_hot, soft_cross_entropy
from .types import Floats
from .word_rows import word_docs

__all__ = ["FactoredPipe"]


class FactoredPipe(TrainablePipe):
    """A trainable component whose model gives the logits of an `Inventory`'s fields for each token."""

    upos_weight: float
    _inventory: Inventory | None
    _upstream: SharedEncoder | None = None
    _rehearsal_model: Model | None = None  # by nlp.resume_training

    @property
    def tok2vec(self) -> Model[list[Doc], list[Floats2d]]:
        """The layer that gives each token its vector: an encoder, or a listener to a shared one."""
        return self.model.get_ref("tok2vec")

    @property
    def output_layer(self) -> Model[Floats2d, Floats2d]:
        """The layer from vectors to logits, whose ``W`` is float32 ``(n_outputs, width)``."""
        return self.model.get_ref("output_layer")

    @property
    def output_layers(self) -> list[Model[Floats2d, Floats2d]]:
        """All layers to logits: the one that predicts, and others that only training has."""
        return [self.model.get_ref(name) for name in self.model.ref_names if name.endswith("output_layer")]

    @property
    def encoder(self) -> Encoder:
        """What encodes for this component. Raises ValueError if that is not in the pipeline, or none of
        ours."""
        return self._shared.encoder if is_listener(self.tok2vec) else encoder_of(self.tok2vec)

    @property
    def _shared(self) -> SharedEncoder:
        if self._upstream is None:
            raise ValueError(
                f"component {self.name!r} listens to a shared encoder that is not before it in the pipeline; "
                "add that first, as in nlp.add_pipe('tok2vec', source=...), or source a component for which "
                "nlp.replace_listeners was called"
            )
        return self._upstream

    def listen_to(self, upstream: SharedEncoder) -> None:
        """Told by a shared encoder when the pipeline is put together."""
        self._upstream = upstream

    @property
    def inventory(self) -> Inventory:
        """Raises ValueError before the labels are known."""
        if self._inventory is None:
            if self.cfg["inventory"] is None:
                raise ValueError(
                    f"component {self.name!r} has no labels yet: call nlp.initialize with examples, "
                    "or load a trained pipeline"
                )
            self._inventory = Inventory.from_json(self.cfg["inventory"])
        return self._inventory

    @inventory.setter
    def inventory(self, inventory: Inventory) -> None:
        self.cfg["inventory"] = inventory.to_json()
        self._forget()
        self._inventory = inventory

    def _forget(self) -> None:
        """What is derived from stored data."""
        self._inventory = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Every output as ``UPOS=NOUN`` or ``Case=Nom``; an absent feature as ``Case=``."""
        if self.cfg["inventory"] is None:
            return ()
        return tuple(f"{name}={value}" for name, values in self.inventory.fields for value in values)

    @property
    def label_data(self) -> dict[str, Any]:
        return self.inventory.to_json()

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, Any] | None = None,
    ) -> None:
        """Collect the labels from the examples, unless given, and set up the model.

        Raises ValueError if the examples have no word with both UPOS and FEATS.
        """
        validate_get_examples(get_examples, "FactoredMorphologizer.initialize")
        if labels is not None:
            inventory = Inventory.from_json(labels)
        else:
            inventory = Inventory.from_labels(
                (token.pos_, str(token.morph) or "_")
                for example in get_examples()
                for token in example.reference
                if token.has_morph()
            )
        if not inventory.combinations:
            if self.cfg["inventory"] is not None:
                return  # trained already, and initialised for the sake of another component
            raise ValueError(
                f"got no word with UPOS and FEATS for {self.name!r}, expected at least one; "
                "check the training corpus (convert writes FEATS `_` as known to be empty)"
            )
        examples = list(islice(get_examples(), 1000))
        # Most features are absent from most words: a head that starts there need not unlearn the rest.
        seen = [label for example in examples for label in gold_labels(example)]
        prior = inventory.log_prior(seen)
        with resized(self.model, self.output_layers, len(prior)):
            self.model.initialize(X=[example.x for example in examples[:10]])
        for layer in self.output_layers:
            layer.set_param("b", self.model.ops.asarray(prior))
        self.inventory = inventory

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """As spaCy's; a batch of many words is computed in parts (`doc_batches`)."""
        for docs in doc_batches(stream, batch_size):
            yield from super().pipe(docs, batch_size=len(docs))

    def vectors(self, docs: list[Doc]) -> list[Floats2d]:
        """What the encoder says of each Doc's tokens, float32 ``(n_tokens, width)``, arrays of its device."""
        if not any(map(len, docs)):
            return []
        if not is_listener(self.tok2vec):
            return self.tok2vec.predict(docs)
        width = self.tok2vec.get_dim("nO")
        unread = [doc for doc in docs if doc.tensor.shape != (len(doc), width)]
        # The shared encoder is disabled, or the Docs come from elsewhere.
        late = iter(self._shared.predict(unread) if unread else ())
        found = (doc.tensor if doc.tensor.shape == (len(doc), width) else next(late) for doc in docs)
        return cast("list[Floats2d]", list(found))

    def read(self, docs: Iterable[Doc]) -> tuple[list[Doc], list[Floats2d]]:
        """The Docs in which each syntactic word is a token (those without multiword tokens as they are), and
        what the encoder says of each one's words, float32 ``(n_words, width)``."""
        words = word_docs(list(docs))
        return words, self.vectors(words)

    def _flat(self, scores: Sequence[Floats2d]) -> Floats:
        ops: Any = self.model.ops
        return np.concatenate([ops.to_numpy(rows) for rows in scores])

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Hard cross-entropy against the gold labels; unknown labels are masked.

        Returns the mean loss a word and its gradient, of the shape of the scores: a float32
        ``(n_tokens, n_outputs)`` a Doc, or a multiple of ``n_outputs`` where a model has several heads; then
        each has this loss, and what is returned is their sum.
        """
        labels = [label for example in examples for label in gold_labels(example)]
        targets = one_hot(self.inventory.encode(labels), self.inventory.starts)
        return self._loss(scores, targets)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Keep to what the component said when ``nlp.resume_training`` was called; reads no gold labels."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        docs = [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(map(len, docs)):
            return losses
        if is_listener(self.tok2vec):
            vectors: list[Any] = [*self.vectors(docs)]
            for doc, rows in zip(docs, vectors, strict=True):
                doc.tensor = rows
        set_dropout_rate(self.model, drop)
        goal = np.exp(log_softmax(self._flat(self._rehearsal_model.predict(docs)), self.inventory.starts))
        scores, backprop = self.model.begin_update(docs)
        loss, gradient = self._loss(scores, goal)
        backprop(gradient)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        """As spaCy's, with checksums."""
        super().to_disk(path, exclude=exclude)
        write_checksums(Path(path))

    def add_label(self, label: str) -> int:
        """Raises NotImplementedError: a label alone is no combination of UPOS and features."""
        raise NotImplementedError(
            f"component {self.name!r} takes its labels from the training examples, or from `labels` of "
            f"nlp.initialize, not one at a time ({label!r})"
        )

    def _loss(self, scores: Sequence[Floats2d], targets: Floats) -> tuple[float, list[Floats2d]]:
        logits = self._flat(scores)
        heads = [
            soft_cross_entropy(
                part,
                targets,
                self.inventory.starts,
                weights=self.inventory.weights(self.upos_weight),
            )
            for part in np.split(logits, logits.shape[1] // targets.shape[1], axis=1)
        ]
        loss = sum(loss for loss, _ in heads)
        gradient = np.concatenate([gradient for _, gradient in heads], axis=1)
        bounds = np.cumsum([0] + [len(rows) for rows in scores])
        ops: Any = self.model.ops
        parts = [ops.asarray(gradient[a:b]) for a, b in pairwise(bounds)]
        return loss, parts
