"""Scenarios, and how to run them: the way in for users.

>>> from hyflexsim.workloads import Scenario, simulate
>>> scenario = Scenario.load("bert-base", ["workload.requests=2"])
>>> result = simulate(scenario)                                          # doctest: +SKIP
>>> result.summary["latency_ps"]["p50"]                                  # doctest: +SKIP
>>> result.save("runs/two-requests")                                     # doctest: +SKIP

Names are imported when they are asked for, so that ``import hyflexsim.workloads`` costs nothing.
(No file here may have the name of one of them: importing it would hide the function.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyflexsim.workloads.compression.judged_run import simulate as simulate
    from hyflexsim.workloads.jets.jets import load_jets as load_jets
    from hyflexsim.workloads.run.run import Result as Result
    from hyflexsim.workloads.scenario.scenario import Scenario as Scenario
    from hyflexsim.workloads.sweeping.sweep import sweep as sweep

_HOME = {
    "Result": "run.run",
    "Scenario": "scenario.scenario",
    "load_jets": "jets.jets",
    "simulate": "compression.judged_run",
    "sweep": "sweeping.sweep",
}

__all__ = ["Result", "Scenario", "load_jets", "simulate", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
