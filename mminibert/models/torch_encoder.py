"""The layer that puts the student's encoder into a pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import srsly
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, Optimizer, get_torch_default_device
from thinc.shims import PyTorchShim
from thinc.types import Floats2d
from torch import Tensor, nn

from ..runtime.piece_kinds import read_pieces
from ..runtime.pieces import StoredPieces
from ..runtime.windows import Windows, check_window_sizes, windows
from ..runtime.word_rows import by_words
from ..runtime.wordpieces import WordPieces
from .bert import BertEncoder, Sizes


def padded(windows: Windows, pad_id: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows as one batch: piece_ids int64 and mask bool ``(windows, longest)``, and int64 positions of
    the tokens' first pieces in the flattened batch, in the windows' order: of those that are predicted, and
    of all."""
    found = list(windows)
    longest = max(len(window.piece_ids) for window in found)
    piece_ids = np.full((len(found), longest), pad_id, dtype=np.int64)
    for i, window in enumerate(found):
        piece_ids[i, : len(window.piece_ids)] = window.piece_ids
    lengths = np.asarray([len(window.piece_ids) for window in found])
    mask = np.arange(longest) < lengths[:, None]
    first, begins = (
        np.concatenate([at + i * longest for i, at in enumerate(places)])
        for places in ([window.first for window in found], [window.begins for window in found])
    )
    return (
        torch.from_numpy(piece_ids),
        torch.from_numpy(mask),
        torch.from_numpy(first),
        torch.from_numpy(begins),
    )


class _RowsModule(nn.Module):
    """What the shim wraps: called with a batch, returns the rows of its tokens."""

    def __init__(self, bert: BertEncoder) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, piece_ids: Tensor, mask: Tensor | None, first: Tensor, begins: Tensor) -> Tensor:
        return self.bert(piece_ids, mask, first, begins)


class StudentShim(PyTorchShim):
    """Holds the encoder and its vocabulary; stored as safetensors and text in one message."""

    def __init__(self, sizes: Sizes, *, max_pieces: int, overlap: int) -> None:
        super().__init__(None)
        self._pieces: StoredPieces | None = None
        self.sizes, self.max_pieces, self.overlap = sizes, max_pieces, overlap

    @property
    def bert(self) -> BertEncoder:
        """Raises ValueError before there are weights."""
        if self._model is None:
            raise ValueError("the encoder has no weights yet: initialise the pipeline or load a trained one")
        return self._model.bert

    @property
    def pieces(self) -> StoredPieces:
        """Raises ValueError before there are weights."""
        if self._pieces is None:
            raise ValueError(
                "the encoder has no vocabulary yet: initialise the pipeline or load a trained one"
            )
        return self._pieces

    def build(self, pieces: StoredPieces) -> None:
        """New random weights for a vocabulary."""
        self._pieces = pieces
        self._model = _RowsModule(BertEncoder(len(pieces), self.sizes)).to(get_torch_default_device())

    def finish_update(self, optimizer: Optimizer) -> None:
        # thinc's optimizers know dense gradients only.
        table = self.bert.embeddings.word_embeddings.weight
        if table.grad is not None:
            table.grad = table.grad.to_dense()
        super().finish_update(optimizer)
        table.grad = None

    def to_bytes(self) -> bytes:
        state = {name: value.contiguous() for name, value in self.bert.state_dict().items()}
        return srsly.msgpack_dumps(
            {
                "config": self.cfg,
                "pieces": self.pieces.kind,
                "vocabulary": self.pieces.to_bytes(),
                "state": save_safetensors(state),
            }
        )

    def from_bytes(self, bytes_data: bytes) -> StudentShim:
        """Raises ValueError if the data are of another shape than the settings say."""
        message = srsly.msgpack_loads(bytes_data)
        kind = {"kind": message["pieces"]} if "pieces" in message else {}
        self.build(read_pieces(message["vocabulary"], **kind))
        try:
            self.bert.load_state_dict(load_safetensors(message["state"]))
        except RuntimeError as error:
            raise ValueError(
                f"the stored encoder does not suit its config: {error}; load it with its own config"
            ) from error
        return self


def make_encoder(
    sizes: Sizes, *, vocabulary: str | None, max_pieces: int, overlap: int, batch_pieces: int
) -> Model[list[Doc], list[Floats2d]]:
    """The layer of `architectures.MiniBert`, without weights."""
    return Model(
        "minibert",
        _forward,
        init=_init,
        dims={"nO": sizes.hidden_width},
        shims=[StudentShim(sizes, max_pieces=max_pieces, overlap=overlap)],
        attrs={"vocabulary": vocabulary, "batch_pieces": batch_pieces},
    )


def _shim(model: Model) -> StudentShim:
    return cast(StudentShim, model.shims[0])


def _init(model: Model, X: Any = None, Y: Any = None) -> None:  # noqa: N803
    shim = _shim(model)
    if shim._model is None:
        path = model.attrs["vocabulary"]
        if path is None or not Path(path).exists():
            raise FileNotFoundError(
                f"got vocabulary {path!r}, expected the path of a vocab.txt; set it in the config of the "
                "encoder, or run the step `assets`"
            )
        shim.build(WordPieces.from_file(path))
    check_window_sizes(shim.pieces, max_pieces=shim.max_pieces, overlap=shim.overlap)


@by_words
def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    shim = _shim(model)
    shim.bert  # noqa: B018  raises if there are no weights
    lengths = [len(doc) for doc in docs]
    found = windows(docs, shim.pieces, max_pieces=shim.max_pieces, overlap=shim.overlap)
    bounds = np.cumsum([0, *lengths])

    def split(rows: Any) -> list[Floats2d]:
        return [model.ops.asarray2f(rows[a:b]) for a, b in itertools.pairwise(bounds)]

    if not is_train or not sum(lengths):
        rows = np.zeros((int(bounds[-1]), model.get_dim("nO")), dtype=np.float32)
        for batch in found.batches(model.attrs["batch_pieces"]):
            piece_ids = torch.from_numpy(batch.piece_ids.astype(np.int64)).to(shim.device)
            first, begins = (torch.from_numpy(at).to(shim.device) for at in (batch.first, batch.begins))
            rows[batch.rows] = shim.predict(ArgsKwargs((piece_ids, None, first, begins), {})).cpu().numpy()
        return split(rows), lambda _: docs

    inputs = [tensor.to(shim.device) for tensor in padded(found, shim.pieces.pad_id)]
    output, torch_backprop = shim.begin_update(ArgsKwargs(tuple(inputs), {}))

    def backprop(d_rows: list[Floats2d]) -> list[Doc]:
        gradient = torch.from_numpy(np.concatenate([model.ops.to_numpy(d) for d in d_rows])).to(shim.device)
        torch_backprop(ArgsKwargs((output,), {"grad_tensors": gradient}))
        return docs

    return split(output.detach().cpu().numpy()), backprop
