"""What a plan lets each visit of a request read, and where results are kept meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Plan, size_of
from hyflexsim.workloads.values.arrays import Factor
from hyflexsim.workloads.values.keeping import Choice
from hyflexsim.workloads.values.matrices import Matrix
from hyflexsim.workloads.values.program import Program
from hyflexsim.workloads.values.roles import Role, count, role_of
from hyflexsim.workloads.values.spans import Span, Waits
from hyflexsim.workloads.values.store import Store


@dataclass(frozen=True)
class Machine:
    """What all requests of a run share: the plan, and matrices in their arrays.

    ``layouts``: by op, its factors in arrays (W, or V and U). ``value_scales``: as the reference's.
    ``choice``: which keys queries keep, None: all.
    """

    chip: Chip
    plan: Plan
    program: Program
    matrices: Mapping[str, Matrix]
    layouts: Mapping[str, Mapping[str, Factor]]
    value_scales: Mapping[str, Tensor]
    choice: Choice | None = None

    def roles(self) -> list[Role]:
        """Of each step. Raises InputError for one without a meaning or planned twice, naming it."""
        links = frozenset(self.chip.links)
        kinds = dict(self.program.graph.nodes(data="kind"))
        roles = [role_of(step, kinds[step.op], links) for step in self.plan.steps]
        first: dict[tuple[str, Role], str] = {}
        for step, role in zip(self.plan.steps, roles, strict=True):
            if role.what not in ("carry", "write") and (step.op, role) in first:
                raise InputError(f"values: step {step.name} is planned twice")
            first[step.op, role] = step.name
        return roles


@dataclass(frozen=True)
class Seen:
    """Of each visit, the positions of an op that it has waited for; ``bits`` where written."""

    span: Span
    bits: int | None = None

    def at(self, visits: np.ndarray) -> Seen:
        """For some of the visits."""
        return Seen(self.span.at(visits), self.bits)


class Sight:
    """One request of a machine: its visits, what they see, and what was computed so far.

    ``finals``: by op, and by factor (``op/V``), the step after which its result is there.
    """

    def __init__(self, machine: Machine, tokens: int, prefill: int | None):
        self.machine = machine
        self.chip, self.plan, self.program = machine.chip, machine.plan, machine.program
        self.waits = Waits(machine.plan, tokens, prefill)
        self.roles = machine.roles()
        self.store = Store(self.program, tokens)
        self.finals = self._finals()
        self._carried: dict[int, dict[str, Seen]] = {}
        self._seen: dict[int, dict[str, Seen]] = {}

    def _finals(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for index, (step, role) in enumerate(zip(self.plan.steps, self.roles, strict=True)):
            if role.what in ("serve", "port", "out", "sum"):
                found[step.op] = index
            if role.what in ("out", "sum"):
                found[f"{step.op}/{role.part}"] = index
        return found

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
        if index not in self._seen:
            self._seen[index] = self._reached(index)
        return self._seen[index]

    def _reached(self, index: int) -> dict[str, Seen]:
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
        """Size of each visit (tokens of context, pairs in a wave), as the plan counts it; where it
        counts by head, of one head.
        """
        waits = self.waits
        step = self.plan.steps[index]
        size = size_of(step, visits, waits.tokens, waits.prefill) // step.each
        return np.broadcast_to(np.asarray(size), visits.shape)


def _further(one: Seen, other: Seen) -> Seen:
    more = other.span.stop - other.span.first > one.span.stop - one.span.first
    span = Span(
        np.where(more, other.span.first, one.span.first),
        np.where(more, other.span.stop, one.span.stop),
    )
    return Seen(span, other.bits if one.bits is None else one.bits)
