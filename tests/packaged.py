"""A tiny packaged pipeline of three languages, with random weights."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.vocab import Vocab
from students import conventions_of_head
from transformers import BertConfig, BertModel

from mminibert.models.quantized import from_student
from mminibert.models.segmenter import SegmenterNet, SegmenterSizes
from mminibert.models.segmenter_export import export_segmenter
from mminibert.packaging.language_parts import language_levels
from mminibert.packaging.segmenter_part import SegmenterPart
from mminibert.runtime.alphabet import CATEGORIES, Alphabet
from mminibert.runtime.expansions import Entry, Expansions
from mminibert.runtime.labels import Inventory, Label
from mminibert.runtime.languages import Languages, Levels
from mminibert.runtime.pipeline import tagger
from mminibert.runtime.segmenter import Segmenter
from mminibert.runtime.wordpieces import SPECIAL_PIECES, WordPieces

PUNCTUATION = ".?-"
CHARACTERS = "abcdeχяк漢語" + PUNCTUATION
WHOLE = ("abc", "##cde", "ябк", "##ка", "漢語")
PIECES = WordPieces(
    [*SPECIAL_PIECES, *CHARACTERS, *(f"##{c}" for c in CHARACTERS if c not in PUNCTUATION), *WHOLE]
)

LABELS = {
    "en": [("NOUN", "Number=Sing"), ("NOUN", "Number=Plur"), ("VERB", "Tense=Past"), ("PUNCT", "_")],
    "ru": [("NOUN", "Case=Nom|Number=Sing"), ("VERB", "Aspect=Imp|Tense=Past"), ("PUNCT", "_")],
    "zh": [("NOUN", "_"), ("PART", "Case=Gen"), ("PUNCT", "_")],
}
CONVENTIONS: dict[str, list[Label]] = {
    "en_x": LABELS["en"],
    "en_y": [("NOUN", "Number=Sing"), ("VERB", "Tense=Past"), ("VERB", "Number=Plur"), ("PUNCT", "_")],
    "ru_x": LABELS["ru"],
    "zh_x": [*LABELS["zh"], ("PUNCT", "Number=Plur")],  # strong evidence for it must not matter in `en`
}
SENTENCES = {
    "en": [["abc", "abccde", "bad", "."], ["cab", "-", "ace", "abc", "?"]],
    "ru": [["як", "кя", "."], ["я", "к", "як"]],
    "zh": [["漢語", "語"], ["漢", "。"]],
}
HEADS = 4


def three_languages() -> Language:
    """A packaged pipeline of `LABELS`, with random weights, without conventions."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=64,
        max_position_embeddings=160,
        initializer_range=0.3,
    )
    bert = BertModel(config, add_pooling_layer=False)
    weights = {name: value.numpy() for name, value in bert.state_dict().items()}
    filled = from_student(weights, PIECES, num_attention_heads=HEADS)
    nlp = spacy.blank("xx")
    model = {
        "@architectures": "mminibert.FactoredTagger.v1",
        "tok2vec": {"@architectures": "mminibert.MiniBertOnnx.v1"},
    }
    nlp.add_pipe("sentencizer")
    pipe: Any = nlp.add_pipe("factored_morphologizer", name="morphologizer", config={"model": model})
    pipe.model.get_ref("tok2vec").from_bytes(filled.to_bytes())
    pipe.inventory = Inventory.from_labels(label for labels in LABELS.values() for label in labels)
    output = pipe.model.get_ref("output_layer")
    n = pipe.inventory.n_outputs
    output.set_dim("nI", 32)
    output.set_dim("nO", n)
    rng = np.random.default_rng(0)
    output.set_param("W", rng.standard_normal((n, 32)).astype(np.float32))
    output.set_param("b", rng.standard_normal(n).astype(np.float32))
    return nlp


def levels_of(lang: str) -> Levels:
    return language_levels(PIECES, Counter(word for sentence in SENTENCES[lang] for word in sentence))


def with_conventions(nlp: Language) -> Language:
    """A copy with conventions, and languages that pieces alone tell apart."""
    copy = spacy.util.load_model_from_config(nlp.config)
    copy.from_bytes(nlp.to_bytes())
    pipe = tagger(copy)
    pipe.conventions = conventions_of_head(copy, CONVENTIONS)
    levels, n = np.stack([levels_of(lang) for lang in LABELS]), len(LABELS)
    zeros = np.zeros((32, n), np.float32), np.zeros(n, np.float32)
    pipe.languages = Languages(tuple(LABELS), levels, *zeros, 1.0)
    return copy


EXPANSIONS = {
    "en": Expansions({"": {"cab": Entry("always", ("c", "ab"))}, "en_y": {"cab": Entry("never", ())}}),
    "ru": Expansions({"": {"як": Entry("always", ("я", "к"))}}),
}
"""Of two of the three languages; in one convention there is no such token."""


def random_segmenter(seed: int = 0) -> SegmenterPart:
    """Of the languages and conventions of `CONVENTIONS`, with random weights that end tokens now and then."""
    torch.manual_seed(seed)
    languages, codes = tuple(LABELS), (*LABELS, *CONVENTIONS)
    alphabet = Alphabet("".join(sorted({*CHARACTERS, *"é。9"})))
    sizes = SegmenterSizes(len(alphabet), 1 + len(CATEGORIES), len(languages), len(codes), pairs=64)
    net = SegmenterNet(sizes)
    with torch.no_grad():
        for table in (net.character_codes, net.unit_codes, net.pairs, net.label_codes):
            table.weight.normal_()
        for head in (net.character_heads, net.unit_heads):
            head.weight.normal_(std=0.1)
        net.pairs.weight[0] = 0
        inside, outside = cast("tuple[Any, Any]", (net.character_labels.bias, net.unit_labels.bias))
        inside[0] += 1
        # No label is likelier than another.
        vectors, gaps = torch.rand(1, 500, sizes.vector_width) * 3, torch.randint(0, 3, (1, 500))
        pairs = torch.randint(0, sizes.pairs, (1, 500))
        labels = net.of_units(vectors, gaps, pairs, torch.zeros(1, dtype=torch.int64))
        outside -= labels.mean((0, 1))
    model = export_segmenter(net.eval(), alphabet, languages=languages, codes=codes)
    return SegmenterPart(model, EXPANSIONS)


def segmenter_bytes() -> bytes:
    """What the step `segment` writes."""
    segmenter = Segmenter(Vocab())
    segmenter.learned(random_segmenter().model, EXPANSIONS)
    return segmenter.to_bytes()
