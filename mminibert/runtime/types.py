"""Aliases of model inputs and outputs."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

Floats: TypeAlias = npt.NDArray[np.float32]
"""A float32 array."""

Ints: TypeAlias = npt.NDArray[np.int32]
"""An int32 array."""

Tok2Vec: TypeAlias = Model[list[Doc], list[Floats2d]]
"""What spaCy calls a tok2vec: for each Doc one float32 row a token, shape ``(n_tokens, width)``."""
