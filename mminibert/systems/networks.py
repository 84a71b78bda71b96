"""A pipeline's encoder and head as one PyTorch module, for the training loop."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from spacy.language import Language
from torch import Tensor, nn

from ..models.torch_encoder import StudentShim
from ..runtime.pipeline import pipeline_encoder, tagger
from ..runtime.types import Floats
from ..runtime.wordpieces import Pieces
from .labelling import TeacherPieces

HEAD = {"weight": "W", "bias": "b"}
"""The names of the head's parameters in PyTorch and in thinc."""
TEACHER_PIECES = 256
"""Longest training sentence of a teacher."""


class Network(nn.Module):
    """Encoder and head of a pipeline, tied to it: the encoder is shared, the head is written back."""

    pieces: Pieces
    max_pieces: int
    """Longest training sentence, with [CLS] and [SEP]."""

    def __init__(self, nlp: Language) -> None:
        super().__init__()
        self.pipe = tagger(nlp)
        self.output = self.pipe.output_layer
        self.head = nn.Linear(self.output.get_dim("nI"), self.output.get_dim("nO"))
        self.head.load_state_dict(
            {name: torch.from_numpy(np.array(self.output.get_param(thinc))) for name, thinc in HEAD.items()}
        )

    @property
    def sparse_table(self) -> nn.Parameter | None:
        """The embeddings whose gradients are sparse, if there are such."""
        return None

    def hidden(self, piece_ids: Tensor, mask: Tensor, first: Tensor) -> Tensor:
        """The last hidden states at the rows ``first`` of the flattened batch."""
        raise NotImplementedError

    def forward(self, piece_ids: Tensor, mask: Tensor, first: Tensor) -> Tensor:
        """piece_ids int64 and mask bool ``(batch, length)``, first int64 ``(n_words,)``, positions in the
        flattened batch; returns logits, float32 ``(n_words, n_outputs)``."""
        return self.head(self.hidden(piece_ids, mask, first))

    def trained_state(self) -> dict[str, Tensor]:
        """The parameters that training changes."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}

    def write_back(self) -> None:
        """Put the head's weights into the pipeline."""
        for name, thinc in HEAD.items():
            self.output.set_param(thinc, self.head.state_dict()[name].detach().cpu().numpy().copy())


class Student(Network):
    """A pipeline whose encoder is ``mminibert.MiniBert.v1``."""

    def __init__(self, nlp: Language) -> None:
        super().__init__(nlp)
        self.shim = cast(StudentShim, self.pipe.encoder)
        self.pieces, self.max_pieces = self.shim.pieces, self.shim.max_pieces
        self.bert = self.shim.bert
        self.head.to(self.shim.device)

    @property
    def sparse_table(self) -> nn.Parameter:
        return self.bert.get_parameter("embeddings.word_embeddings.weight")

    def hidden(self, piece_ids: Tensor, mask: Tensor, first: Tensor) -> Tensor:
        return self.bert(piece_ids, mask, first)


class Teacher(Network):
    """A pipeline with a transformer of spacy-transformers and a head that listens to it."""

    def __init__(self, nlp: Language) -> None:
        super().__init__(nlp)
        transformer: Any = nlp.get_pipe("transformer")
        self.pieces, self.max_pieces = TeacherPieces(transformer.model.tokenizer), TEACHER_PIECES
        self.transformer = transformer.model.transformer
        self.head.to(self.transformer.device)

    def hidden(self, piece_ids: Tensor, mask: Tensor, first: Tensor) -> Tensor:
        output = self.transformer(input_ids=piece_ids, attention_mask=mask.long())
        return output.last_hidden_state.flatten(0, 1)[first]


def network(nlp: Language) -> Network:
    """The trainable network of a pipeline with a transformer, or with a student's encoder."""
    return Teacher(nlp) if "transformer" in nlp.pipe_names else Student(nlp)


def set_word_embeddings(nlp: Language, rows: Floats) -> None:
    """Raises ValueError if the rows are of another shape than the student's table."""
    table = cast(StudentShim, pipeline_encoder(nlp)).bert.embeddings.word_embeddings
    if tuple(table.weight.shape) != rows.shape:
        raise ValueError(
            f"got embeddings of shape {rows.shape}, the student needs {tuple(table.weight.shape)}; "
            "run `collect` with this vocabulary"
        )
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(rows))
