"""What a sweep would take: one point is computed, where all would be."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from hyflexsim.workloads.points.chosen import executor_of
from hyflexsim.workloads.sweeping.scenario_point import scenario_point
from hyflexsim.workloads.sweeping.sweep import check, first_and_last
from hyflexsim.workloads.sweeping.sweep_file import Sweep
from hyflexsim.workloads.terminal import Say


class Estimate(NamedTuple):
    """How many points, what one took and needed, and what all would with so many workers.

    ``seconds``: of the last point, when the first has loaded what they share. ``error``: why one
    of the two failed.
    """

    points: int
    workers: int
    seconds: float
    peak_mb: float
    error: str | None

    @property
    def total_s(self) -> float:
        """Wall time of all points, s."""
        return self.points * self.seconds / self.workers

    @property
    def memory_mb(self) -> float:
        """Most memory of all workers together, MiB; what they share is counted in each."""
        return self.workers * self.peak_mb


def estimate(
    loaded: Sweep,
    *,
    workers: int | None = None,
    dask: str | None = None,
    progress: Say | None = None,
) -> Estimate:
    """Compute the first point of a sweep, time the last, and scale; nothing is written.

    Points differ, so this is no promise.
    """
    check(loaded)
    say = progress or (lambda what, done, total: None)
    say("timing a point", 0, 0)
    number, *ends = first_and_last(loaded)
    with closing(executor_of(scenario_point, workers, dask)) as executor:
        count = executor.workers
        for settings in ends:
            executor.submit(0, {**loaded.common, **settings})
            (done,) = executor.finished()
            if done.error is not None:
                break
    return Estimate(number, count, done.seconds, done.peak_mb, done.error)
