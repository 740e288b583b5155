"""How many requests a run needs: as few as give the mean latency a narrow interval.

The first requests of the stream are played, then twice as many, and so on, until half the width of
the 95 % interval of the mean latency (stream.py) is at most a share ``run.precision`` of the mean.
The run that is told of is the last of these, played again with its trace; placed is the model for
the whole stream. A queue that grows without bound has no interval: all requests are played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import Prepared
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import AtOnce

FIRST = 1000
"""Requests that are played first: fewer have no interval of a mean worth the name."""


def enough(
    scenario: Scenario,
    ready: Prepared,
    asked: float,
    stream_of: Callable[[Prepared], dict[str, Any]],
) -> Prepared:
    """The first requests of a run that give the precision ``asked`` for, or all.

    ``stream_of``: plays, and gives "stream" of summary.json. Raises InputError for requests that
    all come at once: their mean has no meaning beyond them.
    """
    if isinstance(scenario.workload.arrivals, AtOnce):
        raise InputError("run.precision must go with workload.arrivals that are not at-once")
    count = FIRST
    while count < len(ready.requests):
        part = first(ready, count)
        if precision(stream_of(part)) <= asked:
            return part
        count *= 2
    return ready


def first(ready: Prepared, count: int) -> Prepared:
    """The same run with its first requests alone."""
    host = replace(ready.host, think=ready.host.think[:count], needs=ready.host.needs[:count])
    return replace(ready, requests=ready.requests[:count], labels=ready.labels[:count], host=host)


def precision(stream: dict[str, Any]) -> float:
    """Half the width of the mean latency's interval, as a share of it; infinite without one.

    >>> precision({"latency_ps": {"mean": 50.0, "half_width": {"mean": 2.0}}})
    0.04
    """
    latency = stream["latency_ps"]
    half = latency["half_width"]["mean"]
    return float("inf") if half is None else float(half / latency["mean"])


def notes(scenario: Scenario, stream: dict[str, Any], count: int, most: int) -> list[str]:
    """Whether so many requests give what was asked for; ``most``: as many there could have been."""
    asked = scenario.run.precision
    if asked is None:
        return []
    found = precision(stream)
    if found > asked:
        known = "is not known" if found == float("inf") else f"is known to ± {found:.1%}"
        return [f"the mean latency {known} after {count:,} requests, not to the {asked:.1%} asked"]
    return [f"stopped after {count:,} of {most:,} requests: mean latency is known to ± {found:.1%}"]
