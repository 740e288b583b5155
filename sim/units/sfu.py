"""Special function unit: softmax, norms, GELU, sums, in FP16.

So many elements per cycle and unit; the units of a place work on one token together. How often
softmax and norms pass over a row and how deep the pipeline is, is not public for HyFlexPIM: 1 and
0, assumed.

Source: HyFlexPIM §3.1, §5.3, Table 2.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.chip.service import Action, Chain, Service, Task, Visit, cycles

_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_EACH = Follows(rules.proportional, ("lanes",))
_CLOCK = Follows(rules.clocked, ("clock_period",))


class SfuEnergy(Section):
    """pJ of one action."""

    sfu_element: Annotated[
        float, parameter("pJ", 0, 1e12, "an element through the unit", "energy", [_NODE])
    ]


class SfuPower(Section):
    """All lanes of one unit, busy."""

    lanes: Annotated[float, parameter("mW", 0, 1e9, "the unit", "energy", [_EACH, _CLOCK, _NODE])]


class SfuArea(Section):
    """All lanes of one unit."""

    lanes: Annotated[float, parameter("mm2", 0, 1e6, "the unit", "area", [_EACH, _NODE_AREA])]


class SfuValues(UnitValues):
    """One unit."""

    lanes: Annotated[
        int, parameter("", 1, 2**20, "elements per cycle of one unit", "time, energy, area")
    ]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one cycle", "time, energy")]
    softmax_passes: Annotated[
        int, parameter("", 1, 1024, "times a softmax row goes through", "time, energy")
    ]
    norm_passes: Annotated[
        int, parameter("", 1, 1024, "times a normalised vector goes through", "time, energy")
    ]
    depth: Annotated[int, parameter("cycle", 0, 10**6, "pipeline depth", "time")]
    energy: SfuEnergy
    power: SfuPower
    area: SfuArea


class Sfu(Kind):
    """See the head of this file."""

    name = "sfu"
    Values = SfuValues
    serves = frozenset({"softmax", "norm", "pointwise"})
    actions: ClassVar = {"sfu_element": "sfu"}

    def serve(self, unit: Unit, task: Task) -> Chain:
        """``task.elements`` per unit of size, as often as the op class passes."""
        values: SfuValues = unit.values
        passes = {"softmax": values.softmax_passes, "norm": values.norm_passes}.get(task.op, 1)
        work, lanes = passes * task.elements, values.lanes * unit.working(task.group)
        service = Service(
            cycles(values.clock_period, work, lanes, values.depth),
            (Action("sfu_element", 0, work),),
        )
        return (Visit("sfu", service, power_mw=values.power.lanes * unit.working(task.group)),)

    def area(self, unit: Unit) -> dict[str, float]:
        """One unit."""
        return {"sfu": unit.values.area.lanes}

    def power(self, unit: Unit) -> dict[str, float]:
        """One unit."""
        return {"sfu": unit.values.power.lanes}
