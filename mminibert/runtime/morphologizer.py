"""The trainable component: UPOS and morphology from factored logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from spacy.attrs import MORPH, POS
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.symbols import IDS
from spacy.tokens import Doc, Token
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from .encoder import Encoder, SharedEncoder, encoder_of, is_listener
from .labels import Inventory, gold_labels
from .languages import Languages
from .losses import log_softmax, one_hot, soft_cross_entropy
from .types import Floats, Ints

DEFAULT_CONFIG = """
[factored_morphologizer]
upos_weight = 4.0
temperature = 3.0
confidences = false

[factored_morphologizer.scorer]
@scorers = "spacy.morphologizer_scorer.v1"

[factored_morphologizer.model]
@architectures = "mminibert.FactoredTagger.v1"

[factored_morphologizer.model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""

COMPONENT = "morphologizer"
"""The component's name in the pipelines of this project."""
LANGUAGES = "languages"
"""The attribute of the model with the bytes of `Languages`."""
ROWS_AT_ONCE = 512
"""Tokens whose logits are computed and read at once."""


class Prediction(NamedTuple):
    """What a Doc's tokens are predicted to be."""

    combinations: np.ndarray
    """int32 ``(n_tokens,)``: indices into ``Inventory.combinations``."""
    confidences: np.ndarray | None
    """float32 ``(n_tokens,)``: probability of the predicted UPOS; None unless asked for."""


class FactoredMorphologizer(TrainablePipe):
    """Sets ``token.pos`` and ``token.morph``.

    UPOS and every UD feature is a softmax of its own. A combination that training never saw is replaced
    by the most probable one that it saw. With `languages` one that none of the sentence's likely languages
    has is replaced too, by the most probable one of the same UPOS. With ``confidences`` the probability of
    the predicted UPOS is in ``token._.pos_confidence``.
    """

    _inventory: Inventory | None
    _annotations: np.ndarray | None
    _languages: Languages | None
    _upstream: SharedEncoder | None = None

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Floats2d]],
        name: str = "factored_morphologizer",
        *,
        upos_weight: float = 4.0,
        temperature: float = 3.0,
        confidences: bool = False,
        scorer: Callable | None = None,
    ) -> None:
        """upos_weight: weight of UPOS in the loss, where each feature weighs 1.

        temperature: of the soft targets in ``distill``.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.upos_weight = upos_weight
        self.temperature = temperature
        self.confidences = confidences
        self.cfg: dict[str, Any] = {"inventory": None}
        self._forget()
        if confidences and not Token.has_extension("pos_confidence"):
            Doc.set_extension("pos_confidences", default=None)
            Token.set_extension("pos_confidence", getter=_pos_confidence)

    @property
    def tok2vec(self) -> Model[list[Doc], list[Floats2d]]:
        """The layer that gives each token its vector: an encoder, or a listener to a shared one."""
        return self.model.get_ref("tok2vec")

    @property
    def output_layer(self) -> Model[Floats2d, Floats2d]:
        """The layer from vectors to logits, whose ``W`` is float32 ``(n_outputs, width)``."""
        return self.model.get_ref("output_layer")

    @property
    def encoder(self) -> Encoder:
        """What encodes for this component. Raises ValueError if that is not in the pipeline, or none of
        ours."""
        if not is_listener(self.tok2vec):
            return encoder_of(self.tok2vec)
        if self._upstream is None:
            raise ValueError(
                f"component {self.name!r} listens to a shared encoder that is not in the pipeline; add it "
                "before, as in nlp.add_pipe('tok2vec', source=...), or source a component for which "
                "nlp.replace_listeners was called"
            )
        return self._upstream.encoder

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
        self._inventory = inventory
        self._annotations = None

    @property
    def languages(self) -> Languages | None:
        """The parts of the languages of a multilingual tagger, stored with the model; None without."""
        data = self.model.attrs.get(LANGUAGES)
        if self._languages is None and data:
            found = Languages.from_bytes(data)
            self._check(found)
            self._languages = found
        return self._languages

    @languages.setter
    def languages(self, languages: Languages) -> None:
        self._check(languages)
        self.model.attrs[LANGUAGES] = languages.to_bytes()
        self._languages = languages

    def _check(self, languages: Languages) -> None:
        pieces = self.encoder.pieces
        got = languages.pieces.shape[1], languages.combinations.shape[1]
        if got != (len(pieces), len(self.inventory.combinations)):
            raise ValueError(
                f"the languages' parts have {got[0]} pieces and {got[1]} combinations, the pipeline has "
                f"{len(pieces)} and {len(self.inventory.combinations)}; run the step `quantize` anew"
            )

    def _forget(self) -> None:
        """What is derived from stored data."""
        self._inventory = self._annotations = self._languages = None

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
            self.inventory = Inventory.from_json(labels)
        else:
            self.inventory = Inventory.from_labels(
                (token.pos_, str(token.morph) or "_")
                for example in get_examples()
                for token in example.reference
                if token.has_morph()
            )
        if not self.inventory.combinations:
            raise ValueError(
                f"got no word with UPOS and FEATS for {self.name!r}, expected at least one; "
                "check the training corpus (convert writes FEATS `_` as known to be empty)"
            )
        examples = list(islice(get_examples(), 1000))
        outputs = [
            layer for layer in self.model.walk() if layer.name == self.model.get_ref("output_layer").name
        ]
        for output in outputs:
            output.set_dim("nO", self.inventory.n_outputs)
        self.model.initialize(X=[example.x for example in examples[:10]])
        # Most features are absent from most words: a head that starts there need not unlearn the rest.
        seen = [label for example in examples for label in gold_labels(example)]
        prior = self.inventory.log_prior(seen)
        for output in outputs:
            output.set_param("b", self.model.ops.asarray(prior))  # type: ignore[arg-type]

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        docs = list(docs)
        lengths = [len(doc) for doc in docs]
        upos: list[Floats] = []

        def logits() -> Iterator[Floats]:
            for part in self._logits(rows):
                if self.confidences:
                    upos.append(part[:, : self.inventory.starts[1]].copy())
                yield part

        rows = self._rows(docs)
        combinations = self.inventory.best_combinations(logits())
        if self.languages is not None and len(rows):
            combinations = self._of_languages(docs, rows, combinations)
        confidences = self._upos_confidences(upos, combinations) if self.confidences else None
        bounds = np.cumsum([0, *lengths])
        return [
            Prediction(combinations[a:b], None if confidences is None else confidences[a:b])
            for a, b in pairwise(bounds)
        ]

    def _rows(self, docs: list[Doc]) -> Any:
        """What the encoder says of all tokens, float32 ``(n_tokens, width)``, an array of its own device."""
        if not any(map(len, docs)):
            return np.zeros((0, 0), dtype=np.float32)
        ops: Any = self.model.ops
        return ops.flatten(self.tok2vec.predict(docs))

    def _logits(self, rows: Any) -> Iterator[Floats]:
        """Logits, some rows at a time: those of many sentences would not fit into the cache."""
        output = self.output_layer
        ops: Any = output.ops
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield ops.to_numpy(output.predict(rows[start : start + ROWS_AT_ONCE]))

    def _of_languages(self, docs: list[Doc], rows: Any, combinations: Ints) -> Ints:
        """Replace combinations that no language has which the sentence may be of, and keep the UPOS."""
        assert self.languages is not None
        pieces = self.encoder.pieces
        likely = self.languages.likely_of_words(docs, pieces, combinations)
        foreign = np.flatnonzero(~self.languages.have(likely, combinations))
        found = combinations.copy()
        for i, logits in enumerate(self._logits(rows[foreign])):
            part = foreign[i * ROWS_AT_ONCE : (i + 1) * ROWS_AT_ONCE]
            favoured = self.languages.combinations_of(likely[part])
            found[part] = self.inventory.best_of_upos(logits, combinations[part], favoured)
        return found

    def _flat(self, scores: Sequence[Floats2d]) -> Floats:
        ops: Any = self.model.ops
        return np.concatenate([ops.to_numpy(rows) for rows in scores])

    def _upos_confidences(self, upos: Sequence[Floats], combinations: np.ndarray) -> Floats:
        if not len(combinations):
            return np.zeros(0, dtype=np.float32)
        logits = np.concatenate(upos)
        probs = np.exp(log_softmax(logits, np.asarray([0, logits.shape[1]], dtype=np.int32)))
        values = self.inventory.encode(self.inventory.combinations)[combinations, 0]
        return probs[np.arange(len(probs)), values]

    def set_annotations(self, docs: Iterable[Doc], scores: list[Prediction]) -> None:
        for doc, prediction in zip(docs, scores, strict=True):
            if len(doc):
                doc.from_array([POS, MORPH], self.annotations(prediction.combinations))
            if prediction.confidences is not None:
                doc._.pos_confidences = prediction.confidences

    def annotations(self, combinations: np.ndarray) -> Any:
        """uint64 ``(n, 2)``: the values of POS and MORPH of n combinations, looked up once for each."""
        if self._annotations is None:
            self._annotations = np.zeros((len(self.inventory.combinations), 2), dtype=np.uint64)
        table = self._annotations
        missing = combinations[table[combinations, 0] == 0]
        for i in np.unique(missing) if len(missing) else ():
            upos, feats = self.inventory.combinations[i]
            # POS last: it tells other threads that the row is there.
            table[i, 1] = self.vocab.morphology.add("" if feats == "_" else feats)
            table[i, 0] = IDS[upos]
        return table[combinations]

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
        return self._loss(scores, targets, temperature=1.0)

    def get_teacher_student_loss(
        self, teacher_scores: Sequence[Floats2d], student_scores: Sequence[Floats2d]
    ) -> tuple[float, list[Floats2d]]:
        """Soft cross-entropy at the component's temperature; both are logits over the same inventory."""
        teacher = self._flat(teacher_scores) / np.float32(self.temperature)
        targets = np.exp(log_softmax(teacher, self.inventory.starts))
        return self._loss(student_scores, targets, temperature=self.temperature)

    def _loss(
        self, scores: Sequence[Floats2d], targets: Floats, *, temperature: float
    ) -> tuple[float, list[Floats2d]]:
        logits = self._flat(scores)
        heads = [
            soft_cross_entropy(
                part,
                targets,
                self.inventory.starts,
                weights=self.inventory.weights(self.upos_weight),
                temperature=temperature,
            )
            for part in np.split(logits, logits.shape[1] // targets.shape[1], axis=1)
        ]
        loss = sum(loss for loss, _ in heads)
        gradient = np.concatenate([gradient for _, gradient in heads], axis=1)
        bounds = np.cumsum([0] + [len(rows) for rows in scores])
        ops: Any = self.model.ops
        parts = [ops.asarray(gradient[a:b]) for a, b in pairwise(bounds)]
        return loss, parts

    def distill(
        self,
        teacher_pipe: FactoredMorphologizer,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from another pipe's logits on the same Docs; gold labels are never read.

        Each example's ``reference`` is what the teacher reads and ``predicted`` what the student reads
        (as in spaCy v4). Raises ValueError if the two differ in their inventories.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "FactoredMorphologizer.distill")
        if teacher_pipe.inventory != self.inventory:
            raise ValueError(
                "the teacher's labels differ from the student's; initialise the student with "
                "labels=teacher_pipe.label_data"
            )
        for example in examples:
            if [token.text for token in example.predicted] != [token.text for token in example.reference]:
                raise ValueError(
                    f"the teacher's tokens differ from the student's in {example.predicted.text[:80]!r}; "
                    "give both the same tokens"
                )
        if not any(len(example.predicted) for example in examples):
            return losses
        set_dropout_rate(self.model, drop)
        teacher_scores = teacher_pipe.model.predict([example.reference for example in examples])
        student_scores, backprop = self.model.begin_update([example.predicted for example in examples])
        loss, d_scores = self.get_teacher_student_loss(teacher_scores, student_scores)
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FactoredMorphologizer:
        self._forget()
        super().from_bytes(bytes_data, exclude=exclude)
        return self

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> FactoredMorphologizer:
        """Raises ValueError with the path if a file is damaged or of another version."""
        self._forget()
        try:
            super().from_disk(path, exclude=exclude)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        return self


def _pos_confidence(token: Token) -> float | None:
    confidences = token.doc._.pos_confidences
    return None if confidences is None else float(confidences[token.i])


@Language.factory(
    "factored_morphologizer",
    assigns=["token.pos", "token.morph"],
    default_config=Config().from_str(DEFAULT_CONFIG)["factored_morphologizer"],
    default_score_weights={"pos_acc": 0.5, "morph_acc": 0.5, "morph_per_feat": None},
)
def make_factored_morphologizer(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Floats2d]],
    upos_weight: float,
    temperature: float,
    confidences: bool,
    scorer: Callable | None,
) -> FactoredMorphologizer:
    """The factory; its settings are those of ``FactoredMorphologizer``."""
    return FactoredMorphologizer(
        nlp.vocab,
        model,
        name,
        upos_weight=upos_weight,
        temperature=temperature,
        confidences=confidences,
        scorer=scorer,
    )
