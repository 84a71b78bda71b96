"""The student's first embeddings, made from the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.language import Language

from ..files import atomic_path
from ..runtime.types import Floats


def teacher_embeddings(
    nlp: Language, names: Sequence[str], *, batch: int = 256, chunk: int = 4096
) -> Iterator[Floats]:
    """What the fine-tuned teacher makes of each wordpiece, read alone; yields chunks of rows in order.

    Each is the last hidden state at the piece's first subword, float32 ``(n, teacher_width)``. Within a chunk
    pieces of a like number of subwords are read together.
    """
    pipe: Any = nlp.get_pipe("transformer")
    model = pipe.model
    tokenizer, transformer = model.tokenizer, model.transformer.eval()
    texts = [piece.removeprefix("##") or piece for piece in names]
    for start in range(0, len(texts), chunk):
        encoded = tokenizer(texts[start : start + chunk], truncation=True, max_length=8)["input_ids"]
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        rows = np.empty((len(encoded), transformer.config.hidden_size), np.float32)
        for first in range(0, len(order), batch):
            part = order[first : first + batch]
            padded = tokenizer.pad({"input_ids": [encoded[i] for i in part]}, return_tensors="pt")
            with torch.no_grad():
                output = transformer(**padded.to(transformer.device))
            rows[part] = output.last_hidden_state[:, 1].float().cpu().numpy()
        yield rows


def write_embeddings(path: Path, rows: Floats) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        np.save(out, rows, allow_pickle=False)
