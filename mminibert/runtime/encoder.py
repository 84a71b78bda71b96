"""The encoder of a pipeline: what is asked of it, and the component that shares it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2Vec as Tok2VecPipe
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from .checksums import check_component, write_checksums
from .doc_batches import doc_batches
from .pieces import StoredPieces

__all__ = ["ENCODER", "Encoder", "SharedEncoder", "encoder_of"]

ENCODER = "tok2vec"
"""The shared encoder's name in the pipelines of this project, and in spaCy's."""
LAYERS = frozenset({"minibert", "minibert_onnx"})
"""The thinc names of our encoders' layers, each of which has one shim that is an `Encoder`."""


class Encoder(Protocol):
    """A BERT over pieces of words, whatever computes it."""

    @property
    def pieces(self) -> StoredPieces:
        """Raises ValueError before there are weights."""

    @property
    def max_pieces(self) -> int:
        """Wordpieces that are read at once at most, with [CLS] and [SEP]."""

    @property
    def overlap(self) -> int:
        """Wordpieces that two windows over a longer sentence share."""


def encoder_of(layer: Model) -> Encoder:
    """The encoder of a tok2vec layer. Raises ValueError if it is none of ours."""
    if layer.name not in LAYERS:
        raise ValueError(
            f"got the encoder {layer.name[:60]!r}, expected mminibert.MiniBert.v1 or "
            "mminibert.MiniBertOnnx.v1; take a pipeline of this project, such as spacy.load('xx_mminibert')"
        )
    return cast(Encoder, layer.shims[0])


class SharedEncoder(Tok2VecPipe):
    """spaCy's ``tok2vec`` component, which also tells its listeners whose wordpieces their vectors are of.

    It writes ``doc.tensor``, float32 ``(n_tokens, width)``. Any component with a
    ``spacy.Tok2VecListener.v1`` reads that, whether it comes with the pipeline or is the user's own.
    """

    @property
    def encoder(self) -> Encoder:
        """Raises ValueError if the layer is none of ours."""
        return encoder_of(self.model)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """As spaCy's; a batch of many words is computed in parts (`doc_batches`)."""
        for docs in doc_batches(stream, batch_size):
            yield from super().pipe(docs, batch_size=len(docs))

    def to_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> None:
        """As spaCy's, with checksums."""
        super().to_disk(path, exclude=exclude)
        write_checksums(Path(path))

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> SharedEncoder:
        """Raises ValueError with the path if a file is damaged or of another version."""
        check_component(Path(path))
        try:
            super().from_disk(path, exclude=exclude)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        return self

    def find_listeners(self, component: Any) -> None:
        super().find_listeners(component)
        hear = getattr(component, "listen_to", None)
        if hear is not None and component.name in self.listener_map:
            hear(self)


def is_listener(layer: Model) -> bool:
    """Whether a layer reads ``doc.tensor`` instead of encoding."""
    return isinstance(layer, Tok2VecListener)


@Language.factory(
    "shared_encoder",
    assigns=["doc.tensor"],
    default_config={"model": {"@architectures": "mminibert.MiniBertOnnx.v1"}},
)
def make_shared_encoder(nlp: Language, name: str, model: Model[list[Doc], list[Floats2d]]) -> SharedEncoder:
    """The factory of `SharedEncoder`."""
    return SharedEncoder(nlp.vocab, model, name)
