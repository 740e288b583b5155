"""What the blocks of a model take on a chip, in closed form: energy by part, rate, PUs and area.

The paper's figures are of the rows of equal blocks: embeddings, pooler and head are left out of all
sums here. Everything comes from the plan of a scenario (``prepare``); only ``played`` plays::

    energy      counts of a request x energy of an action     (equal to a run's ledger)
    rate        1 / busy time of the busiest part (pipelined), or of the busiest PU group, in turns
                (layer-serial): what a long stream of requests approaches, if memory lets as many in
                as there are groups and none waits for a bus between them
    area        PUs that hold blocks x area of a PU
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Literal, NamedTuple

from hyflexsim.sim import energy
from hyflexsim.sim.chip.area import pu_area, shared_area
from hyflexsim.sim.placement.mapping import is_block
from hyflexsim.sim.plan.copies import component_loads
from hyflexsim.sim.plan.overlap import turns_ps
from hyflexsim.sim.plan.plan import Step
from hyflexsim.sim.plan.unrolled import Shape, shape_of
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Model, Placing, Run, Tokens, Tracing

CHIPS = 16
"""Enough for every case: layers outside the blocks then have PUs of their own."""

LINEAR, WRITES, ATTENTION, SFU = "linear", "writes", "attention", "SFU"
PARTS = (LINEAR, WRITES, ATTENTION, SFU)
"""Static matrices with buses and sums; Q, K, V to memory; products of activations; the rest."""

Changes = tuple[tuple[str, float | int | str], ...]
"""Parameters of a chip that differ, as ``(name, value)``."""

_KEPT = Kept(64)


@dataclass(frozen=True)
class Case:
    """One bar of a figure."""

    model: str = "bert-large"
    preset: str = "hyflexpim"
    slc_rate: float = 1.0
    tokens: int = 128
    tiles: Literal["row-tile", "ideal"] = "row-tile"
    overlap: Literal["pipelined", "layer-serial"] = "pipelined"
    copies: Literal["none", "fill", "fill-factors", "even"] = "none"
    pus_per_layer: Literal["auto", "fill", "packed"] | float = "auto"
    set: Changes = ()

    def scenario(self) -> Scenario:
        """The same in the words of a scenario file; ranks by hard threshold (HyFlexPIM §4)."""
        return Scenario(
            name="reproduction",
            model=Model(name=self.model, rank="hard-threshold", positions="any"),
            chip=Chip(preset=self.preset, chips=CHIPS, set=dict(self.set)),
            mapping=Placing(
                slc_rate=self.slc_rate,
                tiles=self.tiles,
                copies=self.copies,
                pus_per_layer=self.pus_per_layer,
            ),
            workload=Tokens(tokens=self.tokens),
            run=Run(overlap=self.overlap),
        )


def with_set(case: Case, changes: Changes) -> Case:
    """A case with more parameters changed."""
    return replace(case, set=(*case.set, *changes))


class Pace(NamedTuple):
    """Answers a second of a run, of how many, requests in flight meanwhile, visits of it all."""

    per_s: float
    answers: int
    in_flight: int
    visits: int


@dataclass(frozen=True)
class Blocks:
    """The blocks of a case's model, placed and planned.

    >>> five, all_slc = (Blocks.of(Case(slc_rate=rate)) for rate in (0.05, 1.0))
    >>> f"{all_slc.energy_pj()['linear'] / five.energy_pj()['linear']:.3f}"  # Fig 14: 1.245
    '1.262'
    >>> five.pus, all_slc.pus  # 12,416 arrays a layer in single-level cells, a PU has 12,288
    (24, 48)
    """

    case: Case
    ready: Prepared = field(repr=False)

    @classmethod
    def of(cls, case: Case) -> Blocks:
        """Place and plan; graphs and plans are kept for the next case that needs the same."""
        return cls(case, prepare(case.scenario(), kept=_KEPT))

    @cached_property
    def shape(self) -> Shape:
        """The plan evaluated for the case's length."""
        return shape_of(self.ready.plan, self.case.tokens)

    def _steps(self) -> list[tuple[Step, int, int]]:
        """Steps of blocks with visits and sizes of a request."""
        shape = self.shape
        every = zip(self.ready.plan.steps, shape.counts, shape.sizes, strict=True)
        return [(step, count, size) for step, count, size in every if is_block(step.layer)]

    def part(self, step: Step) -> str:
        """Of :data:`PARTS`."""
        kind = self.ready.graph.nodes[step.op]["kind"]
        if step.name.endswith(".write"):
            return WRITES
        return {"gemv": LINEAR, "matmul": ATTENTION}.get(kind, SFU)

    def energy_pj(self) -> dict[str, float]:
        """pJ of a request by part."""
        found = dict.fromkeys(PARTS, 0.0)
        for (part, _), value in self.energy_by_kind_pj().items():
            found[part] += value
        return found

    def energy_by_kind_pj(self) -> Mapping[tuple[str, str], float]:
        """pJ of a request by (part, kind of component); what moves to a unit is the link's."""
        found: dict[tuple[str, str], float] = defaultdict(float)
        for step, count, size in self._steps():
            by_kind = energy.step_energy_by_kind_pj(self.ready.chip, step, count, size)
            for kind, value in by_kind.items():
                found[self.part(step), kind] += value
        return found

    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of a request by part."""
        found = dict.fromkeys((LINEAR, ATTENTION), 0)
        for step, count, size in self._steps():
            if any(step.macs):
                found[self.part(step)] += energy.step_macs(step, count, size)
        return found

    @cached_property
    def groups(self) -> set[int]:
        """First PUs of the groups that hold blocks."""
        return {pus[0] for layer, pus in self.ready.placement.pus.items() if is_block(layer)}

    @property
    def pus(self) -> int:
        """PUs that hold blocks."""
        pus = self.ready.placement.pus
        return len({pu for layer in pus if is_block(layer) for pu in pus[layer]})

    @property
    def area_mm2(self) -> float:
        """Of these PUs, with their share of what a chip has once."""
        chip = self.ready.chip
        return self.pus * (pu_area(chip) + shared_area(chip) / chip.values.pus)

    def bound(self) -> tuple[str, float]:
        """The part that sets the pace (its kind), and ps a request that it takes."""
        components, tokens = self.ready.plan.components, self.case.tokens
        if self.case.overlap == "layer-serial":
            turns = turns_ps(self.ready.plan, tokens)
            times = {i: ps for i, ps in turns.items() if components[i].pu in self.groups}
        else:
            loads = component_loads(self.ready.plan, tokens)
            times = {
                i: load
                for i, load in enumerate(loads)
                if components[i].pu in self.groups or components[i].pu < 0
            }
        slowest = max(times, key=times.__getitem__)
        return components[slowest].kind, times[slowest]

    @property
    def per_s(self) -> float:
        """Requests a second of a long stream."""
        return 1e12 / self.bound()[1]

    def played(self, answers: int = 16) -> Pace:
        """The same from a run: requests at once, the pace of so many answers after the first.

        While these are given, each group of PUs has a request to work on, or as many are in flight
        as memory lets in. In the second case they leave in waves: of whole ones the pace is taken.
        """
        scenario, window = self.case.scenario(), self.ready.window
        in_flight = min(window, len(self.groups))
        if window < len(self.groups):
            answers = -(-answers // window) * window
        changes = {
            "workload": scenario.workload.model_copy(update={"requests": answers + in_flight}),
            "trace": Tracing(components=["host*"]),
        }
        played = simulate(scenario.model_copy(update=changes), kept=_KEPT).played
        finished = sorted(played.finished)
        per_s = 1e12 * answers / (finished[answers] - finished[0])
        return Pace(per_s, answers, in_flight, int(played.tally.visits.sum()))

    @property
    def per_s_mm2(self) -> float:
        """The same a mm²."""
        return self.per_s / self.area_mm2


@cache
def energies(case: Case) -> tuple[Mapping[str, float], Mapping[str, int]]:
    """pJ and multiply-accumulates of a request by part; several figures ask for the same cases."""
    blocks = Blocks.of(case)
    return blocks.energy_pj(), blocks.macs()
