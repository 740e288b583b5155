"""What a unit answers when it is asked to serve: how long one token takes and what that costs.

A unit's answer is a *chain*: visits to its parts, transfers over the links, sums of partial sums.
The planner makes steps of it; nothing here knows where a unit is, or which chip it is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
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


@dataclass(frozen=True, slots=True)
class Shadow:
    """A part that works in the same breath as another and has no visit of its own.

    ``busy_ps``: how long a visit; ``power_mw``: drawn meanwhile (energy mode ``power-time``).
    """

    kind: str
    busy_ps: int
    power_mw: float


@dataclass(frozen=True, slots=True)
class Visit:
    """One link of a chain: a visit to a part of a unit.

    ``kind``: of component, as reported. ``part``: what it is called within its place; empty: the
    unit's own name. ``label``: added to the op's name. ``power_mw``: drawn while busy. ``own``:
    each matrix has one of its own, and copies have theirs. ``planes``: it is visited so often a
    token. ``waiting_bytes``: of a token that waits in the input buffer before it (None:
    it waits in memory). ``rigid``: it runs in step
    with the visit before and cannot make it wait. ``macs``: a visit and a unit of size, complete
    after ``planes`` visits (or ``macs_in``, where a unit of size is a part of a product).
    ``busy_ps``: time it is busy, where that is not the visit's.
    """

    kind: str
    service: Service
    label: str = ""
    part: str = ""
    power_mw: float = 0.0
    own: bool = False
    planes: int = 1
    waiting_bytes: int | None = None
    rigid: bool = False
    macs: tuple[int, int] = (0, 0)
    shadow: tuple[Shadow, ...] = ()
    busy_ps: int | None = None
    macs_in: int | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of a chain: so many bytes over the link between the unit and where results lie.

    ``waiting_bytes``: of a token that waits for it in the output buffer (None: in memory).
    """

    label: str
    size_bytes: int
    waiting_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """One link of a chain: partial sums are added, by the unit that serves ``partial-sums``."""

    label: str
    additions: int


@dataclass(frozen=True, slots=True)
class Access:
    """One link of a chain: bytes read from (or written to) the memory of results, per unit of
    size.
    """

    label: str
    size_bytes: int
    write: bool = False
    group: Fraction | int = 1


Chain = tuple[Visit | Hop | Sum | Access, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What a unit is asked to serve: one token of an op, per unit of its size.

    ``op``: its class. ``macs``: multiply-accumulates. ``elements``: that go through. ``width``: of
    the result. ``heads``: rows it is made of. ``probabilities``: one operand is a row of
    probabilities. ``format``: of numbers (formats.py). ``group``: places that share the work, parts
    of places included.
    ``by_bit``: a unit of size is one bit of a stored operand, not all of them.
    """

    op: str
    macs: int = 0
    elements: int = 0
    width: int = 0
    heads: int = 1
    probabilities: bool = False
    format: str = ""
    group: Fraction | int = 1
    by_bit: bool = False


def cycles(period_ps: int, work: int, per_cycle: int, depth: int = 0) -> Rate:
    """Whole clock cycles for ``work`` items per unit of size, ``per_cycle`` at once.

    >>> cycles(1000, work=96, per_cycle=64).ps(1)
    2000
    """
    return Rate(fixed=depth * period_ps, quantum=period_ps, work=work, speed=per_cycle)


def transfer(
    size_bytes: int,
    gb_per_s: float,
    latency_ps: int,
    actions: tuple[Action, ...],
    width: Fraction | int = 1,
) -> Service:
    """Move ``size_bytes`` per unit of size: a latency, then size / bandwidth.

    ``width``: ways side by side; of one that is shared with others, the part that is there.

    >>> transfer(768, 128.0, 0, ()).rate.ps(1)     # 6 cycles of 1 ns
    6000
    """
    speed = millionths(gb_per_s) * width
    rate = Rate(latency_ps, work=1000 * size_bytes * speed.denominator, speed=speed.numerator)
    return Service(rate, actions)


@lru_cache(maxsize=256)  # a chip has a few bandwidths, a plan thousands of transfers
def millionths(value: float) -> Fraction:
    """The fraction that a decimal number stands for, of at most a million parts.

    So whole numbers of bytes and picoseconds stay within 64 bits.

    >>> millionths(12.8)
    Fraction(64, 5)
    """
    return Fraction(value).limit_denominator(10**6)


def bandwidth_power(gb_per_s: float, pj_per_byte: float) -> float:
    """mW of moving bytes at full bandwidth.

    >>> bandwidth_power(8.0, 12.5)  # 8e9 B/s x 12.5e-12 J
    100.0
    """
    return gb_per_s * pj_per_byte
