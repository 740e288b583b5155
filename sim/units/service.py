"""What a component file returns: how long one token takes and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rate:
    """Service time of a token of a given size: ``fixed + quantum * ceil(size * work / speed)`` ps.

    Never less than 1 ps: a hop without duration would make the result depend on the order in
    which an event list happens to hold simultaneous events.

    >>> Rate(fixed=800_000).ps(1)                     # an analog GEMV: 8 bit-planes of 100 ns
    800000
    >>> Rate(quantum=1000, work=96, speed=64).ps(3)   # 288 elements, 64 a cycle of 1 ns
    5000
    """

    fixed: int = 0
    quantum: int = 1
    work: int = 0
    speed: int = 1

    def ps(self, size: int) -> int:
        """Picoseconds for a token of ``size``."""
        return max(1, int(self.linear(size)))

    def linear(self, size: Any) -> Any:
        """The closed form alone, of one size or an array of sizes."""
        return self.fixed - self.quantum * (-size * self.work // self.speed)


@dataclass(frozen=True, slots=True)
class Action:
    """One energy-carrying action of a step: ``per_visit + per_size * size`` times a visit."""

    name: str
    per_visit: int = 0
    per_size: int = 0


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
