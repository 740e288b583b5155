"""Which tokens a visit has waited for, by the plan alone: what it may read.

Every edge of a plan lets a visit wait for a stretch of the producer's visits (:class:`Span`); a
stretch passes on through steps that only carry (buses, buffers, writes). What a visit did not wait
for it does not see, also where the machine happens to have it by then: so a firing rule that is too
weak shows in the numbers and not in luck.

Tokens are *positions*: pairs of particles in the plan's order, the others along the sequence (of
steps that only sampled tokens need, the first is the last of the prompt; of an expert's steps they
are the tokens that it takes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyflexsim.sim.plan.plan import Plan, Step
from hyflexsim.sim.plan.unrolled import GROUP, STREAM, Edge, Shape, shape_of
from hyflexsim.sim.routing import taken


@dataclass(frozen=True)
class Span:
    """Of each visit, what it waits for: from ``first`` up to, not including, ``stop``."""

    first: np.ndarray
    stop: np.ndarray

    def through(self, inner: Span) -> Span:
        """What is waited for where these visits wait for visits that wait for ``inner``."""
        some = self.stop > self.first
        if not some.any():  # an expert without tokens has no visits either
            return Span(np.zeros_like(self.first), np.zeros_like(self.stop))
        first = inner.first[np.where(some, self.first, 0)]
        stop = inner.stop[np.where(some, self.stop - 1, 0)]
        return Span(np.where(some, first, 0), np.where(some, stop, 0))

    def at(self, visits: np.ndarray) -> Span:
        """Of some of the visits."""
        return Span(self.first[visits], self.stop[visits])

    def numbers(self) -> np.ndarray:
        """All of them, one visit after the other."""
        sizes = np.maximum(self.stop - self.first, 0)
        ends = np.cumsum(sizes)
        found: np.ndarray = np.arange(sizes.sum()) - np.repeat(ends - sizes - self.first, sizes)
        return found


class Waits:
    """A plan for one request: its visits, what each waits for, and which positions it serves."""

    def __init__(self, plan: Plan, tokens: int, prefill: int | None):
        self.plan = plan
        self.shape: Shape = shape_of(plan, tokens, prefill)
        self.tokens, self.prefill = tokens, self.shape.prefill
        self.pairs = tokens * (tokens + 1) // 2
        self.counts = self.shape.counts
        self.edges = [self._edges(i) for i in range(len(plan.steps))]
        self.positions = [self._positions(i) for i in range(len(plan.steps))]

    def _edges(self, index: int) -> list[tuple[int, Span]]:
        """(producing step, span in its visits) for each input of a step."""
        pattern = self.shape.pattern
        _, *edges = pattern.waits[pattern.wait_of[index]]
        inputs = self.plan.steps[index].inputs
        return [
            (each.source, _span(self.shape.class_edges[edge], self.counts[index]))
            for each, edge in zip(inputs, edges, strict=True)
        ]

    def _positions(self, index: int) -> Span:
        """The positions that each visit of a step serves."""
        step: Step = self.plan.steps[index]
        visit = np.arange(self.counts[index])
        if step.axis != "pair":
            offset = self.prefill - 1 if step.head else 0
            first = visit // step.planes + offset
            if step.routed is not None:
                first = taken(step.routed, self.tokens)[first]
            return Span(first, first + 1)
        if step.split:
            first = visit // step.planes
            return Span(np.minimum(first, self.pairs), np.minimum(first + 1, self.pairs))
        first = np.minimum(visit // step.planes * step.wave, self.pairs)
        return Span(first, np.minimum(first + step.wave, self.pairs))


def _span(edge: Edge, here: int) -> Span:
    """An evaluated edge as a stretch of the producer's visits."""
    visit = np.arange(here)
    if edge.kind == STREAM:
        there = visit <= edge.last  # further ones wait for nothing
        return Span(np.where(there, visit, 0), np.where(there, visit + 1, 0))
    if edge.kind == GROUP:
        if edge.broadcast:
            return Span(np.zeros_like(visit), np.full_like(visit, edge.last + 1))
        group = visit // edge.spread - edge.shift
        first = np.maximum(group * edge.every, 0)
        stop = np.minimum((group + 1) * edge.every, edge.last + 1)
        waits = np.zeros(here, dtype=bool)
        waits[edge.waiting] = True
        return Span(np.where(waits, first, 0), np.where(waits, np.maximum(stop, first), 0))
    assert edge.need is not None
    return Span(np.zeros_like(visit), edge.need.astype(np.int64))


def pair_rows(tokens: int) -> np.ndarray:
    """Row of an exported tensor that holds pair p of the plan: (N (N + 1) / 2,).

    The plan takes pairs (i, j >= i) row by row, models (i >= j): both name the same pair.

    >>> pair_rows(3)        # (0,0) (0,1) (0,2) (1,1) (1,2) (2,2)
    array([0, 1, 3, 2, 4, 5])
    """
    i, j = np.triu_indices(tokens)
    return j * (j + 1) // 2 + i
