"""The taggers that the benchmark compares: the engine, and those that users would take otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..runtime.lemmatizer import LEMMATIZER
from ..runtime.pipeline import lemmatizer, pipeline_encoder, tagger

__all__ = ["FORMS", "SENTENCES", "Sample", "System", "convolutional", "open_systems"]


FORMS = ("raw", "paragraphs", "words")
"""Text that the system itself splits into tokens, of a sentence each or of some; tokens that are given."""
SENTENCES = 10
"""Of a paragraph."""


@dataclass(frozen=True)
class Sample:
    """Sentences as text and as surface tokens, which count as the words of every system."""

    name: str
    texts: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    def first(self, n_words: float) -> Sample:
        """The first sentences, with at least so many words if there are as many."""
        ends = np.cumsum([len(words) for words in self.words])
        n = int(np.searchsorted(ends, n_words)) + 1
        return Sample(self.name, self.texts[:n], self.words[:n])

    @property
    def n_words(self) -> int:
        return sum(map(len, self.words))

    def inputs(self, form: str, batch_size: int) -> tuple[tuple[str, ...], int]:
        """Its texts, raw or of `SENTENCES` sentences with a blank between, of which the last may have fewer;
        and how many of them are a batch of so many sentences."""
        if form == "raw":
            return self.texts, batch_size
        starts = range(0, len(self.texts), SENTENCES)
        paragraphs = tuple(" ".join(self.texts[start : start + SENTENCES]) for start in starts)
        return paragraphs, max(batch_size // SENTENCES, 1)


@dataclass(frozen=True)
class System:
    """A tagger. run: tags a sample in the form given, with at most so many sentences a batch."""

    name: str
    run: Callable[[Sample, str, int], None]
    batch_size: int
    """Its own default."""
    forms: tuple[str, ...] = FORMS
    """That it can be given."""


def of_pipeline(name: str, nlp: Language, *, by_length: bool = False) -> System:
    """by_length: the caller sorts the sentences, as one does where batches are padded."""

    def run(sample: Sample, form: str, batch_size: int) -> None:
        order = np.argsort([len(words) for words in sample.words]) if by_length else range(len(sample.words))
        if form == "words":
            inputs: Any = (Doc(nlp.vocab, words=list(sample.words[i])) for i in order)
        else:
            texts, batch_size = sample.inputs(form, batch_size)
            inputs = (texts[i] for i in order) if by_length else texts
        with nlp.memory_zone():
            for _ in nlp.pipe(inputs, batch_size=batch_size):
                pass

    return System(name, run, nlp.batch_size, ("raw", "words") if by_length else FORMS)


def tokenizer_of(name: str, nlp: Language) -> System:
    """What a pipeline does first, by itself: its words a second are those of the whole by its share of the
    time."""
    tokenizer: Any = nlp.tokenizer

    def run(sample: Sample, form: str, batch_size: int) -> None:
        texts, batch_size = sample.inputs(form, batch_size)
        with nlp.memory_zone():
            for _ in tokenizer.pipe(texts, batch_size=batch_size):
                pass

    return System(name, run, nlp.batch_size, forms=("raw", "paragraphs"))


def convolutional() -> System:
    """spaCy's tagger as `nlp.add_pipe("tagger")` makes it (96 wide, 4 deep), with random weights."""
    nlp = spacy.blank("xx")
    _initialize(nlp)
    return of_pipeline("spacy cnn", nlp)


def _initialize(nlp: Language) -> None:
    tagger: Any = nlp.add_pipe("tagger", config=_LISTENER if "transformer" in nlp.pipe_names else {})
    for number in range(17):
        tagger.add_label(f"T{number}")
    words = ["a", "b"]
    example = Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words, tags=["T0", "T1"]))
    nlp.initialize(lambda: [example])


_LISTENER = {
    "model": {
        "@architectures": "spacy.Tagger.v2",
        "tok2vec": {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "grad_factor": 1.0,
            "pooling": {"@layers": "reduce_mean.v1"},
        },
    }
}


def transformer(vocabulary: Sequence[str], **sizes: int) -> Language:
    """A BERT of these sizes in spacy-transformers as it comes, with random weights."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        if "[UNK]" not in vocabulary:
            raise ValueError("got no wordpieces, expected such an engine; name this pipeline in --beside")
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8")
        BertTokenizerFast(str(path), do_lower_case=False).save_pretrained(folder)
        BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)
        nlp = spacy.blank("xx")
        nlp.add_pipe("transformer", config={"model": {"name": folder}})
        _initialize(nlp)
    return nlp


def udpipe(path: Path) -> System:
    """UDPipe 1 with a model of its own format. Raises FileNotFoundError, ValueError if it cannot read it."""
    from ufal.udpipe import Model, Pipeline

    if not path.exists():
        raise FileNotFoundError(f"no UDPipe model {path}")
    model = Model.load(str(path))
    if model is None:
        raise ValueError(f"{path} is no UDPipe model")
    tokenizing = Pipeline(model, "tokenize", Pipeline.DEFAULT, Pipeline.NONE, "conllu")
    pipelines = {
        "raw": tokenizing,
        "paragraphs": tokenizing,
        "words": Pipeline(model, "horizontal", Pipeline.DEFAULT, Pipeline.NONE, "conllu"),
    }

    def run(sample: Sample, form: str, batch_size: int) -> None:
        assert model is not None  # a pipeline does not keep its model alive
        if form == "words":
            lines, size = tuple(" ".join(words) for words in sample.words), batch_size
        else:
            lines, size = sample.inputs(form, batch_size)
        for start in range(0, len(lines), size):
            pipelines[form].process("\n".join(lines[start : start + size]))

    return System("udpipe 1", run, 256)


def _beside(name: str) -> list[System]:
    nlp = spacy.load(name)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    return [of_pipeline(Path(name).name, nlp)]


def open_systems(
    pipeline: str, *, beside: Sequence[str], udpipe_model: Path | None, convention: str | None = None
) -> tuple[list[System], dict[str, str]]:
    """The systems there are, and for each of the others why not. beside: further pipelines. convention: that
    the first tags in, None for one that is found in the text. Raises ValueError for an unknown one."""
    engine = spacy.load(pipeline)
    if convention is not None:
        tagger(engine).convention = convention
    vocabulary = pipeline_encoder(engine).pieces.vocab

    def naive() -> list[System]:
        sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 3}
        nlp = transformer(vocabulary, **sizes, num_attention_heads=4)
        return [of_pipeline("naive student", nlp)]

    def mbert() -> list[System]:
        nlp = transformer(vocabulary)
        return [of_pipeline("mbert", nlp), of_pipeline("mbert, sorted", nlp, by_length=True)]

    def other() -> list[System]:
        if udpipe_model is None:
            raise FileNotFoundError("not given (--udpipe)")
        return [udpipe(udpipe_model)]

    systems, missing = [of_pipeline("engine", engine), tokenizer_of("engine's tokenizer", engine)], {}
    if lemmatizer(engine) is not None:
        light = spacy.load(pipeline, disable=[LEMMATIZER])
        tagger(light).convention = convention
        systems.append(of_pipeline("engine without lemmas", light))
    makers: dict[str, Callable[[], list[System]]] = {
        **{Path(name).name: partial(_beside, name) for name in beside},
        "spacy cnn": lambda: [convolutional()],
        "naive student": naive,
        "mbert": mbert,
        "udpipe 1": other,
    }
    for name, make in makers.items():
        try:
            systems.extend(make())
        except (ImportError, OSError, ValueError) as error:
            missing[name] = f"{type(error).__name__}: {error}"
    return systems, missing
