"""The trained student as an encoder that runs without torch: ONNX Runtime and int8 embedding rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model
from thinc.shims import Shim
from thinc.types import Floats2d

from .piece_kinds import read_pieces
from .pieces import StoredPieces
from .session import Session, threads
from .tensors import dump_checked, load_checked
from .windows import WindowBatch, check_window_sizes, windows
from .word_grid import WORD_INPUTS, word_places
from .word_rows import by_words

__all__ = ["MiniBertOnnx", "OnnxShim", "PackedStudent"]

FORMAT = "mminibert-onnx-3"
NO_WEIGHTS = (
    "The encoder mminibert.MiniBertOnnx.v1 has no weights yet. Load the pipeline with spacy.load() or "
    "from_disk(), or make the encoder with mminibert.models.quantized.from_student()"
)

Weights = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True, slots=True)
class _Settings:
    max_pieces: int
    overlap: int
    batch_pieces: int
    threads: int

    def __post_init__(self) -> None:
        for name in ("max_pieces", "overlap", "batch_pieces", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of the encoder is {getattr(self, name)}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class PackedStudent:
    """What is stored: the graph and, outside of it, the embeddings.

    graph: serialized ONNX model, see `models.export.build_graph`. word_rows int8 (vocab, width) * word_scales
    float32 (vocab,): word embeddings. positions float32 (max_positions, width): position embeddings, with the
    embedding of token type 0 added.
    """

    graph: bytes
    pieces: StoredPieces
    word_rows: npt.NDArray[np.int8]
    word_scales: npt.NDArray[np.float32]
    positions: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        n, width = self.word_rows.shape
        if not (len(self.pieces) == n == len(self.word_scales) and self.positions.shape[1] == width):
            raise ValueError(
                f"{len(self.pieces)} wordpieces, {n} embedding rows, {len(self.word_scales)} scales, widths "
                f"{width} and {self.positions.shape[1]} do not go together"
            )

    @property
    def width(self) -> int:
        return int(self.word_rows.shape[1])

    @property
    def words(self) -> npt.NDArray[np.float32]:
        """Word embeddings, float32 (vocab, width)."""
        return self.word_rows.astype(np.float32) * self.word_scales[:, None]

    def embed(self, piece_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """piece_ids (batch, length) -> float32 (batch, length, width), before LayerNorm."""
        embeddings = self.word_rows[piece_ids].astype(np.float32)
        embeddings *= self.word_scales[piece_ids][..., None]
        embeddings += self.positions[: piece_ids.shape[1]]
        return embeddings


@registry.architectures("mminibert.MiniBertOnnx.v1")
def MiniBertOnnx(
    max_pieces: int = 128, overlap: int = 32, batch_pieces: int = 2048, threads: int = 1
) -> Model[list[Doc], list[Floats2d]]:
    """The student as a tok2vec layer that only predicts; without weights until loaded.

    Predicts float32 (n_tokens, width) for each Doc: the last hidden state at each token's first wordpiece, or
    of a multiword token the mean of its words' (`word_rows.TokenRows`). A Doc's rows depend on no other Doc
    of the call but for rounding. max_pieces, overlap: of windows, see `wordpieces.windows`. batch_pieces: at
    most so many wordpieces are encoded at once; fewer need less memory. threads: each encodes batches of its
    own; the environment variable MMINIBERT_THREADS overrides it.
    """
    shim = OnnxShim(_Settings(max_pieces, overlap, batch_pieces, threads))
    return Model("minibert_onnx", _forward, init=_init, dims={"nO": None}, shims=[shim])


class OnnxShim(Shim):
    """Holds the student for a thinc Model, which stores it as bytes, and a session, which is never stored."""

    def __init__(self, settings: _Settings) -> None:
        super().__init__(model=None)
        self.settings = settings
        self._session: Session | None = None

    @property
    def is_loaded(self) -> bool:
        return self._model is not None

    @property
    def student(self) -> PackedStudent:
        if not self.is_loaded:
            raise ValueError(NO_WEIGHTS)
        return cast(PackedStudent, self._model)

    @property
    def max_pieces(self) -> int:
        return self.settings.max_pieces

    @property
    def overlap(self) -> int:
        return self.settings.overlap

    @property
    def pieces(self) -> StoredPieces:
        """Raises ValueError before there are weights."""
        return self.student.pieces

    def set_student(self, student: PackedStudent) -> None:
        """Raise ValueError if the settings ask for more than the student can do, or ONNX Runtime refuses its
        graph."""
        check_window_sizes(student.pieces, max_pieces=self.settings.max_pieces, overlap=self.settings.overlap)
        if self.settings.max_pieces > len(student.positions):
            raise ValueError(
                f"max_pieces is {self.settings.max_pieces}, but the student knows {len(student.positions)} "
                "positions. Lower max_pieces in the config"
            )
        self._session = _session_of(student, self.settings)
        self._model = student

    def inputs(self, docs: Sequence[Doc]) -> Iterator[tuple[WindowBatch, dict[str, np.ndarray]]]:
        """The graph's inputs, a batch at a time."""
        student, settings = self.student, self.settings
        found = windows(docs, student.pieces, max_pieces=settings.max_pieces, overlap=settings.overlap)
        reads_words = set(WORD_INPUTS) <= self._get_session().inputs
        for batch in found.batches(settings.batch_pieces):
            places = word_places(batch) if reads_words else {"first": batch.first}
            yield batch, {"embeddings": student.embed(batch.piece_ids), **places}

    def predict(self, fwd_args: list[Doc]) -> list[npt.NDArray[np.float32]]:
        lengths = [len(doc) for doc in fwd_args]
        rows = np.empty((sum(lengths), self.student.width), dtype=np.float32)
        session = self._get_session()

        def encode(found: tuple[WindowBatch, dict[str, np.ndarray]]) -> None:
            batch, inputs = found
            (rows[batch.rows],) = session.run(inputs)

        at_once = threads(self.settings.threads)
        if at_once == 1:
            deque(map(encode, self.inputs(fwd_args)), maxlen=0)
        else:
            # A thread a batch: threads that share one wait for each other after each operator.
            with ThreadPoolExecutor(at_once) as pool:
                deque(pool.map(encode, self.inputs(fwd_args)), maxlen=0)
        if len(lengths) < 2:
            return [rows] * len(lengths)
        # Copies, so that a Doc that is kept does not keep the rows of all others.
        return [part.copy() for part in np.split(rows, np.cumsum(lengths[:-1], dtype=np.int64))]

    def _get_session(self) -> Session:
        if self._session is None:
            self._session = _session_of(self.student, self.settings)
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def copy(self) -> OnnxShim:
        """A shim of its own that shares the student, which never changes."""
        copied = OnnxShim(self.settings)
        copied._model = self._model
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        """Does nothing: the encoder runs on the CPU whatever the rest of the pipeline does."""

    def finish_update(self, optimizer: Any) -> None:
        """Does nothing: the weights never change, also where other components train on the vectors."""

    def to_bytes(self) -> bytes:
        """In the safetensors format; equal for equal students. Empty if there are no weights."""
        if not self.is_loaded:
            return b""
        student = self.student
        tensors: dict[str, np.ndarray] = {
            "graph": np.frombuffer(student.graph, dtype=np.uint8),
            "vocab": np.frombuffer(student.pieces.to_bytes(), dtype=np.uint8),
            "word_rows": student.word_rows,
            "word_scales": student.word_scales,
            "positions": student.positions,
        }
        pieces = student.pieces
        metadata = {"max_pieces_per_word": str(pieces.max_pieces_per_word), "pieces": pieces.kind}
        return dump_checked(tensors, metadata, format=FORMAT)

    def from_bytes(self, data: bytes) -> OnnxShim:
        """Raises ValueError if the data are damaged, of another format, or do not suit the settings."""
        if data:
            self.set_student(_read_student(data))
        else:
            self._model = self._session = None
        return self


def _session_of(student: PackedStudent, settings: _Settings) -> Session:
    threads(settings.threads)  # a bad number is told when a pipeline is loaded
    session = Session(student.graph, threads=1)
    if (width := session.input_shape(0)[-1]) != student.width:
        raise ValueError(f"The ONNX graph is of width {width}, its embeddings of {student.width}")
    return session


def shim_of(model: Model[list[Doc], list[Floats2d]]) -> OnnxShim:
    return cast(OnnxShim, model.shims[0])


@by_words
def _forward(
    model: Model[list[Doc], list[Floats2d]], docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    def backprop(d_rows: list[Floats2d]) -> list[Doc]:
        return docs  # nothing here can learn, whatever learns from its vectors

    return [model.ops.asarray2f(cast(Floats2d, rows)) for rows in shim_of(model).predict(docs)], backprop


def _init(model: Model[list[Doc], list[Floats2d]], X: Any = None, Y: Any = None) -> None:  # noqa: N803
    if not shim_of(model).is_loaded:
        raise ValueError(NO_WEIGHTS)


def _read_student(data: bytes) -> PackedStudent:
    try:
        tensors, metadata = load_checked(data, format=FORMAT)
        vocab = tensors["vocab"].tobytes()
        kind = {"kind": metadata["pieces"]} if "pieces" in metadata else {}
        return PackedStudent(
            graph=tensors["graph"].tobytes(),
            pieces=read_pieces(vocab, max_pieces_per_word=int(metadata["max_pieces_per_word"]), **kind),
            word_rows=tensors["word_rows"],
            word_scales=tensors["word_scales"],
            positions=tensors["positions"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The data of the ONNX encoder are damaged or of another version: {error}. "
            "Install the pipeline's package and mminibert again, or quantize the student anew"
        ) from error
