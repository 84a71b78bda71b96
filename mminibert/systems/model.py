"""A pipeline's encoder and head as the module that training changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from spacy.language import Language
from torch import Tensor, nn

from ..models.torch_encoder import StudentShim
from ..runtime.pipeline import pipeline_encoder, tagger
from ..runtime.types import Floats
from ..runtime.wordpieces import Pieces
from ..training.model import Tagger
from .labelling import TeacherPieces, hugging_face

HEAD = {"weight": "W", "bias": "b"}
"""The names of the head's parameters in PyTorch and in thinc."""
TEACHER_PIECES = 256
"""Longest training sentence of a teacher."""


class PipelineTagger(Tagger):
    """Encoder and head of a pipeline, tied to it: the encoder is shared, the head is written back."""

    def __init__(self, nlp: Language, bert: nn.Module, pieces: Pieces, max_pieces: int) -> None:
        """max_pieces: longest training sentence, with [CLS] and [SEP]."""
        pipe = tagger(nlp)
        output = pipe.output_layer
        super().__init__(bert, nn.Linear(output.get_dim("nI"), output.get_dim("nO")))
        self.pipe, self.pieces, self.max_pieces = pipe, pieces, max_pieces
        self.head.load_state_dict(
            {
                name: torch.from_numpy(np.array(output.ops.to_numpy(output.get_param(thinc))))
                for name, thinc in HEAD.items()
            }
        )
        self.head.to(next(bert.parameters()).device)

    def write_back(self) -> None:
        """Put the head's weights into the pipeline."""
        layer: Any = self.pipe.output_layer
        for name, thinc in HEAD.items():
            weights = self.head.state_dict()[name].detach().cpu().numpy().copy()
            layer.set_param(thinc, layer.ops.asarray(weights))


class Transformer(PipelineTagger):
    """A pipeline with a transformer of spacy-transformers and a head that listens to it."""

    def hidden(self, piece_ids: Tensor, mask: Tensor | None, first: Tensor) -> Tensor:
        attention = torch.ones_like(piece_ids) if mask is None else mask.long()
        output = self.bert(input_ids=piece_ids, attention_mask=attention)
        return output.last_hidden_state.flatten(0, 1)[first]


def pipeline_model(nlp: Language) -> PipelineTagger:
    """The trainable module of a pipeline with a transformer, or with a student's encoder in PyTorch."""
    if "transformer" in nlp.pipe_names:
        tokenizer, transformer = hugging_face(nlp)
        return Transformer(nlp, transformer, TeacherPieces(tokenizer), max_pieces=TEACHER_PIECES)
    shim = student_encoder(nlp)
    return PipelineTagger(nlp, shim.bert, shim.pieces, shim.max_pieces)


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
