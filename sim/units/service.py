"""What a component file returns: how long one token takes and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from hyflexsim.sim.plan.plan import Action, Rate


@dataclass(frozen=True, slots=True)
class Service:
    """Closed form of one visit: a time and counts of actions, both linear in the token's size.

    ``lead_ps``: the component has worked on the token for so long when the visit starts.
    """

    rate: Rate
    actions: tuple[Action, ...] = ()
    lead_ps: int = 0


def cycles(period_ps: int, work: int, per_cycle: int, depth: int = 0) -> Rate:
    """Whole clock cycles for ``work`` items per unit of size, ``per_cycle`` at once.

    >>> cycles(1000, work=96, per_cycle=64).ps(1)
    2000
    """
    return Rate(fixed=depth * period_ps, quantum=period_ps, work=work, speed=per_cycle)
