"""Copies: what the arrays that a layer leaves free are used for.

A matrix with c copies serves c tokens at once. What a further copy is worth depends on whether the
units of a layer overlap (overlap.py):

``pipelined``     the slowest part of a PU group sets the pace. Copies go to the slowest matrix, one
                  by one, until it is no longer the group's bottleneck (bus, digital PIM or SFU
                  are), until every token has a copy of its own, or until the arrays run out.
``layer-serial``  all steps of a group add up. A step of n tokens takes ceil(n / c) turns, so copies
                  go where they save the most time per array, until none fits that saves any.

The matrices of the pair network are copied together, since a wave of pairs goes through all of them
in step.
"""

from __future__ import annotations

from collections import defaultdict
from fnmatch import fnmatch

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.mapping import Placement, is_block
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of

ROUNDS = 8


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
    _refuse_idle_copies(placement)
    if isinstance(wanted, str):
        return fill(graph, placement, tokens, overlap)
    copied = placement.with_copies(_given(placement, wanted))
    number = f"{wanted} " if isinstance(wanted, int) else ""
    for pus, layers in copied.groups().items():
        if copied.free(pus) < 0:
            raise CapacityError(
                f"{number}copies of {', '.join(layers)} need {-copied.free(pus)} "
                f"{placement.chip.holder.kind.holds} more than PU {', '.join(map(str, pus))} has"
            )
    return copied


def _refuse_idle_copies(placement: Placement) -> None:
    """Raise :class:`InputError` for numbers of copies that could do nothing."""
    wanted, unit = placement.options.copies, placement.chip.unit("gemv")
    if isinstance(wanted, str):
        return
    if not unit.kind.copied:
        raise InputError(
            f"copies must be none or fill on {placement.chip.name}: a second copy in {unit.name} "
            f"serves no second token; got {wanted!r}"
        )
    ops = [weight.op for weight in placement.weights.values()]
    for pattern in wanted if isinstance(wanted, dict) else ():
        if not any(fnmatch(op, pattern) for op in ops):
            raise InputError(
                f"copies: no matrix matches {pattern!r}; names are like {', '.join(ops[:3])}"
            )


def _given(placement: Placement, wanted: int | dict[str, int]) -> dict[str, int]:
    """Copies by weight: a number is for the matrices of blocks, patterns are of op names."""
    if isinstance(wanted, int):
        return {w.name: wanted for w in placement.weights.values() if is_block(w.layer)}
    return {
        weight.name: next((n for op, n in wanted.items() if fnmatch(weight.op, op)), 1)
        for weight in placement.weights.values()
    }


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
        copies: dict[str, int] = {}
        for pus, layers in placement.groups().items():
            units = _units(graph, placement, layers, tokens)
            copies |= _fill_group(units, placement.free(pus), loads[pus[0]])
        before, wave = wave, _together(copies, pairs)
        filled = placement.with_copies(copies | wave)
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
    """Matrices that are copied together: pieces of a copy, runs and time of a request.

    ``visits``: of a request to parts that copies have of their own, and how long each takes.
    """

    def __init__(self, names: list[str], pieces: int, runs: int, load: int) -> None:
        self.names = names
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
    units: dict[str, _Unit] = {}
    for weight in placement.weights.values():
        if weight.layer not in layers:
            continue
        runs = sum(g.token_count(graph.nodes[op], tokens) for op in weight.ops)
        interval = unit.kind.interval_ps(unit, weight.parts)
        pairs = weight.name in paired
        copied = units.setdefault("pairs" if pairs else weight.name, _Unit([], 0, runs, 0))
        copied.names.append(weight.name)
        copied.pieces += weight.pieces
        copied.load = max(copied.load, runs * interval)
    return list(units.values())


def _fill_group(units: list[_Unit], free: int, floor: int) -> dict[str, int]:
    while units:
        slowest = max(units, key=lambda unit: unit.load / unit.copies)
        enough = slowest.load <= floor * slowest.copies or slowest.copies >= slowest.runs
        if enough or slowest.pieces > free:
            break
        slowest.copies += 1
        free -= slowest.pieces
    return {name: unit.copies for unit in units for name in unit.names}


def _fill_turns(graph: nx.DiGraph, placement: Placement, tokens: int) -> Placement:
    """Copies of what saves the most time per array, where all parts of a group take turns."""
    name = placement.chip.unit("gemv").name
    plan = build_plan(graph, placement)
    shape = shape_of(plan, tokens)
    visits: dict[str, list[tuple[int, int]]] = {}
    for step, count, duration in zip(plan.steps, shape.counts, shape.durations, strict=True):
        op = graph.nodes[step.op]
        if step.unit == name and op["kind"] == "gemv":
            longest = max(duration, default=0) if isinstance(duration, list) else duration
            visits.setdefault(op["weight"], []).append((count, longest))
    copies: dict[str, int] = {}
    for pus, layers in placement.groups().items():
        units = _units(graph, placement, layers, tokens)
        for unit in units:
            unit.visits = [each for weight in unit.names for each in visits[weight]]
        copies |= _fill_group_turns(units, placement.free(pus))
    return placement.with_copies(copies | _together(copies, _pair_weights(graph)))


def _together(copies: dict[str, int], pairs: list[str]) -> dict[str, int]:
    """As many copies of all matrices of pair networks as the one with the fewest has."""
    return {name: min(copies[each] for each in pairs) for name in pairs}


def _fill_group_turns(units: list[_Unit], free: int) -> dict[str, int]:
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
            return {name: unit.copies for unit in units for name in unit.names}
        _, copies, unit = best
        free -= (copies - unit.copies) * unit.pieces
        unit.copies = copies
