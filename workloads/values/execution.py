"""The plan played in numbers: every visit of every step, in an order that obeys the plan's inputs.

A visit may begin when all it waits for is done; those of one step that may begin are computed
together. What a visit reads is what it has waited for (spans.py) and what has been written: the
rest is NaN and stays so in all that is made of it. What a step does follows from its row:

========= ========================================================================================
port      tokens come in (generated ones: the argmax of the scores that were fed back), or leave
carry     passes on
write     turns an operand of a product into codes, of as many bits a value as it writes cells
bank      reads as many bit-planes of the token's codes as it counts reads of its arrays
adc       converts as many planes of each mode as it counts conversions
shift_add adds slices and planes of a row tile
out       moves as many row tiles' partial sums as fit into its bits
sum       adds as many further row tiles as it counts additions; then scale, bias, FP16
serve     products with operands as wide as it counts NOR operations, softmax, norms, the rest
========= ========================================================================================

Matrices are in gemv.py, what units without matrices serve in served.py. Left out: elements in
shards on several PUs (gathers carry), and that buses and ports count 8 bits a value where values
have 16: a value is the same wherever it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.plan.plan import Plan, size_of
from hyflexsim.workloads.values.arrays import Factor
from hyflexsim.workloads.values.gemv import Gemv
from hyflexsim.workloads.values.matrices import Matrix
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.results import Results
from hyflexsim.workloads.values.roles import Role, count, role_of
from hyflexsim.workloads.values.served import Served
from hyflexsim.workloads.values.spans import Span, Waits
from hyflexsim.workloads.values.store import Store


@dataclass(frozen=True)
class Machine:
    """What all requests of a run share: the plan, and matrices in their arrays.

    ``layouts``: by op, its factors in arrays (W, or V and U). ``value_scales``: as the reference's.
    """

    chip: Chip
    plan: Plan
    program: Program
    matrices: Mapping[str, Matrix]
    layouts: Mapping[str, Mapping[str, Factor]]
    value_scales: Mapping[str, Tensor]

    def roles(self) -> list[Role]:
        """Of each step. Raises InputError for a step without a meaning, naming it."""
        links = frozenset(self.chip.links)
        kinds = dict(self.program.graph.nodes(data="kind"))
        return [role_of(step, kinds[step.op], links) for step in self.plan.steps]


@dataclass(frozen=True)
class Seen:
    """Of each visit, the positions of an op that it has waited for; ``bits`` where written."""

    span: Span
    bits: int | None = None

    def at(self, visits: np.ndarray) -> Seen:
        """For some of the visits."""
        return Seen(self.span.at(visits), self.bits)


class Execution:
    """Plays one request of a machine whose program was started with its inputs.

    ``results`` are those of :class:`~.reference.Reference`, computed by visits. ``stuck``: the
    first step that some token never reached, empty if all are done.
    """

    def __init__(self, machine: Machine, tokens: int, prefill: int | None):
        self.machine = machine
        self.chip, self.plan, self.program = machine.chip, machine.plan, machine.program
        self.waits = Waits(machine.plan, tokens, prefill)
        self.roles = machine.roles()
        self.store = Store(self.program, tokens)
        self.stuck = ""
        self.finals = self._finals()
        self._carried: dict[int, dict[str, Seen]] = {}
        self._served = Served(self)
        self._gemv = Gemv(self, self._served)

    @property
    def results(self) -> Results:
        """What was computed so far."""
        return self.store.results

    # --- the walk ----------------------------------------------------------------------------

    def run(self) -> Results:
        """Play all visits that can be played."""
        counts = self.waits.counts
        done = [np.zeros(n, dtype=bool) for n in counts]
        before = [np.zeros(n + 1, dtype=np.int64) for n in counts]
        readers: list[set[int]] = [set() for _ in counts]
        for i, edges in enumerate(self.waits.edges):
            for source, _ in edges:
                readers[source].add(i)
        queue = dict.fromkeys(range(len(counts)))
        while queue:
            index = next(iter(queue))
            del queue[index]
            ready = ~done[index]
            for source, span in self.waits.edges[index]:
                have = before[source][span.stop] - before[source][span.first]
                ready &= have == span.stop - span.first
            visits = np.flatnonzero(ready)
            if len(visits):
                self._play(index, visits)
                done[index][visits] = True
                before[index][1:] = np.cumsum(done[index])
                queue |= dict.fromkeys(sorted(readers[index]))
        left = [i for i, each in enumerate(done) if not each.all()]
        self.stuck = self.plan.steps[left[0]].name if left else ""
        return self.results

    def _play(self, index: int, visits: np.ndarray) -> None:
        what = self.roles[index].what
        if what == "port":
            self._served.port(index, visits)
        elif what == "serve":
            self._served.play(index, visits)
        elif what not in ("carry", "write"):
            self._gemv.play(index, visits)

    def _finals(self) -> dict[str, int]:
        """By op, and by factor (``op/V``), the step after which its result is there."""
        found: dict[str, int] = {}
        for index, (step, role) in enumerate(zip(self.plan.steps, self.roles, strict=True)):
            if role.what in ("serve", "port", "out", "sum"):
                found[step.op] = index
            if role.what in ("out", "sum"):
                found[f"{step.op}/{role.part}"] = index
        return found

    # --- what a visit sees -------------------------------------------------------------------

    def carried(self, index: int) -> dict[str, Seen]:
        """What a step passes on, for each visit: of ops their positions.

        Of a step within a matrix, ``op/V.adc`` say: the visits of that step.
        """
        if index not in self._carried:
            self._carried[index] = self._passed(index)
        return self._carried[index]

    def _passed(self, index: int) -> dict[str, Seen]:
        step, role = self.plan.steps[index], self.roles[index]
        if index == self.finals.get(step.op):
            return {step.op: Seen(self.waits.positions[index])}
        if role.part and role.what != "carry":
            visit = np.arange(self.waits.counts[index])
            return {f"{step.op}/{role.part}.{role.what}": Seen(Span(visit, visit + 1))}
        found = self.seen(index)
        if role.what == "write":
            bits = count(step, "cell_write") // int(self.program.graph.nodes[step.op]["width"])
            return {name: Seen(each.span, bits) for name, each in found.items()}
        return found

    def seen(self, index: int) -> dict[str, Seen]:
        """What a step has waited for, through all that brings it; of two ways the further one."""
        found: dict[str, Seen] = {}
        for source, span in self.waits.edges[index]:
            for name, inner in self.carried(source).items():
                reach = Seen(span.through(inner.span), inner.bits)
                found[name] = _further(found[name], reach) if name in found else reach
        return found

    def looks(self, index: int, visits: np.ndarray) -> dict[str, Seen]:
        """What these visits see."""
        return {name: each.at(visits) for name, each in self.seen(index).items()}

    def positions(self, index: int, visits: np.ndarray) -> np.ndarray:
        """Positions that these visits serve, one after the other."""
        return self.waits.positions[index].at(visits).numbers()

    def size(self, index: int, visits: np.ndarray) -> np.ndarray:
        """Size of each visit (tokens of context, pairs in a wave), as the plan counts it."""
        waits = self.waits
        size = size_of(self.plan.steps[index], visits, waits.tokens, waits.prefill)
        return np.broadcast_to(np.asarray(size), visits.shape)


def _further(one: Seen, other: Seen) -> Seen:
    more = other.span.stop - other.span.first > one.span.stop - one.span.first
    span = Span(
        np.where(more, other.span.first, one.span.first),
        np.where(more, other.span.stop, one.span.stop),
    )
    return Seen(span, other.bits if one.bits is None else one.bits)
