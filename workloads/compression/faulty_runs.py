"""What faults do, and what repairing them does: the same scenario three times.

Without faults; with them, every array used as if it worked; and repaired, as the scenario says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.judged_run import simulate
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Faults
from hyflexsim.workloads.terminal import Say


class Outcome(NamedTuple):
    """One of the runs: its summary, and arrays of first copies and of further ones in use."""

    name: str
    summary: dict[str, Any]
    arrays: int
    copied: int


def compared(scenario: Scenario | Colocation, say: Say | None = None) -> Iterator[Outcome]:
    """The runs, one by one. Raises InputError for a scenario without faults."""
    given = scenario.faults
    if given == Faults(seed=given.seed, repair=given.repair):
        raise InputError("faults: the scenario names none; give --set faults.columns=0.01 or such")
    without = given.model_copy(update=Faults().model_dump())
    cases = [("without faults", without)]
    if given.repair != "none" and scenario.broken().inside:
        cases.append(("not repaired", given.model_copy(update={"repair": "none"})))
    cases.append(("not repaired" if given.repair == "none" else "repaired", given))
    for name, faults in cases:
        result = simulate(scenario.model_copy(update={"faults": faults}), progress=say)
        weights = result.placement.weights.values()
        yield Outcome(
            name,
            result.summary,
            sum(weight.pieces for weight in weights),
            sum(weight.taken - weight.pieces for weight in weights),
        )
