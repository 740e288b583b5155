"""DRAM (or another bulk memory with rows): holds weights that are fetched once a request.

A stream of so many bytes takes a latency, then bytes / bandwidth of all channels together; every
row that is opened costs an activation, every bit the way to the pins::

    latency |------ bytes / (channels x bandwidth) ------|

Banks hide the activation of the next row behind the transfer of this one, as far as they can: a
channel gives no more than banks x row bytes / row cycle. Busy, it draws what streaming at that
bandwidth takes: energy a byte times bytes a second. Sources of values: the chip's file.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar

from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Section, parameter
from hyflexsim.sim.chip.service import Access, Action, Chain, Task, Visit, bandwidth_power, transfer
from hyflexsim.sim.units.stored import Stored, stored_parts


class DramEnergy(Section):
    """pJ of one action."""

    dram_activation: Annotated[float, parameter("pJ", 0, 1e12, "a row opened", "energy")]
    dram_bit: Annotated[float, parameter("pJ", 0, 1e12, "a bit to the pins", "energy")]


class DramValues(UnitValues):
    """One stack or package. ``count``: of them, side by side."""

    count: Annotated[
        int, parameter("", 1, 2**20, "of them, side by side", "capacity, time, energy")
    ]
    capacity: Annotated[int, parameter("B", 1, 2**50, "of one", "capacity")]
    channels: Annotated[int, parameter("", 1, 4096, "of one", "time, energy")]
    bandwidth: Annotated[float, parameter("GB/s", 1e-6, 1e9, "of one channel", "time, energy")]
    banks: Annotated[int, parameter("", 1, 4096, "of one channel", "time, energy")]
    row_bytes: Annotated[int, parameter("B", 1, 2**20, "of one bank", "energy, time")]
    row_cycle: Annotated[
        int, parameter("ps", 1, 10**9, "from row to row of a bank", "time, energy")
    ]
    latency: Annotated[int, parameter("ps", 0, 10**12, "to the first byte", "time")]
    energy: DramEnergy


class Dram(Kind):
    """See the head of this file."""

    name = "dram"
    Values = DramValues
    holds = "bytes"
    serves = frozenset({"results", "lookup"})
    actions: ClassVar = {"dram_activation": "dram", "dram_bit": "dram"}

    def hold(
        self, unit: Unit, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
    ) -> tuple[Stored, ...]:
        """Bytes of its factors."""
        return stored_parts(rows, outputs, rank)

    def capacity(self, unit: Unit) -> int:
        """Bytes."""
        return int(unit.total * unit.values.capacity)

    def memory_bytes(self, unit: Unit) -> int:
        """All of it."""
        return self.capacity(unit)

    def fetch(self, unit: Unit, size_bytes: int) -> Chain:
        """The stream at the head of this file."""
        return (self._stream(unit, size_bytes, ".fetch"),)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """A row of a table."""
        return (self._stream(unit, task.width, "", task.group),)

    def access(self, unit: Unit, access: Access) -> Chain:
        """One read or write of results."""
        return (self._stream(unit, access.size_bytes, access.label, access.group),)

    def _stream(self, unit: Unit, size_bytes: int, label: str, group: Fraction | int = 1) -> Visit:
        values: DramValues = unit.values
        actions = (
            Action("dram_activation", 0, -(-size_bytes // values.row_bytes)),
            Action("dram_bit", 0, 8 * size_bytes),
        )
        ways = values.channels * unit.working(group)
        service = transfer(size_bytes, _speed(values), values.latency, actions, ways)
        power = sum(self.power(unit).values()) * unit.working(group)
        return Visit("dram", service, label, power_mw=power)

    def power(self, unit: Unit) -> dict[str, float]:
        """One stack or package, at its full bandwidth; rows are used whole."""
        values: DramValues = unit.values
        byte = 8 * values.energy.dram_bit + values.energy.dram_activation / values.row_bytes
        return {"stream": values.channels * bandwidth_power(_speed(values), byte)}


def _speed(values: DramValues) -> float:
    """GB/s of one channel."""
    opened = values.banks * values.row_bytes / values.row_cycle * 1000  # bytes a ns: GB/s
    return min(values.bandwidth, opened)
