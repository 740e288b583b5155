"""Copies: what the arrays that a layer leaves free are used for.

A matrix with c copies serves c tokens at once. What a further copy is worth depends on whether the
units of a layer overlap (overlap.py):

``pipelined``     the slowest part of a PU group sets the pace. Copies go to the slowest matrix, one
                  by one, until it is no longer the group's bottleneck (bus, digital PIM or SFU
                  are), until every token has a copy of its own, or until the arrays run out.
``layer-serial``  all steps of a group add up. A step of n tokens takes ceil(n / c) turns, so copies
                  go where they save the most time per array, until none fits that saves any.

``fill`` copies whole matrices. ``fill-factors`` copies V and U of a matrix each for itself: the one
that is slower or smaller may then have a copy more (weight.py). ``even`` gives all matrices of the
blocks that share PUs the same number of copies, as many as fit. On q PUs a layer that is a multiple
of 1 / q copies a PU.

The matrices of the pair network are copied together, since a wave of pairs goes through all of them
in step.
"""

from __future__ import annotations

from collections import defaultdict

import networkx as nx

from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.given_copies import even, given, refuse_idle_copies, runs_of
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of

ROUNDS = 8

Copies = dict[tuple[str, int], int]
"""By name of a weight and number of its part."""


def apply_copies(
    graph: nx.DiGraph, placement: Placement, tokens: int, overlap: str = "pipelined"
) -> Placement:
    """``placement`` with the copies its options ask for; ``tokens``: a typical request's length.

    ``overlap``: how the plan will be played. Raises :class:`CapacityError` when a fixed number of
    copies does not fit.
    """
    wanted = placement.options.copies
    if wanted == "none":
        return placement
    refuse_idle_copies(placement)
    if wanted == "even":
        return even(graph, placement, tokens)
    if isinstance(wanted, str):
        return fill(graph, placement, tokens, overlap)
    copied = placement.with_part_copies(given(placement, wanted))
    number = f"{wanted} " if isinstance(wanted, int) else ""
    for pus, layers in copied.groups().items():
        if copied.free(pus) < 0:
            raise CapacityError(
                f"{number}copies of {', '.join(layers)} need {-copied.free(pus)} "
                f"{placement.chip.holder.kind.holds} more than PU {', '.join(map(str, pus))} has"
            )
    return copied


def fill(
    graph: nx.DiGraph, placement: Placement, tokens: int, overlap: str = "pipelined"
) -> Placement:
    """Copies for all arrays that are left and worth using, group by group."""
    if not placement.chip.unit("gemv").kind.copied:
        return placement
    if overlap == "layer-serial":
        return _fill_turns(graph, placement, tokens)
    return _fill_pipelined(graph, placement, tokens)


def _fill_pipelined(graph: nx.DiGraph, placement: Placement, tokens: int) -> Placement:
    """Copy the bottleneck of every PU group until it is none, or nothing is left to copy it to.

    Copies of the pair network make waves of pairs larger, which spends less of the SFU's cycles on
    each pair; so what the other components need is measured again until nothing changes. Other
    copies do not change it: a plan with no more than those of the pair network measures it.
    """
    unit = placement.chip.unit("gemv")
    pairs = _pair_weights(graph)
    filled, wave = placement, dict.fromkeys(pairs, 1)
    for _ in range(ROUNDS):
        waves = placement.with_copies(wave)
        loads = _shared_loads(build_plan(graph, waves), tokens, unit.name)
        copies: Copies = {}
        for pus, layers in placement.groups().items():
            units = _units(graph, placement, layers, tokens)
            copies |= _fill_group(units, placement.free(pus), loads[pus[0]])
        before, wave = wave, _together(copies, pairs)
        filled = _copied(placement, copies, wave)
        if wave == before:
            break
    return filled


def _shared_loads(plan: Plan, tokens: int, unit: str) -> dict[int, int]:
    """Busy time of the busiest component that copies do not help, by first PU of its group.

    ``unit``: the one whose matrices are copied.
    """
    loads: dict[int, int] = defaultdict(int)
    copied = {lane for step in plan.steps if step.unit == unit for lane in step.lanes}
    for i, load in enumerate(component_loads(plan, tokens)):
        if i not in copied:
            pu = plan.components[i].pu
            loads[pu] = max(load, loads[pu])
    return loads


def _pair_weights(graph: nx.DiGraph) -> list[str]:
    """Matrices of pair networks: a wave goes through all of them, so all have as many copies."""
    return [
        op["weight"]
        for _, op in graph.nodes(data=True)
        if op["kind"] == "gemv" and op["axis"] == "pair"
    ]


def component_loads(plan: Plan, tokens: int) -> list[int]:
    """Busy picoseconds of every component for one request, lanes sharing evenly."""
    shape = shape_of(plan, tokens)
    loads = [0] * len(plan.components)
    for step, count, duration in zip(plan.steps, shape.counts, shape.durations, strict=True):
        total = sum(duration) if isinstance(duration, list) else count * duration
        for lane in step.lanes:
            loads[lane] += total // len(step.lanes)
    return loads


class _Unit:
    """Parts of matrices that are copied together: pieces of a copy, runs and time of a request.

    ``visits``: of a request to what copies have of their own, and how long each takes.
    """

    def __init__(self, parts: list[tuple[str, int]], pieces: int, runs: int, load: int) -> None:
        self.parts = parts
        self.pieces = pieces
        self.runs = runs
        self.load = load
        self.copies = 1
        self.visits: list[tuple[int, int]] = []

    def turns_ps(self, copies: int) -> int:
        """Time of a request where so many copies take turns with everything else."""
        return sum(-(-count // copies) * ps for count, ps in self.visits)

    def next_worth(self) -> int:
        """The next number of copies that saves time; 0 if none does."""
        most = max((count for count, _ in self.visits), default=1)
        now = self.turns_ps(self.copies)
        more = range(self.copies + 1, most + 1)
        return next((copies for copies in more if self.turns_ps(copies) < now), 0)


def _units(graph: nx.DiGraph, placement: Placement, layers: list[str], tokens: int) -> list[_Unit]:
    paired, unit = set(_pair_weights(graph)), placement.chip.unit("gemv")
    apart = placement.options.copies == "fill-factors"
    units: dict[tuple[str, int], _Unit] = {}
    for weight in placement.weights.values():
        if weight.layer not in layers:
            continue
        runs = runs_of(graph, weight, tokens)
        name = "pairs" if weight.name in paired else weight.name
        for i, part in enumerate(weight.parts):
            key = (name, i if apart and weight.name not in paired else 0)
            copied = units.setdefault(key, _Unit([], 0, runs, 0))
            copied.parts.append((weight.name, i))
            copied.pieces += part.pieces
            copied.load = max(copied.load, runs * unit.kind.interval_ps(unit, (part,)))
    return list(units.values())


def _copied(placement: Placement, copies: Copies, pairs: dict[str, int]) -> Placement:
    """The placement with copies by part; ``pairs``: of matrices of pair networks, all parts."""
    each = {
        weight.name: tuple(
            pairs.get(weight.name, copies[weight.name, i]) for i in range(len(weight.parts))
        )
        for weight in placement.weights.values()
    }
    return placement.with_part_copies(each)


def _fill_group(units: list[_Unit], free: int, floor: int) -> Copies:
    while units:
        slowest = max(units, key=lambda unit: unit.load / unit.copies)
        enough = slowest.load <= floor * slowest.copies or slowest.copies >= slowest.runs
        if enough or slowest.pieces > free:
            break
        slowest.copies += 1
        free -= slowest.pieces
    return {part: unit.copies for unit in units for part in unit.parts}


def _fill_turns(graph: nx.DiGraph, placement: Placement, tokens: int) -> Placement:
    """Copies of what saves the most time per array, where all parts of a group take turns."""
    name = placement.chip.unit("gemv").name
    plan = build_plan(graph, placement)
    shape = shape_of(plan, tokens)
    visits: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for step, count, duration in zip(plan.steps, shape.counts, shape.durations, strict=True):
        op = graph.nodes[step.op]
        if step.unit == name and op["kind"] == "gemv":
            longest = max(duration, default=0) if isinstance(duration, list) else duration
            part = step.name.removeprefix(f"{step.op}.").partition(".")[0]
            visits.setdefault((op["weight"], part), []).append((count, longest))
    copies: Copies = {}
    for pus, layers in placement.groups().items():
        units = _units(graph, placement, layers, tokens)
        for unit in units:
            parts = [(name, placement.weights[name].parts[i].part) for name, i in unit.parts]
            unit.visits = [each for part in parts for each in visits[part]]
        copies |= _fill_group_turns(units, placement.free(pus))
    return _copied(placement, copies, _together(copies, _pair_weights(graph)))


def _together(copies: Copies, pairs: list[str]) -> dict[str, int]:
    """As many copies of all matrices of pair networks as the one with the fewest has."""
    return {name: min(copies[each, 0] for each in pairs) for name in pairs}


def _fill_group_turns(units: list[_Unit], free: int) -> Copies:
    while True:
        best: tuple[float, int, _Unit] | None = None
        for unit in units:
            copies = unit.next_worth()
            arrays = (copies - unit.copies) * unit.pieces
            if not copies or arrays > free:
                continue
            saved = (unit.turns_ps(unit.copies) - unit.turns_ps(copies)) / arrays
            if best is None or saved > best[0]:
                best = saved, copies, unit
        if best is None:
            return {part: unit.copies for unit in units for part in unit.parts}
        _, copies, unit = best
        free -= (copies - unit.copies) * unit.pieces
        unit.copies = copies
