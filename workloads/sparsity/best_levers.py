"""Which levers to pull together: greedily, as long as accuracy holds.

The rule: in each round the costs of every lever beside those already pulled are looked at, one of a
kind, and by falling gain the first is pulled whose accuracy is within the limit of the start's.
A lever that fails is not tried again. It ends where no lever gains 1 %. The gain is the geometric
mean of latency, energy and time a jet (1 / pace), all three relative to the start: that they weigh
alike is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

from hyflexsim.workloads.sparsity.lever_costs import Cost
from hyflexsim.workloads.sparsity.levers import Lever, Setting

LIMIT = 0.005
"""Of accuracy that may be lost."""
LEAST_GAIN = 0.01


def merit(cost: Cost, start: Cost) -> float:
    """Geometric mean of a cost's latency, energy and time a jet over the start's.

    >>> merit(Cost(5, 2, 1, 9), Cost(20, 2, 0.5, 9))
    0.5
    """
    ratios = (
        cost.latency_us / start.latency_us,
        cost.energy_uj / start.energy_uj,
        start.pace_per_s / cost.pace_per_s,
    )
    return float(prod(ratios) ** (1 / 3))


def greedy(
    levers: Sequence[Lever],
    cost: Callable[[Setting], Cost],
    lost: Callable[[Setting], float],
) -> Iterator[tuple[Lever, Setting]]:
    """Levers in the order in which they are pulled, each with the setting that it makes.

    ``cost`` and ``lost`` (accuracy lost since the start) of a setting. Levers whose model is to be
    trained first, and those without a latency, are left out.
    """
    at = Setting()
    start = cost(at)
    best, left = 1.0, [lever for lever in levers if Setting().changed(lever.change).trained]
    while True:
        tried = [(lever, at.changed(lever.change)) for lever in left if lever.change]
        gains = {lever.title: merit(cost(setting), start) for lever, setting in tried}
        for lever, setting in sorted(tried, key=lambda each: gains[each[0].title]):
            if not gains[lever.title] <= best * (1 - LEAST_GAIN):
                return
            if lost(setting) <= LIMIT:
                at, best = setting, gains[lever.title]
                left = [other for other in left if other.kind != lever.kind]
                yield lever, setting
                break
            left.remove(lever)
        else:
            return
