"""A plan in which some steps cost nothing: what would be if nobody had to do that work.

Such a step still hands every token on, after the shortest time there is (1 ps), so that all others
wait for the same as before. A run of it bounds what any way of doing less of this work can save.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Plan


def without_work(plan: Plan, steps: Collection[int]) -> Plan:
    """``plan`` with ``steps`` (by number) of 1 ps, no actions and no multiply-accumulates.

    A component that only they use stays, and serves each token for 1 ps.
    """
    idle = set(steps)
    made = (
        replace(step, rate=Rate(), actions=(), macs=(0, 0)) if i in idle else step
        for i, step in enumerate(plan.steps)
    )
    return replace(plan, steps=tuple(made))
