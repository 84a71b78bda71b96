"""Training a packaged student further, on a treebank of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import Config, fix_random_seed

from ..data.convert import convert
from ..data.corpus import TreebankCorpus, collect_labels
from ..files import folder_sha256, write_json
from ..models.encoders import export
from ..packaging.quantize import calibration_docs, quantize
from ..runtime.labels import Inventory
from ..runtime.pipeline import pipeline_encoder, tagger
from .collect import gold_shards
from .distill import Trainer
from .provenance import check_unchanged, provenance
from .soft_corpus import Schedule, SoftCorpus
from .transfer import continue_from

TREEBANK = "xx_own"
PASSES = 10
"""Over the training sentences, unless told otherwise."""
SHARD_WORDS = 20_000


def finetune(
    trained: Language,
    train: Path,
    output: Path,
    *,
    dev: Path | None = None,
    words: int | None = None,
    progress: Callable[[Trainer, float], None] = lambda *_: None,
) -> Language:
    """The pipeline that `trained` becomes when it goes on with the gold labels of a treebank; needs torch.

    train, dev: CoNLL-U; without dev a tenth of train serves to choose the best state. words: how many it sees
    in all, by default ten passes over train. Labels that `trained` did not have are added. The result has
    8-bit weights like `trained`, whose own languages it may come to tag worse than before.

    In `output` are the corpus, ``training`` with log and checkpoint, from which an interrupted run goes on,
    and ``model``, the result. Raises ConlluError for a bad file, ValueError if the folder is of another run.
    """
    source = output / "ud" / TREEBANK
    source.mkdir(parents=True, exist_ok=True)
    for split, path in (("train", train), ("dev", dev)):
        if path is not None:
            shutil.copyfile(path, source / f"{TREEBANK}-ud-{split}.conllu")
    manifest = convert(output / "ud", output / "corpus", [TREEBANK])
    own = collect_labels(output / "corpus", [TREEBANK])
    old = tagger(trained)
    labels = Inventory.from_labels([*old.inventory.combinations, *own.combinations])
    n_words = manifest["treebanks"][TREEBANK]["splits"]["train"]["words"]
    schedule = Schedule(
        temperature=1.0,
        words=words or PASSES * n_words,
        exponent=1.0,
        batch_pieces=640,
        learn_rate=0.0005,
        embedding_learn_rate=0.001,
        warmup=0.05,
        weight_decay=0.01,
        word_masking=0.0,
        evaluate_steps=500,
        seed=0,
    )
    start = {"name": trained.meta["name"], "sha256": folder_sha256(trained.path) if trained.path else None}
    config = Config({"distillation": asdict(schedule), "start": start})
    record = provenance(config, [output / "corpus" / "manifest.json"])
    check_unchanged(output / "run.json", record)
    write_json(output / "run.json", record)
    nlp = new_student(trained, labels)
    continue_from(nlp, trained)
    paths = gold_shards(output / "corpus", [TREEBANK], labels, output / "targets", shard_words=SHARD_WORDS)
    encoder = pipeline_encoder(nlp)
    corpus = SoftCorpus(list(paths), encoder.pieces, max_pieces=encoder.max_pieces)
    examples = list(TreebankCorpus(output / "corpus", [TREEBANK], "dev")(nlp))
    Trainer(nlp, corpus, examples, schedule, output / "training").run(progress)
    best = spacy.load(output / "training" / "model-best")
    sentences = calibration_docs(output / "corpus", [TREEBANK], best.vocab)
    light = quantize(best, sentences)
    light.to_disk(output / "model")
    return light


def new_student(trained: Language, labels: Inventory) -> Language:
    """A student with random weights, of the sizes and wordpieces of a trained one and with these labels."""
    encoder = export(pipeline_encoder(trained))
    fix_random_seed(0)
    with TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_bytes(encoder.pieces.to_bytes())
        tok2vec = {
            "@architectures": "mminibert.MiniBert.v1",
            "vocabulary": str(vocabulary),
            "dropout": 0.0,
            **encoder.sizes,
        }
        nlp = spacy.blank(trained.lang or "xx")
        pipe: Any = nlp.add_pipe(
            "factored_morphologizer",
            name="morphologizer",
            config={"model": {"@architectures": "mminibert.FactoredTagger.v1", "tok2vec": tok2vec}},
        )
        doc = nlp.make_doc("x")
        pipe.initialize(lambda: [Example(doc, doc)], nlp=nlp, labels=labels.to_json())
    return nlp
