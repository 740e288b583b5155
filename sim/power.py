"""Peak power (mW): everything that a run uses, busy at once.

A unit draws what its kind says (``Kind.power``: rows of the chip's file, or energy an action times
rate where there is no row, as for DRAM), a link its full bandwidth. Where the energies of a chip
say more than its rows (they come from different places; HyFlexPIM's do not agree), what a
component drew in the run while it was busy counts instead. So no run draws more than its peak::

    mean = sum of energies / makespan  <=  sum over components of energy / busy time  <=  peak
"""

from __future__ import annotations

from collections import defaultdict

from hyflexsim.sim import energy
from hyflexsim.sim.chip.area import unit_power
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.plan import Plan, Step

MW_PER_PJ_A_PS = 1e3


def peak_mw(plan: Plan, played: Played, placement: Placement, mode: str) -> float:
    """mW of all units in the used PUs, on the used chips and beside them, and of the used links.

    ``mode``: of energy, see :mod:`hyflexsim.sim.energy`.
    """
    chip = placement.chip
    drawn = _drawn(plan, played, chip, mode)
    pus, chips = placement.pus_used * plan.replicas, placement.chips_used * plan.replicas
    units = (
        max(
            unit.total * unit_power(unit) * (pus if unit.where == "pu" else chips),
            drawn.get(name, 0.0),
        )
        for name, unit in chip.units.items()
    )
    return sum(units) + sum(drawn.get(name, 0.0) for name in chip.links)


def _drawn(plan: Plan, played: Played, chip: Chip, mode: str) -> dict[str, float]:
    """mW by unit and link: each component at the step for which it draws most."""
    most: dict[tuple[str, int], float] = defaultdict(float)
    visited, served_ps = played.tally.visits.tolist(), played.tally.served_ps.tolist()
    energies = energy.action_counts_of(plan, chip).step_energies_pj(*energy.totals(played)).tolist()
    for step, visits, served, spent in zip(plan.steps, visited, served_ps, energies, strict=True):
        if step.unit in chip.links:
            drawn = _full_bandwidth(chip, step)
        elif mode == "power-time":
            drawn = _by_power(plan, step, energy.busy_ps(plan, step, visits, served), visits)
        else:
            busy = energy.busy_ps(plan, step, visits, served)
            drawn = MW_PER_PJ_A_PS * spent / busy if busy else 0.0
        for lane in step.lanes:
            most[step.unit, lane] = max(most[step.unit, lane], drawn)
    total: dict[str, float] = defaultdict(float)
    for (owner, _), drawn in most.items():
        total[owner] += drawn
    return total


def _full_bandwidth(chip: Chip, step: Step) -> float:
    """mW of a transfer beyond its latency, over all ways and hops that it takes at once."""
    price = sum(chip.action_energy(step.unit, a.name)[0] * a.per_size for a in step.actions)
    rate = step.rate
    return MW_PER_PJ_A_PS * price * rate.speed / (rate.quantum * rate.work) if rate.work else 0.0


def _by_power(plan: Plan, step: Step, busy: int, visits: int) -> float:
    """mW of a component and of what works in its shadow, in energy mode ``power-time``."""
    component = plan.server(step)
    shadow = sum(visits * beat * power for _, beat, power in component.shadow)
    return component.power_mw + (shadow / busy if busy else 0.0)
