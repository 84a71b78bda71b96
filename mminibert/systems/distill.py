"""The training loop of teacher and students: targets in, a trained pipeline out; resumes exactly."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import spacy
import srsly
import torch
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import registry
from torch import nn

from ..data.targets import densify
from ..files import atomic_path, write_json
from ..project.profile import Profile, compose
from ..runtime.labels import Inventory, gold_labels
from ..runtime.losses import soft_cross_entropy
from .labelling import make_tagger
from .networks import network, set_word_embeddings
from .provenance import check_unchanged, provenance
from .soft_corpus import Schedule, SoftCorpus, plan
from .transfer import continue_from


def make_trainer(system: str, profile: Profile, *, output: Path | None = None, gpu: int = -1) -> Trainer:
    """The trainer of a system for all treebanks whose config has a section ``[distillation]``; its config and
    what it was made with are written to the training folder, the profile's if no other is given.

    Raises ValueError if the folder holds a run with another config or corpus, FileNotFoundError if targets
    are missing.
    """
    output = output or profile.training(system)
    output.mkdir(parents=True, exist_ok=True)
    config = compose(system, profile)
    config.to_disk(output / "config.cfg")
    section = dict(config.interpolate()["distillation"])
    manifests = [profile.corpus / name / "manifest.json" for name in section.pop("targets")]
    if missing := [str(path) for path in manifests if not path.exists()]:
        raise FileNotFoundError(f"no {', '.join(missing)}; run the steps `collect-gold` and `collect` first")
    embeddings, start = section.pop("embeddings"), section.pop("start")
    trained = _load(start) if start else None
    inputs = [profile.corpus / "manifest.json", *manifests]
    inputs += [trained.path / "morphologizer" / "model"] if trained is not None else []
    record = provenance(config, inputs)
    check_unchanged(output / "run.json", record)
    write_json(output / "run.json", record)
    nlp = init_nlp(config, use_gpu=gpu)
    if embeddings:
        set_word_embeddings(nlp, np.load(profile.corpus / embeddings, allow_pickle=False))
    if trained is not None:
        continue_from(nlp, trained)
    reader = network(nlp)
    shards = [path.parent / name for path in manifests for name in srsly.read_json(path)["shards"]]
    corpus = SoftCorpus(shards, reader.pieces, max_pieces=reader.max_pieces)
    dev = registry.resolve({"dev": config.interpolate()["corpora"]["dev"]})["dev"]
    return Trainer(nlp, corpus, list(dev(nlp)), Schedule(**section), output)


def _load(start: str) -> Language:
    try:
        return spacy.load(start)
    except OSError as error:
        raise FileNotFoundError(
            f"distillation.start is {start!r}, expected an installed pipeline or the folder of one; install "
            "it (pip install --no-deps packages/xx_mminibert-*.whl) or take the setting out of the profile"
        ) from error


class Trainer:
    """Steps through the plan, evaluates, and keeps a checkpoint from which it resumes exactly."""

    def __init__(
        self,
        nlp: Language,
        corpus: SoftCorpus,
        dev: Sequence[Example],
        schedule: Schedule,
        output: Path,
    ) -> None:
        self.nlp, self.corpus, self.dev, self.schedule, self.output = nlp, corpus, dev, schedule, output
        self.network = network(nlp)
        self.inventory: Inventory = self.network.pipe.inventory
        self.weights = self.inventory.weights(self.network.pipe.upos_weight)
        table = self.network.sparse_table
        dense = [p for p in self.network.parameters() if p is not table and p.requires_grad]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, lr=schedule.learn_rate, weight_decay=schedule.weight_decay, fused=True)
        ]
        if table is not None:
            self.optimizers.append(torch.optim.SparseAdam([table], lr=schedule.embedding_learn_rate))
        self.parameters = dense
        self.step, self.words, self.best = 0, 0, -1.0
        self.seconds = 0.0

    def run(self, progress: Callable[[Trainer, float], None]) -> None:
        """Train to the end of the schedule; ``progress`` is told of each step and its loss."""
        self.output.mkdir(parents=True, exist_ok=True)
        self.restore()
        self.total = sum(1 for _ in plan(self.corpus, self.schedule))
        started = time.perf_counter() - self.seconds
        losses: list[float] = []
        for batch in islice(plan(self.corpus, self.schedule), self.step, None):
            losses.append(self.update(batch))
            self.seconds = time.perf_counter() - started
            progress(self, losses[-1])
            if self.step % self.schedule.evaluate_steps == 0 or self.step == self.total:
                self.evaluate(float(np.mean(losses)))
                losses.clear()
        if self.step == 0:
            raise ValueError(f"the schedule has no steps: {self.schedule.words} words")

    def update(self, sentences: Sequence[int]) -> float:
        """One step; returns the mean loss a word."""
        schedule = self.schedule
        rate = schedule.rate(self.step, self.total)
        peaks = schedule.learn_rate, schedule.embedding_learn_rate
        for optimizer, peak in zip(self.optimizers, peaks, strict=False):
            optimizer.param_groups[0]["lr"] = max(peak * rate, 1e-12)
        piece_ids, mask, first, targets = self.corpus.batch(
            sentences, masking=schedule.word_masking, seed=[schedule.seed, self.step]
        )
        device = self.network.head.weight.device
        self.network.train()
        logits = self.network(piece_ids.to(device), mask.to(device), first.to(device))
        loss, gradient = soft_cross_entropy(
            logits.detach().cpu().numpy(),
            densify(targets, self.inventory.starts, schedule.temperature),
            self.inventory.starts,
            weights=self.weights,
            temperature=schedule.temperature,
        )
        logits.backward(torch.from_numpy(gradient).to(device))
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.words += len(targets)
        return loss

    def evaluate(self, loss: float) -> None:
        """Score the dev sentences, log, keep the best pipeline, and write a checkpoint."""
        self.network.write_back()
        scores = dev_accuracy(self.nlp, self.dev)
        score = (scores["pos_acc"] + scores["morph_acc"]) / 2
        if score > self.best:
            self.best = score
            self.nlp.to_disk(self.output / "model-best.partial")
            _replace(self.output / "model-best.partial", self.output / "model-best")
        row = {
            "step": self.step,
            "words": self.words,
            "loss": loss,
            **scores,
            "seconds": round(self.seconds, 1),
            "words_per_second": round(self.words / max(self.seconds, 1e-9)),
        }
        with (self.output / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        self.save()

    def save(self) -> None:
        state = {
            "network": self.network.trained_state(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": torch.get_rng_state(),
            "progress": {
                "step": self.step,
                "words": self.words,
                "best": self.best,
                "seconds": self.seconds,
            },
        }
        with atomic_path(self.output / "checkpoint.pt") as path:
            torch.save(state, path)

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one; later lines of the log are dropped."""
        path = self.output / "checkpoint.pt"
        log = self.output / "log.jsonl"
        if not path.exists():
            log.unlink(missing_ok=True)
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"], strict=False)
        self.network.write_back()
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        for name, value in state["progress"].items():
            setattr(self, name, value)
        if log.exists():
            rows = list(log.read_text(encoding="utf-8").splitlines(keepends=True))
            kept = [row for row in rows if row.endswith("\n") and json.loads(row)["step"] <= self.step]
            with atomic_path(log) as temporary:
                temporary.write_text("".join(kept), encoding="utf-8")


def _replace(new: Path, old: Path) -> None:
    if old.exists():
        shutil.rmtree(old)
    new.rename(old)


def dev_accuracy(nlp: Language, examples: Sequence[Example]) -> dict[str, float]:
    """Accuracy of UPOS (``pos_acc``) and of whole FEATS (``morph_acc``) on gold words that have them."""
    right_pos = right_morph = n_pos = n_morph = 0
    tagged = make_tagger(nlp)([[token.text for token in example.predicted] for example in examples])
    for example, predicted in zip(examples, tagged, strict=True):
        for (upos, feats), label in zip(gold_labels(example), predicted, strict=True):
            n_pos += bool(upos)
            n_morph += bool(feats)
            right_pos += bool(upos) and label[0] == upos
            right_morph += bool(feats) and label[1] == feats
    return {"pos_acc": right_pos / max(n_pos, 1), "morph_acc": right_morph / max(n_morph, 1)}
