"""A pipeline's encoder and head as the module that training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from spacy.language import Language
from torch import Tensor, nn

from ..models.torch_encoder import StudentShim
from ..models.transformer import TRANSFORMER, hugging_face
from ..runtime.labels import Inventory
from ..runtime.pieces import Pieces
from ..runtime.pipeline import pipeline_encoder, tagger
from ..runtime.types import Floats
from ..training.conventions import NOT_GIVEN, ConventionHead
from ..training.model import Tagger
from .heads import make_conventions, read_deltas
from .labelling import TeacherPieces

HEAD = {"weight": "W", "bias": "b"}
"""The names of the head's parameters in PyTorch and in thinc."""
TEACHER_PIECES = 256
"""Longest training sentence of a teacher."""
NONE: Mapping[str, Inventory] = MappingProxyType({})


class PipelineTagger(Tagger):
    """Encoder and head of a pipeline, tied to it: the encoder is shared, the head is written back."""

    def __init__(
        self,
        nlp: Language,
        bert: nn.Module,
        pieces: Pieces,
        *,
        max_pieces: int,
        conventions: Mapping[str, Inventory],
    ) -> None:
        """max_pieces: longest training sentence, with [CLS] and [SEP]. conventions: by its code the labels of
        each convention that the head is told of; those that the pipeline has begin with its weights."""
        pipe = tagger(nlp)
        output = pipe.output_layer
        shape = output.get_dim("nI"), output.get_dim("nO")
        super().__init__(bert, ConventionHead(*shape, len(conventions)) if conventions else nn.Linear(*shape))
        self.pipe, self.pieces, self.max_pieces = pipe, pieces, max_pieces
        self.conventions = dict(conventions)
        with torch.no_grad():
            for name, thinc in HEAD.items():
                values = torch.from_numpy(np.array(output.ops.to_numpy(output.get_param(thinc))))
                self.head.get_parameter(name).copy_(values)
            self._take_over()
        self.head.to(next(bert.parameters()).device)

    def _take_over(self) -> None:
        """Begin with the conventions that the pipeline has."""
        known = self.pipe.conventions
        if known is None or not isinstance(self.head, ConventionHead):
            return
        weight, bias = self.head.weight.numpy(), self.head.bias.numpy()
        for i, code in enumerate(self.conventions):
            if code in known.codes:
                weights, biases = read_deltas(known, code, self.pipe.inventory, weight, bias)
                self.head.weight_deltas[i] = torch.from_numpy(weights)
                self.head.bias_deltas[i] = torch.from_numpy(biases)

    def told(self, codes: Sequence[str]) -> Tensor | None:
        """The conventions by their codes, int64 ``(n,)`` on the model's device, `NOT_GIVEN` for others; None
        if the head is told of none."""
        if not self.conventions:
            return None
        places = {code: i for i, code in enumerate(self.conventions)}
        return torch.tensor([places.get(code, NOT_GIVEN) for code in codes], device=self.device)

    def write_back(self) -> None:
        """Put the head's weights into the pipeline, and the heads of the conventions."""
        layer: Any = self.pipe.output_layer
        state = {name: value.detach().cpu().numpy().copy() for name, value in self.head.state_dict().items()}
        for name, thinc in HEAD.items():
            layer.set_param(thinc, layer.ops.asarray(state[name]))
        self.pipe.conventions = None
        if self.conventions:
            weights, bias = (state[name] + state[f"{name}_deltas"] for name in HEAD)
            self.pipe.conventions = make_conventions(self.conventions, self.pipe.inventory, weights, bias)


class Transformer(PipelineTagger):
    """A pipeline with a transformer of spacy-transformers and a head that listens to it."""

    def hidden(self, piece_ids: Tensor, mask: Tensor | None, first: Tensor) -> Tensor:
        attention = torch.ones_like(piece_ids) if mask is None else mask.long()
        output = self.bert(input_ids=piece_ids, attention_mask=attention)
        return output.last_hidden_state.flatten(0, 1)[first]


def pipeline_model(nlp: Language, conventions: Mapping[str, Inventory] = NONE) -> PipelineTagger:
    """The trainable module of a pipeline with a transformer, or with a student's encoder in PyTorch.

    conventions: by its code the labels of each convention that the head is to be told of.
    """
    if TRANSFORMER in nlp.pipe_names:
        tokenizer, bert = hugging_face(nlp)
        pieces = TeacherPieces(tokenizer)
        return Transformer(nlp, bert, pieces, max_pieces=TEACHER_PIECES, conventions=conventions)
    shim = student_encoder(nlp)
    return PipelineTagger(nlp, shim.bert, shim.pieces, max_pieces=shim.max_pieces, conventions=conventions)


def student_encoder(nlp: Language) -> StudentShim:
    """Raises ValueError if the pipeline's encoder is not in PyTorch."""
    encoder = pipeline_encoder(nlp)
    if not isinstance(encoder, StudentShim):
        raise ValueError(
            f"got the encoder {type(encoder).__name__}, which cannot be trained, expected "
            "mminibert.MiniBert.v1; use `mminibert finetune` for a packaged pipeline"
        )
    return encoder


def set_word_embeddings(nlp: Language, rows: Floats) -> None:
    """Raises ValueError if the rows are of another shape than the student's table."""
    table = student_encoder(nlp).bert.embeddings.word_embeddings
    if tuple(table.weight.shape) != rows.shape:
        raise ValueError(
            f"got embeddings of shape {rows.shape}, the student needs {tuple(table.weight.shape)}; "
            "run `collect` with this vocabulary"
        )
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(rows))
