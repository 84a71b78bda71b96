"""The trainable component: UPOS and morphology from factored logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from spacy.attrs import IS_SPACE, MORPH, POS
from spacy.language import Language
from spacy.symbols import IDS
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Config, Model
from thinc.types import Floats2d

from .by_convention import in_parts, tag, upos_confidences
from .checksums import check_component
from .confidences import register_confidences, set_confidences
from .convention_pipe import ConventionPipe
from .conventions import ROWS_AT_ONCE
from .doc_conventions import register_conventions, set_conventions
from .doc_languages import given_language, register_languages
from .factored_tagger import LINEAR_HEAD
from .labels import Label
from .prediction import Prediction
from .types import Floats
from .ud_words import multiword_tokens, set_tags

DEFAULT_CONFIG = """
[factored_morphologizer]
upos_weight = 4.0
confidences = false
convention = null

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


class FactoredMorphologizer(ConventionPipe):
    """Sets ``token.pos`` and ``token.morph``; of a multiword token UPOS and FEATS of each of its words in
    ``token._.ud_words``, and those of its head (`ud_words.head_word`) as its own.

    UPOS and every UD feature is a softmax of its own. A combination that training never saw is replaced
    by the most probable one that it saw. With `conventions` each sentence is tagged as one treebank does: the
    one of `convention`, or that of the language that the tokenizer was told, or else the default one of the
    language that is found in the sentence.
    """

    _annotations: np.ndarray | None

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Floats2d]],
        name: str = "factored_morphologizer",
        *,
        upos_weight: float = 4.0,
        confidences: bool = False,
        convention: str | None = None,
        scorer: Callable | None = None,
    ) -> None:
        """upos_weight: weight of UPOS in the loss, where each feature weighs 1. convention: see the
        attribute; an unknown name is noticed when the pipeline is loaded.

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
        register_conventions()
        register_languages()
        self._convention = convention
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

    def _forget(self) -> None:
        super()._forget()
        self._labels_changed()

    def _labels_changed(self) -> None:
        self._annotations = None

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
        self._read_conventions()

    def predict(self, docs: Iterable[Doc]) -> list[Prediction]:
        """Raises ValueError if the component listens to an encoder that is not in the pipeline."""
        docs = list(docs)
        given = [given_language(doc) for doc in docs]
        docs, found = self.read(docs)
        vectors = cast("list[Floats]", found)
        bounds = list(pairwise(accumulate(map(len, docs), initial=0)))
        sentences = self._sentences(docs, vectors, given)
        if sentences is not None and self._conventions is not None:
            tagged = tag(self._conventions, docs, vectors, sentences, confidences=self.confidences)
            combinations, confidences = tagged.labels, tagged.confidences
        else:
            upos: list[Floats] | None = [] if self.confidences else None
            combinations = self.inventory.best_combinations(self._logits(vectors, upos))
            confidences = None
            if upos is not None:
                confidences = upos_confidences(upos, self.inventory.upos_of(combinations))
        return [
            Prediction(
                combinations[a:b],
                None if confidences is None else confidences[a:b],
                () if sentences is None else sentences[i],
            )
            for i, (a, b) in enumerate(bounds)
        ]

    def logits(self, docs: Iterable[Doc]) -> Floats:
        """Of all words, float32 ``(n_words, n_outputs)``, fields in the order of the inventory."""
        parts = list(self._logits(self.read(docs)[1]))
        return np.concatenate(parts) if parts else np.zeros((0, self.inventory.n_outputs), dtype=np.float32)

    def _logits(self, vectors: Sequence[Any], upos: list[Floats] | None = None) -> Iterator[Floats]:
        """Logits of all words, some at a time: those of many sentences would not fit into the cache.

        upos: gets a copy of each part's logits of UPOS.
        """
        output = self.output_layer
        ops: Any = output.ops
        for rows in in_parts(vectors, ROWS_AT_ONCE):
            logits = ops.to_numpy(output.predict(ops.xp.concatenate(rows)))
            if upos is not None:
                upos.append(logits[:, : self.inventory.starts[1]].copy())
            yield logits

    def set_annotations(self, docs: Iterable[Doc], scores: list[Prediction]) -> None:
        register_conventions()  # a component that was unpickled in another process has registered none
        register_languages()
        for doc, prediction in zip(docs, map(self._of_tokens, docs, scores), strict=True):
            if len(doc):
                blank = doc.to_array(IS_SPACE).astype(np.bool_)
                if doc.vocab is not self.vocab:  # of another pipeline, from which this component was sourced
                    for i in np.unique(prediction.combinations):
                        doc.vocab.morphology.add(_morph(self.combinations[i]))
                values = self.annotations(prediction.combinations)
                if blank.any():
                    values[blank] = IDS["SPACE"], doc.vocab.morphology.add("")
                doc.from_array([POS, MORPH], values)
            set_conventions(doc, prediction.conventions)
            set_confidences(doc, prediction.confidences)

    def _of_tokens(self, doc: Doc, prediction: Prediction) -> Prediction:
        """Tags the words of multiword tokens, and returns what is predicted of the head of each token."""
        if not multiword_tokens(doc):
            return prediction
        heads = set_tags(doc, [self.combinations[i] for i in prediction.combinations.tolist()])
        return prediction.at(heads)

    def annotations(self, combinations: np.ndarray) -> Any:
        """uint64 ``(n, 2)``: the values of POS and MORPH of n combinations, looked up once for each."""
        if self._annotations is None:
            self._annotations = np.zeros((len(self.combinations), 2), dtype=np.uint64)
        table = self._annotations
        missing = combinations[table[combinations, 0] == 0]
        for i in np.unique(missing) if len(missing) else ():
            label = self.combinations[i]
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
        check_component(Path(path))
        self._forget()
        try:
            super().from_disk(path, exclude=exclude)
            self._derive()
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        return self


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
    convention: str | None,
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
        convention=convention,
        scorer=scorer,
    )
