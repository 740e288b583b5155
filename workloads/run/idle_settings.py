"""Settings of a scenario that have changed nothing in a run.

A setting that acts nowhere is most often a mistake: it belongs to a unit that the model does not
use, to a chip of another kind, to scores where nothing is scored. Each key that the scenario gives,
away from its default, is taken out by itself, and what would run without it is compared with what
ran: requests, host, placement, plan, energies of what was counted, areas and powers. Nothing is
played twice: equal plans and requests play alike.

Not asked: what the answer hangs on by its nature (model, preset, kinds of workload), what acts on
how it is found and not on what (``run.engine``, ``trace.memory_mb``), and ``run.precision``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from hyflexsim.sim import energy
from hyflexsim.sim.chip.area import chip_area, link_power, pu_area, shared_area, unit_power
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.broken_cells import BrokenCell, broken_cells
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.dealing import dealt_otherwise
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.prepare import Prepared, load_host, load_requests, prepare
from hyflexsim.workloads.scenario.scenario import Scenario

SCORES = ("accuracy.", "mapping.weight_clip")
"""Keys that act on scores and values alone."""
APART = (
    *("model.name", "model.graph", "model.checkpoint", "model.rank", "model.leave_out"),
    *("chip.preset", "workload.kind", "run.engine", "run.precision", "run.energy", "run.fidelity"),
    *("host.deadline", "host.queue", "trace.memory_mb"),
)
"""Keys that are not asked: see above; what is counted against a deadline or a queue is said."""


class Ran(NamedTuple):
    """A run. ``values``: whether numbers are computed: a checkpoint is scored, or ``--values``;
    ``kept``: what it has made, which most settings leave as it is.
    """

    scenario: Scenario
    ready: Prepared
    played: Played
    values: bool
    kept: Kept


def idle_settings(ran: Ran) -> list[str]:
    """Keys of a scenario that are given, are not at their defaults, and have changed nothing."""
    return [key for key in _given(ran.scenario) if _is_idle(ran, key)]


def idle_note(ran: Ran) -> list[str]:
    """The same as a note of a run, if there is one."""
    idle = idle_settings(ran)
    named = ", ".join(key.removeprefix("chip.set.") for key in idle)
    return [f"without effect in this run: {named}"] if idle else []


def _given(scenario: Scenario) -> Iterator[str]:
    for name in scenario.model_fields_set - {"name", "title"}:
        yield from _inside(name, getattr(scenario, name))


def _inside(where: str, table: BaseModel) -> Iterator[str]:
    """Dotted keys of a section, of sections in it and of tables whose keys the user chooses."""
    for name in table.model_fields_set:
        key, value = f"{where}.{name}", getattr(table, name)
        if key in APART or name == "kind":
            continue
        if isinstance(value, BaseModel):
            yield from _inside(key, value)
        elif isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in value)
        elif value != type(table).model_fields[name].default:
            yield key


def _is_idle(ran: Ran, key: str) -> bool:
    if key.startswith(SCORES):
        return not ran.values
    if key == "host.dispatch":
        return ran.scenario.host.replicas == 1
    if key == "mapping.deal":
        return not dealt_otherwise(ran.ready.plan, len(ran.ready.requests))
    if key.startswith("trace."):
        return len(ran.played.trace) == int(ran.played.tally.visits.sum())
    if key.startswith("chip.set."):
        acts = set(ran.ready.chip.parameters[key.removeprefix("chip.set.")].acts)
        if "values" in acts and ran.values:
            return False
        if acts <= {"values", "wear"}:
            return True
    try:
        other = _without(ran.scenario, key)
        if key.startswith(("workload.", "host.", "run.seed")) and not _same_requests(ran, other):
            return False
        return _same(ran, prepare(other, ran.ready.graph, kept=ran.kept))
    except (ValidationError, InputError):
        return False  # nothing runs without it


def _without(scenario: Scenario, key: str) -> Scenario:
    """The scenario with one key at its default."""
    content = scenario.model_dump(exclude_unset=True)
    table: Any = content
    parts = key.split(".")
    while parts[0] in table and isinstance(table[parts[0]], dict):
        table = table[parts.pop(0)]
    del table[".".join(parts)]  # names of parameters and patterns have dots in them
    return Scenario.model_validate(content)


def _same_requests(ran: Ran, other: Scenario) -> bool:
    requests, _ = load_requests(other, ran.ready.graph)
    # who is let in by memory follows from a placement, and is compared with that
    host = replace(ran.ready.host, memory=None, needs=(), page=None)
    return (requests, load_host(other, len(requests))) == (ran.ready.requests, host)


def _same(ran: Ran, other: Prepared) -> bool:
    """Whether a run would have given the same tables."""
    ready = ran.ready
    windows = [min(one.window, len(one.requests)) for one in (ready, other)]
    return (
        (ready.requests, ready.host) == (other.requests, other.host)
        and windows[0] == windows[1]
        and _prices(ran, ready.chip) == _prices(ran, other.chip)
        and list(ready.placement.rows()) == list(other.placement.rows())
        and ready.deaths == other.deaths
        and ready.plan == other.plan
        and not (ran.values and _broken(ready.placement) != _broken(other.placement))
    )


def _broken(placement: Placement) -> list[list[BrokenCell]]:
    """What is not what was written, which numbers alone tell."""
    return [list(broken_cells(placement, name)) for name in placement.weights]


def _prices(ran: Ran, chip: Chip) -> tuple[Any, ...]:
    """What a chip makes of a plan that was played: energies of its actions, areas, powers."""
    counts = energy.counted(ran.ready.plan, ran.played, ran.ready.chip)
    by_action = ran.scenario.run.energy == "action"
    prices = [chip.action_energy(*pair)[0] for pair, count in counts.items() if count and by_action]
    areas = chip_area(chip), pu_area(chip), shared_area(chip)
    powers = [unit_power(unit) for unit in chip.units.values()]
    return prices, areas, powers, [link_power(link) for link in chip.links.values()]
