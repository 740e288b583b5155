"""A model's attention over real items, in a chip's integers: how right it is, how much work it was.

Each item is computed by the quantised model (values/reference.py), once for each way of choosing
keys, so that scores and work come from the same numbers. What a visit of the plan computes is
held to that reference bit by bit elsewhere (``hyflexsim run --values``).
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from hyflexsim.sim.plan.work import Work
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.attention import attentions, per_head
from hyflexsim.workloads.values.keeping import BEFORE, MASK, UPPER, Choice
from hyflexsim.workloads.values.matrices import Matrix
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.reference import Reference
from hyflexsim.workloads.values.widths import Widths


@dataclass(frozen=True)
class Way:
    """One way of choosing keys. ``choice``: None keeps all."""

    name: str
    choice: Choice | None


@dataclass
class Outcome:
    """What a way gave, by item: how good the answer was, and how much work it was."""

    quality: list[float] = field(default_factory=list)
    work: list[Work | None] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # of ``keys``, in the blocks that choose
    keys: list[int] = field(default_factory=list)  # that a query may look at
    bits: list[int] = field(default_factory=list)  # bits of keys multiplied, where one by one

    @property
    def mean(self) -> float:
        """Mean quality."""
        return float(np.mean(self.quality))

    @property
    def kept_share(self) -> float:
        """Keys kept over all keys, of all queries and heads; 1 where nothing is chosen."""
        return sum(self.kept) / sum(self.keys) if sum(self.keys) else 1.0

    @property
    def bit_share(self) -> float:
        """Bits of keys multiplied over all of them; 1 where keys are multiplied whole."""
        return sum(self.bits) / (8 * sum(self.keys)) if sum(self.bits) else 1.0

    def change(self, full: Outcome) -> tuple[float, float]:
        """Change of the mean quality from another outcome on the same items, and one standard
        error of it (paired).
        """
        by_item = np.array(self.quality) - np.array(full.quality)
        error = by_item.std(ddof=1) / np.sqrt(len(by_item)) if len(by_item) > 1 else 0.0
        return float(by_item.mean()), float(error)


class Scored:
    """A model as integers of a chip, and items to give it; a kind of items fills in the rest.

    ``metric``: ``accuracy`` (quality 1 or 0) or ``perplexity`` (nats a token). ``tokens``: of each
    item.
    """

    metric: str
    program: Program
    matrices: Mapping[str, Matrix]
    widths: Widths
    tokens: list[int]

    def inputs(self, i: int) -> dict[str, Tensor]:
        """Item i as the model's arguments, batch 1, without padding."""
        raise NotImplementedError

    def quality(self, i: int, output: Tensor) -> float:
        """How good an answer to item i is."""
        raise NotImplementedError

    @property
    def graph(self) -> nx.DiGraph:
        """Of the model."""
        return self.program.graph

    def layers(self) -> dict[str, int]:
        """Blocks whose queries are many, and heads of each."""
        nodes = self.graph.nodes(data=True)
        return {
            op["layer"]: int(op["heads"])
            for _, op in nodes
            if op["kind"] == "matmul" and op["axis"] == "sequence"
        }

    def run(self, ways: Sequence[Way], say: Say = lambda *_: None) -> dict[str, Outcome]:
        """Every item by every way."""
        found = {way.name: Outcome() for way in ways}
        with torch.no_grad():
            for i in range(len(self.tokens)):
                say("computing attention", i, len(self.tokens))
                inputs = self.inputs(i)
                self.program.start(inputs)
                plain = Reference(self.program, self.matrices, None)
                plain.run()
                scales = self._scales(plain)
                for way in ways:
                    self.program.start(inputs)
                    made = Reference(
                        self.program, self.matrices, self.widths, scales, choice=way.choice
                    )
                    output = made.run()["output", "values"]
                    _add(found[way.name], made, self.quality(i, output))
                gc.collect()  # computations point to themselves, and hold every tensor they made
        return found

    def _scales(self, plain: Reference) -> dict[str, Tensor]:
        """One scale a head of V, as the values of a run have it."""
        top = 2 ** ((self.widths.values or 8) - 1) - 1
        scales = {}
        for name, a in attentions(self.program).items():
            if name == a.pv:
                heads = int(a.operands[0].meta["val"].shape[1])
                largest = per_head(plain.tensor(a.operands[2]), heads).float().abs().amax((1, 2))
                scales[name] = torch.where(largest == 0, 1.0, largest / top).double()
        return scales


def work_of(made: Reference) -> Work | None:
    """Sizes of tokens by op, for a plan whose keys are chosen the same way; None: all are kept.

    Products, sums, softmax and weighted sums behind the choice are counted by head and key; where
    keys drop out bit by bit, products by head, key and bit. Keys that are chosen before by
    something else than a bias (a mask, their upper bits) are counted as on a unit that multiplies
    bit by bit, where there is no bias that a unit could choose by: see :func:`bits_before`.
    """
    by = "" if made.chooser.choice is None else made.chooser.choice.by
    sizes: dict[str, np.ndarray] = {}
    for softmax, kept in made.chooser.kept.items():
        a = made.attentions[softmax]
        rows = kept.sum((1, 2)).numpy().astype(np.int64)
        sizes |= dict.fromkeys((a.softmax, a.pv), rows)
        if softmax in made.chooser.bits:
            sizes[a.qk] = made.chooser.bits[softmax].sum((1, 2)).numpy().astype(np.int64)
        elif by in (MASK, UPPER) and a.add is None:
            sizes[a.qk] = bits_before(by, kept, made.chooser.seen[softmax])
        elif by in BEFORE:
            sizes |= dict.fromkeys((a.qk, *([a.add] if a.add else [])), rows)
    return Work(sizes) if sizes else None


def bits_before(by: str, kept: Tensor, seen: Tensor) -> np.ndarray:
    """Bits of keys multiplied, a query: of kept ones all; by upper bits half of the others' too."""
    whole, half = 8 * kept.sum((1, 2)), 4 * (seen & ~kept).sum((1, 2))
    return (whole + (half if by == UPPER else 0)).numpy().astype(np.int64)


def _add(outcome: Outcome, made: Reference, quality: float) -> None:
    outcome.quality.append(quality)
    outcome.work.append(work_of(made))
    outcome.kept.append(sum(int(kept.sum()) for kept in made.chooser.kept.values()))
    outcome.keys.append(sum(int(seen.sum()) for seen in made.chooser.seen.values()))
    outcome.bits.append(sum(int(bits.sum()) for bits in made.chooser.bits.values()))
