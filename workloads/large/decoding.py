"""A decoder on the fewest chips that hold it: one prompt played, and what one more token costs."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

import networkx as nx

from hyflexsim.sim import energy
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import place
from hyflexsim.sim.placement.memory import requests_at_once
from hyflexsim.sim.plan.copies import component_loads
from hyflexsim.sim.plan.plan import Group, Plan
from hyflexsim.sim.plan.traffic import link_bytes
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.routing import taken
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Generate, Model, Placing

MOST_CHIPS = 65536


@dataclass(frozen=True)
class Decoding:
    """Least chips and PUs in use; times and energy of the prompt's first and one further token.

    ``pace_ps``: of the busiest component, for a token of the prompt. ``bound``: the kind of
    component that the further token spends most of its longest way in, for ``bound_ps``.
    ``link_bytes``: from chip to chip, of the further token.
    """

    chips: int
    pus: int
    first_ps: int
    further_ps: int
    pace_ps: int
    energy_pj: float
    bound: str
    bound_ps: int
    link_bytes: int


def decode(graph: nx.DiGraph, preset: str, slc_rate: float, context: int) -> Decoding:
    """Play a prompt of ``context`` tokens and one token more.

    Raises CapacityError where no number of chips holds the model, InputError as a scenario does.
    """
    ready = prepare(_on_fewest(graph, preset, slc_rate, context), graph)
    played = engines.play(ready.plan, ready.requests, keep=Keep(requests=(1, 2)))
    first = played.first_output[0]
    way = longest_way(ready.plan, context)
    kind = max(way, key=way.__getitem__)
    before, after = (shape_of(ready.plan, n, context) for n in (context, context + 1))
    spent = [energy.request_energy_pj(ready.plan, s, ready.chip, "action") for s in (before, after)]
    return Decoding(
        ready.placement.chips_used,
        ready.placement.pus_used,
        first - played.arrived[0],
        played.finished[0] - first,
        max(component_loads(ready.plan, context)) // context,
        spent[1] - spent[0],
        kind,
        way[kind],
        _crossing(ready, context),
    )


def _on_fewest(graph: nx.DiGraph, preset: str, slc_rate: float, context: int) -> Scenario:
    """The scenario with the least number of chips that hold model and request."""

    def scenario(chips: int) -> Scenario:
        return Scenario(
            name="large",
            model=Model(name=graph.graph["name"]),
            chip=Chip(preset=preset, chips=chips),
            mapping=Placing(slc_rate=slc_rate, copies="none"),
            workload=Generate(prefill=context, decode=2),
        )

    machine = scenario(1).hardware()

    def holds(chips: int) -> bool:
        try:
            placement = place(graph, machine, scenario(chips).options())
            requests_at_once(graph, placement, context + 1)
        except CapacityError:
            return False
        return True

    most = 1
    while most < MOST_CHIPS and not holds(most):
        most *= 2
    least = bisect_left(range(most), True, lo=most // 2 + 1, key=holds) if most > 1 else 1
    return scenario(least)


def longest_way(plan: Plan, context: int) -> dict[str, int]:
    """Picoseconds by kind of component on the longest way of token ``context`` (from 0) from input
    to output, where all before it is done and nothing else is on the chips.
    """
    shape = shape_of(plan, context + 1, context)
    times: list[int] = []
    ends: list[int] = []
    back: list[int] = []
    for step, count, duration in zip(plan.steps, shape.counts, shape.durations, strict=True):
        served = step.routed is None or context in taken(step.routed, context + 1)
        last = duration[-1] if isinstance(duration, list) else duration
        times.append(int(last) if served and count else 0)
        earlier = [e.source for e in step.inputs if not (isinstance(e, Group) and e.lag)]
        back.append(max(earlier, key=ends.__getitem__, default=-1))
        ends.append(times[-1] + (ends[back[-1]] if earlier else 0))
    found: dict[str, int] = defaultdict(int)
    at = max(range(len(ends)), key=ends.__getitem__)
    while at >= 0:
        found[plan.steps[at].kind] += times[at]
        at = back[at]
    return dict(found)


def _crossing(ready: Prepared, context: int) -> int:
    link = ready.chip.link("chip", "chip")
    if link is None:
        return 0
    before, after = (
        link_bytes(ready.plan, ready.chip, n, context)[link.name] for n in (context, context + 1)
    )
    return after - before
