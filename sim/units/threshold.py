"""Analog thresholding of scores: which keys are worth an exact product (SPRINT's first step).

The upper bits of keys lie in RRAM arrays; a query is multiplied with them in memory, comparators
compare each score with a threshold, and only keys above it are computed anew, exactly. All columns
of an array answer at once, so a query takes ``read_cycle`` per so many scores (keys times heads),
and each key costs its products and a comparison a head. ``kept`` is the share that passes: a mean,
where the distribution is not known; a study of the values themselves gives it by query.

Source: SPRINT (MICRO 2022, arXiv 2209.00606): 4-bit keys, 1-bit comparators.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from hyflexsim.sim.chip.kind import Kind, Unit, UnitValues
from hyflexsim.sim.chip.parameters import Section, parameter
from hyflexsim.sim.chip.service import Action, Chain, Service, Task, Visit, cycles


class ThresholdEnergy(Section):
    """pJ of one action."""

    threshold_mac: Annotated[float, parameter("pJ", 0, 1e12, "a product in memory", "energy")]
    comparison: Annotated[float, parameter("pJ", 0, 1e12, "a score compared", "energy")]


class ThresholdArea(Section):
    """What it adds to the memory."""

    unit: Annotated[float, parameter("mm2", 0, 1e6, "arrays and comparators", "area")]


class ThresholdValues(UnitValues):
    """One unit."""

    count: Annotated[int, parameter("", 1, 2**20, "units in each place", "time, area")]
    keys: Annotated[int, parameter("", 1, 2**20, "scores that one read of a unit answers", "time")]
    read_cycle: Annotated[int, parameter("ps", 1, 10**12, "one read", "time")]
    kept: Annotated[float, parameter("", 0, 1, "share of keys that pass", "time, energy")]
    energy: ThresholdEnergy
    area: ThresholdArea


class Threshold(Kind):
    """See the head of this file."""

    name = "threshold"
    Values = ThresholdValues
    serves = frozenset({"keys"})
    actions: ClassVar = {"threshold_mac": "threshold", "comparison": "threshold"}

    def kept(self, unit: Unit) -> float:
        """Share of keys that pass."""
        return float(unit.values.kept)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """One query against all keys of its context."""
        values: ThresholdValues = unit.values
        rate = cycles(values.read_cycle, task.heads, values.keys * unit.working(task.group))
        actions = Action("threshold_mac", 0, task.macs), Action("comparison", 0, task.heads)
        return (Visit("threshold", Service(rate, actions), ".threshold"),)

    def area(self, unit: Unit) -> dict[str, float]:
        """One unit."""
        return {"unit": unit.values.area.unit}


class MaskValues(Section):
    """A mask that is the same for all queries and costs nothing to apply."""

    kept: Annotated[
        float, parameter("", 0, 1, "share of keys inside the mask", "time, energy, wear")
    ]


class Mask(Kind):
    """A static mask over keys (ASADI's diagonals), known before a request arrives."""

    name = "mask"
    Values = MaskValues
    serves = frozenset({"keys"})

    def kept(self, unit: Unit) -> float:
        """Share of keys inside."""
        return float(unit.values.kept)

    def serve(self, unit: Unit, task: Task) -> Chain:
        """Nothing to do."""
        return ()
