"""Processes that train one model together, each on its part of every batch; needs PyTorch alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from .batches import Batch
from .checkpoint import Progress, load_state, packed, state_of, unpacked
from .model import Optimizers, Tagger

PATIENCE = timedelta(hours=1)
"""How long the others wait at most while the first rank evaluates and writes."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, and which of them this is; alone if nothing is said. The first one keeps
    the time, evaluates and writes all files. local: which of its machine's this is."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def part(self, batch: Batch) -> Batch:
        """This rank's sentences of a batch, see `Batch.part`."""
        if self.size == 1:
            return batch
        n = len(batch.piece_ids)
        return batch.part(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def replica(self, model: Tagger) -> Callable[..., Tensor]:
        """What to call in the model's place, after `Optimizers` were made for it: its gradients become the
        means over the ranks, those of the word embeddings too, sparse or not."""
        if self.size == 1:
            return model
        # Static: the same parameters have gradients in each step, so that others, such as a pooler's, do no harm.
        return DistributedDataParallel(model, static_graph=True)

    def mean(self, loss: Tensor) -> Tensor:
        """Over the ranks."""
        if self.size > 1:
            distributed.all_reduce(loss)
            loss /= self.size
        return loss

    def of_first(self, *values: float) -> tuple[float, ...]:
        """What the first rank says."""
        if self.size == 1:
            return values
        told = torch.tensor(values, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return tuple(told.tolist())

    def as_first(self, model: Tagger, optimizers: Optimizers, now: Progress) -> Progress:
        """Make weights, optimizers and progress those of the first rank; but for what is random."""
        if self.size == 1:
            return now
        said = [bytes(packed(state_of(model, optimizers, now))) if self.is_first else b""]
        distributed.broadcast_object_list(said, 0)
        if not self.is_first:
            now = load_state(unpacked(said[0]), model, optimizers)
            torch.manual_seed(int(torch.randint(2**62, ())) + self.rank)
        return now


ALONE = Ranks()


@contextmanager
def torchrun_ranks() -> Iterator[Ranks]:
    """The ranks that torchrun started, by its environment; without it this process alone.

    An error of one ends all: the first to have one shows it, the others, which lose it or have the same, end
    with status 1 without a word.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous  # which not every build of PyTorch has

    store, rank, size = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield Ranks(rank, size, int(os.environ["LOCAL_RANK"]))
    except BaseException as error:
        if store.add("failed", 1) > 1:
            raise SystemExit(1) from error
        raise
    distributed.destroy_process_group()
