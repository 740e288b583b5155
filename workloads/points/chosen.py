"""Where points are computed, by what a user asks for."""

from __future__ import annotations

import os

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.points.done import PointFunction
from hyflexsim.workloads.points.executors import Executor, Here
from hyflexsim.workloads.points.processes import Processes, cores

WORKERS = "HYFLEXSIM_WORKERS"
"""How many processes of a session compute where nobody says it."""


def executor_of(function: PointFunction, workers: int | None, dask: str | None = None) -> Executor:
    """``workers`` processes, by default as many as :data:`WORKERS` says, or as there are cores; 0:
    here. Or those of ``dask``.

    Raises InputError for both of them, and for a number below 0.
    """
    if dask is not None:
        if workers is not None:
            raise InputError("--workers goes without --dask, whose workers are the cluster's")
        from hyflexsim.workloads.points.cluster import Cluster  # noqa: PLC0415 (its extra)

        return Cluster(function, dask)
    count = _usual() if workers is None else workers
    if count < 0:
        raise InputError(f"--workers must be an integer from 0; got {count}")
    return Processes(function, count) if count else Here(function)


def _usual() -> int:
    said = os.environ.get(WORKERS, "")
    if not said:
        return cores()
    if not said.isdecimal():
        raise InputError(f"{WORKERS} must be an integer from 0; got {said!r}")
    return int(said)
