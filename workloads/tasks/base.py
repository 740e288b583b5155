"""The contract of a task, and training batches in a repeatable order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from hyflexsim.workloads.tasks.seen import Items

Scores = dict[str, float]
"""Figures of merit by name; the task's own metric comes first."""


Split = Literal["train", "test"]


class Metric(NamedTuple):
    """The figure by which a task is judged.

    `floor`: what a model scores that has learned nothing (majority class, unrelated embeddings,
    one guess in all tokens), None where there is no such number.
    """

    name: str
    higher_is_better: bool = True
    floor: float | None = None

    def better(self, a: float, b: float) -> bool:
        """Whether score `a` beats score `b`."""
        return a > b if self.higher_is_better else a < b


class Task(Protocol):
    """Data for training, a loss, and a score on held-out data."""

    name: str
    metric: Metric
    about: str
    """Origin and licence of the data, one line."""

    def batches(self, size: int, seed: int) -> Batches:
        """Training batches, see :class:`Batches`."""
        ...

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Loss of a batch, a scalar to call backward on."""
        ...

    def score(self, model: nn.Module, limit: int | None = None) -> Scores:
        """Figures of merit on held-out data (its first `limit` items), in evaluation mode."""
        ...

    def items(self, split: Split) -> Items:
        """What the model gets to see, feature by feature (seen.py)."""
        ...


class Batches:
    """Batches of an epoch, in an order that depends on seed and epoch alone.

    `make(rows)` builds a batch from row numbers. `lengths` (items,): with them, items of like
    length share a batch (chunks of 50 batches are sorted, then batches are shuffled), which saves
    padding. The same (seed, epoch) gives the same batches, so training can resume.

    >>> batches = Batches(lambda rows: rows.tolist(), items=5, size=2, seed=0)
    >>> len(batches), sorted(sum(batches, []))
    (3, [0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        make: Callable[[np.ndarray], Any],
        items: int,
        size: int,
        seed: int,
        lengths: Sequence[int] | np.ndarray | None = None,
    ):
        self.make, self.items, self.size, self.seed = make, items, size, seed
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The order of this epoch from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.items / self.size)

    def __iter__(self) -> Iterator[Any]:
        for rows in self.rows():
            yield self.make(rows)

    def rows(self) -> list[np.ndarray]:
        """Row numbers of each batch of the epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.items)
        if self.lengths is None:
            return np.split(order, range(self.size, self.items, self.size))
        batches: list[np.ndarray] = []
        for chunk in np.split(order, range(50 * self.size, self.items, 50 * self.size)):
            ranked = chunk[np.argsort(self.lengths[chunk], kind="stable")]
            batches += np.split(ranked, range(self.size, len(ranked), self.size))
        return [batches[i] for i in rng.permutation(len(batches))]


def in_order(items: int, size: int, lengths: np.ndarray | None = None) -> list[np.ndarray]:
    """Row numbers of evaluation batches; with `lengths`, items of like length together."""
    order = np.arange(items) if lengths is None else np.argsort(lengths, kind="stable")
    return np.split(order, range(size, items, size))
