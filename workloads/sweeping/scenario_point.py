"""The point that most sweeps are made of: a scenario with some keys changed, run to its summary."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from hyflexsim.workloads.compression.judged_run import simulate
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.scenario.colocation import Colocation, load
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.sweeping.answers import answers_of

SCENARIO = "scenario"
"""The setting that names the scenario."""

_KEPT = Kept()
_ONE = threading.Lock()  # a plan is played by one thread at a time


def scenario_point(settings: Mapping[str, Any]) -> Answers:
    """Run the scenario that ``settings["scenario"]`` names, all other settings as with ``--set``.

    Graphs, checkpoints and plans are kept in the process, for the next point that needs the same.
    Raises InputError and DeadlockError as :func:`hyflexsim.workloads.simulate` does.
    """
    with _ONE:
        return answers_of(simulate(scenario_of(settings), kept=_KEPT).summary)


def scenario_of(settings: Mapping[str, Any]) -> Scenario | Colocation:
    """The scenario of a point, of one model or of several."""
    changes = {key: value for key, value in settings.items() if key != SCENARIO}
    return load(settings[SCENARIO], changes)
