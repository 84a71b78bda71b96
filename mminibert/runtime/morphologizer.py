"""The trainable component: UPOS and morphology from factored logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.attrs import MORPH, POS
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.symbols import IDS
from spacy.tokens import Doc, Token
from spacy.training import Example, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from .encoder import Encoder, SharedEncoder, encoder_of, is_listener
from .factored_tagger import LINEAR_HEAD
from .labels import Inventory, Label, gold_labels
from .languages import Languages
from .losses import log_softmax, one_hot, soft_cross_entropy
from .types import Floats, Ints

DEFAULT_CONFIG = """
[factored_morphologizer]
upos_weight = 4.0
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
    has is replaced too, by the most probable one of the same UPOS.
    """

    _inventory: Inventory | None
    _annotations: np.ndarray | None
    _languages: Languages | None
    _upstream: SharedEncoder | None = None
    _rehearsal_model: Model | None = None  # by nlp.resume_training

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Floats2d]],
        name: str = "factored_morphologizer",
        *,
        upos_weight: float = 4.0,
        confidences: bool = False,
        scorer: Callable | None = None,
    ) -> None:
        """upos_weight: weight of UPOS in the loss, where each feature weighs 1.

        Raises ValueError for a model whose logits are not its output layer's of its encoder's vectors.
        """
        if not model.attrs.get(LINEAR_HEAD):
            raise ValueError(
                f"component {name!r} got the model {model.name[:60]!r}, expected one of "
                "mminibert.FactoredTagger.v1 or mminibert.MetaTagger.v1; name one of them in the config"
            )
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.upos_weight = upos_weight
        self.confidences = confidences
        self.cfg: dict[str, Any] = {"inventory": None}
        self._forget()

    @property
    def confidences(self) -> bool:
        """Whether the probability of the predicted UPOS is put into ``token._.pos_confidence``.

        To set it raises ValueError if the user has an attribute of that name.
        """
        return self._confidences

    @confidences.setter
    def confidences(self, wanted: bool) -> None:
        if wanted:
            _register_confidences()
        self._confidences = wanted

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
        self._inventory = inventory
        self._annotations = None

    @property
    def languages(self) -> Languages | None:
        """The parts of the languages of a multilingual tagger, stored with the model; None without.

        To set it raises ValueError if they are of another pipeline.
        """
        return self._languages

    @languages.setter
    def languages(self, languages: Languages) -> None:
        languages.check(len(self.encoder.pieces), len(self.inventory.combinations))
        self.model.attrs[LANGUAGES] = languages.to_bytes()
        self._languages = languages

    def _forget(self) -> None:
        """What is derived from stored data."""
        self._inventory = self._annotations = self._languages = None

    def _derive(self) -> None:
        """Read what was loaded, so that damage shows now and not at the first text. Raises ValueError."""
        if self.cfg["inventory"] is None:
            return
        by_labels, by_model = self.inventory.n_outputs, self.output_layer.get_dim("nO")
        if by_labels != by_model:
            raise ValueError(
                f"{by_labels} outputs by the labels, but {by_model} in the model; the files are not of one "
                "pipeline, install it anew"
            )
        if data := self.model.attrs.get(LANGUAGES):
            self._languages = Languages.from_bytes(data)
            self._languages.check(None, len(self.inventory.combinations))

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
        self._initialize_model([example.x for example in examples[:10]], prior)
        self._languages = None
        self.model.attrs.pop(LANGUAGES, None)
        self.inventory = inventory

    def _initialize_model(self, docs: list[Doc], prior: Floats) -> None:
        """New weights for the head, whose biases are the prior; if that fails, all is as it was."""
        heads = self.output_layers
        around = [node for node in self.model.walk() if any(layer in heads for layer in node.walk())]
        sizes = [(node, node.maybe_get_dim("nO")) for node in around if node.has_dim("nO") is not False]
        weights = [(layer, name, layer.maybe_get_param(name)) for layer in heads for name in ("W", "b")]
        try:
            _reset(sizes, weights, anew=True)
            for layer in heads:
                layer.set_dim("nO", len(prior))
            self.model.initialize(X=docs)
        except BaseException:
            _reset(sizes, weights, anew=False)
            raise
        for layer in heads:
            layer.set_param("b", self.model.ops.asarray(prior))  # type: ignore[arg-type]

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Raises ValueError if the component listens to an encoder that is not in the pipeline."""
        docs = list(docs)
        vectors = self._vectors(docs)
        bounds = np.cumsum([0, *map(len, docs)])
        upos: list[Floats] | None = [] if self.confidences else None
        combinations = self.inventory.best_combinations(self._logits(vectors, upos))
        if self.languages is not None and len(combinations):
            combinations = self._of_languages(docs, vectors, bounds, combinations)
        confidences = None if upos is None else self._upos_confidences(upos, combinations)
        return [
            Prediction(combinations[a:b], None if confidences is None else confidences[a:b])
            for a, b in pairwise(bounds)
        ]

    def logits(self, docs: Iterable[Doc]) -> Floats:
        """Of all tokens, float32 ``(n_tokens, n_outputs)``, fields in the order of the inventory."""
        parts = list(self._logits(self._vectors(list(docs))))
        return np.concatenate(parts) if parts else np.zeros((0, self.inventory.n_outputs), dtype=np.float32)

    def _vectors(self, docs: list[Doc]) -> list[Floats2d]:
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

    def _logits(self, vectors: Iterable[Floats2d], upos: list[Floats] | None = None) -> Iterator[Floats]:
        """Logits of all tokens, some at a time: those of many sentences would not fit into the cache.

        upos: gets a copy of each part's logits of UPOS.
        """
        output = self.output_layer
        ops: Any = output.ops
        for rows in _in_parts(vectors, ROWS_AT_ONCE):
            logits = ops.to_numpy(output.predict(ops.xp.concatenate(rows)))
            if upos is not None:
                upos.append(logits[:, : self.inventory.starts[1]].copy())
            yield logits

    def _of_languages(
        self, docs: list[Doc], vectors: list[Floats2d], bounds: Any, combinations: Ints
    ) -> Ints:
        """Replace combinations that no language has which the sentence may be of, and keep the UPOS.

        bounds: where each Doc's tokens begin among all.
        """
        assert self.languages is not None
        pieces = self.encoder.pieces
        self.languages.check(len(pieces), None)
        likely = self.languages.likely_of_words(docs, pieces, combinations)
        foreign = np.flatnonzero(~self.languages.have(likely, combinations))
        places = np.searchsorted(bounds, foreign, side="right") - 1
        rows = (vectors[i][j : j + 1] for i, j in zip(places, foreign - bounds[places], strict=True))
        found = combinations.copy()
        for i, logits in enumerate(self._logits(rows)):
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
        return probs[np.arange(len(probs)), self.inventory.upos_of(combinations)]

    def set_annotations(self, docs: Iterable[Doc], scores: list[Prediction]) -> None:
        for doc, prediction in zip(docs, scores, strict=True):
            if len(doc):
                if doc.vocab is not self.vocab:  # of another pipeline, from which this component was sourced
                    for i in np.unique(prediction.combinations):
                        doc.vocab.morphology.add(_morph(self.inventory.combinations[i]))
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
            label = self.inventory.combinations[i]
            # POS last: it tells other threads that the row is there.
            table[i, 1] = self.vocab.morphology.add(_morph(label))
            table[i, 0] = IDS[label[0]]
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
            vectors: list[Any] = [*self._vectors(docs)]
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

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> FactoredMorphologizer:
        self._forget()
        super().from_bytes(bytes_data, exclude=exclude)
        self._derive()
        return self

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> FactoredMorphologizer:
        """Raises ValueError with the path if a file is damaged or of another version."""
        self._forget()
        try:
            super().from_disk(path, exclude=exclude)
            self._derive()
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        return self


def _in_parts(arrays: Iterable[Floats2d], size: int) -> Iterator[list[Floats2d]]:
    """The rows of some arrays, one after the other, ``size`` at a time."""
    part: list[Floats2d] = []
    n = 0
    for rows in arrays:
        while len(rows):
            taken = rows[: size - n]
            part.append(taken)
            n += len(taken)
            rows = rows[len(taken) :]
            if n == size:
                yield part
                part, n = [], 0
    if part:
        yield part


def _reset(
    sizes: list[tuple[Model, int | None]], weights: list[tuple[Model, str, Any]], *, anew: bool
) -> None:
    """Take sizes and weights away, or put them back; thinc keeps the size of a layer that has weights."""
    for layer, name, _ in weights:
        layer.set_param(name, None)
    for layer, size in sizes:
        layer.set_dim("nO", None if anew else size, force=True)  # type: ignore[arg-type]
    for layer, name, value in () if anew else weights:
        layer.set_param(name, value)


def _morph(label: Label) -> str:
    """As spaCy has the features of a word: nothing where CoNLL-U has ``_``."""
    return "" if label[1] == "_" else label[1]


def _register_confidences() -> None:
    if not Token.has_extension("pos_confidence"):
        Doc.set_extension("pos_confidences", default=None)
        Token.set_extension("pos_confidence", getter=_pos_confidence)
    elif Token.get_extension("pos_confidence")[2] is not _pos_confidence:
        raise ValueError(
            "Token._.pos_confidence is an attribute of yours; remove it, or leave `confidences` off"
        )


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
    confidences: bool,
    scorer: Callable | None,
    temperature: float | None = None,
) -> FactoredMorphologizer:
    """The factory; its settings are those of ``FactoredMorphologizer``.

    temperature: stands in the configs of pipelines up to 0.1.0; nothing reads it.
    """
    return FactoredMorphologizer(
        nlp.vocab,
        model,
        name,
        upos_weight=upos_weight,
        confidences=confidences,
        scorer=scorer,
    )
