"""The student's training loop: soft targets in, a trained pipeline out; resumes exactly."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.language import Language
from spacy.training import Example
from torch import nn

from .features import Inventory
from .files import atomic_path
from .losses import soft_cross_entropy
from .models.encoder import StudentShim
from .pipeline import FactoredMorphologizer, gold_labels
from .soft_corpus import Schedule, SoftCorpus, plan
from .soft_targets import densify
from .types import Floats

HEAD = {"weight": "W", "bias": "b"}
"""The names of the head's parameters in PyTorch and in thinc."""


class Student(nn.Module):
    """Encoder and head as one PyTorch module, tied to the pipeline that they come from."""

    def __init__(self, nlp: Language) -> None:
        super().__init__()
        pipe: Any = nlp.get_pipe("morphologizer")
        self.pipe: FactoredMorphologizer = pipe
        self.shim: StudentShim = pipe.model.get_ref("tok2vec").shims[0]
        self.output = self.pipe.model.get_ref("output_layer")
        self.bert = self.shim.bert
        self.head = nn.Linear(self.output.get_dim("nI"), self.output.get_dim("nO")).to(self.shim.device)
        self.head.load_state_dict(
            {name: torch.from_numpy(np.array(self.output.get_param(thinc))) for name, thinc in HEAD.items()}
        )

    def forward(self, piece_ids: torch.Tensor, mask: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return self.head(self.bert.first_pieces(piece_ids, mask, first))

    def write_back(self) -> None:
        """Put the head's weights into the pipeline; the encoder is shared with it."""
        for name, thinc in HEAD.items():
            self.output.set_param(thinc, self.head.state_dict()[name].detach().cpu().numpy().copy())


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
        self.student = Student(nlp)
        self.inventory: Inventory = self.student.pipe.inventory
        self.weights = self.inventory.weights(self.student.pipe.upos_weight)
        table = self.student.bert.embeddings.word_embeddings.weight
        dense = [parameter for parameter in self.student.parameters() if parameter is not table]
        self.dense = torch.optim.AdamW(
            dense, lr=schedule.learn_rate, weight_decay=schedule.weight_decay, fused=True
        )
        self.sparse = torch.optim.SparseAdam([table], lr=schedule.embedding_learn_rate)
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
        self.dense.param_groups[0]["lr"] = schedule.learn_rate * rate
        self.sparse.param_groups[0]["lr"] = max(schedule.embedding_learn_rate * rate, 1e-12)
        piece_ids, mask, first, targets = self.corpus.batch(sentences)
        device = self.student.head.weight.device
        self.student.train()
        logits = self.student(piece_ids.to(device), mask.to(device), first.to(device))
        loss, gradient = soft_cross_entropy(
            logits.detach().cpu().numpy(),
            densify(targets, self.inventory.starts, schedule.temperature),
            self.inventory.starts,
            weights=self.weights,
            temperature=schedule.temperature,
        )
        logits.backward(torch.from_numpy(gradient).to(device))
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.dense.step()
        self.sparse.step()
        self.dense.zero_grad()
        self.sparse.zero_grad()
        self.step += 1
        self.words += len(targets)
        return loss

    def evaluate(self, loss: float) -> None:
        """Score the dev sentences, log, keep the best pipeline, and write a checkpoint."""
        self.student.write_back()
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
            "student": self.student.state_dict(),
            "dense": self.dense.state_dict(),
            "sparse": self.sparse.state_dict(),
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
        self.student.load_state_dict(state["student"])
        self.student.write_back()
        self.dense.load_state_dict(state["dense"])
        self.sparse.load_state_dict(state["sparse"])
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
    pipe: Any = nlp.get_pipe("morphologizer")
    combinations = pipe.inventory.combinations
    for start in range(0, len(examples), 256):
        part = examples[start : start + 256]
        for example, prediction in zip(part, pipe.predict([eg.predicted for eg in part]), strict=True):
            for (upos, feats), i in zip(gold_labels(example), prediction.combinations, strict=True):
                n_pos += bool(upos)
                n_morph += bool(feats)
                right_pos += bool(upos) and combinations[i][0] == upos
                right_morph += bool(feats) and combinations[i][1] == feats
    return {"pos_acc": right_pos / max(n_pos, 1), "morph_acc": right_morph / max(n_morph, 1)}


def set_word_embeddings(nlp: Language, rows: Floats) -> None:
    """Raises ValueError if the rows are of another shape than the student's table."""
    pipe: Any = nlp.get_pipe("morphologizer")
    table = pipe.model.get_ref("tok2vec").shims[0].bert.embeddings.word_embeddings
    if tuple(table.weight.shape) != rows.shape:
        raise ValueError(
            f"got embeddings of shape {rows.shape}, the student needs {tuple(table.weight.shape)}; "
            "run `collect` with this vocabulary"
        )
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(rows))
