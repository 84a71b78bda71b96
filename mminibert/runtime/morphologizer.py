"""The trainable component: UPOS and morphology from factored logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from spacy.attrs import MORPH, POS
from spacy.language import Language
from spacy.symbols import IDS
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Config, Model
from thinc.types import Floats2d

from .confidences import register_confidences
from .factored_pipe import FactoredPipe
from .factored_tagger import LINEAR_HEAD
from .labels import Label
from .languages import Languages
from .losses import log_softmax
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


class FactoredMorphologizer(FactoredPipe):
    """Sets ``token.pos`` and ``token.morph``.

    UPOS and every UD feature is a softmax of its own. A combination that training never saw is replaced
    by the most probable one that it saw. With `languages` one that none of the sentence's likely languages
    has is replaced too, by the most probable one of the same UPOS.
    """

    _annotations: np.ndarray | None
    _languages: Languages | None

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
            register_confidences()
        self._confidences = wanted

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
        super()._forget()
        self._annotations = self._languages = None
        self.model.attrs.pop(LANGUAGES, None)  # of other labels

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


def _morph(label: Label) -> str:
    """As spaCy has the features of a word: nothing where CoNLL-U has ``_``."""
    return "" if label[1] == "_" else label[1]


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
