"""SRAM (or eDRAM) buffer: where results lie and operands are read from.

One access of so many bytes takes bytes / bandwidth. Energy a byte grows with the root of the
capacity (rules.sram_energy), area with the capacity.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.chip.service import Access, Action, Chain, Task, Visit, transfer
from hyflexsim.sim.units.stored import Stored, stored_parts

_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_SIZE = Follows(rules.sram_energy, ("capacity",))


class SramEnergy(Section):
    """pJ of one action."""

    sram_byte: Annotated[float, parameter("pJ", 0, 1e12, "a byte", "energy", [_SIZE, _NODE])]


class SramPower(Section):
    """The whole buffer."""

    buffer: Annotated[
        float,
        parameter(
            "mW",
            0,
            1e9,
            "the buffer, busy",
            "energy",
            [Follows(rules.proportional, ("bandwidth",)), _SIZE, _NODE],
        ),
    ]


class SramArea(Section):
    """The whole buffer."""

    buffer: Annotated[
        float,
        parameter(
            "mm2",
            0,
            1e6,
            "the buffer",
            "area",
            [Follows(rules.proportional, ("capacity",)), _NODE_AREA],
        ),
    ]


class SramValues(UnitValues):
    """One buffer."""

    count: Annotated[
        int, parameter("", 1, 2**20, "buffers in each place", "capacity, time, energy, area")
    ]
    capacity: Annotated[int, parameter("B", 1, 2**50, "of one buffer", "capacity, energy, area")]
    bandwidth: Annotated[float, parameter("GB/s", 1e-6, 1e9, "of one buffer", "time, energy")]
    energy: SramEnergy
    power: SramPower
    area: SramArea


class Sram(Kind):
    """See the head of this file."""

    name = "sram"
    Values = SramValues
    serves = frozenset({"results", "lookup"})
    holds = "bytes"
    actions: ClassVar = {"sram_byte": "sram"}

    def hold(
        self, unit: Unit, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
    ) -> tuple[Stored, ...]:
        """Bytes of its factors."""
        return stored_parts(rows, outputs, rank)

    def capacity(self, unit: Unit) -> int:
        """Bytes."""
        return int(unit.total * unit.values.capacity)

    def fetch(self, unit: Unit, size_bytes: int) -> Chain:
        """Weights that lie here are read when they are multiplied."""
        return ()

    def memory_bytes(self, unit: Unit) -> int:
        """All of it."""
        return self.capacity(unit)

    def access(self, unit: Unit, access: Access) -> Chain:
        """One read or write, over all buffers of the place."""
        values: SramValues = unit.values
        action = Action("sram_byte", 0, access.size_bytes)
        ways = unit.working(access.group)
        service = transfer(access.size_bytes, values.bandwidth, 0, (action,), ways)
        power = values.power.buffer * ways
        return (Visit("sram", service, access.label, power_mw=power),)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """A row of a table."""
        return self.access(unit, Access("", task.width, group=task.group))

    def area(self, unit: Unit) -> dict[str, float]:
        """One buffer."""
        return {"buffer": unit.values.area.buffer}

    def power(self, unit: Unit) -> dict[str, float]:
        """One buffer."""
        return {"buffer": unit.values.power.buffer}
