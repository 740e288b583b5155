"""Adders of partial sums: what adds the row tiles of a vector.

A vector longer than an array's rows lies over several arrays; each gives a partial sum per output,
which crosses the link and is added here. In HyFlexPIM these are the shift-and-add units of the
digital modules (§3.3; Table 2: 1024 a module). The paper gives no time; one addition per adder and
cycle is assumed.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.chip.service import Action, Chain, Service, Task, Visit, cycles

_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_EACH = Follows(rules.proportional, ("adders",))
_CLOCK = Follows(rules.clocked, ("clock_period",))


class AdderEnergy(Section):
    """pJ of one action."""

    partial_sum_add: Annotated[float, parameter("pJ", 0, 1e12, "an addition", "energy", [_NODE])]


class AdderPower(Section):
    """All adders of one unit, busy."""

    adders: Annotated[float, parameter("mW", 0, 1e9, "adders", "energy", [_EACH, _CLOCK, _NODE])]


class AdderArea(Section):
    """All adders of one unit."""

    adders: Annotated[float, parameter("mm2", 0, 1e6, "adders", "area", [_EACH, _NODE_AREA])]


class AdderValues(UnitValues):
    """A group of adders."""

    adders: Annotated[int, parameter("", 1, 2**20, "adders in one unit", "time, energy, area")]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one addition", "time, energy")]
    energy: AdderEnergy
    power: AdderPower
    area: AdderArea


class Adder(Kind):
    """See the head of this file."""

    name = "adder"
    Values = AdderValues
    serves = frozenset({"partial-sums"})
    actions: ClassVar = {"partial_sum_add": "accumulator"}

    def serve(self, unit: Unit, task: Task) -> Chain:
        """``task.macs`` additions."""
        values: AdderValues = unit.values
        rate = cycles(values.clock_period, task.macs, values.adders * unit.working(task.group))
        power = values.power.adders * unit.working(task.group)
        service = Service(rate, (Action("partial_sum_add", 0, task.macs),))
        return (Visit("accumulator", service, power_mw=power),)

    def area(self, unit: Unit) -> dict[str, float]:
        """One group."""
        return {"adders": unit.values.area.adders}

    def power(self, unit: Unit) -> dict[str, float]:
        """One group."""
        return {"adders": unit.values.power.adders}
