"""Settings of the transformer teacher: how it reads Docs, precision, frozen embeddings.

Torch is imported where it is used, as in `models.architectures`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span
from thinc.api import Model
from thinc.types import Floats2d, Ragged


def word_spans(window: int = 128, stride: int = 96) -> Callable[[Iterable[Doc]], list[list[Span]]]:
    """A span getter for ``spacy-transformers`` that keeps wordpieces within words.

    Registered as ``mminibert.word_spans.v1``. The text of the spans has a blank between any two tokens,
    so that the parts of a multiword token, or words of a script without blanks, do not share pieces.
    Each Doc is cut into spans of at most ``window`` tokens, a new one every ``stride`` tokens.
    """

    def get_spans(docs: Iterable[Doc]) -> list[list[Span]]:
        spans = []
        for doc in docs:
            spaced = Doc(doc.vocab, words=[token.text for token in doc])
            last = max(len(doc) - window, 0)
            starts = [*range(0, last, stride), last][: len(doc)]  # an empty Doc has no spans
            spans.append([spaced[start : start + window] for start in starts])
        return spans

    return get_spans


def reduce_first() -> Model[Ragged, Floats2d]:
    """A pooling for ``TransformerListener``: the first row of each sequence, zeros where it is empty.

    Registered as ``mminibert.reduce_first.v1``. Unlike thinc's, it allows for words without pieces: those of
    zero-width characters alone, and those that a tokenizer cuts off.
    """
    return Model("reduce_first", _reduce_first)


def _reduce_first(
    model: Model[Ragged, Floats2d], sequences: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    lengths = sequences.lengths
    found = lengths > 0
    firsts = (lengths.cumsum() - lengths)[found]
    rows = model.ops.alloc2f(len(lengths), sequences.dataXd.shape[-1])
    rows[found] = sequences.dataXd[firsts]

    def backprop(d_rows: Floats2d) -> Ragged:
        gradient = model.ops.alloc2f(*sequences.dataXd.shape)
        gradient[firsts] = d_rows[found]
        return Ragged(gradient, lengths)

    return rows, backprop


def has_fast_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively (AMX or AVX512-BF16)."""
    import torch

    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def prepare_teacher(
    freeze_embeddings: bool = False, component: str = "transformer"
) -> Callable[[Language], Language]:
    """A callback for ``initialize.after_init``, registered as ``mminibert.prepare_teacher.v1``.

    On a CPU with native bfloat16 the forward pass runs in it; its outputs are float32 again. With
    ``freeze_embeddings`` the word embeddings stay as pretrained, which spares the optimizer most of the
    parameters.
    """

    def prepare(nlp: Language) -> Language:
        pipe: Any = nlp.get_pipe(component)
        transformer = pipe.model.transformer
        if freeze_embeddings:
            transformer.embeddings.word_embeddings.weight.requires_grad_(False)
        if transformer.device.type == "cpu" and has_fast_bf16():
            transformer.forward = _in_bf16(transformer.forward)
        return nlp

    return prepare


def _in_bf16(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    @functools.wraps(forward)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = forward(*args, **kwargs)
        for name, value in output.items():
            if torch.is_tensor(value):
                output[name] = value.float()
        return output

    return wrapped
