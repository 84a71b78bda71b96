"""Training a packaged student further, on a treebank of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import spacy
import srsly
from spacy.language import Language
from spacy.util import load_model_from_config
from spacy.vocab import Vocab
from thinc.api import Config, Model, fix_random_seed

from ..data.conllu import read_conllu
from ..data.convert import convert
from ..data.corpus import SUFFIXES, TreebankCorpus, read_docs
from ..evaluation.conventions import DEV_IN_TRAINING, Told
from ..evaluation.own_scores import Scores, own_scores
from ..files import folder_sha256, replace_folder, sha256, write_json
from ..models.encoders import export
from ..packaging.conventions_meta import CONVENTION_TEXT
from ..packaging.quantize import calibration_docs, quantize, with_lemmas
from ..runtime.doc_labels import doc_labels
from ..runtime.encoder import SharedEncoder
from ..runtime.labels import Inventory
from ..runtime.lemmas import Lemmas
from ..runtime.morphologizer import COMPONENT
from ..runtime.pipeline import lemmatizer, pipeline_encoder, tagger
from ..training.schedule import Schedule
from .collect import gold_shards
from .lemma_fit import fit_table
from .lemmas import word_counts
from .model import pipeline_model, student_encoder
from .own_pipeline import named, write_pipeline
from .own_treebank import has_feats, without_feats
from .provenance import check_unchanged, provenance
from .shards import held_out, stored_targets
from .train import OnStep, Training, write_run
from .transfer import continue_from

TREEBANK = "xx_own"
PASSES = 10
"""Over the training sentences, unless told otherwise."""
SHARD_WORDS = 20_000
MADE = ("ud", "corpus", "targets", "training")
"""Folders that are made on the way."""


def finetune(
    trained: Language,
    train: Path,
    output: Path,
    *,
    dev: Path | None = None,
    test: Path | None = None,
    words: int | None = None,
    name: str | None = None,
    version: str | None = None,
    keep: bool = False,
    progress: Callable[[int], OnStep] = lambda _: lambda *_: None,
    on_row: Callable[[dict[str, float]], None] = lambda _: None,
) -> tuple[Language, dict[str, Scores]]:
    """The pipeline that `trained` becomes when it goes on with the gold labels of a treebank; needs torch.

    train, dev: CoNLL-U; without dev a tenth of train serves to choose the best state. words: how many it sees
    in all, by default ten passes over train. name, version: see `named`. progress: told of that number, gives
    what is told of each step. on_row: told of each row of the log. test: CoNLL-U that is scored, and nothing
    else; the scores are those of dev and test, before and after.

    Labels that `trained` did not have are added. All else stays: tokenizer, other components, settings and
    meta, to whose sources the treebank is added; scores are left out, as they are those of `trained`. The
    result has 8-bit weights like `trained`, whose own languages it may come to tag worse than before; it has
    one head for all and no conventions, and components that listen to its encoder hear another one.

    In `output` are the corpus and ``training`` with log and checkpoint, from which an interrupted run goes
    on; in the end ``model``, the result, and ``run.json`` alone, unless all is to be kept. Where no word of a
    file has FEATS they are unknown, and learned nothing of. Raises ConlluError for a bad file, ValueError if
    the folder is of another run or a name is wrong; then all is left as it was."""
    meta = named(trained, "finetuned", f"Fine-tuned on {train.name}", name, version)
    tested = [] if test is None else list(read_conllu(test))
    with TemporaryDirectory() as folder:
        staged = Path(folder)
        n_words = _convert(staged, train, dev)
        schedule = Schedule(
            words=words or PASSES * n_words,
            exponent=1.0,
            batch_pieces=640,
            learn_rate=0.0005,
            embedding_learn_rate=0.001,
            warmup=0.05,
            weight_decay=0.01,
            evaluations=20,
            seed=0,
        )
        settings = {key: value for key, value in asdict(schedule).items() if key != "seconds"}
        start = {
            "name": trained.meta["name"],
            "sha256": folder_sha256(trained.path) if trained.path else None,
        }
        files = {"train": sha256(train), "dev": sha256(dev) if dev is not None else None}
        config = Config({"distillation": settings, "start": start, "treebank": files})
        record = provenance(config, [])
        check_unchanged(output / "run.json", record)
        write_run(output, config, record)
        for part in ("ud", "corpus"):
            replace_folder(output / part, partial(shutil.copytree, staged / part))
    corpus = output / "corpus"
    labels = _with_labels(tagger(trained).inventory, corpus)
    nlp = new_student(trained, labels)
    continue_from(nlp, trained)
    nlp.meta.update(meta)
    for key in ("performance", "conventions", DEV_IN_TRAINING, CONVENTION_TEXT):
        nlp.meta.pop(key, None)
    paths = gold_shards(corpus, [TREEBANK], labels, output / "targets", shard_words=SHARD_WORDS)
    model = pipeline_model(nlp)
    targets = stored_targets(list(paths), model, schedule, temperature=1.0, masking=0.0)
    examples = held_out(list(TreebankCorpus(corpus, [TREEBANK], "dev")(nlp)), model)
    Training(nlp, model, targets, schedule, examples, output / "training").run(
        progress(schedule.words), on_row
    )
    best = spacy.load(output / "training" / "model-best")
    light = quantize(best, calibration_docs(corpus, [TREEBANK], best.vocab))
    counts = word_counts(read_docs(corpus, TREEBANK, "train", best.vocab, units=("words",)))
    if counts and lemmatizer(trained) is not None:
        light = with_lemmas(light, Lemmas.of([fit_table({"": counts})]))
    replace_folder(output / "model", lambda path: write_pipeline(light, trained, path))
    scores = {}
    held_out_sentences = list(read_conllu(corpus / TREEBANK / "dev.conllu"))
    for split, sentences in (("dev", held_out_sentences), ("test", tested)):
        if sentences:
            scores[f"{split} before"] = own_scores(trained, sentences, Told())
            scores[f"{split} after"] = own_scores(light, sentences, Told())
    record = srsly.read_json(output / "run.json")
    write_json(output / "run.json", {**record, "scores": scores})
    if not keep:
        for path in (*(output / part for part in MADE), output / "config.cfg"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return light, scores


def _with_labels(inventory: Inventory, corpus: Path) -> Inventory:
    """With those of the training sentences; of ones without FEATS the UPOS that there were not."""
    sentences = read_docs(corpus, TREEBANK, "train", Vocab(), units=tuple(SUFFIXES))
    seen = {label for doc in sentences for label in doc_labels(doc)}
    old = {upos for upos, _ in inventory.combinations}
    own = {label for label in seen if all(label)} or {
        (upos, "_") for upos, _ in seen if upos and upos not in old
    }
    return Inventory.from_labels([*inventory.combinations, *own])


def _convert(staged: Path, train: Path, dev: Path | None) -> int:
    """Make the corpus of the files in a new folder; the number of words to train on."""
    source = staged / "ud" / TREEBANK
    source.mkdir(parents=True)
    for split, path in (("train", train), ("dev", dev)):
        if path is not None:
            sentences = list(read_conllu(path))  # an error names the user's file, not the copy
            known = sentences if has_feats(sentences) else without_feats(sentences)
            text = "".join(sentence.to_conllu() for sentence in known)
            (source / f"{TREEBANK}-ud-{split}.conllu").write_text(text, encoding="utf-8", newline="\n")
    manifest = convert(staged / "ud", staged / "corpus", [TREEBANK])
    return int(manifest["treebanks"][TREEBANK]["splits"]["train"]["words"])


def new_student(trained: Language, labels: Inventory) -> Language:
    """A pipeline like a trained one, but for an encoder in PyTorch of the same sizes and wordpieces, and a
    head with these labels, both with new weights."""
    encoder = export(pipeline_encoder(trained))
    config = trained.config.copy()
    config["components"][COMPONENT]["convention"] = None
    tok2vec = {"@architectures": "mminibert.MiniBert.v1", "dropout": 0.0, **encoder.sizes}
    shared = [name for name, pipe in trained.components if isinstance(pipe, SharedEncoder)]
    if shared:
        config["components"][shared[0]]["model"] = tok2vec
    else:
        config["components"][COMPONENT]["model"]["tok2vec"] = tok2vec
    fix_random_seed(0)
    nlp = load_model_from_config(config, auto_fill=True)
    # The config is made anew from the components; the rest is what the trained pipeline has.
    replaced = ["config.cfg", COMPONENT, *shared]
    nlp.from_bytes(trained.to_bytes(exclude=replaced), exclude=replaced)
    student_encoder(nlp).build(encoder.pieces)
    pipe = tagger(nlp)
    pipe.inventory = labels
    width = encoder.sizes["hidden_width"]
    output: Model[Any, Any] = pipe.output_layer
    new: Any = {"W": np.zeros((labels.n_outputs, width), dtype=np.float32), "b": labels.log_prior([])}
    output.set_dim("nI", width)
    output.set_dim("nO", labels.n_outputs)
    for name, value in new.items():
        output.set_param(name, value)
    return nlp
