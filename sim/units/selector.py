"""Digital selection of keys: which ones a query's probabilities and values are computed for.

Comparators look at the scores of a query, head by head, and let the k largest through, or those
above a threshold. What stays, and so the work behind it, follows from the values of each request
(plan/work.py); a request that brings none keeps every key. Three ways, by ``by``:

``scores``  after the scores, exact: each score is compared ``passes`` times; softmax and PV are
            computed for what stays.
``bits``    while the scores are made, most significant bits of the keys first: a key whose best
            possible score is below the k-th worst possible one drops out. Exact; its products are
            made bit by bit, and a comparison goes with each bit of each key that is still there.
``bias``    before the scores, by the pair bias U alone: scores are made only for what stays.
            An approximation.

How many comparisons a cycle and how often a score is looked at nobody says for the machines here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, choice, parameter
from hyflexsim.sim.chip.service import Action, Chain, Service, Task, Visit, cycles

CHOICES = ("scores", "bits", "bias")
_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_EACH = Follows(rules.proportional, ("lanes",))


class SelectorEnergy(Section):
    """pJ of one action."""

    comparison: Annotated[
        float, parameter("pJ", 0, 1e12, "a score against another", "energy", [_NODE])
    ]


class SelectorArea(Section):
    """All lanes of one unit."""

    lanes: Annotated[float, parameter("mm2", 0, 1e6, "comparators", "area", [_EACH, _NODE_AREA])]


class SelectorValues(UnitValues):
    """One unit."""

    count: Annotated[int, parameter("", 1, 2**20, "units in each place", "time, area")]
    by: Annotated[str, choice(CHOICES, "what keys are chosen by", "time, energy")]
    lanes: Annotated[
        int, parameter("", 1, 2**20, "comparisons per cycle of one unit", "time, area")
    ]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one cycle", "time")]
    passes: Annotated[int, parameter("", 1, 1024, "times a score is compared", "time, energy")]
    energy: SelectorEnergy
    area: SelectorArea


class Selector(Kind):
    """See the head of this file."""

    name = "selector"
    Values = SelectorValues
    serves = frozenset({"keys"})
    actions: ClassVar = {"comparison": "selector"}

    def chooses(self, unit: Unit) -> str:
        """As its parameter says."""
        return str(unit.values.by)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """One query against the scores of its context, a unit of size each."""
        values: SelectorValues = unit.values
        work = values.passes
        rate = cycles(values.clock_period, work, values.lanes * unit.working(task.group))
        return (Visit("selector", Service(rate, (Action("comparison", 0, work),)), ".choose"),)

    def area(self, unit: Unit) -> dict[str, float]:
        """One unit."""
        return {"selector": unit.values.area.lanes}
