"""Transformer teachers of a tiny random BERT, as `transformers` and the project's own config make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.util import load_model_from_config
from students import make_profile
from thinc.api import Adam, fix_random_seed
from transformers import BertConfig, BertModel, BertTokenizerFast

from mminibert.project.profile import compose

ROOT = Path(__file__).parents[1]
POSITIONS = 160
MakeExamples = Callable[..., list[Example]]


def write_bert(path: Path, vocabulary: Path, *, seed: int = 0, **config: Any) -> Path:
    """A random BERT and its tokenizer, as `transformers` saves them; `config`: more of `BertConfig`."""
    torch.manual_seed(seed)
    tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=False, model_max_length=POSITIONS)
    settings = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,  # so that context matters
        **config,
    )
    BertModel(settings).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def make_teacher(
    bert_path: Path, examples: MakeExamples, *, spans: str | None = None, freeze_embeddings: bool = False
) -> Language:
    """The teacher of the project's own config, with a tiny BERT; `spans`: another span getter. Its head is
    the same whatever was drawn before."""
    fix_random_seed(0)
    profile = make_profile("tiny", teacher={"name": str(bert_path), "licence": "MIT"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        config = compose("mbert", profile)
    config["initialize"]["components"] = {}
    config["initialize"]["after_init"]["freeze_embeddings"] = freeze_embeddings
    if spans is not None:
        config["components"]["transformer"]["model"]["get_spans"] = {"@span_getters": spans}
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: examples(nlp), sgd=Adam(0.003))
    return nlp
