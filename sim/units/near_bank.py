"""Near-bank units: multipliers beside the banks of a DRAM stack, at the banks' bandwidth.

Weights, keys and values lie in the banks; a vector is sent to all of them, and all work on it at
once. So a matrix takes the longer of two times::

    bytes / (banks x bandwidth of a bank)      and      products / (banks x lanes) cycles

and reads every weight once a vector: energy a bit at the bank, without the way to the pins. Weights
and keys lie packed, so that a row that is opened is used whole.

Everything busy, a stack draws what its multipliers draw (the row ``power.units``) and what its
banks take at full bandwidth: energy a byte times bytes a second.

Source: TransPIM (HPCA 2022) and FIMDRAM for the organisation; energies by path of Fine-Grained DRAM
(MICRO 2017), as in AttAcc's public simulator.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Part, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.chip.service import (
    Access,
    Action,
    Chain,
    Rate,
    Service,
    Task,
    Visit,
    bandwidth_power,
    millionths,
    transfer,
)
from hyflexsim.sim.units.stored import Stored, stored_parts

_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_UNITS = Follows(rules.proportional, ("banks", "lanes"))
_CLOCK = Follows(rules.clocked, ("clock_period",))


class BankEnergy(Section):
    """pJ of one action."""

    bank_activation: Annotated[
        float,
        parameter(
            "pJ",
            0,
            1e12,
            "a byte's share of opening its row, all of which is used",
            "energy",
            [Follows(rules.shared_by, ("row_bytes",))],
        ),
    ]
    bank_bit: Annotated[float, parameter("pJ", 0, 1e12, "a bit from or to a bank", "energy")]
    bank_mac: Annotated[float, parameter("pJ", 0, 1e12, "an INT8 product", "energy", [_NODE])]


class BankArea(Section):
    """Units of all banks, without the DRAM."""

    units: Annotated[
        float,
        parameter("mm2", 0, 1e6, "near-bank units of one stack", "area", [_UNITS, _NODE_AREA]),
    ]


class BankPower(Section):
    """Units of all banks, without what reading the banks takes."""

    units: Annotated[
        float,
        parameter("mW", 0, 1e9, "near-bank units of one stack", "energy", [_UNITS, _CLOCK, _NODE]),
    ]


class BankValues(UnitValues):
    """One stack. ``count``: of them, side by side."""

    count: Annotated[
        int, parameter("", 1, 2**20, "stacks, side by side", "capacity, time, energy, area")
    ]
    capacity: Annotated[int, parameter("B", 1, 2**50, "of one stack", "capacity")]
    banks: Annotated[int, parameter("", 1, 65536, "of one stack", "time, energy, area")]
    bandwidth: Annotated[float, parameter("GB/s", 1e-6, 1e9, "of one bank", "time, energy")]
    row_bytes: Annotated[int, parameter("B", 1, 2**20, "of one bank", "energy")]
    row_latency: Annotated[int, parameter("ps", 0, 10**9, "to the first column of a row", "time")]
    lanes: Annotated[
        int, parameter("", 1, 65536, "products a cycle beside one bank", "time, energy, area")
    ]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one cycle", "time, energy")]
    energy: BankEnergy
    area: BankArea
    power: BankPower


class NearBank(Kind):
    """See the head of this file."""

    name = "near_bank"
    Values = BankValues
    serves = frozenset({"gemv", "matmul", "scan", "lookup", "results"})
    formats = frozenset({"int8"})
    holds = "bytes"
    actions: ClassVar = dict.fromkeys(("bank_activation", "bank_bit", "bank_mac"), "near_bank")

    def input_bits(self, unit: Unit, format: str) -> int:
        """INT8."""
        return 8

    def hold(
        self, unit: Unit, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
    ) -> tuple[Stored, ...]:
        """Bytes of its factors, over all banks."""
        return stored_parts(rows, outputs, rank)

    def capacity(self, unit: Unit) -> int:
        """Bytes."""
        return int(unit.total * unit.values.capacity)

    def memory_bytes(self, unit: Unit) -> int:
        """All of it."""
        return self.capacity(unit)

    def multiply(self, unit: Unit, part: Part, task: Task, planes: bool) -> Chain:
        """All banks at once."""
        return (self._visit(unit, task, part.macs, f".{part.part}.bank"),)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """A product against what lies in the banks, or a row of a table."""
        if task.op == "lookup":
            return self.access(unit, Access("", task.width, group=task.group))
        return (self._visit(unit, task, task.macs),)

    def write(self, unit: Unit, task: Task) -> Chain:
        """Keys and values into the banks."""
        return self.access(unit, Access(".write", task.width, True, task.group))

    def access(self, unit: Unit, access: Access) -> Chain:
        """Bytes spread over all banks."""
        values: BankValues = unit.values
        ways = values.banks * unit.working(access.group)
        actions = self._reading(access.size_bytes)
        service = transfer(access.size_bytes, values.bandwidth, values.row_latency, actions, ways)
        return (Visit("near_bank", service, access.label, power_mw=self._busy(unit, access.group)),)

    def _reading(self, size_bytes: int) -> tuple[Action, ...]:
        return Action("bank_activation", 0, size_bytes), Action("bank_bit", 0, 8 * size_bytes)

    def _visit(self, unit: Unit, task: Task, macs: int, label: str = "") -> Visit:
        values: BankValues = unit.values
        banks = values.banks * unit.working(task.group)
        slower = min(_reading(values), _working(values)) * banks
        rate = Rate(values.row_latency, work=macs * slower.denominator, speed=slower.numerator)
        service = Service(rate, (*self._reading(macs), Action("bank_mac", 0, macs)))
        power = self._busy(unit, task.group)
        return Visit("near_bank", service, label, power_mw=power, macs=(0, macs))

    def _busy(self, unit: Unit, group: Fraction | int) -> float:
        """mW of all stacks of so many places."""
        return sum(self.power(unit).values()) * unit.working(group)

    def moves(self, unit: Unit) -> bool:
        """Whether banks give weights more slowly than lanes could multiply them."""
        return _reading(unit.values) < _working(unit.values)

    def area(self, unit: Unit) -> dict[str, float]:
        """One stack."""
        return {"units": unit.values.area.units}

    def power(self, unit: Unit) -> dict[str, float]:
        """One stack: its units, and its banks read at full bandwidth."""
        values: BankValues = unit.values
        byte = values.energy.bank_activation + 8 * values.energy.bank_bit
        return {
            "units": values.power.units,
            "banks": values.banks * bandwidth_power(values.bandwidth, byte),
        }


def _reading(values: BankValues) -> Fraction:
    """Bytes a ps of one bank."""
    return millionths(values.bandwidth) / 1000


def _working(values: BankValues) -> Fraction:
    """Products a ps beside one bank, a byte of weights each."""
    return Fraction(values.lanes, values.clock_period)
