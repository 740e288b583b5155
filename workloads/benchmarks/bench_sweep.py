"""What a sweep adds to its points: 200 chips under two sentences of BERT-Base, on every core.

A point is planned and played alone, some before the sweep and some after it; the sweep is timed
from its first import to its table. What it adds is in the difference: counting energies and
components (which a run does, too, after its last event), reading a scenario, handing points out,
and keeping each in the results folder.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hyflexsim.sim.engine import engines
from hyflexsim.workloads.points.processes import cores
from hyflexsim.workloads.run.prepare import load_graph, prepare
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.sweeping.sweep import sweep

POINTS, ALONE = 200, 10
CYCLES = [f"{100 + place} ns" for place in range(POINTS)]
"""Of an analog read, so that no two points have a plan in common."""


class Time(NamedTuple):
    """Seconds on the wall, and of all processors that worked meanwhile."""

    wall: float
    cpu: float


class Measured(NamedTuple):
    """``plan_play`` and ``counting`` of one point alone, ``sweep`` of all points on all workers."""

    plan_play: Time
    counting: float
    sweep: Time
    workers: int

    @property
    def share(self) -> float:
        """Points a second, over what the workers would do if they only planned and played."""
        return self.plan_play.wall * POINTS / (self.sweep.wall * self.workers)

    @property
    def cpu_share(self) -> float:
        """The same in CPU time, which other work on the machine does not stretch."""
        return self.plan_play.cpu * POINTS / self.sweep.cpu

    @property
    def overhead(self) -> float:
        """CPU time that a point takes beside its plan and play, s."""
        return self.sweep.cpu / POINTS - self.plan_play.cpu


def measure() -> Measured:
    """Time a sweep, and points alone before and after it."""
    workers = cores()
    alone = list(_alone(0))
    with tempfile.TemporaryDirectory() as folder:
        start = _now()
        sweep(
            {
                "scenario": "bert-base",
                "set": {"workload.requests": 2},
                "vary": {"analog.read_cycle": CYCLES},
            },
            Path(folder) / "sweep",
            workers=workers,
        )
        whole = _since(start)
    alone += _alone(ALONE)
    walls, cpus, counts = (statistics.median(column) for column in zip(*alone, strict=True))
    return Measured(Time(walls, cpus), counts, whole, workers)


def _now() -> Time:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = time.process_time() + children.ru_utime + children.ru_stime
    return Time(time.perf_counter(), cpu)


def _since(start: Time) -> Time:
    now = _now()
    return Time(now.wall - start.wall, now.cpu - start.cpu)


def _alone(first: int) -> Iterator[tuple[float, float, float]]:
    """Plan and play, and the counting of a whole run; machine code and graph are there."""
    graph = load_graph(_scenario(CYCLES[0]))
    simulate(_scenario(CYCLES[-1]), graph=graph)
    for cycle in CYCLES[first : first + ALONE]:
        scenario = _scenario(cycle)
        start = _now()
        ready = prepare(scenario, graph)
        engines.play(ready.plan, ready.requests, window=ready.window)
        took = _since(start)
        yield *took, simulate(scenario, graph=graph).seconds["count"]


def _scenario(cycle: str) -> Scenario:
    return Scenario.load("bert-base", {"workload.requests": 2, "analog.read_cycle": cycle})
