"""The student's training loop: soft targets in, a trained pipeline out; resumes exactly."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy.language import Language
from spacy.training import Example
from torch import nn

from .corpus import group_by_length
from .features import Inventory
from .files import atomic_path
from .losses import soft_cross_entropy
from .models.encoder import StudentShim
from .models.export import read_weights
from .pipeline import FactoredMorphologizer, gold_labels
from .soft_targets import Targets, densify, read_shard
from .types import Floats
from .wordpieces import WordPieces

HEAD = {"weight": "W", "bias": "b"}
"""The names of the head's parameters in PyTorch and in thinc."""
BUFFER = 64
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class Schedule:
    """Of the student's training; the config section ``[distillation]``.

    temperature: of the soft targets (1 for gold labels). words: how many the student sees, repetitions
    included.
    exponent: a language of n words is drawn in proportion to ``n ** exponent``. batch_pieces: padded
    wordpieces a step. learn_rate, embedding_learn_rate: at their peak, after ``warmup`` (a fraction of all
    steps); then they fall linearly to 0. evaluate_steps: between two evaluations, each of which also writes
    a checkpoint.
    """

    temperature: float
    words: int
    exponent: float
    batch_pieces: int
    learn_rate: float
    embedding_learn_rate: float
    warmup: float
    weight_decay: float
    evaluate_steps: int
    seed: int

    def rate(self, step: int, total: int) -> float:
        """The factor on both learning rates at a step."""
        rising = max(int(self.warmup * total), 1)
        return (step + 1) / rising if step < rising else max(total - step, 0) / max(total - rising, 1)


class SoftCorpus:
    """All shards in memory: sentences as wordpieces, and their words' targets."""

    def __init__(self, paths: Sequence[Path], pieces: WordPieces, *, max_pieces: int) -> None:
        """max_pieces: with [CLS] and [SEP]; a longer sentence is cut at a word.

        Raises FileNotFoundError if there are no shards.
        """
        if not paths:
            raise FileNotFoundError("no shards of targets; run the step `collect` first")
        self.pad_id = pieces.pad_id
        self.langs: list[str] = []
        piece_ids: list[np.ndarray] = []
        first: list[np.ndarray] = []
        words: list[int] = []
        kept: list[Targets] = []
        for path in sorted(paths):
            shard = read_shard(path)
            kept.append(shard.targets)
            for sentence in shard.sentences:
                ids, starts = [pieces.cls_id], []
                for word in sentence:
                    found = pieces.pieces(word)
                    if len(ids) + len(found) + 1 > max_pieces:
                        break
                    starts.append(len(ids))
                    ids.extend(found)
                piece_ids.append(np.asarray([*ids, pieces.sep_id], dtype=np.int32))
                first.append(np.asarray(starts, dtype=np.int32))
                words.append(len(sentence))
                self.langs.append(path.name.rpartition("-")[0])
        self.piece_ids, self.first = piece_ids, first
        self.word_starts = np.cumsum([0, *words])
        self.targets = Targets(*(np.concatenate([getattr(t, name) for t in kept]) for name in _FIELDS))
        self.entry_starts = np.cumsum(np.concatenate([[0], self.targets.counts.astype(np.int64)]))

    @property
    def n_words(self) -> int:
        return int(self.word_starts[-1])

    def by_language(self) -> dict[str, np.ndarray]:
        langs = np.asarray(self.langs)
        return {str(lang): np.flatnonzero(langs == lang) for lang in np.unique(langs)}

    def batch(self, sentences: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Targets]:
        """Padded piece_ids int64, mask bool, flat positions of first pieces int64, and the targets."""
        longest = max(len(self.piece_ids[i]) for i in sentences)
        ids = np.full((len(sentences), longest), self.pad_id, dtype=np.int64)
        lengths = np.asarray([len(self.piece_ids[i]) for i in sentences])
        for row, i in enumerate(sentences):
            ids[row, : lengths[row]] = self.piece_ids[i]
        first = np.concatenate(
            [self.first[i].astype(np.int64) + r * longest for r, i in enumerate(sentences)]
        )
        mask = np.arange(longest) < lengths[:, None]
        # A sentence that was cut has fewer words here than targets; the first ones belong to it.
        words = np.concatenate([np.arange(len(self.first[i])) + self.word_starts[i] for i in sentences])
        return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(first), self._targets(words)

    def _targets(self, words: np.ndarray) -> Targets:
        counts = self.targets.counts[words]
        offsets = np.repeat(self.entry_starts[words] - np.cumsum(counts, dtype=np.int64) + counts, counts)
        entries = np.arange(int(counts.sum())) + offsets
        return Targets(
            self.targets.upos[words],
            counts,
            self.targets.columns[entries],
            self.targets.probs[entries],
            self.targets.known[words],
        )


_FIELDS = ("upos", "counts", "columns", "probs", "known")


def plan(corpus: SoftCorpus, schedule: Schedule) -> Iterator[list[int]]:
    """The batches (indices of sentences) of the whole training; the same for the same seed."""
    lengths = np.diff(corpus.word_starts)
    seen = 0
    for epoch in count():
        for batch in plan_epoch(corpus, schedule, epoch):
            if seen >= schedule.words:
                return
            seen += int(lengths[batch].sum())
            yield batch


def plan_epoch(corpus: SoftCorpus, schedule: Schedule, epoch: int) -> list[list[int]]:
    """The batches of an epoch, which has as many words as the corpus."""
    random = np.random.default_rng([schedule.seed, epoch])
    pools = corpus.by_language()
    words = np.diff(corpus.word_starts)
    sizes = {lang: int(words[pool].sum()) for lang, pool in pools.items()}
    weights = {lang: size**schedule.exponent for lang, size in sizes.items()}
    scale = corpus.n_words / sum(weights.values())
    chosen = []
    for lang, pool in pools.items():
        times = weights[lang] * scale / sizes[lang]
        whole = [random.permutation(pool) for _ in range(math.ceil(times))]
        sample = np.concatenate(whole)
        chosen.append(sample[: max(round(len(pool) * times), 1)])
    order = random.permutation(np.concatenate(chosen))
    lengths = [len(corpus.piece_ids[i]) for i in order]
    batches: list[list[int]] = []
    step = max(1, schedule.batch_pieces * BUFFER // max(int(np.mean(lengths)), 1))
    for start in range(0, len(order), step):
        groups = group_by_length(lengths[start : start + step], size=schedule.batch_pieces)
        found = [[int(order[start + i]) for i in group] for group in groups]
        batches.extend(found[i] for i in random.permutation(len(found)))
    return batches


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


def continue_from(nlp: Language, trained: Language) -> None:
    """Give a new student what a trained one knows: a student of training, or a packaged one of 8 bits.

    The rows of wordpieces and of label values that both have are copied, other ones stay as they are.
    Raises ValueError if the encoders are of different sizes.
    """
    new = Student(nlp)
    old: Any = trained.get_pipe("morphologizer")
    encoder = trained_encoder(old)
    weights, pieces = dict(encoder.weights), encoder.pieces
    words = weights.pop(WORDS)
    state = new.bert.state_dict()
    wrong = {name for name, value in weights.items() if name in state and state[name].shape != value.shape}
    if wrong or words.shape[1] != state[WORDS].shape[1] or weights.keys() | {WORDS} != state.keys():
        raise ValueError(
            f"the trained encoder has other sizes ({', '.join(sorted(wrong)) or 'layers'}); give the new one "
            "those of its config"
        )
    places = {piece: i for i, piece in enumerate(pieces.vocab)}
    shared = [(i, places[piece]) for i, piece in enumerate(new.shim.pieces.vocab) if piece in places]
    rows = state[WORDS].clone()
    rows[[i for i, _ in shared]] = torch.from_numpy(words[[j for _, j in shared]]).to(rows.device)
    new.bert.load_state_dict({WORDS: rows, **{k: torch.tensor(v) for k, v in weights.items()}})
    outputs = {value: i for i, value in enumerate(_values(old.inventory))}
    known = [(i, outputs[value]) for i, value in enumerate(_values(new.pipe.inventory)) if value in outputs]
    for thinc in HEAD.values():
        parameter = new.output.get_param(thinc).copy()
        parameter[[i for i, _ in known]] = old.model.get_ref("output_layer").get_param(thinc)[
            [j for _, j in known]
        ]
        new.output.set_param(thinc, parameter)


WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class TrainedEncoder:
    """Weights by the names of Hugging Face's `BertModel`; sizes by the settings of `MiniBert`."""

    weights: Mapping[str, np.ndarray]
    pieces: WordPieces
    sizes: Mapping[str, int]


def trained_encoder(pipe: Any) -> TrainedEncoder:
    """What the encoder of a trained tagger is, whether in torch or packaged."""
    encoder = pipe.model.get_ref("tok2vec")
    shim = encoder.shims[0]
    weights: dict[str, np.ndarray]
    if isinstance(shim, StudentShim):
        weights = {k: v.detach().cpu().numpy() for k, v in shim.bert.state_dict().items()}
        heads = shim.sizes.num_attention_heads
        pieces, windows = shim.pieces, encoder.attrs
    else:
        weights, heads = read_weights(shim.student.graph)
        weights[WORDS] = shim.student.words
        weights[POSITIONS] = shim.student.positions
        # Their first row is part of the positions.
        weights[TOKEN_TYPES] = np.zeros((2, shim.student.width), dtype=np.float32)
        pieces, windows = shim.student.pieces, asdict(shim.settings)
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    return TrainedEncoder(
        weights,
        pieces,
        {
            "hidden_width": weights[WORDS].shape[1],
            "intermediate_width": len(weights["encoder.layer.0.intermediate.dense.bias"]),
            "num_hidden_layers": len(layers),
            "num_attention_heads": heads,
            "max_positions": len(weights[POSITIONS]),
            "max_pieces": windows["max_pieces"],
            "overlap": windows["overlap"],
        },
    )


def _values(inventory: Inventory) -> list[tuple[str, str]]:
    return [(name, value) for name, values in inventory.fields for value in values]
