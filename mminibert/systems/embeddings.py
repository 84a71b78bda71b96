"""The student's first embeddings, made from the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import spacy
import torch
from spacy.language import Language

from ..files import atomic_path, read_json, sha256, write_json
from ..models.transformer import hugging_face
from ..runtime.types import Floats
from ..runtime.wordpieces import WordPieces
from ..training.projection import Projection


def teacher_embeddings(
    nlp: Language, names: Sequence[str], *, batch: int = 256, chunk: int = 4096
) -> Iterator[Floats]:
    """What the fine-tuned teacher makes of each wordpiece, read alone; yields chunks of rows in order.

    Each is the last hidden state at the piece's first subword, float32 ``(n, teacher_width)``. Within a chunk
    pieces of a like number of subwords are read together. Raises ValueError if the pipeline has no
    transformer.
    """
    tokenizer, transformer = hugging_face(nlp)
    transformer.eval()
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


def write_embeddings(
    path: Path, *, vocabulary: Path, teacher: Path, teacher_sha256: str, width: int
) -> Iterator[tuple[int, int]]:
    """Write the embeddings of a vocabulary's pieces, float32 ``(n_pieces, width)``, and beside them in a JSON
    what they were made from; what was made from the same is kept. Yields the pieces done and their number.

    teacher: the folder of a pipeline with a transformer; teacher_sha256: its checksum.
    """
    record = path.with_suffix(".json")
    inputs = {"vocabulary": sha256(vocabulary), "teacher": teacher_sha256, "width": width}
    with suppress(FileNotFoundError, ValueError):  # damaged, so it is written anew
        if read_json(record, "run `collect` again") == {**inputs, "sha256": sha256(path)}:
            return
    pieces = WordPieces.from_file(vocabulary)
    rows: list[Floats] = []
    for part in teacher_embeddings(spacy.load(teacher), pieces.vocab):
        rows.append(part)
        yield sum(map(len, rows)), len(pieces)
    read = np.concatenate(rows)
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        np.save(out, Projection.fit(read, width)(read), allow_pickle=False)
    write_json(record, {**inputs, "sha256": sha256(path)})
