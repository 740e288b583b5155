"""A plan evaluated for one request length: everything an engine looks up per visit.

The layers of a transformer are alike, so a plan of a thousand steps holds a few dozen distinct
ways of counting tokens, of timing them and of waiting. :class:`Pattern` finds them, once a plan;
:class:`Shape` evaluates each of them, once a length, with arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hyflexsim.sim.plan.held import begin_of, check_held
from hyflexsim.sim.plan.plan import Group, Plan, Step, Threshold, size_of, tokens_of
from hyflexsim.sim.plan.work import Work
from hyflexsim.sim.routing import taken

DIRECT, STREAM, GROUP, THRESHOLD, ANSWER = range(5)  # kinds of what a finished token releases
MOST_INPUTS = 255  # inputs of one token are counted in a byte


def _pair_rows(tokens: int) -> np.ndarray:
    """Index of the last pair of each row, pairs (i, j >= i) in row order."""
    i = np.arange(tokens)
    return (i + 1) * tokens - i * (i + 1) // 2 - 1


def _need_pairs(waves: int, tokens: int, wave: int) -> np.ndarray:
    """Particles each wave of pairs needs: its furthest j, so all from the first row's end on."""
    return np.minimum((np.arange(waves) + 1) * wave, tokens)


def _need_rows(queries: int, tokens: int, wave: int) -> np.ndarray:
    """Waves each query's row needs: its last pair is (i, N - 1); earlier rows hold the rest."""
    ends = _pair_rows(tokens)
    return ends[np.minimum(np.arange(queries), tokens - 1)] // wave + 1


def _need_routed(producer: Step, reader: Step, tokens: int, here: int) -> np.ndarray:
    """An expert's token needs all up to that one; where experts meet, each needs who took it."""
    if reader.routed is not None:
        return taken(reader.routed, tokens) + 1
    assert producer.routed is not None
    need = np.zeros(here, dtype=np.int64)
    sent = taken(producer.routed, tokens)
    sent = sent[sent < here]
    need[sent] = np.arange(len(sent)) + 1
    return need


def _need_square(edge: Threshold, here: int) -> np.ndarray:
    """The last token of the square that a token lies in, or (``merged``) is made of; served row by
    row, none before those before it.
    """
    across = edge.wide // edge.stride  # squares
    token = np.arange(here)
    if edge.rule == "square":
        row, column = token // edge.wide // edge.stride, token % edge.wide // edge.stride
    else:
        row, column = token // across, token % across
    last = ((row + 1) * edge.stride - 1) * edge.wide + (column + 1) * edge.stride
    need: np.ndarray = np.maximum.accumulate(last)
    return need


NEEDS: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "prefix": lambda here, there, tokens, wave: np.minimum(np.arange(here) + 1, there),
    "all": lambda here, there, tokens, wave: np.full(here, there),
    "first": lambda here, there, tokens, wave: np.full(here, 1),
    "last": lambda here, there, tokens, wave: np.full(here, there),
    "pair": lambda here, there, tokens, wave: _need_pairs(here, tokens, wave),
    "row": lambda here, there, tokens, wave: _need_rows(here, tokens, wave),
}
"""Thresholds by rule, from (tokens here, tokens of the producer, N, pairs in a wave)."""


class Output(NamedTuple):
    """Whom a finished token tells: a step, over an edge of a kind, with a mark if a threshold."""

    step: int
    edge: int
    mark: int


class Edge(NamedTuple):
    """An edge evaluated for a length.

    ``kind``: STREAM (the same token), GROUP or THRESHOLD. ``every`` ... ``begin``: of a group, as
    the engines deliver them; ``begin``: the reader's first token that is not done from the start.
    ``need[n]``: of a threshold, tokens of the producer that token n needs, 0 where these are done
    from the start. ``waiting``: which tokens wait for this edge at all.
    """

    kind: int
    every: int
    spread: int
    shift: int
    last: int
    here: int
    broadcast: bool
    begin: int
    need: np.ndarray | None
    waiting: slice | np.ndarray


class Pattern:
    """Distinct ways of counting, timing and waiting in a plan, and which step has which.

    ``count_of[s]``, ``duration_of[s]``, ``wait_of[s]`` index ``examples`` (a step that counts so),
    ``durations`` (a step that takes so long, and how it counts) and ``waits`` (how it counts,
    and its edges). ``outputs[s]``: the edges out of step s. ``marks``: thresholds in all.
    """

    def __init__(self, plan: Plan) -> None:
        steps = plan.steps
        self.count_of, counts = _distinct(_counting(step) for step in steps)
        self.examples = [steps[self.count_of.index(i)] for i in range(len(counts))]
        self.duration_of, durations = _distinct(
            (count, step.rate, *_sizing(step))
            for count, step in zip(self.count_of, steps, strict=True)
        )
        firsts = [self.duration_of.index(i) for i in range(len(durations))]
        self.durations = [(steps[i], self.count_of[i]) for i in firsts]
        ends = [(edge, i) for i, step in enumerate(steps) for edge in step.inputs]
        places = [(edge, self.count_of[edge.source], self.count_of[i]) for edge, i in ends]
        edge_of, edges = _distinct((_waiting(edge), *counts) for edge, *counts in places)
        self.edges = [places[edge_of.index(i)] for i in range(len(edges))]
        self.outputs: list[list[Output]] = [[] for _ in steps]
        self.marks = 0
        inputs: list[list[int]] = [[] for _ in steps]
        for (edge, i), kind in zip(ends, edge_of, strict=True):
            threshold = isinstance(edge, Threshold)
            self.outputs[edge.source].append(Output(i, kind, self.marks if threshold else -1))
            self.marks += threshold
            inputs[i].append(kind)
        self.wait_of, self.waits = _distinct(
            (count, *edges) for count, edges in zip(self.count_of, inputs, strict=True)
        )


def _distinct(keys: Iterable[Any]) -> tuple[list[int], list[Any]]:
    """Index of each key among the distinct ones, and those, in order of first appearance."""
    seen: dict[Hashable, int] = {}
    return [seen.setdefault(key, len(seen)) for key in keys], list(seen)


def _waiting(edge: Group | Threshold) -> Hashable:
    if isinstance(edge, Group):
        return (edge.every, edge.spread, edge.lag)
    return edge.rule, edge.ahead, edge.stride, edge.wide


def _sizing(step: Step) -> tuple[Hashable, ...]:
    context = (step.size, step.context_extra, step.behind, step.ahead)
    return (*context, step.kept, step.each, step.work)


def _counting(step: Step) -> tuple[Hashable, ...]:
    cut = (step.wave, step.planes, step.split)
    return (step.axis, step.extra, *cut, step.head, step.member, step.routed)


class Shape:
    """One length. All lists are by step; a Python loop finds its way in them fastest.

    ``counts[s]``: tokens of step s, of which the first ``begins[s]`` are done from the start, as
    they are of the first ``held`` tokens of the text (held.py), and ``served[s]`` are not.
    ``durations[s]``: ps, an int where all tokens are alike,
    else a list. ``outputs[s]``: what a finished token releases, as tuples
    ``(DIRECT, step)`` (the same token, which waits for nothing else), ``(STREAM, step)`` (the same
    token, one input of several),
    ``(GROUP, step, every, spread, shift, last, count, broadcast, begin)``,
    ``(THRESHOLD, step, need, edge)`` or ``(ANSWER,)``. ``waits[s]``: inputs each token
    waits for (None where all wait for exactly one). ``initial[s]``: tokens that wait for nothing.
    The same by class of the plan's :class:`Pattern`, in arrays: ``class_*``.
    """

    def __init__(
        self,
        plan: Plan,
        tokens: int,
        prefill: int,
        member: int = 0,
        work: Work | None = None,
        held: int = 0,
    ) -> None:
        if not 1 <= prefill <= tokens:
            raise ValueError(f"prefill must be 1 to {tokens} (the token count); got {prefill}")
        if not 0 <= held < prefill:
            raise ValueError(f"held must be 0 to {prefill - 1} (below the prompt's); got {held}")
        if held:
            plan.once("held", lambda: check_held(plan))
        self.plan = plan
        self.tokens = tokens
        self.prefill = prefill
        self.work = work
        self.held = held
        self.pattern = pattern = pattern_of(plan)
        self.class_counts = [
            tokens_of(step, tokens, prefill) if step.member == member else 0
            for step in pattern.examples
        ]
        self.class_begins = [
            begin_of(step, tokens, held) if held and step.member == member else 0
            for step in pattern.examples
        ]
        self.counts = [self.class_counts[i] for i in pattern.count_of]
        self.begins = [self.class_begins[i] for i in pattern.count_of]
        self.served = [all_ - done for all_, done in zip(self.counts, self.begins, strict=True)]
        self.visits = sum(self.served)

    @cached_property
    def class_durations(self) -> list[int | np.ndarray]:
        """Picoseconds: an int where all tokens are alike, else an array."""
        return [self._duration(*key) for key in self.pattern.durations]

    def _duration(self, step: Step, count: int) -> int | np.ndarray:
        given = self.work is not None and step.work in self.work.sizes
        if step.rate.work and (given or step.size in ("prefix", "window", "wave")):
            token = np.arange(self.class_counts[count])
            size = size_of(step, token, self.tokens, self.prefill, self.work)
            times: np.ndarray = np.maximum(1, step.rate.linear(size))
            return times
        return step.rate.ps(int(size_of(step, 0, self.tokens, self.prefill)))

    @cached_property
    def class_edges(self) -> list[Edge]:
        """Every distinct edge, evaluated."""
        return [
            self._group(edge, source, target)
            if isinstance(edge, Group)
            else self._threshold(edge, source, target)
            for edge, source, target in self.pattern.edges
        ]

    def _offset(self, step: Step) -> int:
        return self.prefill - 1 if step.head else 0

    def _group(self, edge: Group, source: int, target: int) -> Edge:
        every, spread = edge.every, edge.spread
        producer, reader = self.pattern.examples[source], self.pattern.examples[target]
        there, here = self.class_counts[source], self.class_counts[target]
        broadcast = producer.axis == "single" and reader.axis != "single"
        shift = self._offset(producer) + edge.lag - self._offset(reader)
        done, begin = self.class_begins[source], self.class_begins[target]
        groups = -(-there // every)
        first = max(begin, (shift + done // every) * spread)  # of the first group not all done
        waiting = slice(first, max(begin, min(here, (shift + groups) * spread)))
        if broadcast:
            waiting = slice(begin, here)
        plain = every == spread == 1 and shift == 0 and not broadcast and there <= here
        kind = STREAM if plain else GROUP
        return Edge(kind, every, spread, shift, there - 1, here, broadcast, begin, None, waiting)

    def _threshold(self, edge: Threshold, source: int, target: int) -> Edge:
        producer, reader = self.pattern.examples[source], self.pattern.examples[target]
        there, here = self.class_counts[source], self.class_counts[target]
        wave = reader.wave if edge.rule == "pair" else producer.wave
        done, begin = self.class_begins[source], self.class_begins[target]
        if edge.rule == "routed":
            need = _need_routed(producer, reader, self.tokens, -(-here // reader.parts))
            need = np.repeat(np.minimum(need * producer.parts, there), reader.parts)[:here]
            return _needing(need, done, begin)
        if edge.rule in ("square", "merged"):
            need = _need_square(edge, -(-here // reader.parts))
            need = np.repeat(np.minimum(need * producer.parts, there), reader.parts)[:here]
            return _needing(need, done, begin)
        if edge.rule == "chunk":
            return _needing(self._chunk(edge, producer, here), done, begin)
        need = NEEDS[edge.rule](
            -(-here // reader.parts), -(-there // producer.parts), self.tokens, wave
        )
        if edge.rule == "prefix":  # a head op's token 0 is the last token of the prompt
            need = need + self._offset(reader)
        need = need + edge.ahead
        if edge.stride > 1:
            need = np.arange(len(need)) * edge.stride + 1 + edge.ahead
        need = np.repeat(np.minimum(need * producer.parts, there), reader.parts)[:here]
        return _needing(need, done, begin)

    def _chunk(self, edge: Threshold, producer: Step, here: int) -> np.ndarray:
        """A token of the prompt needs all of the chunks of ``stride`` tokens before its own; the
        first chunk begins with the first token that is computed.
        """
        token = np.minimum(np.arange(here), self.prefill - 1) - self.held
        need: np.ndarray = (token // edge.stride * edge.stride + self.held) * producer.parts
        return need

    @cached_property
    def class_waits(self) -> list[np.ndarray | None]:
        """Inputs that each token waits for; None where all wait for one: nothing to count."""
        waits: list[np.ndarray | None] = []
        for count, *edges in self.pattern.waits:
            each = np.zeros(self.class_counts[count], dtype=np.int64)
            for edge in edges:
                each[self.class_edges[edge].waiting] += 1
            each[: self.class_begins[count]] = 0
            most = int(each.max(initial=0))  # of many experts a token waits for its own
            if most > MOST_INPUTS:
                raise ValueError(f"a token may wait for {MOST_INPUTS} inputs; got {most}")
            one = (each[self.class_begins[count] :] == 1).all()
            waits.append(None if one else each.astype(np.uint8))
        return waits

    @cached_property
    def class_initial(self) -> list[np.ndarray]:
        """Tokens that wait for nothing, by class of ``waits``."""
        return [
            np.zeros(0, dtype=np.int64)
            if wait is None
            else np.flatnonzero(wait[self.class_begins[count] :] == 0) + self.class_begins[count]
            for (count, *_), wait in zip(self.pattern.waits, self.class_waits, strict=True)
        ]

    # --- the same by step, for the loop in Python ------------------------------------------------

    @cached_property
    def durations(self) -> list[int | list[int]]:
        """Picoseconds by step, an int where all tokens are alike."""
        each = [time if isinstance(time, int) else time.tolist() for time in self.class_durations]
        return [each[i] for i in self.pattern.duration_of]

    @cached_property
    def waits(self) -> list[bytes | None]:
        """Inputs each token waits for, None where all wait for one."""
        each = [None if wait is None else wait.tobytes() for wait in self.class_waits]
        return [each[i] for i in self.pattern.wait_of]

    @cached_property
    def initial(self) -> list[list[int]]:
        """Tokens that wait for nothing."""
        each = [tokens.tolist() for tokens in self.class_initial]
        return [each[i] for i in self.pattern.wait_of]

    @cached_property
    def marks(self) -> list[int]:
        """Of each threshold, by its mark: tokens of the producer that are done from the start."""
        done = [0] * self.pattern.marks
        for begin, outs in zip(self.begins, self.pattern.outputs, strict=True):
            for out in outs:
                if out.mark >= 0:
                    done[out.mark] = begin
        return done

    @cached_property
    def outputs(self) -> list[list[tuple[Any, ...]]]:
        """What a finished token releases."""
        edges = self.class_edges
        needs = [None if edge.need is None else edge.need.tolist() for edge in edges]
        outputs = [
            [self._output(*out, edges[out.edge], needs[out.edge]) for out in outs]
            for outs in self.pattern.outputs
        ]
        for i in self.plan.outputs:
            outputs[i].append((ANSWER,))
        return outputs

    def _output(
        self, step: int, _: int, mark: int, edge: Edge, need: list[int] | None
    ) -> tuple[Any, ...]:
        if edge.kind == THRESHOLD:
            return (THRESHOLD, step, need, mark)
        if edge.kind == GROUP:
            return (GROUP, step, *edge[1:8])
        waits = self.class_waits[self.pattern.wait_of[step]]
        return (DIRECT if waits is None else STREAM, step)

    @cached_property
    def sizes(self) -> list[int]:
        """Sum of token sizes of each step, over one request."""
        sums: dict[tuple[Any, ...], int] = {}
        sizes = []
        for count, step in zip(self.pattern.count_of, self.plan.steps, strict=True):
            key = (count, *_sizing(step))
            if key not in sums:
                token = np.arange(self.class_begins[count], self.class_counts[count])
                each = size_of(step, token, self.tokens, self.prefill, self.work)
                sums[key] = int(np.broadcast_to(each, len(token)).sum())
            sizes.append(sums[key])
        return sizes


def _needing(need: np.ndarray, done: int, begin: int) -> Edge:
    """A threshold for the tokens from ``begin`` on; what ``done`` tokens suffice for waits not."""
    need = np.where(need <= done, 0, need)
    need[:begin] = 0
    return Edge(THRESHOLD, 0, 0, 0, 0, len(need), False, begin, need, need > 0)


def pattern_of(plan: Plan) -> Pattern:
    """What the steps of a plan have in common, found once."""
    return plan.once("pattern", lambda: Pattern(plan))


def shape_of(
    plan: Plan,
    tokens: int,
    prefill: int | None = None,
    member: int = 0,
    work: Work | None = None,
    held: int = 0,
) -> Shape:
    """The plan for requests of ``tokens``, of which ``prefill`` are there from the start.

    ``member``: of chips side by side, the one that serves them; steps of others have no tokens.
    ``work``: what the values of a request say about its sizes. ``held``: tokens whose keys and
    values are there, fewer than the prompt's (held.py). Raises ValueError where they are not, and
    :class:`InputError` for a plan in which a text cannot begin so.
    """
    key = (tokens, tokens if prefill is None else prefill, member, work, held)
    return plan.once(key, lambda: Shape(plan, *key))
