"""Digital MAC array: dot products of operands that come from the memory of results.

Output-stationary: a result stays in its accumulator while operands stream past, ``lanes`` products
a cycle. A weight that is read serves ``sharing`` tokens at once (rows of the array); with 1 every
product reads its weight anew, as in a plain dot-product unit. So a matrix of m inputs and n
outputs takes ceil(m n / lanes) cycles and reads m n / sharing weights and m inputs.

Energies a product at 45 nm: Horowitz, ISSCC 2014. SPRINT's and ASADI's baselines are such arrays
(HyFlexPIM §5.3). Left out: edges of the array, stalls.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.formats import FORMATS
from hyflexsim.sim.chip.kind import Kind, Part, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.chip.service import Access, Action, Chain, Service, Task, Visit, cycles
from hyflexsim.sim.errors import InputError

_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_LANES = Follows(rules.proportional, ("lanes",))
_CLOCK = Follows(rules.clocked, ("clock_period",))


_Mac = float | None  # a chip gives those of the formats that it uses


class MacEnergy(Section):
    """pJ of one multiply-accumulate, its registers included; of the formats that a chip uses."""

    mac_int8: _Mac = parameter("pJ", 0, 1e12, "INT8", "energy", [_NODE], None)
    mac_int12: _Mac = parameter("pJ", 0, 1e12, "INT12 times INT8", "energy", [_NODE], None)
    mac_fp16: _Mac = parameter("pJ", 0, 1e12, "FP16", "energy", [_NODE], None)
    mac_fp32: _Mac = parameter("pJ", 0, 1e12, "FP32", "energy", [_NODE], None)


class MacPower(Section):
    """The whole array, busy."""

    lanes: Annotated[float, parameter("mW", 0, 1e9, "the array", "energy", [_LANES, _CLOCK, _NODE])]


class MacArea(Section):
    """The whole array."""

    lanes: Annotated[float, parameter("mm2", 0, 1e6, "the array", "area", [_LANES, _NODE_AREA])]


class MacValues(UnitValues):
    """One array."""

    lanes: Annotated[int, parameter("", 1, 2**20, "products a cycle", "time, energy, area")]
    sharing: Annotated[
        int, parameter("", 1, 65536, "tokens that a weight serves once read", "time, energy")
    ]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one cycle", "time, energy")]
    energy: MacEnergy
    power: MacPower
    area: MacArea


class MacArray(Kind):
    """See the head of this file."""

    name = "mac_array"
    Values = MacValues
    serves = frozenset({"gemv", "matmul", "scan"})
    formats = frozenset({"int8", "int12", "fp16", "fp32"})
    actions: ClassVar = dict.fromkeys(
        ("mac_int8", "mac_int12", "mac_fp16", "mac_fp32"), "mac_array"
    )

    def check_served(self, unit: Unit, op: str, format: str) -> None:
        """The energy of a product in the format in which it would have to multiply."""
        number = _number(format, op == "matmul.probabilities")
        if getattr(unit.values.energy, f"mac_{number}") is None:
            raise InputError(f"{unit.name}.energy.mac_{number} must be given")

    def input_bits(self, unit: Unit, format: str) -> int:
        """Of the format."""
        return FORMATS[format or "int8"].bits

    def multiply(self, unit: Unit, part: Part, task: Task, planes: bool) -> Chain:
        """Read weights and vector, then multiply."""
        bits = self.input_bits(unit, task.format)
        reads = -(-(-(-part.macs // unit.values.sharing) + part.rows) * bits // 8)
        label = f".{part.part}"
        return (Access(f"{label}.read", reads), self._visit(unit, task, part.macs, f"{label}.mac"))

    def serve(self, unit: Unit, task: Task) -> Chain:
        """Read the stored operand (keys, values), multiply."""
        bits = self.input_bits(unit, task.format)
        return (Access(".read", -(-task.macs * bits // 8)), self._visit(unit, task, task.macs))

    def write(self, unit: Unit, task: Task) -> Chain:
        """Keys and values go to the memory of results."""
        return (Access(".write", -(-task.width * self.input_bits(unit, task.format) // 8), True),)

    def _visit(self, unit: Unit, task: Task, macs: int, label: str = "") -> Visit:
        values: MacValues = unit.values
        number = _number(task.format, task.probabilities)
        lanes = values.lanes * unit.working(task.group)
        service = Service(
            cycles(values.clock_period, macs, lanes), (Action(f"mac_{number}", 0, macs),)
        )
        power = values.power.lanes * unit.working(task.group)
        return Visit("mac_array", service, label, power_mw=power, macs=(0, macs))

    def area(self, unit: Unit) -> dict[str, float]:
        """One array."""
        return {"lanes": unit.values.area.lanes}

    def power(self, unit: Unit) -> dict[str, float]:
        """One array."""
        return {"lanes": unit.values.power.lanes}


def _number(format: str, probabilities: bool) -> str:
    """The format of a product; scores are 12 bits wide (HyFlexPIM §3.3)."""
    return "int12" if probabilities and format in ("", "int8") else format or "int8"
