"""The architectures that train, as configs name them: encoders and heads.

Torch is imported when one of its encoders is made, not before, so that spaCy can list all architectures where
it is not installed.
"""

from __future__ import annotations

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..runtime.types import Tok2Vec

__all__ = ["MetaLSTM", "MetaTagger", "MiniBert"]


def MiniBert(
    vocabulary: str | None = None,
    hidden_width: int = 256,
    intermediate_width: int = 1024,
    num_hidden_layers: int = 3,
    num_attention_heads: int = 4,
    max_positions: int = 512,
    dropout: float = 0.1,
    max_pieces: int = 128,
    overlap: int = 32,
    batch_pieces: int = 4096,
    word_layers: int = 0,
) -> Model[list[Doc], list[Floats2d]]:
    """The student as a tok2vec layer: for each Doc float32 ``(n_tokens, hidden_width)``, the last hidden
    state at each token's first wordpiece. Registered as ``mminibert.MiniBert.v1``.

    vocabulary: a ``vocab.txt``, read when the pipeline is initialised and stored with the weights.
    max_pieces, overlap: of windows over long sentences. batch_pieces: at most so many at once in prediction.
    word_layers: how many of the layers, the last ones, read a vector a word, whose states are then the rows;
    none do in the paper. Raises ValueError unless one layer at least reads wordpieces.
    """
    from .bert import Sizes
    from .torch_encoder import make_encoder

    sizes = Sizes(
        hidden_width,
        intermediate_width,
        num_hidden_layers,
        num_attention_heads,
        max_positions,
        dropout,
        word_layers,
    )
    return make_encoder(
        sizes, vocabulary=vocabulary, max_pieces=max_pieces, overlap=overlap, batch_pieces=batch_pieces
    )


def MetaLSTM(
    hidden_width: int = 400,
    embedding_width: int = 100,
    char_layers: int = 2,
    word_layers: int = 2,
    meta_layers: int = 1,
    char_rows: int = 16384,
    word_rows: int = 50000,
    dropout: float = 0.33,
    char_dropout: float = 0.05,
) -> Model[list[Doc], list[Floats2d]]:
    """Meta-LSTM as a tok2vec layer, for `MetaTagger`. For each Doc it gives in training the encodings of all
    views, float32 ``(n_tokens, 3 * hidden_width)``; in prediction that of the meta model alone,
    ``(n_tokens, hidden_width)``.

    Registered as ``mminibert.MetaLSTM.v1``. Characters and words have rows by hash: some share one where
    there are more of them than rows. The words' learnt rows begin at zero; the vectors of the pipeline's
    vocabulary, if it has any, are added to them and stay as they are; they must be of ``embedding_width``.
    """
    from .meta_lstm import MetaSizes, make_meta_lstm

    return make_meta_lstm(
        MetaSizes(
            hidden_width,
            embedding_width,
            char_layers,
            word_layers,
            meta_layers,
            char_rows,
            word_rows,
            dropout,
            char_dropout,
        )
    )


def MetaTagger(tok2vec: Tok2Vec, nO: int | None = None) -> Model[list[Doc], list[Floats2d]]:  # noqa: N803
    """Logits for each token: in training of all three views side by side, ``(n_tokens, 3 * nO)``, so that
    each has a loss of its own; in prediction those of the meta model, ``(n_tokens, nO)``.

    Registered as ``mminibert.MetaTagger.v1``; ``nO`` is set from the labels.
    """
    from .meta_lstm import make_meta_tagger

    return make_meta_tagger(tok2vec, nO)
