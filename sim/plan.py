"""The plan: every decision that is made before the first event.

A plan is a list of *steps* and a list of *components*. One service of one token at one
step is a *visit*; an engine needs to know nothing but what stands here:

- which component serves a token (``lanes``: copies of an array take tokens in turn),
- for how long (:class:`Rate`, a closed form in the *size* of the token),
- which tokens of other steps it waits for (:class:`Group`, :class:`Threshold`),
- which input buffers must have a place before it starts (``reserves``).

A plan is symbolic in the token count, like the graph it was made from: :class:`Shape`
evaluates it for one request length, once, however many requests have that length.

Two kinds of waiting express all firing rules of :mod:`hyflexsim.sim.graph`::

    Group(every=g, spread=m)    producer  0 .. g-1 | g .. 2g-1 | ...
                                            |           |
                                consumer  0 .. m-1 | m .. 2m-1 | ...
    Threshold(need)             consumer n waits for the producer's tokens 0 .. need[n]-1
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

DIRECT, STREAM, GROUP, THRESHOLD, ANSWER = range(5)  # kinds of what a finished token releases


@dataclass(frozen=True, slots=True)
class Rate:
    """Service time of a token of a given size: ``fixed + quantum * ceil(size * work / speed)`` ps.

    Never less than 1 ps: a hop without duration would make the result depend on the order in
    which an event list happens to hold simultaneous events.

    >>> Rate(fixed=800_000).ps(1)                     # an analog GEMV: 8 bit-planes of 100 ns
    800000
    >>> Rate(quantum=1000, work=96, speed=64).ps(3)   # 288 elements, 64 a cycle of 1 ns
    5000
    """

    fixed: int = 0
    quantum: int = 1
    work: int = 0
    speed: int = 1

    def ps(self, size: int) -> int:
        """Picoseconds for a token of ``size``."""
        return max(1, self.fixed - self.quantum * (-size * self.work // self.speed))


@dataclass(frozen=True, slots=True)
class Group:
    """Wait for a group of the producer's tokens.

    Group k of this step, its tokens ``[k * spread, (k + 1) * spread)``, waits for the producer's
    group k - lag, its tokens ``[(k - lag) * every, (k - lag + 1) * every)``. The producer must
    finish the tokens of a group in order, as one component or lanes in step do. Groups are
    counted in tokens of the sequence: of a ``head`` step, group 0 is the last token of the
    prompt. So text generation is nothing but lag 1 from the last op to the first.
    """

    source: int
    every: int = 1
    spread: int = 1
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Threshold:
    """Wait for a prefix of the producer's tokens; ``rule`` is a key of :data:`NEEDS`."""

    source: int
    rule: str


@dataclass(frozen=True, slots=True)
class Action:
    """One energy-carrying action of a step: ``per_visit + per_size * size`` times a visit."""

    name: str
    per_visit: int = 0
    per_size: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the plan.

    ``axis``: ``sequence`` (N + extra tokens), ``single`` (1), ``pair`` (waves of ``wave`` pairs).
    ``planes``: a token is cut in so many bit-planes (fidelity ``bit``), else 1. ``split``: a
    wave is cut into its pairs, the last one filled up with idle slots of size 0, because the
    copies work in step. Both make several *parts* of one token, in order.
    ``head``: only the tokens from which text is sampled.
    ``size``: what one token's work grows with: ``one``, ``all`` (context N + context_extra),
    ``prefix`` (context n + 1 + context_extra) or ``wave`` (pairs in the wave).
    ``places``: tokens its input buffer holds, None for data that waits in memory.
    ``reserves``: steps whose input buffer must have a place before a token starts here; where
    ``planes`` > 1 only the first plane asks, because an analog read cannot stop halfway.
    ``lead_ps``: the component has worked on the token for so long when the visit starts
    (an ADC converts the earlier bit-planes while the last ones are read): for traces only.
    ``shown``: components to report, where a sequencer serves in their place.
    ``macs``: multiply-accumulates as (per visit, per size), complete after ``macs_in`` visits.
    """

    name: str
    op: str
    kind: str
    layer: str
    lanes: tuple[int, ...]
    rate: Rate
    inputs: tuple[Group | Threshold, ...] = ()
    axis: str = "sequence"
    extra: int = 0
    wave: int = 1
    planes: int = 1
    split: bool = False
    head: bool = False
    size: str = "one"
    context_extra: int = 0
    places: int | None = None
    reserves: tuple[int, ...] = ()
    actions: tuple[Action, ...] = ()
    macs: tuple[int, int] = (0, 0)
    macs_in: int = 1
    lead_ps: int = 0
    shown: tuple[int, ...] = ()

    @property
    def parts(self) -> int:
        """Parts that a whole token is cut into."""
        return self.planes * (self.wave if self.split else 1)


@dataclass(frozen=True, slots=True)
class Component:
    """One piece of hardware that serves one token at a time.

    ``shadow``: kinds that work in the same breath and have no process of their own at fidelity
    ``token`` (shift-and-add behind its ADC), with the time each is busy per visit.
    ``power_mw``: drawn while busy (energy mode ``power-time``).
    """

    name: str
    kind: str
    layer: str = ""
    pu: int = -1
    chip: int = 0
    power_mw: float = 0.0
    busy_ps: int | None = None
    shadow: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps and components, in canonical order: their indices are part of the serving order."""

    steps: tuple[Step, ...]
    components: tuple[Component, ...]
    outputs: frozenset[int] = frozenset()
    _shapes: dict[tuple[int, int], Shape] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for step in self.steps:
            bad = [i for i in step.reserves if self.steps[i].places is None]
            if bad:
                raise ValueError(f"{step.name} reserves {self.steps[bad[0]].name}, which is memory")

    def shape(self, tokens: int, prefill: int | None = None) -> Shape:
        """The plan for requests of ``tokens``, of which ``prefill`` are there from the start."""
        key = (tokens, tokens if prefill is None else prefill)
        if key not in self._shapes:
            self._shapes[key] = Shape(self, *key)
        return self._shapes[key]


def tokens_of(step: Step, tokens: int, prefill: int) -> int:
    """How many tokens (or parts of tokens) a step serves for a request."""
    if step.axis == "pair":
        pairs = tokens * (tokens + 1) // 2
        return -(-pairs // step.wave) * step.parts
    if step.axis == "single":
        return step.planes
    count = tokens + step.extra - (prefill - 1 if step.head else 0)
    return count * step.planes


def size_of(step: Step, token: int, tokens: int, prefill: int) -> int:
    """The size of one token of a step (see :class:`Step`)."""
    index = token // step.parts
    if step.size == "all":
        return tokens + step.context_extra
    if step.size == "prefix":
        return index + 1 + step.context_extra + (prefill - 1 if step.head else 0)
    if step.size == "wave":
        pairs = tokens * (tokens + 1) // 2
        if step.split:
            return int(token // step.planes < pairs)
        return min(step.wave, pairs - index * step.wave)
    return 1


def _pair_rows(tokens: int) -> list[int]:
    """Index of the last pair of each row, pairs (i, j >= i) in row order."""
    return [(i + 1) * tokens - i * (i + 1) // 2 - 1 for i in range(tokens)]


def _need_pairs(waves: int, tokens: int, wave: int) -> list[int]:
    """Particles each wave of pairs needs: its furthest j, so all from the first row's end on."""
    return [min((index + 1) * wave, tokens) for index in range(waves)]


def _need_rows(queries: int, tokens: int, wave: int) -> list[int]:
    """Waves each query's row needs: its last pair is (i, N - 1); earlier rows hold the rest."""
    ends = _pair_rows(tokens)
    return [ends[min(i, tokens - 1)] // wave + 1 for i in range(queries)]


NEEDS: dict[str, Callable[[int, int, int, int], list[int]]] = {
    "prefix": lambda here, there, tokens, wave: [min(n + 1, there) for n in range(here)],
    "all": lambda here, there, tokens, wave: [there] * here,
    "first": lambda here, there, tokens, wave: [1] * here,
    "last": lambda here, there, tokens, wave: [there] * here,
    "pair": lambda here, there, tokens, wave: _need_pairs(here, tokens, wave),
    "row": lambda here, there, tokens, wave: _need_rows(here, tokens, wave),
}
"""Thresholds by rule, from (tokens here, tokens of the producer, N, pairs in a wave)."""


class Shape:
    """A plan evaluated for one request length: everything an engine looks up per visit.

    ``counts[s]``: tokens of step s. ``durations[s]``: ps, an int where all tokens are alike,
    else a list. ``outputs[s]``: what a finished token releases, as tuples
    ``(DIRECT, step)`` (the same token, which waits for nothing else), ``(STREAM, step)`` (the same
    token, one input of several), ``(GROUP, step, every, spread, shift, last, count, broadcast)``,
    ``(THRESHOLD, step, need, edge)`` or ``(ANSWER,)``. ``waits[s]``: inputs each token
    waits for (None where all wait for exactly one). ``initial[s]``: tokens that wait for nothing.
    """

    def __init__(self, plan: Plan, tokens: int, prefill: int) -> None:
        if not 1 <= prefill <= tokens:
            raise ValueError(f"prefill must be 1 to {tokens} (the token count); got {prefill}")
        self.plan = plan
        self.tokens = tokens
        self.prefill = prefill
        steps = plan.steps
        self.counts = [tokens_of(step, tokens, prefill) for step in steps]
        self.durations = [self._duration(i) for i in range(len(steps))]
        self.outputs: list[list[tuple[Any, ...]]] = [[] for _ in steps]
        self.waits: list[bytes | None] = []
        self.initial: list[list[int]] = []
        self.edges = 0
        for i in range(len(steps)):
            self._wire(i)
        self.outputs = [
            [
                (DIRECT, out[1]) if out[0] == STREAM and self.waits[out[1]] is None else out
                for out in outputs
            ]
            for outputs in self.outputs
        ]
        for i in plan.outputs:
            self.outputs[i].append((ANSWER,))
        self.visits = sum(self.counts)

    def _duration(self, index: int) -> int | list[int]:
        step = self.plan.steps[index]
        count = self.counts[index]
        if step.rate.work and step.size in ("prefix", "wave"):
            return [step.rate.ps(size_of(step, n, self.tokens, self.prefill)) for n in range(count)]
        return step.rate.ps(size_of(step, 0, self.tokens, self.prefill))

    def _offset(self, index: int) -> int:
        return self.prefill - 1 if self.plan.steps[index].head else 0

    def _wire(self, index: int) -> None:
        waits = [0] * self.counts[index]
        for edge in self.plan.steps[index].inputs:
            if isinstance(edge, Group):
                self._wire_group(index, edge, waits)
            else:
                self._wire_threshold(index, edge, waits)
        self.initial.append([n for n, wait in enumerate(waits) if wait == 0])
        # where every token waits for one thing there is nothing to count
        self.waits.append(None if all(w == 1 for w in waits) else bytes(waits))

    def _wire_group(self, index: int, edge: Group, waits: list[int]) -> None:
        steps = self.plan.steps
        groups = -(-self.counts[edge.source] // edge.every)
        broadcast = steps[edge.source].axis == "single" and steps[index].axis != "single"
        shift = self._offset(edge.source) + edge.lag - self._offset(index)
        for n in range(len(waits)):
            if broadcast or 0 <= n // edge.spread - shift < groups:
                waits[n] += 1
        plain = edge.every == edge.spread == 1 and shift == 0 and not broadcast
        last = self.counts[edge.source] - 1
        self.outputs[edge.source].append(
            (STREAM, index)
            if plain and last < len(waits)
            else (GROUP, index, edge.every, edge.spread, shift, last, len(waits), broadcast)
        )

    def _wire_threshold(self, index: int, edge: Threshold, waits: list[int]) -> None:
        step = self.plan.steps[index]
        source = self.plan.steps[edge.source]
        wave = step.wave if edge.rule == "pair" else source.wave
        here = -(-len(waits) // step.parts)
        there = self.counts[edge.source]
        need = NEEDS[edge.rule](here, -(-there // source.parts), self.tokens, wave)
        if edge.rule == "prefix":  # a head op's token 0 is the last token of the prompt
            need = [n + self._offset(index) for n in need]
        need = [min(n * source.parts, there) for n in need for _ in range(step.parts)]
        for n in range(len(waits)):
            waits[n] += need[n] > 0
        self.outputs[edge.source].append((THRESHOLD, index, need[: len(waits)], self.edges))
        self.edges += 1

    @cached_property
    def sizes(self) -> list[int]:
        """Sum of token sizes of each step, over one request."""
        return [
            sum(size_of(step, n, self.tokens, self.prefill) for n in range(count))
            if step.size in ("prefix", "wave")
            else count * size_of(step, 0, self.tokens, self.prefill)
            for step, count in zip(self.plan.steps, self.counts, strict=True)
        ]
