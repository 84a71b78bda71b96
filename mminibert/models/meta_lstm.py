"""Meta-LSTM: a BiLSTM over characters, one over words, and one over what both say of each word.

Bohnet et al. 2018, *Morphosyntactic Tagging with a Meta-BiLSTM Model over Context Sensitive Token Encodings*,
sections 3.1 to 3.3. Each of the three has a loss of its own, and that of the meta model does not reach the
other two: what it reads of them is cut off from their gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Linear, Model, get_torch_default_device
from thinc.shims import PyTorchShim
from thinc.types import Floats2d
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..runtime.factored_tagger import LINEAR_HEAD
from ..runtime.types import Tok2Vec

__all__ = ["MetaSizes", "make_meta_lstm", "make_meta_tagger"]

VIEWS = 3
"""Characters, words, meta; in this order, and only the last one predicts."""


class MetaSizes(NamedTuple):
    """Settings of `architectures.MetaLSTM`."""

    hidden_width: int
    embedding_width: int
    char_layers: int
    word_layers: int
    meta_layers: int
    char_rows: int
    word_rows: int
    dropout: float
    char_dropout: float


class Inputs(NamedTuple):
    """Of a batch of n words: chars int64 (docs, longest), first and last int64 (n,) flat positions of the
    words' characters there; words int64 (docs, longest), places int64 (n,) flat positions of the words there;
    lengths int64 (docs,); static float32 (docs, longest, width), zero where there are no vectors."""

    chars: Tensor
    char_lengths: Tensor
    first: Tensor
    last: Tensor
    words: Tensor
    word_lengths: Tensor
    places: Tensor
    static: Tensor


class _Reader(nn.Module):
    """A BiLSTM and the MLP over its states; the MLP is one layer with ELU."""

    def __init__(self, inputs: int, states: int, sizes: MetaSizes, layers: int) -> None:
        super().__init__()
        between = sizes.dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(
            inputs, sizes.hidden_width, layers, bidirectional=True, batch_first=True, dropout=between
        )
        self.dropout = nn.Dropout(sizes.dropout)
        self.mlp = nn.Sequential(nn.Linear(states * sizes.hidden_width, sizes.hidden_width), nn.ELU())

    def states(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """(docs, longest, inputs) -> (docs * longest, 2 * hidden_width), forward states first."""
        packed = pack_padded_sequence(embedded, lengths.cpu(), batch_first=True, enforce_sorted=False)
        output, _ = self.lstm(packed)
        rows, _ = pad_packed_sequence(output, batch_first=True, total_length=embedded.shape[1])
        return rows.reshape(-1, rows.shape[-1])

    def encode(self, states: Tensor) -> Tensor:
        return self.mlp(self.dropout(states))


class MetaLSTMModule(nn.Module):
    """The three readers in PyTorch."""

    def __init__(self, sizes: MetaSizes) -> None:
        super().__init__()
        self.char_embeddings = nn.Embedding(sizes.char_rows, sizes.embedding_width)
        self.word_embeddings = nn.Embedding(sizes.word_rows, sizes.embedding_width)
        nn.init.zeros_(self.word_embeddings.weight)  # a word that training never saw adds nothing
        self.char_dropout, self.dropout = nn.Dropout(sizes.char_dropout), nn.Dropout(sizes.dropout)
        self.char = _Reader(sizes.embedding_width, 4, sizes, sizes.char_layers)
        self.word = _Reader(sizes.embedding_width, 2, sizes, sizes.word_layers)
        self.meta = _Reader(2 * sizes.hidden_width, 2, sizes, sizes.meta_layers)

    def forward(self, *arguments: Tensor) -> Tensor:
        """`Inputs` -> float32 (n, 3 * hidden_width): the encodings by characters, words and meta model."""
        batch = Inputs(*arguments)
        states = self.char.states(self.char_dropout(self.char_embeddings(batch.chars)), batch.char_lengths)
        # Both directions at a word's first and last character.
        by_chars = self.char.encode(torch.cat([states[batch.first], states[batch.last]], dim=1))
        embedded = self.dropout(self.word_embeddings(batch.words) + batch.static)
        by_words = self.word.encode(self.word.states(embedded, batch.word_lengths)[batch.places])
        both = torch.cat([by_chars, by_words], dim=1).detach()
        padded = both.new_zeros(batch.words.numel(), both.shape[1]).index_copy(0, batch.places, both)
        padded = self.dropout(padded.reshape(*batch.words.shape, -1))
        meta = self.meta.encode(self.meta.states(padded, batch.word_lengths)[batch.places])
        return torch.cat([by_chars, by_words, meta], dim=1)


def make_meta_lstm(sizes: MetaSizes) -> Model[list[Doc], list[Floats2d]]:
    """The layer of `architectures.MetaLSTM`."""
    dims: dict[str, int | None] = {"nO": VIEWS * sizes.hidden_width}
    return Model("meta_lstm", _forward, dims=dims, shims=[MetaShim(sizes)])


class MetaShim(PyTorchShim):
    """Holds the module; stored as safetensors."""

    def __init__(self, sizes: MetaSizes) -> None:
        super().__init__(MetaLSTMModule(sizes).to(get_torch_default_device()))
        self.sizes = sizes

    def to_bytes(self) -> bytes:
        return save_safetensors({k: v.contiguous() for k, v in self._model.state_dict().items()})

    def from_bytes(self, bytes_data: bytes) -> MetaShim:
        """Raises ValueError if the data are of another shape than the settings say."""
        try:
            self._model.load_state_dict(load_safetensors(bytes_data))
        except RuntimeError as error:
            raise ValueError(
                f"the stored encoder does not suit its config: {error}; load it with its own config"
            ) from error
        return self


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    shim = cast(MetaShim, model.shims[0])
    bounds = np.cumsum([0, *map(len, docs)])

    def split(rows: Any) -> list[Floats2d]:
        return [model.ops.asarray2f(rows[a:b]) for a, b in pairwise(bounds)]

    if not bounds[-1]:
        return split(np.zeros((0, shim.sizes.hidden_width), dtype=np.float32)), lambda _: docs
    tensors = read([doc for doc in docs if len(doc)], shim.sizes)
    inputs = ArgsKwargs(tuple(tensor.to(shim.device) for tensor in tensors), {})
    if not is_train:
        return split(shim.predict(inputs)[:, -shim.sizes.hidden_width :].cpu().numpy()), lambda _: docs
    output, torch_backprop = shim.begin_update(inputs)

    def backprop(d_rows: list[Floats2d]) -> list[Doc]:
        gradient = torch.from_numpy(np.concatenate([model.ops.to_numpy(d) for d in d_rows])).to(shim.device)
        torch_backprop(ArgsKwargs((output,), {"grad_tensors": gradient}))
        return docs

    return split(output.detach().cpu().numpy()), backprop


def read(docs: Sequence[Doc], sizes: MetaSizes) -> Inputs:
    """The inputs of Docs that are not empty; words are joined by single blanks.

    Raises ValueError if the vocabulary has vectors of another width than the embeddings.
    """
    char_lengths = [sum(map(len, doc)) + len(doc) - 1 for doc in docs]
    word_lengths = [len(doc) for doc in docs]
    chars = np.zeros((len(docs), max(char_lengths)), dtype=np.int64)
    words = np.zeros((len(docs), max(word_lengths)), dtype=np.int64)
    static = np.zeros((*words.shape, sizes.embedding_width), dtype=np.float32)
    first: list[int] = []
    last: list[int] = []
    places: list[int] = []
    for row, doc in enumerate(docs):
        text = " ".join(token.text for token in doc)
        chars[row, : len(text)] = [ord(char) % sizes.char_rows for char in text]
        words[row, : len(doc)] = [token.orth % sizes.word_rows for token in doc]
        places += range(row * words.shape[1], row * words.shape[1] + len(doc))
        at = row * chars.shape[1]
        for token in doc:
            first.append(at)
            last.append(at + len(token) - 1)
            at += len(token) + 1
        if doc.vocab.vectors_length:
            if doc.vocab.vectors_length != sizes.embedding_width:
                raise ValueError(
                    f"got vectors of width {doc.vocab.vectors_length}, expected embedding_width "
                    f"{sizes.embedding_width}; change that in the config"
                )
            static[row, : len(doc)] = [token.vector for token in doc]
    as_tensor: Any = torch.tensor
    return Inputs(*map(as_tensor, (chars, char_lengths, first, last, words, word_lengths, places, static)))


def make_meta_tagger(tok2vec: Tok2Vec, n_outputs: int | None) -> Model[list[Doc], list[Floats2d]]:
    """The layer of `architectures.MetaTagger`."""
    width = tok2vec.get_dim("nO") // VIEWS
    heads: list[Model[Floats2d, Floats2d]] = [Linear(nO=n_outputs, nI=width) for _ in range(VIEWS)]
    model: Model[list[Doc], list[Floats2d]] = Model(
        "meta_tagger",
        _tag,
        init=_init,
        layers=[tok2vec, *heads],
        refs={"tok2vec": tok2vec},
        attrs={LINEAR_HEAD: True},
    )
    for name, head in zip(("char_output_layer", "word_output_layer", "output_layer"), heads, strict=True):
        model.set_ref(name, head)
    return model


def _init(model: Model, X: Any = None, Y: Any = None) -> None:  # noqa: N803
    for layer in model.layers:
        layer.initialize()


def _tag(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    encoder, *heads = model.layers
    rows, backprop_rows = encoder(docs, is_train)
    flat = model.ops.xp.concatenate(rows)
    bounds = np.cumsum([0, *map(len, rows)])
    views = np.split(flat, VIEWS, axis=1) if is_train else [flat]
    used = heads if is_train else heads[-1:]
    logits, backprops = zip(
        *(head(view, is_train) for head, view in zip(used, views, strict=True)), strict=True
    )
    joined = model.ops.xp.concatenate(logits, axis=1)

    def split(matrix: Any) -> list[Floats2d]:
        return [matrix[a:b] for a, b in pairwise(bounds)]

    def backprop(d_logits: list[Floats2d]) -> list[Doc]:
        parts = model.ops.xp.split(model.ops.xp.concatenate(d_logits), VIEWS, axis=1)
        d_views = [back(np.ascontiguousarray(part)) for back, part in zip(backprops, parts, strict=True)]
        return backprop_rows(split(model.ops.xp.concatenate(d_views, axis=1)))

    return split(joined), backprop
